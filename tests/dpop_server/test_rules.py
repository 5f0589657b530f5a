"""Rules 21 to 31 of a DPoP verifier, one by one; each refusal is told by its description."""

from __future__ import annotations

import base64
import json
from typing import Any

import attrs
import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from multidict import CIMultiDict, CIMultiDictProxy, MultiDict

from passwordless_async.dpop.server.nonce_issuer import NonceIssuer
from passwordless_async.dpop.server.verifier import DPoPVerifier
from passwordless_async.errors import InvalidDPoPProof, StoreError, UsageError, UseDPoPNonce

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
MALFORMED = "the proof has base64url that is malformed or not canonical"
NOT_JSON = "the proof's header and claims must be JSON objects without a name given twice"
NOT_P256 = "jwk is not a public key of P-256"
NOT_TIMELY = "iat is not within the accepted time"


async def test_returns_what_it_checked(server: Any):
    """Rule 30: a verifying call returns the checked value, frozen, its claims read-only."""
    claims = server.claims(foo=[1])
    checked = await server.get(server.prover.proof({}, claims))
    assert checked.thumbprint == server.prover.thumbprint
    assert (checked.jti, checked.htm, checked.htu) == (claims["jti"], "GET", f"{server.base}/me")
    assert (checked.iat, checked.ath, checked.nonce) == (claims["iat"], claims["ath"], None)
    assert dict(checked.claims) == claims
    assert checked.next_nonce is None
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        checked.jti = "another"
    with pytest.raises(TypeError):
        checked.claims["jti"] = "another"


@pytest.mark.parametrize("kind", ["CIMultiDict", "proxy", "MultiDict", "pairs", "generator", "asgi", "dict", "items"])
async def test_finds_the_header_in_any_container(kind: str, server: Any):
    """Rule 21: the field is found in any case, in every kind of container that servers use."""
    proof = server.proof()
    pairs = [("host", "api.example"), ("dPoP", proof)]
    containers = {
        "CIMultiDict": lambda: CIMultiDict(pairs),
        "proxy": lambda: CIMultiDictProxy(CIMultiDict(pairs)),
        "MultiDict": lambda: MultiDict(pairs),
        "pairs": lambda: pairs,
        "generator": pairs.__iter__,
        "asgi": lambda: [(name.encode(), value.encode()) for name, value in pairs],
        "dict": lambda: dict(pairs),
        "items": type("Headers", (), {"items": lambda _self: pairs}),
    }
    assert (await server.get(containers[kind]())).thumbprint == server.prover.thumbprint


@pytest.mark.parametrize("kind", [CIMultiDict, MultiDict, list, dict])
async def test_refuses_two_headers(kind: Any, server: Any):
    """Rule 21: more than one DPoP header is refused, in whatever case and container, before anything is spent."""
    headers = kind([("DPoP", server.proof()), ("dpop", server.proof())])
    assert await server.refusal(headers) == "the request has more than one DPoP header"
    assert len(server.replay) == 0


async def test_refuses_a_joined_header(server: Any):
    """Rule 21: two headers that a proxy joined by a comma are two headers."""
    assert await server.refusal(f"{server.proof()}, {server.proof()}") == "the request has more than one DPoP header"


async def test_refuses_no_header(server: Any):
    """Rule 21: a request without a proof is refused."""
    assert await server.refusal([]) == "the request has no DPoP header"
    assert await server.refusal([("X-DPoP", server.proof())]) == "the request has no DPoP header"


async def test_caps_the_size(server: Any):
    """Rule 22: a proof of 4096 characters passes, one of 4097 is refused unread."""

    def of_size(size: int) -> str:
        # A proof of the very size: 3 bytes are 4 characters, so the header takes what the claims cannot.
        for spare in range(4):
            header = {**server.prover.header, "pad": "x" * spare}
            free = size - 88 - len(server.base64url(json.dumps(header).encode()))
            claims = json.dumps(server.claims(pad="")).encode()
            padded = claims[:-2] + b"x" * (free * 3 // 4 - len(claims)) + claims[-2:]
            proof = server.compact(header, padded, server.prover.sign)
            if len(proof) == size:
                return proof
        raise AssertionError(size)

    await server.get(of_size(4096))
    assert await server.refusal(of_size(4097)) == "the proof is too long"


@pytest.mark.parametrize(
    "alter",
    [
        lambda _proof: "",
        lambda _proof: ".",
        lambda _proof: "..",
        lambda proof: proof.replace(".", "", 1),
        lambda proof: f"{proof}.",
        lambda proof: f".{proof}",
        lambda proof: f"{proof}A",
        lambda proof: proof[:-1],
        lambda proof: f"{proof}=",
        lambda proof: f"{proof} ",
        lambda proof: f"{proof}\n",
        lambda proof: f" {proof}",
        lambda proof: proof.replace(".", " .", 1),
        lambda proof: proof.replace(".", "=.", 1),
        lambda proof: proof.replace(".", "\n.", 1),
        lambda proof: proof.replace(".", "+.", 1),
        lambda proof: proof.replace(".", "é.", 1),
        lambda proof: proof.replace(".", "\udcff.", 1),
    ],
)
async def test_refuses_what_is_no_compact_jwt(alter: Any, server: Any):
    """Rule 22: three segments of base64url, no padding, no white space, nothing around them."""
    assert await server.refusal(alter(server.proof())) in {
        "the proof is not a compact JWT signed by ES256",
        MALFORMED,
    }


@pytest.mark.parametrize("index", [0, 1, 2])
async def test_refuses_base64url_with_unused_bits(index: int, server: Any):
    """Rule 22: the unused bits of a last character are zero, in every segment; else one proof has several texts."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for size in range(3):
        parts = server.proof({"pad": "x" * size}, pad="x" * size).split(".")
        if len(parts[index]) % 4 == 0:
            continue
        last = alphabet.index(parts[index][-1])
        head = parts[index][:-1] + alphabet[last + 1]
        # Signed again as it stands, so that nothing but the bits is wrong.
        parts[index] = head
        if index < 2:
            parts[2] = server.base64url(server.prover.sign(".".join(parts[:2]).encode()))
        assert await server.refusal(".".join(parts)) == MALFORMED


@pytest.mark.parametrize("typ", ["JWT", "DPOP+JWT", "dpop+jwt ", "application/dpop+jwt", "", None, 1, ["dpop+jwt"]])
async def test_typ_is_exact(typ: Any, server: Any):
    """Rule 22: typ is dpop+jwt and nothing like it."""
    assert await server.refusal(server.proof({"typ": typ})) == "typ is not dpop+jwt"


@pytest.mark.parametrize("alg", ["ES384", "RS256", "HS256", "none", "es256", "", None, 1, ["ES256"]])
async def test_alg_is_exact(alg: Any, server: Any):
    """Rule 22: alg is ES256 and nothing else, whatever the signature is."""
    assert await server.refusal(server.proof({"alg": alg})) == "alg is not ES256"


@pytest.mark.parametrize("header", [{"crit": ["exp"]}, {"crit": []}, {"crit": None}, {"b64": False}, {"b64": True}])
async def test_refuses_critical_extensions(header: dict[str, Any], server: Any):
    """Rule 22: crit and b64 are refused, whatever their value."""
    assert await server.refusal(server.proof(header)) == "crit and b64 are not supported"


async def test_tolerates_the_unknown(server: Any):
    """Rule 22: other header parameters and claims are tolerated, even those that other places give a meaning to."""
    header = {"kid": "1", "x5c": [], "jku": "https://evil.example", "foo": {"bar": None}}
    await server.get(server.proof(header, sub="x", aud=["y"], foo={"bar": [1.5, None]}))


@pytest.mark.parametrize("part", ["header", "claims"])
@pytest.mark.parametrize(
    "text",
    [
        b"null", b"[]", b"1", b'"x"', b"true", b"{", b"{}x", b"\xff\xfe{}", b"\xef\xbb\xbf{}", b"\xc0\x80", b"{'a':1}",
        b'{"a":NaN}', b'{"a":Infinity}', b'{"a":-Infinity}', b'{"a":1,"a":1}', b'{"a":{"b":1,"b":2}}',
        b'{"a":"\x01"}', b"[" * 2400, b'{"a":' * 480, b'{"a":1e}', b"{}{}", b"\x0c{}", b'{"a":01}',
    ],
)  # fmt: skip
async def test_refuses_what_is_no_json_object(part: str, text: bytes, server: Any):
    """Rule 22: header and claims are JSON objects (RFC 8259), UTF-8, and no name stands twice at any depth."""
    header = text if part == "header" else server.prover.header
    claims = text if part == "claims" else server.claims()
    assert await server.refusal(server.compact(header, claims, server.prover.sign)) == NOT_JSON


@pytest.mark.parametrize("name", ["jti", "iat", "htu"])
async def test_refuses_a_claim_given_twice(name: str, server: Any):
    """Rule 22: a claim that stands twice is refused even where the values agree: parsers differ about it."""
    claims = server.claims()
    text = json.dumps(claims)[:-1] + f', "{name}": {json.dumps(claims[name])}}}'
    assert await server.refusal(server.compact(server.prover.header, text.encode(), server.prover.sign)) == NOT_JSON


async def test_accepts_json_with_spaces(server: Any):
    """Rule 22: white space around and inside JSON is JSON."""
    text = f"\r\n\t {json.dumps(server.claims(), indent=2)} \n"
    await server.get(server.compact(server.prover.header, text.encode(), server.prover.sign))


@pytest.mark.parametrize("jwk", [None, "x", 1, [], {}, True])
async def test_jwk_is_an_object(jwk: Any, server: Any):
    """Rule 23: jwk is an object."""
    assert await server.refusal(server.proof({"jwk": jwk})) == NOT_P256


@pytest.mark.parametrize(
    "changes",
    [{"kty": "RSA"}, {"kty": "ec"}, {"kty": None}, {"kty": ["EC"]}, {"crv": "P-384"}, {"crv": "secp256k1"}, {"crv": 1}],
)
async def test_jwk_is_p256(changes: dict[str, Any], server: Any):
    """Rule 23: kty is EC and crv is P-256."""
    assert await server.refusal(server.proof({"jwk": {**server.prover.jwk, **changes}})) == NOT_P256


@pytest.mark.parametrize("name", ["x", "y"])
async def test_jwk_coordinates_are_43_characters(name: str, server: Any):
    """Rule 23: x and y are 43 characters; a padded x would import as the same key with another thumbprint."""
    right = server.prover.jwk
    raw = base64.urlsafe_b64decode(right[name] + "=")
    wrong = [
        None, 1, [right[name]], "", right[name] + "=", right[name][:-1], "A" + right[name], right[name] + "A",
        server.base64url(b"\x00" + raw), server.base64url(raw[1:]), server.absent,
    ]  # fmt: skip
    for value in wrong:
        jwk = {member: v for member, v in {**right, name: value}.items() if v is not server.absent}
        assert await server.refusal(server.proof({"jwk": jwk})) == "x and y of jwk must be 43 characters of base64url"


@pytest.mark.parametrize("name", ["x", "y"])
async def test_jwk_coordinates_are_canonical(name: str, server: Any):
    """Rule 23: of the four texts of 43 characters that decode to the same 32 bytes, one is right."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    right = server.prover.jwk
    last = alphabet.index(right[name][-1])
    wrong = [right[name][:-1] + alphabet[last + extra] for extra in (1, 2, 3)]
    wrong += [f"+{right[name][1:]}", f"={right[name][1:]}", f"\n{right[name][1:]}", f"é{right[name][1:]}"]
    for value in wrong:
        assert await server.refusal(server.proof({"jwk": {**right, name: value}})) == MALFORMED


async def test_jwk_is_on_the_curve(server: Any):
    """Rule 23: a point off the curve is refused, and so are (0, 0) and coordinates beyond the field."""
    zero, beyond = server.base64url(bytes(32)), server.base64url(b"\xff" * 32)
    right = server.prover.jwk
    for jwk in ({"x": right["y"], "y": right["x"]}, {"x": zero, "y": zero}, {"x": beyond}, {"y": beyond}):
        assert await server.refusal(server.proof({"jwk": {**right, **jwk}})) == "jwk is not a point on the curve"


@pytest.mark.parametrize("name", ["d", "p", "q", "dp", "dq", "qi", "oth", "k"])
@pytest.mark.parametrize("value", ["AQAB", None, ""])
async def test_jwk_has_no_private_member(name: str, value: Any, server: Any):
    """Rule 23: a private or symmetric member is refused, whatever its value."""
    proof = server.proof({"jwk": {**server.prover.jwk, name: value}})
    assert await server.refusal(proof) == "jwk has a private member"


async def test_jwk_counts_by_its_four_members(server: Any):
    """Rule 23: only the four members are imported: others are tolerated and leave the thumbprint as it is."""
    jwk = {"use": "enc", "kid": "1", "alg": "RSA", "key_ops": [], "ext": 1, **server.prover.jwk}
    assert (await server.get(server.proof({"jwk": jwk}))).thumbprint == server.prover.thumbprint


@pytest.mark.parametrize("name", ["jti", "htm", "htu", "iat"])
async def test_claims_are_required(name: str, server: Any):
    """Rule 24: jti, htm, htu and iat are required."""
    assert await server.refusal(server.proof(**{name: server.absent})) == "jti, htm, htu or iat is missing"


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("jti", [None, 1, 1.5, True, [], {}, "", "x" * 257, "\ud800", "a\udfff", "é\ud800"]),
        ("htm", [None, 1, True, [], {}, ["GET"]]),
        ("htu", [None, 1, True, [], {}]),
        ("iat", [None, "1700000000", True, False, [], {}]),
        ("exp", [None, "1800000000", True, [], {}]),
        ("nbf", [None, "1600000000", False, [], {}]),
        ("ath", [None, 1, True, [], {}]),
        ("nonce", [None, 1, True, [], {}]),
    ],
)
async def test_claims_have_their_type(name: str, values: list[Any], server: Any):
    """Rule 24: each claim has its JSON type; a null is a wrong type, not an absence."""
    for value in values:
        assert await server.refusal(server.proof(**{name: value})) == f"{name} is of another type or length"


@pytest.mark.parametrize("jti", ["x", "x" * 256, "é" * 256, "\U0001f600", "\x00", " ", ".", ","])
async def test_jti_may_be_any_text(jti: str, server: Any):
    """Rule 24: a jti of 1 to 256 characters passes, whatever they are; a pair of surrogates is one character."""
    assert (await server.get(server.proof(jti=jti))).jti == jti


def with_number(server: Any, name: str, number: str) -> str:
    """Return a proof with a number as written, which json.dumps might not write."""
    text = json.dumps(server.claims(**{name: "here"})).replace('"here"', number)
    return server.compact(server.prover.header, text.encode(), server.prover.sign)


@pytest.mark.parametrize("name", ["iat", "exp", "nbf"])
@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", "Infinity", "-Infinity"])
async def test_times_are_finite(name: str, number: str, server: Any):
    """Rule 24: a time that is not finite is refused, also where Python would read it as a float and compare it."""
    reason = f"{name} is of another type or length" if "e" in number else NOT_JSON
    assert await server.refusal(with_number(server, name, number)) == reason


@pytest.mark.parametrize("number", ["1" * 1500, "-" + "1" * 1500, "1e-999", "-0.0", "1e300"])
async def test_times_may_be_extreme(number: str, server: Any):
    """Rule 24: a time of a thousand digits, or the smallest, breaks nothing."""
    assert await server.refusal(with_number(server, "iat", number)) == NOT_TIMELY
    future = number in {"1" * 1500, "1e300"}
    for name, fine in (("exp", future), ("nbf", not future)):
        if fine:
            await server.get(with_number(server, name, number))
        else:
            reason = await server.refusal(with_number(server, name, number))
            assert reason == "the proof is expired or not valid yet"


async def test_iat_may_be_a_float(server: Any):
    """Rule 24: a finite float is a NumericDate."""
    assert (await server.get(server.proof(iat=server.clock.now - 0.5))).iat == server.clock.now - 0.5


@pytest.mark.parametrize("method", ["get", "Get", "POST", "GET ", "", "HEAD", "GE\u0054\u0301"])
async def test_htm_is_exact(method: str, server: Any):
    """Rule 25: htm is the request's method, its case included, both ways."""
    assert await server.refusal(server.proof(htm=method)) == "htm is not the request's method"
    assert await server.refusal(server.proof(), method=method) == "htm is not the request's method"


@pytest.mark.parametrize(
    ("htu", "target"),
    [
        ("HTTPS://API.Example/me", "/me"),
        ("https://api.example:443/me", "/me"),
        ("https://api.example:/me", "/me"),
        ("https://api.example", "/"),
        ("https://api.example/", "*"),
        ("https://api%2Eexample/me", "/me"),
        ("https://api.example/a/../me", "/me"),
        ("https://api.example/me", "/a/./../me"),
        ("https://api.example/me", "/%6de"),
        ("https://api.example/%6De", "/me"),
        ("https://api.example/%c3%a9", "/%C3%A9"),
        ("https://api.example/a%2fb", "/a%2Fb"),
        ("https://api.example/%2e%2e/me", "/me"),
        ("https://api.example/me?x=1#y", "/me?z=2"),
        ("https://api.example/me#y?x", "/me"),
        ("https://api.example/me", "http://10.0.0.7:8080/me?x=1"),
        ("https://api.example/a|b", "/a|b"),
    ],
)
async def test_htu_is_normalised(htu: str, target: str, server: Any):
    """Rule 25: both sides are normalised by RFC 3986 §6.2.2 and §6.2.3; query and fragment do not count."""
    assert (await server.get(server.proof(htu=htu), target)).htu == htu


@pytest.mark.parametrize(
    ("htu", "target"),
    [
        ("http://api.example/me", "/me"),
        ("https://api.example:8443/me", "/me"),
        ("https://api.example:80/me", "/me"),
        ("https://api.example:0443/me", "/me"),
        ("https://api.example./me", "/me"),
        ("https://evil.example/me", "https://evil.example/me"),
        ("https://user@api.example/me", "/me"),
        ("https://api.example@evil.example/me", "/me"),
        ("https://api.example%40evil.example/me", "/me"),
        ("https://api.example\\@evil.example/me", "/me"),
        ("https:/api.example/me", "/me"),
        ("//api.example/me", "/me"),
        ("/me", "/me"),
        ("", "/me"),
        (" https://api.example/me", "/me"),
        ("https://api.example/me ", "/me"),
        ("https://api.example/me/", "/me"),
        ("https://api.example/me", "/me/"),
        ("https://api.example/Me", "/me"),
        ("https://api.example//me", "/me"),
        ("https://api.example/a%2Fb", "/a/b"),
        ("https://api.example/a/b", "/a%2Fb"),
        ("https://api.example/a%40b", "/a@b"),
        ("https://api.example/a%3Ab", "/a:b"),
        ("https://api.example/%256de", "/me"),
        ("https://api.example/%6", "/%06"),
        ("https://api.example/%%411", "/%A1"),
        ("https://api.example/é", "/%C3%A9"),
        ("https://api.example/me;x", "/me"),
        ("https://api.example/me", ""),
        ("https://api.example/me", "me"),
        ("https://api.example/me", "\udcff"),
        ("https://api.example/me", "api.example:443"),
    ],
)
async def test_htu_differs(htu: str, target: str, server: Any):
    """Rule 25: %2F is not a slash, %40 is not an @, a trailing slash and the case of a path count, and so on."""
    assert await server.refusal(server.proof(htu=htu), target) in {
        "htu is not the request's URL",
        "the request's target is not of a form that can be compared with htu",
    }


@pytest.mark.parametrize(
    ("base", "htu", "target"),
    [
        ("https://gw.example/orders", "https://gw.example/orders/1", "/1"),
        ("https://gw.example/orders/", "https://gw.example/orders/1", "/1"),
        ("HTTPS://GW.example:443/%6Frders", "https://gw.example/orders/", "/"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080/1", "/1"),
        ("http://[::1]:8080", "http://[::1]:8080/1", "/1"),
    ],
)
async def test_base_url_is_the_public_one(base: str, htu: str, target: str, server_with: Any):
    """Rule 25: behind a proxy the base URL says scheme, host, port and the path in front."""
    server = server_with(options={"base_url": base})
    await server.get(server.proof(htu=htu), target)


async def test_dot_segments_stay_under_the_base(server_with: Any):
    """Rule 25: a request's dot segments do not climb out of the base URL's path."""
    server = server_with(options={"base_url": "https://gw.example/orders"})
    assert await server.refusal(server.proof(htu="https://gw.example/admin"), "/../admin")


@pytest.mark.parametrize("age", [-10, 0, 59, 60])
async def test_iat_within_the_window(age: int, server: Any):
    """Rule 26: by default a proof may be 60 seconds old, and 10 seconds ahead."""
    await server.get(server.proof(iat=server.clock.now - age))


@pytest.mark.parametrize("age", [-3600, -11, -10.001, 60.001, 61, 3600, 1.7e9])
async def test_iat_outside_the_window(age: float, server: Any):
    """Rule 26: outside of it a proof is refused."""
    assert await server.refusal(server.proof(iat=server.clock.now - age)) == NOT_TIMELY


async def test_window_is_a_setting(server_with: Any):
    """Rule 26: max_age and skew are settings, zero included."""
    server = server_with(options={"max_age": 0, "skew": 0})
    await server.get(server.proof(iat=server.clock.now))
    assert await server.refusal(server.proof(iat=server.clock.now + 0.1)) == NOT_TIMELY
    assert await server.refusal(server.proof(iat=server.clock.now - 0.1)) == NOT_TIMELY


async def test_exp_and_nbf_are_honoured(server: Any):
    """Rule 26: exp and nbf count where they stand, with the same leeway as iat."""
    now = server.clock.now
    await server.get(server.proof(exp=now + 1, nbf=now))
    await server.get(server.proof(exp=now - 9, nbf=now + 10))
    assert await server.refusal(server.proof(exp=now - 10)) == "the proof is expired or not valid yet"
    assert await server.refusal(server.proof(nbf=now + 11)) == "the proof is expired or not valid yet"


async def test_nonce_time_stands_in_for_iat(server_with: Any):
    """Rule 26: if set, a valid nonce lets a client in whose clock is years off; its nonce bounds the replay."""
    server = server_with()
    nonces = NonceIssuer(clock=server.clock)
    server = server_with(clock=server.clock, options={"nonces": nonces, "nonce_time": True})
    for iat in (0, -1e12, 4e9, 10**400):
        proof = server.proof(iat=iat, nonce=nonces.issue())
        await server.get(proof)
        server.clock.now += 59
        assert await server.refusal(proof) == "the proof was used before"
        server.clock.now += 121
        assert await server.refusal(proof) == "the nonce is not accepted"


async def test_nonce_time_needs_a_nonce(server_with: Any):
    """Rule 26: without a nonce iat counts, even where the nonce's time could stand in."""
    server = server_with()
    options = {"nonces": NonceIssuer(clock=server.clock), "nonce_time": True, "require_nonce": False}
    server = server_with(clock=server.clock, options=options)
    await server.get(server.proof())
    assert await server.refusal(server.proof(iat=0)) == NOT_TIMELY


async def test_ath_is_right(server: Any):
    """Rule 27: on a resource request ath is required and is the hash of the token that came with it."""
    wrong = server.claims()["ath"]
    for ath in (server.absent, "", wrong[:-1], wrong + "=", wrong.swapcase(), "é", "\ud800"):
        assert await server.refusal(server.proof(ath=ath)) == "ath is not the hash of the access token"
    assert await server.refusal(server.proof(), access_token="another") == "ath is not the hash of the access token"


@pytest.mark.parametrize("token", ["", "é", "\udcff"])
async def test_access_token_is_ascii(token: str, server: Any):
    """Rule 27: an access token that could not have come by the grammar is refused, not an error."""
    assert await server.refusal(server.proof(), access_token=token) == "the access token is not ASCII"


@pytest.mark.parametrize("confirmation", [None, {}, {"jkt": None}, {"jkt": 1}, {"x5t#S256": "x"}, "x", ["jkt"]])
async def test_unbound_token_is_refused(confirmation: Any, server: Any):
    """Rule 27: a token that is bound to no key is refused however right the proof is."""
    assert await server.refusal(server.proof(), confirmation=confirmation) == "the access token is not bound to a key"


async def test_key_is_the_tokens(server: Any):
    """Rule 27: the proof's thumbprint is the token's cnf.jkt; the code is the one of RFC 9449's example."""
    for jkt in (server.Prover().thumbprint, "", server.prover.thumbprint + "=", "é", "\ud800"):
        with pytest.raises(InvalidDPoPProof) as caught:
            await server.get(server.proof(), confirmation={"jkt": jkt})
        assert caught.value.error == "invalid_token"


async def test_signature_is_by_the_key_in_the_header(server: Any):
    """Rule 27: knowing the token's key is not having it."""
    thief = server.Prover()
    assert await server.refusal(thief.proof({"jwk": server.prover.jwk}, server.claims())) == "the signature is wrong"
    # The verifier has seen the header by now, and must not take that for the check.
    await server.get(server.proof())
    assert await server.refusal(thief.proof({"jwk": server.prover.jwk}, server.claims())) == "the signature is wrong"


@pytest.mark.parametrize(("r", "s"), [(0, 0), (0, 1), (1, 0), (P256_ORDER, 1), (1, P256_ORDER), (2**256 - 1, 1)])
async def test_signature_out_of_range(r: int, s: int, server: Any):
    """Rule 27: a signature of zeros (CVE-2022-21449) or beyond the order is refused."""
    head = server.proof().rpartition(".")[0]
    signature = server.base64url(r.to_bytes(32, "big") + s.to_bytes(32, "big"))
    assert await server.refusal(f"{head}.{signature}") == "the signature is wrong"


async def test_der_signature_is_refused(server: Any):
    """Rule 22: a signature in DER is not a JWS signature."""
    head = server.proof().rpartition(".")[0]
    der = server.prover.key.private_key.sign(head.encode(), _ecdsa())
    assert decode_dss_signature(der)
    assert await server.refusal(f"{head}.{server.base64url(der)}") == "the proof is not a compact JWT signed by ES256"


def _ecdsa() -> Any:
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    return ec.ECDSA(hashes.SHA256())


async def test_replay_is_refused(server: Any):
    """Rule 28: a proof is good for one request, whichever."""
    proof = server.proof()
    await server.get(proof)
    assert await server.refusal(proof) == "the proof was used before"


async def test_replay_by_the_other_signature(server: Any):
    """Rule 28: the signature (r, n - s) verifies too and is the same proof."""
    proof = server.proof()
    await server.get(proof)
    head, _, signature = proof.rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    mirrored = raw[:32] + (P256_ORDER - int.from_bytes(raw[32:], "big")).to_bytes(32, "big")
    assert await server.refusal(f"{head}.{server.base64url(mirrored)}") == "the proof was used before"


async def test_jti_is_per_key(server: Any):
    """Rule 28: two clients may choose the same jti."""
    other = server.Prover()
    await server.get(server.proof(jti="1"))
    await server.get(other.proof({}, server.claims(jti="1")), confirmation={"jkt": other.thumbprint})


async def test_refused_proofs_are_not_remembered(server: Any):
    """Rule 28: replay is the last check: a proof that fails any other leaves the store as it was."""
    proof = server.proof()
    await server.refusal(proof, access_token="another")
    await server.refusal(proof, confirmation={"jkt": "another"})
    await server.refusal(proof, "/other")
    await server.refusal(proof, method="POST")
    assert len(server.replay) == 0
    await server.get(proof)


async def test_replay_of_a_proof_from_a_fast_clock(server: Any):
    """Rule 28: kept until iat + max age + skew: a proof that is 10 s ahead is good for 70 s and refused for as long."""
    proof = server.proof(iat=server.clock.now + 10)
    await server.get(proof)
    for _ in range(70):
        server.clock.now += 1
        assert await server.refusal(proof) == "the proof was used before"
    server.clock.now += 1
    assert await server.refusal(proof) == NOT_TIMELY


async def test_full_store_refuses(server_with: Any):
    """Rule 28: where the store cannot take the proof the request is refused: 503, the store's error as the cause."""

    class Full:
        async def add(self, key: str, expires_at: float) -> bool:
            raise StoreError(f"no room for {len(key)} characters until {expires_at}")

    server = server_with(options={"replay": Full()})
    with pytest.raises(InvalidDPoPProof) as caught:
        await server.get(server.proof())
    assert (caught.value.status, caught.value.error) == (503, "temporarily_unavailable")
    assert isinstance(caught.value.__cause__, StoreError)


async def test_store_is_asked_for_key_and_time(server_with: Any):
    """Rule 28: the store's key is thumbprint and jti, its time iat + max age + skew."""
    asked = []

    class Recorder:
        async def add(self, key: str, expires_at: float) -> bool:
            asked.append((key, expires_at))
            return True

    server = server_with(options={"replay": Recorder(), "max_age": 100, "skew": 5})
    await server.get(server.proof(jti="1", iat=server.clock.now - 50))
    assert asked == [(f"{server.prover.thumbprint}.1", server.clock.now - 50 + 105)]


def test_store_is_required():
    """Rule 28: the store is a required argument."""
    with pytest.raises(TypeError):
        DPoPVerifier(base_url="https://api.example")
    with pytest.raises(UsageError, match="replay: "):
        DPoPVerifier(replay=None, base_url="https://api.example")


async def test_nonce_is_demanded(server_with: Any):
    """Rule 29: without a nonce, with an old one or a made-up one, the client is challenged and told the newest."""
    server = server_with()
    nonces = NonceIssuer(clock=server.clock)
    server = server_with(clock=server.clock, options={"nonces": nonces})
    old = nonces.issue()
    server.clock.now += 180
    for nonce in (server.absent, old, "made-up", "", "é", "\ud800"):
        with pytest.raises(UseDPoPNonce) as caught:
            await server.get(server.proof(nonce=nonce))
        assert (caught.value.status, caught.value.nonce) == (401, nonces.issue())
    with pytest.raises(UseDPoPNonce) as caught:
        await server.post(server.prover.proof({}, server.prover.claims("POST", f"{server.base}/oauth/token", 0)))
    assert caught.value.status == 400
    assert len(server.replay) == 0


async def test_new_nonce_is_offered_when_it_changes(server_with: Any):
    """Rule 29: the answer carries a nonce only where the client's is of the step before."""
    server = server_with()
    nonces = NonceIssuer(clock=server.clock, step=60)
    server = server_with(clock=server.clock, options={"nonces": nonces})
    nonce = nonces.issue()
    assert (await server.get(server.proof(nonce=nonce))).next_nonce is None
    server.clock.now += 60
    checked = await server.get(server.proof(nonce=nonce))
    assert checked.next_nonce == nonces.issue() != nonce
    assert (await server.get(server.proof(nonce=checked.next_nonce))).next_nonce is None


async def test_wrong_proofs_get_no_challenge(server_with: Any):
    """Rule 29: a proof that is wrong is refused as such: a nonce would not make it right."""
    server = server_with()
    server = server_with(clock=server.clock, options={"nonces": NonceIssuer(clock=server.clock)})
    for proof in (server.proof(htm="PUT"), server.proof(htu="x"), server.proof()[:-4] + "AAAA"):
        with pytest.raises(InvalidDPoPProof):
            await server.get(proof)


async def test_nonce_is_optional_if_set(server_with: Any):
    """Rule 29: with require_nonce off a proof may be without a nonce; one that has one is checked."""
    server = server_with()
    nonces = NonceIssuer(clock=server.clock)
    server = server_with(clock=server.clock, options={"nonces": nonces, "require_nonce": False})
    assert (await server.get(server.proof())).nonce is None
    assert (await server.get(server.proof(nonce=nonces.issue()))).nonce == nonces.issue()
    assert await server.refusal(server.proof(nonce="x")) == "the nonce is not accepted"


async def test_nonce_without_an_issuer_is_ignored(server: Any):
    """Rule 29: a server that issues no nonces has nothing to compare one with."""
    assert (await server.get(server.proof(nonce="x"))).nonce == "x"


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"base_url": "api.example"}, "base_url"),
        ({"base_url": ""}, "base_url"),
        ({"base_url": None}, "base_url"),
        ({"base_url": "ftp://api.example"}, "base_url"),
        ({"base_url": "https://user@api.example"}, "base_url"),
        ({"base_url": "https://api.example?x"}, "base_url"),
        ({"base_url": "https://api.example#x"}, "base_url"),
        ({"max_age": -1}, "max_age"),
        ({"max_age": True}, "max_age"),
        ({"max_age": float("nan")}, "max_age"),
        ({"skew": "10"}, "skew"),
        ({"skew": float("inf")}, "skew"),
        ({"nonce_time": True}, "nonce_time"),
    ],
)
def test_wrong_settings(options: dict[str, Any], argument: str, server_with: Any):
    """Rule 30: the application's own mistakes are UsageError, and name the argument."""
    with pytest.raises(UsageError) as caught:
        server_with(options=options)
    assert caught.value.argument == argument


@pytest.mark.parametrize(
    ("changes", "argument"),
    [
        ({"method": None}, "method"),
        ({"method": b"GET"}, "method"),
        ({"url": None}, "url"),
        ({"url": b"/me"}, "url"),
        ({"access_token": b"x"}, "access_token"),
        ({"access_token": None}, "access_token"),
    ],
)
async def test_wrong_arguments(changes: dict[str, Any], argument: str, server: Any):
    """Rule 30: so are wrong arguments, a confirmation without its token among them."""
    with pytest.raises(UsageError) as caught:
        await server.get(server.proof(), **changes)
    assert caught.value.argument == argument


@pytest.mark.parametrize("headers", [None, 1, "DPoP", ["DPoP"], [("DPoP", 1)], [(1, "x")], {"DPoP": ["x"]}])
async def test_wrong_headers(headers: Any, server: Any):
    """Rule 30: so are headers that are no mapping and no pairs."""
    with pytest.raises(UsageError) as caught:
        await server.verifier.verify("GET", "/me", headers)
    assert caught.value.argument == "headers"


async def test_keys_that_are_kept_are_bounded(server: Any, monkeypatch: pytest.MonkeyPatch):
    """Rule 23: a client's key is imported once; the one used least recently goes first; a refused one is not kept."""
    monkeypatch.setattr("passwordless_async.dpop.server.verifier._MAX_KEYS", 2)
    first, second, third = (server.Prover() for _ in range(3))
    for prover in (first, second, first, third):
        proof = prover.proof({}, server.claims())
        await server.get(proof, confirmation={"jkt": prover.thumbprint})
        assert list(server.verifier._keys)[-1] == proof.partition(".")[0]
    assert [key.thumbprint for key in server.verifier._keys.values()] == [first.thumbprint, third.thumbprint]
    await server.refusal(second.proof({}, server.claims(htm="PUT")))
    assert [key.thumbprint for key in server.verifier._keys.values()] == [first.thumbprint, third.thumbprint]


async def test_errors_repeat_nothing(server: Any):
    """Rule 29: no refusal repeats what the client sent, in its message, its facts or its context."""
    for proof in (server.proof(htu="https://evil.example/marker"), "marker", server.proof(jti="marker" * 100)):
        with pytest.raises(InvalidDPoPProof) as caught:
            await server.get(proof)
        assert "marker" not in f"{caught.value!r}{vars(caught.value)}"
        assert caught.value.__context__ is None
    assert repr(server.verifier) == "<DPoPVerifier for https://api.example>"
