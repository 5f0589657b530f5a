"""Every proof is verified: RFC 9449 §4.3 and the negative list of the public conformance suite."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from joserfc import jws, jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

from passwordless_async.testing import BOUND_API
from passwordless_async.testing.checks.replays import SeenJtis
from passwordless_async.testing.checks.urls import normalised

if TYPE_CHECKING:
    from tests.testing.conftest import Opener, Wire


ABSENT_HEADERS = ["typ", "jwk"]
ABSENT_CLAIMS = ["jti", "htm", "htu", "iat"]

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


async def _refused(warm: Wire, proof: str):
    answer = await warm.exchange(proof=proof)
    assert answer.words[:2] == (400, "invalid_dpop_proof")


@pytest.mark.parametrize("header", BAD_HEADERS)
async def test_bad_headers(warm: Wire, header: dict[str, Any]):
    """A header parameter that is wrong is refused."""
    await _refused(warm, warm.proof(header=header))


@pytest.mark.parametrize("name", ABSENT_HEADERS)
async def test_absent_headers(warm: Wire, absent: object, name: str):
    """A header parameter that is missing is refused."""
    await _refused(warm, warm.proof(header={name: absent}))


@pytest.mark.parametrize("claims", BAD_CLAIMS)
async def test_bad_claims(warm: Wire, claims: dict[str, Any]):
    """A claim that is wrong, or of the wrong type, is refused and never breaks the tenant."""
    await _refused(warm, warm.proof(**claims))


@pytest.mark.parametrize("name", ABSENT_CLAIMS)
async def test_absent_claims(warm: Wire, absent: object, name: str):
    """A claim that is missing is refused."""
    await _refused(warm, warm.proof(**{name: absent}))


@pytest.mark.parametrize("offset", [-3600, -65, 15, 3600])
async def test_dates_out_of_the_window(warm: Wire, offset: float):
    """A proof over a minute old, or over ten seconds ahead, is refused."""
    await _refused(warm, warm.proof(iat=int(time.time()) + offset))


@pytest.mark.parametrize("offset", [-50, 0, 5, 0.5])
async def test_dates_in_the_window(warm: Wire, offset: float):
    """A minute back and ten seconds ahead are let pass, fractions too."""
    assert (await warm.exchange(proof=warm.proof(iat=int(time.time()) + offset))).status == 200


async def test_private_key_in_the_header(warm: Wire):
    """A ``jwk`` with its private member is refused, whatever else is right."""
    await _refused(warm, warm.proof(header={"jwk": warm.key.as_dict(private=True)}))


async def test_padded_coordinate(warm: Wire):
    """A padded ``x`` imports as the same key with another thumbprint: refused."""
    jwk = {name: warm.key.as_dict(private=False)[name] for name in ("kty", "crv", "x", "y")}
    await _refused(warm, warm.proof(header={"jwk": {**jwk, "x": jwk["x"] + "="}}))


async def test_other_algorithms(warm: Wire):
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


async def test_bad_signatures(warm: Wire):
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
async def test_what_is_no_jwt(warm: Wire, proof: str):
    """What is not a compact JWT of bounded size is refused."""
    await _refused(warm, proof)


@pytest.mark.parametrize("payload", [b"[]", b"1", b"{", b"\xff", b'"text"', b"[" * 3000])
async def test_claims_that_are_no_object(warm: Wire, payload: bytes):
    """A signed payload that is no JSON object is refused."""
    header = _read(warm.proof().split(".")[0])
    await _refused(warm, warm.sign(header, payload))


async def test_two_proofs(warm: Wire):
    """Two DPoP headers are refused, in two lines and in one."""
    await _refused(warm, [warm.proof(), warm.proof()])
    await _refused(warm, f"{warm.proof()}, {warm.proof()}")


async def test_replay(warm: Wire):
    """The same proof twice is refused, and so is another proof with its ``jti``."""
    proof = warm.proof(jti="once")
    assert (await warm.exchange(proof=proof)).status == 200
    await _refused(warm, proof)
    await _refused(warm, warm.proof(jti="once"))
    assert warm.tenant.stats.replays_refused == 2


async def test_the_same_jti_of_another_key(warm: Wire):
    """Two keys may choose the same ``jti``."""
    assert (await warm.exchange(proof=warm.proof(jti="once"))).status == 200
    warm.key = ECKey.generate_key("P-256")
    await warm.start()
    assert (await warm.exchange(proof=warm.proof(jti="once"))).status == 200
    assert warm.tenant.stats.distinct_keys == 2


def test_a_full_memory_refuses():
    """A memory that is full forgets what has lapsed and otherwise refuses, it does not forget."""
    memory = SeenJtis(2)
    assert memory.add("key", "1", until=10, now=0)
    assert memory.add("key", "2", until=20, now=0)
    assert not memory.add("key", "3", until=30, now=0)
    assert not memory.add("key", "1", until=10, now=0)
    assert memory.add("key", "3", until=30, now=10)


async def test_unknown_parameters_and_claims_pass(warm: Wire):
    """What the standard does not name is tolerated."""
    proof = warm.proof(header={"kid": "k" * 500, "x-more": {"a": 1}}, more=[1], nbf=0, exp=9_999_999_999)

    assert (await warm.exchange(proof=proof)).status == 200


@pytest.mark.parametrize(
    "spelling", ["{url}/oauth/token?a=b#c", "{upper}/oauth/token", "{url}/oauth/./x/../token", "{url}/%6Fauth/token"]
)
async def test_other_spellings_of_the_url_pass(warm: Wire, spelling: str):
    """``htu`` is compared after normalisation, without query and fragment."""
    htu = spelling.format(url=warm.tenant.url, upper=warm.tenant.url.replace("http", "HTTP"))

    assert (await warm.exchange(proof=warm.proof(htu=htu))).status == 200


@pytest.mark.parametrize(
    "spelling", ["/oauth/token/", "/OAUTH/token", "/oauth%2Ftoken", "/oauth/toke", "//oauth/token"]
)
async def test_other_urls(warm: Wire, spelling: str):
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
def test_the_normal_form(url: str, normal: str):
    """RFC 3986 §6.2.2 and §6.2.3."""
    assert normalised(url) == normal


@pytest.mark.parametrize("nonce", ["wrong", "é", "A" * 40, "", "===="])
async def test_a_wrong_nonce_is_challenged(warm: Wire, nonce: str):
    """A nonce that is not the tenant's is answered with one that is; no attempt is counted."""
    answer = await warm.exchange(proof=warm.proof(nonce=nonce))

    assert answer.words[:2] == (400, "use_dpop_nonce")
    assert (await warm.exchange()).status == 200


async def test_a_nonce_lapses_with_time(warm: Wire):
    """The present nonce and the one before pass, older ones are challenged."""
    old = warm.nonce
    warm.tenant.clock.advance(300)
    assert (await warm.exchange(otp="x", proof=warm.proof(nonce=old))).words[1] == "invalid_grant"
    warm.tenant.clock.advance(300)
    assert (await warm.exchange(proof=warm.proof(nonce=old))).words[1] == "use_dpop_nonce"


async def test_a_nonce_that_changes_with_requests(wire_for: Opener):
    """With ``nonce_rotation`` the nonce changes after so many token requests; 200 brings the next."""
    wire = await wire_for(nonce_rotation=2, accepted_previous_nonces=0)
    seen = []
    for _ in range(6):
        await wire.start()
        await wire.exchange()
        seen.append(wire.nonce)

    assert len(set(seen)) == 4
    assert wire.tenant.stats.nonce_challenges > 1


async def test_single_use_nonces(wire_for: Opener):
    """With single-use nonces each answer brings another, and each passes once."""
    wire = await wire_for(single_use_nonces=True)
    await wire.login()
    first = wire.nonce
    assert (await wire.login()).status == 200
    assert wire.nonce != first

    await wire.start()
    assert (await wire.exchange(proof=wire.proof(nonce=first))).words[1] == "use_dpop_nonce"


@pytest.mark.parametrize(("when", "expected"), [("always", True), ("changed", False), ("never", False)])
async def test_when_answers_bring_the_nonce(wire_for: Opener, when: str, *, expected: bool):
    """Whether a success brings the nonce that the proof had already is a setting."""
    wire = await wire_for(nonce_in_answers=when)

    assert ("DPoP-Nonce" in (await wire.login()).headers) is expected


async def test_the_time_in_the_nonce_may_stand_in(wire_for: Opener):
    """With ``nonce_replaces_iat`` a client whose clock is wrong logs in once it has a nonce; replays do not."""
    wire = await wire_for(nonce_replaces_iat=True)
    await wire.login()
    await wire.start()
    proof = wire.proof(iat=1)

    assert (await wire.exchange(proof=proof)).status == 200
    assert (await wire.exchange(proof=proof)).words[1] == "invalid_dpop_proof"


async def test_a_tenant_whose_clock_is_wrong(warm: Wire):
    """A tenant an hour ahead refuses proofs that are right by this machine's clock."""
    warm.tenant.clock.go_wrong(3600)
    await warm.start()
    await warm.exchange(otp="x")

    assert (await warm.exchange()).words[1] == "invalid_dpop_proof"


async def test_userinfo_with_the_key(warm: Wire):
    """A bound token opens userinfo with a proof by its key, and tells who the user is."""
    token = (await warm.exchange(audience=BOUND_API)).json["access_token"]

    answer = await warm.userinfo(token)

    assert answer.status == 200
    assert answer.json["email"] == "ada@example.com"


async def test_userinfo_without_the_key(warm: Wire, absent: object):
    """A stolen token, a wrong or missing ``ath``, Bearer and a missing proof are each refused with a challenge."""
    token = (await warm.exchange()).json["access_token"]
    right = {"method": "GET", "path": "/userinfo", "access_token": token}
    refused = [
        await warm.userinfo(token, proof=None),
        await warm.userinfo(token, proof=warm.proof(**right, ath=absent)),
        await warm.userinfo(token, proof=warm.proof(**right, ath="other")),
        await warm.userinfo(token, scheme="Bearer"),
        await warm.userinfo(token, scheme="Bearer", proof=None),
        await warm.userinfo(token, scheme="Basic"),
        await warm.userinfo("unknown"),
        await warm.userinfo("é"),
    ]
    warm.key = ECKey.generate_key("P-256")
    refused.append(await warm.userinfo(token))

    assert {answer.status for answer in refused} == {401}
    assert all(answer.headers["WWW-Authenticate"] for answer in refused)


async def test_userinfo_for_unbound_tokens(warm: Wire):
    """Bearer is for unbound tokens, DPoP is not."""
    token = (await warm.exchange(proof=None)).json["access_token"]

    assert (await warm.userinfo(token, scheme="bearer", proof=None)).status == 200
    assert (await warm.userinfo(token)).status == 401


async def test_userinfo_refuses_more(warm: Wire):
    """Two Authorization headers, no openid scope, an expired token, and none at all."""
    token = (await warm.exchange(scope="email")).json["access_token"]
    twice = [("Authorization", f"DPoP {token}"), ("Authorization", "Bearer x")]

    assert (await warm.send("GET", "/userinfo", headers=twice)).status == 400
    assert (await warm.send("GET", "/userinfo")).status == 401
    assert (await warm.userinfo(token)).status == 403
    warm.tenant.clock.advance(86_401)
    warm.nonce = None
    assert (await warm.userinfo(token)).json["error"] == "invalid_token"


@pytest.mark.parametrize("error", ["use_dpop_nonce", "invalid_dpop_nonce"])
async def test_userinfo_with_nonces(wire_for: Opener, error: str):
    """A resource challenges with 401; what it calls a stale nonce is a setting."""
    wire = await wire_for(userinfo_nonce_required=True, stale_nonce_error=error)
    token = (await wire.login()).json["access_token"]
    assert (await wire.userinfo(token)).status == 200

    wire.nonce = "stale"
    challenge = await wire.userinfo(token)

    assert challenge.status == 401
    assert f'DPoP error="{error}"' in challenge.headers["WWW-Authenticate"]
    assert challenge.headers["DPoP-Nonce"]


def _read(segment: str):
    return json.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))


def _segment(value: object):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
