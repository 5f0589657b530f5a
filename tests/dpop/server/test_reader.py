"""Reading a proof, strictly."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


MALFORMED = "the proof has base64url that is malformed or not canonical"


NOT_JSON = "the proof's header and claims must be JSON objects without a name given twice"


NOT_P256 = "jwk is not a public key of P-256"


async def test_caps_the_size(server: Any) -> None:
    """Rule 22: a proof of 4096 characters passes, one of 4097 is refused unread."""

    def of_size(size: int) -> str:
        # A proof of the very size: 3 bytes are 4 characters, so the header takes what the claims cannot.
        for spare in range(4):
            header = {**server.prover.header, "pad": "x" * spare}
            free = size - 88 - len(server.base64url(json.dumps(header).encode()))
            claims = json.dumps(server.claims(pad="")).encode()
            padded = claims[:-2] + b"x" * (free * 3 // 4 - len(claims)) + claims[-2:]
            proof: str = server.compact(header, padded, server.prover.sign)
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
async def test_refuses_what_is_no_compact_jwt(alter: Any, server: Any) -> None:
    """Rule 22: three segments of base64url, no padding, no white space, nothing around them."""
    assert await server.refusal(alter(server.proof())) in {
        "the proof is not a compact JWT signed by ES256",
        MALFORMED,
    }


@pytest.mark.parametrize("index", [0, 1, 2])
async def test_refuses_base64url_with_unused_bits(index: int, server: Any) -> None:
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
async def test_typ_is_exact(typ: Any, server: Any) -> None:
    """Rule 22: typ is dpop+jwt and nothing like it."""
    assert await server.refusal(server.proof({"typ": typ})) == "typ is not dpop+jwt"


@pytest.mark.parametrize("alg", ["ES384", "RS256", "HS256", "none", "es256", "", None, 1, ["ES256"]])
async def test_alg_is_exact(alg: Any, server: Any) -> None:
    """Rule 22: alg is ES256 and nothing else, whatever the signature is."""
    assert await server.refusal(server.proof({"alg": alg})) == "alg is not ES256"


@pytest.mark.parametrize("header", [{"crit": ["exp"]}, {"crit": []}, {"crit": None}, {"b64": False}, {"b64": True}])
async def test_refuses_critical_extensions(header: dict[str, Any], server: Any) -> None:
    """Rule 22: crit and b64 are refused, whatever their value."""
    assert await server.refusal(server.proof(header)) == "crit and b64 are not supported"


async def test_tolerates_the_unknown(server: Any) -> None:
    """Rule 22: other header parameters and claims are tolerated, even those that other places give a meaning to."""
    header = {"kid": "1", "x5c": [], "jku": "https://evil.example", "foo": {"bar": None}}
    await server.get(server.proof(header, sub="x", aud=["y"], foo={"bar": [1.5, None]}))


@pytest.mark.parametrize("value", [None, "x", {}, [1], ["x", None]])
async def test_x5c_has_its_type(value: Any, server: Any) -> None:
    """A registered header parameter that is ignored still has its type (RFC 7515 §4.1.6)."""
    assert await server.refusal(server.proof({"x5c": value})) == "x5c is not an array of strings"


async def test_tolerates_nesting(server: Any) -> None:
    """Deep structures are unusual, and allowed as far as every reader can follow."""
    nested: Any = "x"
    for _ in range(200):
        nested = {"a": nested}
    await server.get(server.proof(nested=nested))


@pytest.mark.parametrize("part", ["header", "claims"])
@pytest.mark.parametrize(
    "text",
    [
        b"null", b"[]", b"1", b'"x"', b"true", b"{", b"{}x", b"\xff\xfe{}", b"\xef\xbb\xbf{}", b"\xc0\x80", b"{'a':1}",
        b'{"a":NaN}', b'{"a":Infinity}', b'{"a":-Infinity}', b'{"a":1,"a":1}', b'{"a":{"b":1,"b":2}}',
        b'{"a":"\x01"}', b"[" * 2400, b'{"a":' * 480, b'{"a":1e}', b"{}{}", b"\x0c{}", b'{"a":01}',
        b'{"a":' * 257 + b"1" + b"}" * 257,
    ],
)  # fmt: skip
async def test_refuses_what_is_no_json_object(part: str, text: bytes, server: Any) -> None:
    """Rule 22: header and claims are JSON objects (RFC 8259), UTF-8, and no name stands twice at any depth."""
    header = text if part == "header" else server.prover.header
    claims = text if part == "claims" else server.claims()
    assert await server.refusal(server.compact(header, claims, server.prover.sign)) == NOT_JSON


@pytest.mark.parametrize("name", ["jti", "iat", "htu"])
async def test_refuses_a_claim_given_twice(name: str, server: Any) -> None:
    """Rule 22: a claim that stands twice is refused even where the values agree: parsers differ about it."""
    claims = server.claims()
    text = json.dumps(claims)[:-1] + f', "{name}": {json.dumps(claims[name])}}}'
    assert await server.refusal(server.compact(server.prover.header, text.encode(), server.prover.sign)) == NOT_JSON


async def test_accepts_json_with_spaces(server: Any) -> None:
    """Rule 22: white space around and inside JSON is JSON."""
    text = f"\r\n\t {json.dumps(server.claims(), indent=2)} \n"
    await server.get(server.compact(server.prover.header, text.encode(), server.prover.sign))


@pytest.mark.parametrize("jwk", [None, "x", 1, [], {}, True])
async def test_jwk_is_an_object(jwk: Any, server: Any) -> None:
    """Rule 23: jwk is an object."""
    assert await server.refusal(server.proof({"jwk": jwk})) == NOT_P256


@pytest.mark.parametrize(
    "changes",
    [{"kty": "RSA"}, {"kty": "ec"}, {"kty": None}, {"kty": ["EC"]}, {"crv": "P-384"}, {"crv": "secp256k1"}, {"crv": 1}],
)
async def test_jwk_is_p256(changes: dict[str, Any], server: Any) -> None:
    """Rule 23: kty is EC and crv is P-256."""
    assert await server.refusal(server.proof({"jwk": {**server.prover.jwk, **changes}})) == NOT_P256


@pytest.mark.parametrize("name", ["x", "y"])
async def test_jwk_coordinates_are_43_characters(name: str, server: Any) -> None:
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
async def test_jwk_coordinates_are_canonical(name: str, server: Any) -> None:
    """Rule 23: of the four texts of 43 characters that decode to the same 32 bytes, one is right."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    right = server.prover.jwk
    last = alphabet.index(right[name][-1])
    wrong = [right[name][:-1] + alphabet[last + extra] for extra in (1, 2, 3)]
    wrong += [f"+{right[name][1:]}", f"={right[name][1:]}", f"\n{right[name][1:]}", f"é{right[name][1:]}"]
    for value in wrong:
        assert await server.refusal(server.proof({"jwk": {**right, name: value}})) == MALFORMED


async def test_jwk_is_on_the_curve(server: Any) -> None:
    """Rule 23: a point off the curve is refused, and so are (0, 0) and coordinates beyond the field."""
    zero, beyond = server.base64url(bytes(32)), server.base64url(b"\xff" * 32)
    right = server.prover.jwk
    for jwk in ({"x": right["y"], "y": right["x"]}, {"x": zero, "y": zero}, {"x": beyond}, {"y": beyond}):
        assert await server.refusal(server.proof({"jwk": {**right, **jwk}})) == "jwk is not a point on the curve"


@pytest.mark.parametrize("name", ["d", "p", "q", "dp", "dq", "qi", "oth", "k"])
@pytest.mark.parametrize("value", ["AQAB", None, ""])
async def test_jwk_has_no_private_member(name: str, value: Any, server: Any) -> None:
    """Rule 23: a private or symmetric member is refused, whatever its value."""
    proof = server.proof({"jwk": {**server.prover.jwk, name: value}})
    assert await server.refusal(proof) == "jwk has a private member"


async def test_jwk_counts_by_its_four_members(server: Any) -> None:
    """Rule 23: only the four members are imported: others are tolerated and leave the thumbprint as it is."""
    jwk = {"use": "enc", "kid": "1", "alg": "RSA", "key_ops": [], "ext": 1, **server.prover.jwk}
    assert (await server.get(server.proof({"jwk": jwk}))).thumbprint == server.prover.thumbprint


@pytest.mark.parametrize("name", ["jti", "htm", "htu", "iat"])
async def test_claims_are_required(name: str, server: Any) -> None:
    """Rule 24: jti, htm, htu and iat are required."""
    assert await server.refusal(server.proof(**{name: server.absent})) == "jti, htm, htu or iat is missing"


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("jti", [None, 1, 1.5, True, [], {}, "", "x" * 257]),
        ("htm", [None, 1, True, [], {}, ["GET"]]),
        ("htu", [None, 1, True, [], {}]),
        ("iat", [None, "1700000000", True, False, [], {}]),
        ("exp", [None, "1800000000", True, [], {}]),
        ("nbf", [None, "1600000000", False, [], {}]),
        ("ath", [None, 1, True, [], {}]),
        ("nonce", [None, 1, True, [], {}]),
    ],
)
async def test_claims_have_their_type(name: str, values: list[Any], server: Any) -> None:
    """Rule 24: each claim has its JSON type; a null is a wrong type, not an absence."""
    for value in values:
        assert await server.refusal(server.proof(**{name: value})) == f"{name} is of another type or length"


@pytest.mark.parametrize("jti", ["x", "x" * 256, "é" * 256, "\U0001f600", "\x00", " ", ".", ","])
async def test_jti_may_be_any_text(jti: str, server: Any) -> None:
    """Rule 24: a jti of 1 to 256 characters passes, whatever they are; a pair of surrogates is one character."""
    assert (await server.get(server.proof(jti=jti))).jti == jti


def with_number(server: Any, name: str, number: str) -> str:
    """Return a proof with a number as written, which json.dumps might not write."""
    text = json.dumps(server.claims(**{name: "here"})).replace('"here"', number)
    proof: str = server.compact(server.prover.header, text.encode(), server.prover.sign)
    return proof


@pytest.mark.parametrize("name", ["iat", "exp", "nbf"])
@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", "Infinity", "-Infinity"])
async def test_times_are_finite(name: str, number: str, server: Any) -> None:
    """Rule 24: a time that is not finite is refused, also where Python would read it as a float and compare it."""
    assert await server.refusal(with_number(server, name, number)) == NOT_JSON


@pytest.mark.parametrize("value", ["1e999", "[-1e999]", "NaN", '{"a": Infinity}', '"\\ud800"', '["a\\udfff"]'])
async def test_unknown_members_are_json_that_all_readers_take_alike(value: str, server: Any) -> None:
    """Rule 24: numbers beyond a double, NaN and lone surrogates are refused wherever they are; a pair passes."""
    for part, other in (
        (json.dumps(server.claims(x="here")), server.prover.header),
        (json.dumps(server.prover.header | {"x": "here"}), server.claims()),
    ):
        text = part.replace('"here"', value).encode()
        pair = (other, text) if "jti" in part else (text, other)
        assert await server.refusal(server.compact(*pair, server.prover.sign)) == NOT_JSON
    name = json.dumps(server.claims(**{"\udfff": 1})).encode()
    assert await server.refusal(server.compact(server.prover.header, name, server.prover.sign)) == NOT_JSON
    await server.get(server.proof(x="\U0001f600", y="\\ud800"))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32-be", "utf-8-sig"])
async def test_json_is_utf_8(encoding: str, server: Any) -> None:
    """Rule 24: another encoding, or a byte order mark, is refused (RFC 8259 §8.1)."""
    header, claims = (json.dumps(part).encode(encoding) for part in (server.prover.header, server.claims()))
    for pair in ((header, server.claims()), (server.prover.header, claims)):
        assert await server.refusal(server.compact(*pair, server.prover.sign)) == NOT_JSON


@pytest.mark.parametrize("depth", [255, 256, 300, 1200])
async def test_json_is_nested_within_a_bound(depth: int, server: Any) -> None:
    """Rule 24: up to 256 objects and arrays, however much of Python's stack is left."""
    text = json.dumps(server.claims(x="here")).replace('"here"', "[" * depth + "]" * depth).encode()
    proof = server.compact(server.prover.header, text, server.prover.sign)
    if depth < 256:
        await server.get(proof)
    else:
        assert await server.refusal(proof) == NOT_JSON


@pytest.mark.parametrize("number", ["1" * 1500, "-" + "1" * 1500, "1e-999", "-0.0", "1e300"])
async def test_times_may_be_extreme(number: str, server: Any) -> None:
    """Rule 24: a time of a thousand digits, or the smallest, breaks nothing."""
    future = number in {"1" * 1500, "1e300"}
    told = 10**9 if future else -(10**9)
    assert await server.refusal(with_number(server, "iat", number)) == server.untimely(told)
    for name, fine in (("exp", future), ("nbf", not future)):
        if fine:
            await server.get(with_number(server, name, number))
        else:
            reason = await server.refusal(with_number(server, name, number))
            assert reason == "the proof is expired or not valid yet"


async def test_iat_may_be_a_float(server: Any) -> None:
    """Rule 24: a finite float is a NumericDate."""
    assert (await server.get(server.proof(iat=server.clock.now - 0.5))).iat == server.clock.now - 0.5


async def test_signature_is_by_the_key_in_the_header(server: Any) -> None:
    """Rule 27: knowing the token's key is not having it."""
    thief = server.Prover()
    assert await server.refusal(thief.proof({"jwk": server.prover.jwk}, server.claims())) == "the signature is wrong"
    # The verifier has seen the header by now, and must not take that for the check.
    await server.get(server.proof())
    assert await server.refusal(thief.proof({"jwk": server.prover.jwk}, server.claims())) == "the signature is wrong"


@pytest.mark.parametrize(("r", "s"), [(0, 0), (0, 1), (1, 0), (P256_ORDER, 1), (1, P256_ORDER), (2**256 - 1, 1)])
async def test_signature_out_of_range(r: int, s: int, server: Any) -> None:
    """Rule 27: a signature of zeros (CVE-2022-21449) or beyond the order is refused."""
    head = server.proof().rpartition(".")[0]
    signature = server.base64url(r.to_bytes(32, "big") + s.to_bytes(32, "big"))
    assert await server.refusal(f"{head}.{signature}") == "the signature is wrong"


async def test_der_signature_is_refused(server: Any) -> None:
    """Rule 22: a signature in DER is not a JWS signature."""
    head = server.proof().rpartition(".")[0]
    der = server.prover.key.private_key.sign(head.encode(), _ecdsa())
    assert decode_dss_signature(der)
    assert await server.refusal(f"{head}.{server.base64url(der)}") == "the proof is not a compact JWT signed by ES256"


def _ecdsa() -> Any:
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    return ec.ECDSA(hashes.SHA256())
