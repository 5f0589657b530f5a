"""What each fault does."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from joserfc import jws, jwt
from joserfc.errors import BadSignatureError
from joserfc.jwk import KeySet

from helpers.tenant_wire import ADA, published_keys, segment_of
from passwordless_async.testing import BOUND_API, ClaimFault, Fault, KeySetFault
from passwordless_async.testing.fault_table import FAULTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from helpers.tenant_wire import Wire
    from passwordless_async.testing import LocalTenant
    from passwordless_async.testing.fault_names import AnyFault


TOKEN = "/oauth/token"


def test_every_fault_is_in_the_table() -> None:
    """No fault without a row."""
    assert set(FAULTS) == {*Fault, *ClaimFault, *KeySetFault}


ANSWERS = [
    (Fault.SERVICE_UNAVAILABLE, 503, "temporarily_unavailable"),
    (Fault.RATE_LIMITED_X_RATELIMIT, 429, "too_many_requests"),
    (Fault.RATE_LIMITED_AUTH0, 429, "too_many_requests"),
    (Fault.RATE_LIMITED_RETRY_AFTER, 429, "too_many_requests"),
    (Fault.RATE_LIMITED_SILENT, 429, "too_many_requests"),
    (Fault.REDIRECT, 302, "found"),
    (Fault.MFA_REQUIRED, 403, "mfa_required"),
    (Fault.ACCESS_DENIED, 403, "access_denied"),
    (Fault.USER_BLOCKED, 401, "unauthorized"),
    (Fault.ACCOUNT_BLOCKED, 429, "too_many_attempts"),
    (Fault.UNAUTHORIZED_CLIENT, 403, "unauthorized_client"),
    (Fault.ENDPOINT_DISABLED, 404, "endpoint_disabled"),
    (Fault.VERIFICATION_REQUIRED, 401, "requires_verification"),
    (Fault.SMS_PROVIDER_ERROR, 400, "sms_provider_error"),
    (Fault.REFUSAL, 400, "invalid_request"),
    (Fault.CHALLENGE_FOREVER, 400, "use_dpop_nonce"),
    (Fault.CHALLENGE_FOREVER_SAME_NONCE, 400, "use_dpop_nonce"),
    (Fault.CHALLENGE_WITHOUT_HEADER, 400, "use_dpop_nonce"),
]


@pytest.mark.parametrize(("fault", "status", "error"), ANSWERS)
async def test_faults_that_refuse_instead(warm: Wire, fault: Fault, status: int, error: str) -> None:
    """The fault refuses the request, once; it is not processed and the code is unspent."""
    presented = warm.tenant.stats.codes_presented
    warm.tenant.faults.add(fault, times=1)

    answer = await warm.exchange()

    assert answer.words[:2] == (status, error)
    assert warm.tenant.stats.codes_presented == presented


async def test_each_login_that_needs_a_factor_has_its_own_mfa_token(warm: Wire) -> None:
    """Two logins with one ``mfa_token`` could not be told apart at the factor."""
    warm.tenant.faults.add(Fault.MFA_REQUIRED, times=2)
    tokens = [(await warm.exchange()).json["mfa_token"] for _ in range(2)]
    assert len(set(tokens)) == len(tokens)


@pytest.mark.parametrize(
    ("fault", "name", "value"),
    [
        (Fault.RATE_LIMITED_X_RATELIMIT, "x-ratelimit-remaining", "0"),
        (Fault.RATE_LIMITED_AUTH0, "Auth0-RateLimit", "client;q=10;t=7;r=0"),
        (Fault.RATE_LIMITED_RETRY_AFTER, "Retry-After", "7"),
        (Fault.REDIRECT, "Location", "https://trap.example/"),
    ],
)
async def test_faults_with_headers(warm: Wire, fault: Fault, name: str, value: str) -> None:
    """A 429 speaks in the header of its style, a redirect leads where the test says."""
    warm.tenant.faults.add(fault, retry_after=7, location="https://trap.example/")

    assert (await warm.exchange()).headers[name] == value


async def test_any_refusal(warm: Wire) -> None:
    """A refusal is what the test says, in the members that it names, or else in those of the endpoint."""
    words: dict[str, Any] = {"status": 418, "error": "teapot", "description": "short and stout"}
    warm.tenant.faults.add(Fault.REFUSAL, members=["code", "message"], times=1, **words)
    warm.tenant.faults.add(Fault.REFUSAL, times=1, **words)

    named, usual = await warm.exchange(), await warm.exchange()

    assert (named.status, named.json) == (418, {"code": "teapot", "message": "short and stout"})
    assert (usual.status, usual.json) == (418, {"error": "teapot", "error_description": "short and stout"})


async def test_endless_nonce_challenges(warm: Wire) -> None:
    """Each challenge carries another nonce, or the same, or none."""
    warm.tenant.faults.add(Fault.CHALLENGE_FOREVER, times=2)
    warm.tenant.faults.add(Fault.CHALLENGE_FOREVER_SAME_NONCE, times=2)
    warm.tenant.faults.add(Fault.CHALLENGE_WITHOUT_HEADER, path=TOKEN, times=1)
    nonces = [(await warm.exchange()).headers.get("DPoP-Nonce") for _ in range(5)]

    assert nonces[0] != nonces[1]
    assert nonces[2] == nonces[3]
    assert nonces[4] is None


async def test_a_nonce_challenge_at_userinfo(warm: Wire) -> None:
    """At a resource the same fault is a 401 with ``WWW-Authenticate``."""
    warm.tenant.faults.add(Fault.CHALLENGE_FOREVER, path="/userinfo")

    answer = await warm.userinfo("token")

    assert answer.status == 401
    assert 'error="use_dpop_nonce"' in answer.headers["WWW-Authenticate"]


async def test_a_nonce_challenge_that_spends_the_code(wire: Wire) -> None:
    """A server that judges the code first challenges, and the retry with the nonce finds the code used."""
    wire.tenant.faults.add(Fault.CHALLENGE_SPENDS_CODE, path=TOKEN, times=1)
    await wire.start()
    code = wire.tenant.outbox.code_for(ADA)

    assert (await wire.exchange(otp=code)).words[1] == "use_dpop_nonce"
    assert (await wire.exchange(otp=code)).words[1] == "invalid_grant"


@pytest.mark.parametrize(("fault", "presented"), [(Fault.DROP_BEFORE_READ, 0), (Fault.DROP_AFTER_PROCESSING, 1)])
async def test_dropped_connections(warm: Wire, fault: Fault, presented: int) -> None:
    """The connection is closed without a response, before the request is read or after the code is spent."""
    before = warm.tenant.stats.codes_presented
    warm.tenant.faults.add(fault, times=1)

    with pytest.raises(aiohttp.ClientConnectionError):
        await warm.exchange()

    assert warm.tenant.stats.codes_presented - before == presented
    assert warm.tenant.requests[-1].status is None
    assert bool(warm.tenant.requests[-1].body) == bool(presented)
    assert (await warm.exchange()).status == (403 if presented else 200)


async def test_spoilt_responses(warm: Wire) -> None:
    """The code is spent, and the response is cut, mislabelled or huge."""
    warm.tenant.faults.add(Fault.GARBAGE_JSON, path=TOKEN, times=1)
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        await warm.exchange()
    await warm.start()
    warm.tenant.faults.add(Fault.WRONG_CONTENT_TYPE, path=TOKEN, times=1)
    mislabelled = await warm.exchange()
    assert mislabelled.headers["Content-Type"].startswith("text/html")
    assert b"access_token" in mislabelled.body
    warm.tenant.faults.add(Fault.HUGE_BODY, path=TOKEN, times=1)
    assert len((await warm.exchange(otp="x")).body) == 10 * 1024 * 1024


async def test_a_slow_response_waits_for_the_event(warm: Wire) -> None:
    """The response waits for the test's event; until then the recorded request has no status."""
    event = asyncio.Event()
    warm.tenant.faults.add(Fault.SLOW, times=1, until=event)
    task = asyncio.create_task(warm.exchange())
    presented = warm.tenant.stats.codes_presented
    while warm.tenant.stats.codes_presented == presented:  # noqa: ASYNC110 - no event says so
        await asyncio.sleep(0)

    assert not task.done()
    assert warm.tenant.requests[-1].status is None
    event.set()
    assert (await task).status == 200
    assert warm.tenant.requests[-1].status == 200


async def test_tokens_of_another_binding(warm: Wire) -> None:
    """The access token is not bound, or bound to another key, in an otherwise right response."""
    seen = {}
    for fault in (Fault.BEARER_TOKEN, Fault.TOKEN_OF_OTHER_KEY):
        await warm.start()
        warm.tenant.faults.add(fault, path=TOKEN, times=1)
        seen[fault] = (await warm.exchange(audience=BOUND_API)).json

    assert seen[Fault.BEARER_TOKEN]["token_type"] == "Bearer"
    assert seen[Fault.TOKEN_OF_OTHER_KEY]["token_type"] == "DPoP"
    stolen = seen[Fault.TOKEN_OF_OTHER_KEY]["access_token"]
    assert (await warm.userinfo(stolen)).status == 401


async def test_an_access_token_that_has_ended(warm: Wire) -> None:
    """By its own dates, and for userinfo; its response says that it lives."""
    warm.tenant.faults.add(Fault.ACCESS_TOKEN_EXPIRED, path=TOKEN, times=1)
    await warm.start()
    answer = (await warm.exchange(audience=BOUND_API)).json
    keys = KeySet.import_key_set({"keys": await published_keys(warm)})
    claims = jwt.decode(answer["access_token"], keys).claims
    lifetime = warm.tenant.settings.access_token_lifetime
    assert (answer["expires_in"], claims["exp"] - claims["iat"]) == (lifetime, lifetime)
    assert time.time() - 70 < claims["exp"] < time.time() - 50
    assert (await warm.userinfo(answer["access_token"])).status == 401


CLAIMS: dict[AnyFault, Callable[[Any, LocalTenant], bool]] = {
    Fault.ID_TOKEN_OF_OTHER_USER: lambda claims, _: claims["email"] == "another.user@example.com",
    Fault.ID_TOKEN_OF_OTHER_ISSUER: lambda claims, _: claims["iss"] == "https://elsewhere.example/",
    Fault.ID_TOKEN_ISSUER_WITHOUT_SLASH: lambda claims, tenant: claims["iss"] == tenant.url,
    Fault.ID_TOKEN_OF_OTHER_CLIENT: lambda claims, _: claims["aud"] == "another-client",
    Fault.ID_TOKEN_OF_TWO_CLIENTS: lambda claims, _: len(claims["aud"]) == 2 and "azp" not in claims,
    Fault.ID_TOKEN_FOR_OTHER_PARTY: lambda claims, _: claims["azp"] == "another-client",
    ClaimFault.ID_TOKEN_OF_OTHER_NONCE: lambda claims, _: claims["nonce"] == "another-nonce",
    Fault.ID_TOKEN_WITHOUT_SUB: lambda claims, _: claims["sub"] is None,
    Fault.ID_TOKEN_EXPIRED: lambda claims, _: claims["exp"] < time.time(),
    Fault.ID_TOKEN_FROM_THE_FUTURE: lambda claims, _: claims["iat"] > time.time() + 3000,
    Fault.ID_TOKEN_EXP_IS_TEXT: lambda claims, _: isinstance(claims["exp"], str),
    ClaimFault.ID_TOKEN_OF_AN_OLD_LOGIN: lambda claims, _: claims["auth_time"] < time.time() - 86_000,
}
FORGED: dict[AnyFault, str] = {
    Fault.ID_TOKEN_TAMPERED: "RS256",
    Fault.ID_TOKEN_UNSIGNED: "none",
    Fault.ID_TOKEN_SIGNED_WITH_PUBLIC_KEY: "HS256",
    Fault.ID_TOKEN_OF_OTHER_KEY: "RS256",
    Fault.ID_TOKEN_OF_UNKNOWN_KID: "RS256",
}


def test_the_tables_are_complete() -> None:
    """Each fault of an ID token is tested below."""
    assert {fault for fault in (*Fault, *ClaimFault) if fault.startswith("id_token")} == CLAIMS.keys() | FORGED.keys()
    assert all(FAULTS[fault].alter is not None for fault in CLAIMS.keys() | FORGED.keys())


@pytest.mark.parametrize("fault", CLAIMS)
async def test_claims_that_are_wrong(warm: Wire, fault: AnyFault) -> None:
    """The claim is wrong, and the signature right; the next token is right again."""
    warm.tenant.faults.add(fault, path="/oauth/token", times=1)

    token = (await warm.exchange()).json["id_token"]

    keys = KeySet.import_key_set({"keys": await published_keys(warm)})
    assert CLAIMS[fault](jwt.decode(token, keys).claims, warm.tenant)
    await warm.start()
    right = segment_of((await warm.exchange()).json["id_token"], 1)
    assert (right["iss"], right["aud"]) == (warm.tenant.issuer, warm.tenant.public_client_id)


@pytest.mark.parametrize("fault", FORGED)
async def test_signatures_that_are_wrong(warm: Wire, fault: Fault) -> None:
    """The claims are right, and the signature is by no key of the key set."""
    warm.tenant.faults.add(fault, path="/oauth/token", times=1)
    keys = await published_keys(warm)

    token = (await warm.exchange()).json["id_token"]

    header = segment_of(token, 0)
    assert header["alg"] == FORGED[fault]
    assert (header["kid"] == keys[0]["kid"]) == (fault is not Fault.ID_TOKEN_OF_UNKNOWN_KID)
    assert segment_of(token, 1)["iss"] == warm.tenant.issuer
    if fault in (Fault.ID_TOKEN_TAMPERED, Fault.ID_TOKEN_OF_OTHER_KEY):
        with pytest.raises(BadSignatureError):
            jws.deserialize_compact(token, KeySet.import_key_set({"keys": keys}))
    assert (token.count("."), token.endswith(".")) == (2, fault is Fault.ID_TOKEN_UNSIGNED)


JWKS = "/.well-known/jwks.json"


async def test_key_sets_that_must_not_be_trusted(wire: Wire) -> None:
    """A key set that is huge, ambiguous or symmetric, or that cannot be had."""
    (right,) = await published_keys(wire)
    for fault in (
        KeySetFault.JWKS_HUGE,
        KeySetFault.JWKS_DUPLICATE_KIDS,
        KeySetFault.JWKS_SYMMETRIC_KEY,
        Fault.SERVICE_UNAVAILABLE,
    ):
        wire.tenant.faults.add(fault, path=JWKS, times=1, size=1_000_000)
    huge, ambiguous = await wire.send("GET", JWKS), await published_keys(wire)
    symmetric, unavailable = await published_keys(wire), await wire.send("GET", JWKS)

    assert 1_000_000 <= len(huge.body) < 1_100_000
    assert huge.json["keys"][-1] == right
    assert ambiguous[0]["kid"] == ambiguous[1]["kid"] == right["kid"]
    assert ambiguous[0]["n"] != ambiguous[1]["n"] == right["n"]
    assert [(key["kty"], key["kid"]) for key in symmetric] == [("oct", right["kid"])]
    assert unavailable.status == 503
    assert await published_keys(wire) == [right]


async def test_a_fault_of_the_key_set_elsewhere(warm: Wire) -> None:
    """At another endpoint it changes nothing."""
    warm.tenant.faults.add(KeySetFault.JWKS_HUGE, path="/oauth/token")

    assert (await warm.exchange()).json.keys() == {"access_token", "expires_in", "id_token", "scope", "token_type"}
