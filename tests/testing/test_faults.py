"""Faults, limits and what the tenant records."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import aiohttp
import pytest

from passwordless_async.auth0.identity import Email
from passwordless_async.errors import UsageError
from passwordless_async.testing import BOUND_API, ClaimFault, Fault, KeySetFault, LocalTenant, TenantSettings
from passwordless_async.testing.faults.table import FAULTS

if TYPE_CHECKING:
    from tests.testing.conftest import Opener, Wire


ADA = Email("ada@example.com")
TOKEN = "/oauth/token"


def test_every_fault_is_in_the_table():
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
async def test_faults_that_answer_instead(warm: Wire, fault: Fault, status: int, error: str):
    """The request is answered by the fault, once, and not processed: the code is unspent."""
    presented = warm.tenant.stats.codes_presented
    warm.tenant.faults.add(fault, times=1)

    answer = await warm.exchange()

    assert answer.words[:2] == (status, error)
    assert warm.tenant.stats.codes_presented == presented


@pytest.mark.parametrize(
    ("fault", "name", "value"),
    [
        (Fault.RATE_LIMITED_X_RATELIMIT, "x-ratelimit-remaining", "0"),
        (Fault.RATE_LIMITED_AUTH0, "Auth0-RateLimit", "client;q=10;t=7;r=0"),
        (Fault.RATE_LIMITED_RETRY_AFTER, "Retry-After", "7"),
        (Fault.REDIRECT, "Location", "https://trap.example/"),
    ],
)
async def test_faults_with_headers(warm: Wire, fault: Fault, name: str, value: str):
    """A 429 speaks in the header of its style, a redirect leads where the test says."""
    warm.tenant.faults.add(fault, retry_after=7, location="https://trap.example/")

    assert (await warm.exchange()).headers[name] == value


async def test_any_refusal(warm: Wire):
    """A refusal is what the test says, in the members that it names, or else in those of the endpoint."""
    words = {"status": 418, "error": "teapot", "description": "short and stout"}
    warm.tenant.faults.add(Fault.REFUSAL, members=["code", "message"], times=1, **words)
    warm.tenant.faults.add(Fault.REFUSAL, times=1, **words)

    named, usual = await warm.exchange(), await warm.exchange()

    assert (418, {"code": "teapot", "message": "short and stout"}) == (named.status, named.json)
    assert (418, {"error": "teapot", "error_description": "short and stout"}) == (usual.status, usual.json)


@pytest.mark.parametrize("members", ["ab", [], ["code"], ["code", "code"], ["a", "b", "c"]])
async def test_a_refusal_has_two_members(warm: Wire, members: object):
    """One for the code and another one for the text."""
    with pytest.raises(ValueError, match="members must be two names"):
        warm.tenant.faults.add(Fault.REFUSAL, members=members)


async def test_faults_are_counted_out_in_order(warm: Wire):
    """``after`` requests pass, ``times`` meet the first fault, then comes the next; other paths meet none."""
    warm.tenant.faults.add(Fault.SERVICE_UNAVAILABLE, path=TOKEN, times=2, after=1)
    warm.tenant.faults.add("access_denied", path=TOKEN)

    assert (await warm.start()).status == 200
    assert [(await warm.exchange(otp="x")).status for _ in range(4)] == [403, 503, 503, 403]
    warm.tenant.faults.clear()
    assert (await warm.exchange()).status == 200
    assert warm.tenant.stats.faults_played == 4


async def test_a_challenge_for_ever(warm: Wire):
    """Each challenge brings another nonce, or the same, or none."""
    warm.tenant.faults.add(Fault.CHALLENGE_FOREVER, times=2)
    warm.tenant.faults.add(Fault.CHALLENGE_FOREVER_SAME_NONCE, times=2)
    warm.tenant.faults.add(Fault.CHALLENGE_WITHOUT_HEADER, path=TOKEN, times=1)
    nonces = [(await warm.exchange()).headers.get("DPoP-Nonce") for _ in range(5)]

    assert nonces[0] != nonces[1]
    assert nonces[2] == nonces[3]
    assert nonces[4] is None


async def test_a_challenge_at_userinfo(warm: Wire):
    """At a resource the same fault is a 401 with ``WWW-Authenticate``."""
    warm.tenant.faults.add(Fault.CHALLENGE_FOREVER, path="/userinfo")

    answer = await warm.userinfo("token")

    assert answer.status == 401
    assert 'error="use_dpop_nonce"' in answer.headers["WWW-Authenticate"]


async def test_a_challenge_that_spends_the_code(wire: Wire):
    """A server that judges the code first challenges, and the retry with the nonce finds the code used."""
    wire.tenant.faults.add(Fault.CHALLENGE_SPENDS_CODE, path=TOKEN, times=1)
    await wire.start()
    code = wire.tenant.outbox.code_for(ADA)

    assert (await wire.exchange(otp=code)).words[1] == "use_dpop_nonce"
    assert (await wire.exchange(otp=code)).words[1] == "invalid_grant"


@pytest.mark.parametrize(("fault", "presented"), [(Fault.DROP_BEFORE_READ, 0), (Fault.DROP_AFTER_PROCESSING, 1)])
async def test_dropped_connections(warm: Wire, fault: Fault, presented: int):
    """The connection is closed without an answer, before the request is read or after the code is spent."""
    before = warm.tenant.stats.codes_presented
    warm.tenant.faults.add(fault, times=1)

    with pytest.raises(aiohttp.ClientConnectionError):
        await warm.exchange()

    assert warm.tenant.stats.codes_presented - before == presented
    assert warm.tenant.requests[-1].status is None
    assert bool(warm.tenant.requests[-1].body) == bool(presented)
    assert (await warm.exchange()).status == (403 if presented else 200)


async def test_spoilt_answers(warm: Wire):
    """The code is spent and the answer is cut, mislabelled or huge."""
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


async def test_a_slow_answer(warm: Wire):
    """The answer waits for the test's event; meanwhile the request is recorded as unanswered."""
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


async def test_a_tenant_closes_over_a_slow_answer(wire: Wire):
    """A request in flight does not keep the tenant open."""
    wire.tenant.faults.add(Fault.SLOW, until=asyncio.Event())
    task = asyncio.create_task(wire.start())
    while not wire.tenant.outbox.messages:  # noqa: ASYNC110 - no event says so
        await asyncio.sleep(0)

    async with asyncio.timeout(5):
        await wire.tenant.aclose()
        await wire.tenant.aclose()
        with pytest.raises(aiohttp.ClientConnectionError):
            await task


async def test_other_tokens_than_were_asked_for(warm: Wire):
    """Twists change the access token of an otherwise right answer."""
    seen = {}
    for fault in (Fault.BEARER_TOKEN, Fault.TOKEN_OF_OTHER_KEY):
        await warm.start()
        warm.tenant.faults.add(fault, path=TOKEN, times=1)
        seen[fault] = (await warm.exchange(audience=BOUND_API)).json

    assert seen[Fault.BEARER_TOKEN]["token_type"] == "Bearer"
    assert seen[Fault.TOKEN_OF_OTHER_KEY]["token_type"] == "DPoP"
    stolen = seen[Fault.TOKEN_OF_OTHER_KEY]["access_token"]
    assert (await warm.userinfo(stolen)).status == 401


@pytest.mark.parametrize(
    ("style", "limited", "on_success"),
    [
        ("x-ratelimit", "x-ratelimit-reset", "x-ratelimit-limit"),
        ("auth0-ratelimit", "Auth0-RateLimit", "Auth0-RateLimit"),
        ("retry-after", "Retry-After", None),
        ("silent", None, None),
    ],
)
async def test_the_tenants_limit(wire_for: Opener, style: str, limited: str | None, on_success: str | None):
    """Over the limit the answer is 429 in the chosen style; a second later there is room again."""
    wire = await wire_for(requests_per_second=1, rate_limit_style=style)
    wire.tenant.clock.advance(1000)
    first, second = await wire.start(), await wire.start()

    if second.status == 200:  # a second passed between the two on a slow machine
        second = await wire.start()
    assert (first.status, second.status) == (200, 429)
    assert limited is None or second.headers[limited]
    assert on_success is None or first.headers[on_success]
    wire.tenant.clock.advance(1)
    assert (await wire.start()).status == 200


async def test_starts_per_hour_and_address(wire_for: Opener):
    """Starts are limited for each address; a trusted forwarded one has a window of its own."""
    wire = await wire_for(starts_per_hour=1)
    client_id, secret = wire.tenant.confidential_client
    gateway = {"client_id": client_id, "client_secret": secret}

    assert [(await wire.start()).status for _ in range(2)] == [200, 429]
    for ip in ("192.0.2.1", "192.0.2.2"):
        assert (await wire.start(headers={"auth0-forwarded-for": ip}, **gateway)).status == 200
    wire.tenant.clock.advance(3600)
    assert (await wire.start()).status == 200


async def test_the_record_of_a_request(warm: Wire):
    """Requests are kept in the order of their arrival, secrets included, and print without them."""
    await warm.start()
    await warm.exchange()
    first, second = warm.tenant.requests

    assert first.json["email"] == ADA.address
    assert (second.method, second.path, second.status) == ("POST", TOKEN, 200)
    assert second.form["realm"] == "email"
    assert second.proof.count(".") == 2
    assert repr(second) == "<RecordedRequest POST /oauth/token 200>"
    assert warm.tenant.requests.to(TOKEN) == [second]
    assert warm.tenant.requests[0:1] == [first]


async def test_records_are_bounded(wire_for: Opener):
    """The oldest requests and messages go first."""
    wire = await wire_for(requests_kept=2, messages_kept=2)
    for number in range(4):
        await wire.start(email=f"user{number}@example.com")

    assert [request.json["email"] for request in wire.tenant.requests] == ["user2@example.com", "user3@example.com"]
    assert len(wire.tenant.outbox.messages) == 2
    with pytest.raises(LookupError):
        wire.tenant.outbox.code_for(Email("user0@example.com"))


async def test_the_plugin(local_tenant: LocalTenant):
    """The plugin's fixture is a tenant that listens."""
    assert local_tenant.url.startswith("http://127.0.0.1:")
    assert local_tenant.issuer == local_tenant.url + "/"


def test_settings_go_down_the_pipe():
    """As JSON and back they are the same, secrets, keys and mappings included."""
    key = {"kty": "EC", "kid": "1"}
    settings = TenantSettings(private_key_jwt_keys=[key], discovery={"issuer": None}, captcha="solved")

    assert TenantSettings(**json.loads(json.dumps(settings.to_json()))) == settings


def test_settings_are_checked():
    """A number out of range and a policy that does not exist are told at once; secrets do not print."""
    with pytest.raises(UsageError, match="max_attempts"):
        TenantSettings(max_attempts=0)
    with pytest.raises(ValueError, match="sometimes"):
        TenantSettings(apis={"https://api.example": "sometimes"})
    settings = TenantSettings(confidential_client_secret="hush")
    assert "hush" not in repr(settings)
    with pytest.raises(RuntimeError, match="async with"):
        LocalTenant(settings).url  # noqa: B018 - it is the property that raises


async def test_an_outage():
    """Connections are refused while it lasts, and served afterwards on the same port; one at a time."""
    async with LocalTenant() as tenant, aiohttp.ClientSession() as session:
        url = f"{tenant.url}/.well-known/openid-configuration"
        async with tenant.outage():
            with pytest.raises(aiohttp.ClientConnectorError):
                await session.get(url)
            with pytest.raises(RuntimeError, match="does not listen"):
                async with tenant.outage():
                    pass
        async with session.get(url) as response:
            assert response.status == 200


async def test_what_is_open_in_an_outage_is_served_once_more():
    """A connection that is kept alive gets one last answer, and is closed with it."""
    async with LocalTenant() as tenant, aiohttp.ClientSession() as session:
        url = f"{tenant.url}/.well-known/openid-configuration"
        await (await session.get(url)).read()
        async with tenant.outage():
            async with session.get(url) as response:
                assert (200, "close") == (response.status, response.headers["Connection"])
            with pytest.raises(aiohttp.ClientConnectorError):
                await session.get(url)


async def test_a_tenant_that_is_closed_in_an_outage_stays_closed():
    """The outage ends without a word."""
    async with LocalTenant() as tenant:
        async with tenant.outage():
            await tenant.aclose()
