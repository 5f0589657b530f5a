"""Every proof is checked: RFC 9449 §4.3 and the negative list of the public conformance suite."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from joserfc import jws, jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

from passwordless_async.dpop.server import uri
from passwordless_async.testing.checks import proofs
from passwordless_async.testing.checks.proofs import SeenJtis, normalised
from passwordless_async.testing.refusals import RequestRefused

if TYPE_CHECKING:
    from helpers.tenant_wire import Opener, Wire


BAD_HEADERS = [
    {"typ": "JWT"},
    {"typ": "DPOP+JWT"},
    {"typ": "application/dpop+jwt"},
    {"crit": ["b64"], "b64": True},
    {"jwk": "key"},
    {"jwk": {}},
    {"jwk": {"kty": "EC", "crv": "P-256"}},
    {"jwk": {"kty": "EC", "crv": "P-256", "x": 1, "y": 2}},
    {"jwk": {"kty": "EC", "crv": "P-256", "x": "A" * 43, "y": "A" * 43}},
    {"jwk": {"kty": "oct", "k": "c2VjcmV0"}},
]


async def _refused(warm: Wire, proof: str | list[str]) -> None:
    answer = await warm.exchange(proof=proof)
    assert answer.words[:2] == (400, "invalid_dpop_proof")


@pytest.mark.parametrize("header", BAD_HEADERS)
async def test_bad_headers(warm: Wire, header: dict[str, Any]) -> None:
    """A header parameter that is wrong is refused."""
    await _refused(warm, warm.proof(header=header))


ABSENT_HEADERS = ["typ", "jwk"]


@pytest.mark.parametrize("name", ABSENT_HEADERS)
async def test_absent_headers(warm: Wire, absent: Any, name: str) -> None:
    """A header parameter that is missing is refused."""
    await _refused(warm, warm.proof(header={name: absent}))


BAD_CLAIMS = [
    {"htm": "PUT"},
    {"htm": "post"},
    {"htm": 1},
    {"htu": "http://127.0.0.1:1/oauth/token"},
    {"htu": "/oauth/token"},
    {"htu": "http://[::1"},
    {"htu": "http://127.0.0.1:port/oauth/token"},
    {"htu": "ftp://127.0.0.1/oauth/token"},
    {"htu": None},
    {"jti": ""},
    {"jti": "j" * 257},
    {"jti": 7},
    {"jti": "\ud800"},
    {"iat": None},
    {"iat": "now"},
    {"iat": True},
    {"iat": float("nan")},
    {"iat": float("inf")},
    {"iat": 10**400},
    {"nonce": 7},
    {"exp": 1},
    {"exp": "never"},
    {"nbf": 9_999_999_999},
]


@pytest.mark.parametrize("claims", BAD_CLAIMS)
async def test_bad_claims(warm: Wire, claims: dict[str, Any]) -> None:
    """A claim that is wrong, or of the wrong type, is refused and never breaks the tenant."""
    await _refused(warm, warm.proof(**claims))


ABSENT_CLAIMS = ["jti", "htm", "htu", "iat"]


@pytest.mark.parametrize("name", ABSENT_CLAIMS)
async def test_absent_claims(warm: Wire, absent: Any, name: str) -> None:
    """A claim that is missing is refused."""
    await _refused(warm, warm.proof(**dict.fromkeys([name], absent)))


@pytest.mark.parametrize("offset", [-3600, -65, 15, 3600])
async def test_dates_out_of_the_window(warm: Wire, offset: float) -> None:
    """A proof over a minute old, or over ten seconds ahead, is refused."""
    await _refused(warm, warm.proof(iat=int(time.time()) + offset))


@pytest.mark.parametrize("offset", [-50, 0, 5, 0.5])
async def test_dates_in_the_window(warm: Wire, offset: float) -> None:
    """A minute back and ten seconds ahead are let pass, fractions too."""
    assert (await warm.exchange(proof=warm.proof(iat=int(time.time()) + offset))).status == 200


async def test_private_key_in_the_header(warm: Wire) -> None:
    """A ``jwk`` with its private member is refused, whatever else is right."""
    await _refused(warm, warm.proof(header={"jwk": warm.key.as_dict(private=True)}))


async def test_padded_coordinate(warm: Wire) -> None:
    """A padded ``x`` imports as the same key with another thumbprint: refused."""
    jwk = {name: str(warm.key.as_dict(private=False)[name]) for name in ("kty", "crv", "x", "y")}
    await _refused(warm, warm.proof(header={"jwk": {**jwk, "x": jwk["x"] + "="}}))


def _read(segment: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))


def _segment(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


async def test_other_algorithms(warm: Wire) -> None:
    """RS256, HS256 and none are refused."""
    claims = {"jti": "1", "htm": "POST", "htu": warm.tenant.url + "/oauth/token", "iat": int(time.time())}
    rsa, octets = RSAKey.generate_key(2048), OctKey.generate_key(256)
    public = rsa.as_dict(private=False)
    registry = jws.JWSRegistry(algorithms=["RS256", "HS256"], strict_check_header=False)
    registry.max_header_length = 4096
    await _refused(warm, jwt.encode({"typ": "dpop+jwt", "alg": "RS256", "jwk": public}, claims, rsa, registry=registry))
    header = {"typ": "dpop+jwt", "alg": "HS256", "jwk": {"kty": "oct", "k": "AA"}}
    await _refused(warm, jwt.encode(header, claims, octets, registry=registry))
    signed = warm.proof().split(".")
    await _refused(warm, ".".join([_segment({**_read(signed[0]), "alg": "none"}), signed[1], ""]))


async def test_bad_signatures(warm: Wire) -> None:
    """A signature by another key, or cut, or over other claims, is refused."""
    head, claims, signature = warm.proof().split(".")
    jwk = _read(head)["jwk"]
    other = ECKey.generate_key("P-256")
    mine, warm.key = warm.key, other
    await _refused(warm, warm.proof(header={"jwk": jwk}))
    warm.key = mine
    await _refused(warm, f"{head}.{claims}.{signature[:-4]}")
    await _refused(warm, f"{head}.{_segment({**_read(claims), 'jti': 'other'})}.{signature}")


@pytest.mark.parametrize("proof", ["", "x", "a.b", "a.b.c", "a.b.c.d", "ey.ey.ey", "é.b.c", "a" * 5000])
async def test_a_header_that_is_not_a_compact_jwt_is_refused(warm: Wire, proof: str) -> None:
    """A value that is not a compact JWT of bounded size is refused."""
    await _refused(warm, proof)


@pytest.mark.parametrize("payload", [b"[]", b"1", b"{", b"\xff", b'"text"', b"[" * 3000])
async def test_claims_that_are_not_an_object_are_refused(warm: Wire, payload: bytes) -> None:
    """A signed payload that is not a JSON object is refused."""
    header = _read(warm.proof().split(".")[0])
    await _refused(warm, warm.sign(header, payload))


async def test_two_proofs(warm: Wire) -> None:
    """Two DPoP headers are refused, in two lines and in one."""
    await _refused(warm, [warm.proof(), warm.proof()])
    await _refused(warm, f"{warm.proof()}, {warm.proof()}")


async def test_replay(warm: Wire) -> None:
    """The same proof twice is refused, and so is another proof with its ``jti``."""
    proof = warm.proof(jti="once")
    assert (await warm.exchange(proof=proof)).status == 200
    await _refused(warm, proof)
    await _refused(warm, warm.proof(jti="once"))
    assert warm.tenant.stats.replays_refused == 2


async def test_the_same_jti_of_another_key(warm: Wire) -> None:
    """Two keys may choose the same ``jti``."""
    assert (await warm.exchange(proof=warm.proof(jti="once"))).status == 200
    warm.key = ECKey.generate_key("P-256")
    await warm.start()
    assert (await warm.exchange(proof=warm.proof(jti="once"))).status == 200
    assert warm.tenant.stats.distinct_keys == 2


async def test_keys_are_counted_without_remembering_each(wire_for: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenant that runs for days does not grow with the keys: one that comes back after many others counts again."""
    monkeypatch.setattr(proofs, "_MAX_KEYS", 2)
    wire = await wire_for()
    await wire.exchange(otp="000")  # learns a nonce
    keys = [ECKey.generate_key("P-256") for _ in range(3)]
    counts = []
    for wire.key in (*keys, keys[1], keys[2], keys[0]):
        await wire.exchange(otp="000", proof=wire.proof())
        counts.append(wire.tenant.stats.distinct_keys)
    assert counts == [1, 2, 3, 3, 3, 4]


async def test_unknown_parameters_and_claims_pass(warm: Wire) -> None:
    """Parameters and claims that the standard does not define are ignored."""
    proof = warm.proof(header={"kid": "k" * 500, "x-more": {"a": 1}}, more=[1], nbf=0, exp=9_999_999_999)

    assert (await warm.exchange(proof=proof)).status == 200


async def test_a_nonce_may_replace_iat(wire_for: Opener) -> None:
    """With ``nonce_replaces_iat`` a client whose clock is wrong logs in once it has a nonce; replays do not."""
    wire = await wire_for(nonce_replaces_iat=True)
    await wire.login()
    await wire.start()
    proof = wire.proof(iat=1)

    assert (await wire.exchange(proof=proof)).status == 200
    assert (await wire.exchange(proof=proof)).words[1] == "invalid_dpop_proof"


@pytest.mark.parametrize(
    "spelling", ["{url}/oauth/token?a=b#c", "{upper}/oauth/token", "{url}/oauth/./x/../token", "{url}/%6Fauth/token"]
)
async def test_other_spellings_of_the_url_pass(warm: Wire, spelling: str) -> None:
    """``htu`` is compared after normalisation, without query and fragment."""
    htu = spelling.format(url=warm.tenant.url, upper=warm.tenant.url.replace("http", "HTTP"))

    assert (await warm.exchange(proof=warm.proof(htu=htu))).status == 200


@pytest.mark.parametrize(
    "spelling", ["/oauth/token/", "/OAUTH/token", "/oauth%2Ftoken", "/oauth/toke", "//oauth/token"]
)
async def test_other_urls(warm: Wire, spelling: str) -> None:
    """A trailing slash, the case of the path and an escaped slash make another URL."""
    await _refused(warm, warm.proof(htu=warm.tenant.url + spelling))


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("HTTPS://Example.COM:443", "https://example.com/"),
        ("http://example.com:80/a%7eb", "http://example.com/a~b"),
        ("http://example.com:8080/a/../../b/.", "http://example.com:8080/b/"),
        ("http://[::1]:80/%2f%40", "http://[::1]/%2F%40"),
    ],
)
def test_the_normal_form(url: str, normal: str) -> None:
    """RFC 3986 §6.2.2 and §6.2.3."""
    assert normalised(url) == normal


def test_a_full_memory_refuses() -> None:
    """A full memory forgets expired entries only, and refuses new ones as unavailable: they are no replays."""
    now = 0.0
    memory = SeenJtis(2, lambda: now)
    assert memory.add("key", "1", seconds=10)
    assert memory.add("other", "2", seconds=20)
    with pytest.raises(RequestRefused, match="temporarily_unavailable"):
        memory.add("third", "3", seconds=30)
    assert not memory.add("key", "1", seconds=10)
    now = 10
    assert memory.add("third", "3", seconds=30)


def test_one_key_does_not_fill_the_memory_for_all() -> None:
    """A key that floods it has half of it and is refused alone; its share is free again when its entries expire."""
    now = 0.0
    memory = SeenJtis(100, lambda: now)
    for number in range(50):
        assert memory.add("flood", str(number), seconds=10)
    with pytest.raises(RequestRefused):
        memory.add("flood", "50", seconds=10)
    assert [memory.add("other", str(number), seconds=10) for number in range(25)] == [True] * 25
    now = 10
    assert memory.add("flood", "50", seconds=10)


async def test_a_proof_that_cannot_be_remembered(warm: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused with 503, not as a replay, and the two checks do not disagree about it."""
    monkeypatch.setattr(SeenJtis, "add", SeenJtis(0).add)

    assert (await warm.exchange()).words[:2] == (503, "temporarily_unavailable")
    stats = warm.tenant.stats
    assert (stats.replays_refused, warm.tenant.disagreements) == (0, ())


URL_PARTS = [
    "http", "HTTPS", "://", "h", "H", "%68", "%2f", "%2F", "%zz", "%", ".", "..", "/", "//", "/.", "/..", ":", "80",
    "443", "080", "?", "#", "@", "[::1]", "[", "]", "é", "\u212a", " ", "\n", "\x00", "~", "%7E", "\\", ";", "\ud800",
]  # fmt: skip


@given(start=st.sampled_from(["", "http://h"]), rest=st.lists(st.sampled_from(URL_PARTS), max_size=12).map("".join))
@example(start="http://h%2e", rest="/%2e%2E/a//./")
def test_tenant_and_verifier_have_one_normal_form(start: str, rest: str) -> None:
    """For any text; where one finds no URL, neither does the other (RFC 3986 §6.2.2, §6.2.3)."""
    url = start + rest
    try:
        ours: str | None = normalised(url)
    except ValueError:
        ours = None

    assert ours == uri.normalize(url)


@pytest.mark.parametrize("iat", [10**400, 1e300, -(10**400), 0])
async def test_any_iat_behind_a_nonce(wire_for: Opener, iat: float) -> None:
    """Where a nonce replaces ``iat`` it may be any number, and the proof passes once as long as its nonce does."""
    wire = await wire_for(nonce_replaces_iat=True)
    await wire.start()
    await wire.exchange(otp="000")
    proof = wire.proof(iat=iat)

    assert (await wire.exchange(proof=proof)).status == 200
    assert (await wire.exchange(proof=proof, otp="1")).words[:2] == (400, "invalid_dpop_proof")
