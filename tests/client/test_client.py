"""The client against a tenant that verifies every proof."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections import Counter
from typing import TYPE_CHECKING
from unittest.mock import AsyncMock

import aiohttp
import attrs
import pytest
from joserfc import jws

from helpers.values import present
from passwordless_async import (
    TESTING,
    AccessDenied,
    ClientClosed,
    ClientSecretPost,
    CodeExpired,
    CodeSpent,
    Credentials,
    DPoPKey,
    Email,
    ForwardedFor,
    InvalidClient,
    InvalidIdToken,
    Login,
    MalformedAnswer,
    MfaRequired,
    NoClientAuth,
    NonceChallengeRepeated,
    NotSenderConstrained,
    NotSent,
    OAuthError,
    OutcomeUnknown,
    PasswordlessClient,
    PasswordlessError,
    Phone,
    RateLimited,
    TemporarilyUnavailable,
    TokenSet,
    TooManyAttempts,
    UnauthorizedClient,
    UsageError,
    VerificationRequired,
    WrongCode,
)
from passwordless_async.testing import BOUND_API, PLAIN_API, Fault, LocalTenant, TenantSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import Any

    from passwordless_async.auth0.client_auth import BodyKind
    from passwordless_async.client.events import Event

ADA = Email("ada@example.com")
TOKEN = "/oauth/token"
START = "/passwordless/start"
JWKS = "/.well-known/jwks.json"


@pytest.fixture
async def client(tenant: LocalTenant) -> AsyncIterator[PasswordlessClient]:
    """Open a public client of the tenant."""
    async with PasswordlessClient(tenant.url, tenant.public_client_id, profile=TESTING) as opened:
        yield opened


async def log_in(
    client: PasswordlessClient, tenant: LocalTenant, who: Email | Phone = ADA, **parameters: Any
) -> TokenSet:
    """Start and exchange."""
    await client.start(who)
    return await client.exchange(who, tenant.outbox.code_for(who), **parameters)


def claims_of(token: str) -> dict[str, Any]:
    """Read the claims of a JWT without a check."""
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    return claims


@pytest.mark.parametrize("confidential", [False, True], ids=["public", "confidential"])
@pytest.mark.parametrize("who", [ADA, Phone("+4930901820")], ids=["email", "sms"])
async def test_a_login(tenant: LocalTenant, who: Email | Phone, *, confidential: bool) -> None:
    """A code becomes tokens that are bound to a new key, with a validated ID token of the right user."""
    client_id, secret = tenant.confidential_client
    auth = ClientSecretPost(secret) if confidential else NoClientAuth()
    before = int(time.time())
    async with PasswordlessClient(
        tenant.url, client_id if confidential else tenant.public_client_id, client_auth=auth, profile=TESTING
    ) as client:
        tokens = await log_in(client, tenant, who, scope="openid email phone offline_access", audience=BOUND_API)
    assert tokens.token_type == "DPoP"
    assert claims_of(tokens.access_token)["cnf"] == {"jkt": present(tokens.key).thumbprint}
    claims = present(tokens.claims)
    assert claims["iss"] == tenant.issuer
    assert who.username in claims.values()
    assert tokens.refresh_token
    assert before + 86_400 <= present(tokens.expires_at) <= int(time.time()) + 86_400
    assert tenant.stats.token_requests == (1 if confidential else 2)


async def test_a_token_without_audience_is_opaque_and_bound(client: PasswordlessClient, tenant: LocalTenant) -> None:
    """Without openid and audience there is no ID token, and nothing is fetched to check one with."""
    tokens = await log_in(client, tenant, scope="profile")
    assert (tokens.claims, tokens.id_token, tokens.refresh_token) == (None, None, None)
    assert tokens.scope == "profile"
    assert tenant.requests.to(JWKS) == []


async def test_the_callers_key_is_used(client: PasswordlessClient, tenant: LocalTenant) -> None:
    """A key that is brought along is the one that the tokens are bound to."""
    key = DPoPKey.generate()
    tokens = await log_in(client, tenant, key=key, audience=BOUND_API)
    assert tokens.key is key
    assert claims_of(tokens.access_token)["cnf"]["jkt"] == key.thumbprint


async def test_a_cold_start_costs_one_challenge(client: PasswordlessClient, tenant: LocalTenant) -> None:
    """Rule 15: a hundred logins at once on a cold client: a hundred and one token requests, one key set."""
    users = [Email(f"user{n}@example.com") for n in range(100)]
    await asyncio.gather(*map(client.start, users))
    logins = [Login(who, tenant.outbox.code_for(who), scope="openid") for who in users]
    found = [outcome async for outcome in client.exchange_many(logins, concurrency=100)]
    assert [outcome.error for outcome in found] == [None] * 100
    assert tenant.stats.token_requests == 101
    assert tenant.stats.nonce_challenges == 1
    assert len(tenant.requests.to(JWKS)) == 1


# Where the nonce before is refused, everything in flight is challenged at each change and comes again: what is in
# flight twice over has to fit between two changes, or the server challenges one login a second time.
@pytest.mark.slow
@pytest.mark.parametrize(("previous", "concurrency"), [(1, 64), (0, 12)])
async def test_500_users_while_nonces_rotate(previous: int, concurrency: int) -> None:
    """The nonce changes every 50 requests: all get in, each with a token and a key of their own."""
    settings = TenantSettings(nonce_rotation=50, accepted_previous_nonces=previous)
    async with (
        LocalTenant(settings) as tenant,
        PasswordlessClient(tenant.url, tenant.public_client_id, profile=TESTING) as client,
    ):
        users = [Email(f"user{n}@example.com") for n in range(500)]
        await asyncio.gather(*map(client.start, users))
        logins = [
            Login(who, tenant.outbox.code_for(who), scope="openid email", audience=BOUND_API, tag=who) for who in users
        ]
        found = [outcome async for outcome in client.exchange_many(logins, concurrency=concurrency)]
        proofs = [request.proof for request in tenant.requests.to(TOKEN)]
    assert [outcome.error for outcome in found if outcome.error] == []
    assert Counter(users) == Counter(outcome.login.tag for outcome in found)
    tokens = {outcome.login.tag: present(outcome.tokens) for outcome in found}
    assert [who for who in users if present(tokens[who].claims)["email"] != who.address] == []
    assert all(claims_of(t.access_token)["cnf"]["jkt"] == present(t.key).thumbprint for t in tokens.values())
    assert all(claims_of(t.access_token)["sub"] == present(t.claims)["sub"] for t in tokens.values())
    assert len({present(t.key).thumbprint for t in tokens.values()}) == 500
    identifiers = [json.loads(jws.extract_compact(present(proof).encode()).payload)["jti"] for proof in proofs]
    assert len(set(identifiers)) == len(identifiers) == tenant.stats.token_requests
    assert tenant.stats.token_requests == 500 + tenant.stats.nonce_challenges
    assert previous or tenant.stats.nonce_challenges >= 10


async def test_single_use_nonces_cost_no_challenge() -> None:
    """Consecutive logins each use the nonce that came with the last response."""
    settings = TenantSettings(single_use_nonces=True)
    async with (
        LocalTenant(settings) as tenant,
        PasswordlessClient(tenant.url, tenant.public_client_id, profile=TESTING) as client,
    ):
        for number in range(5):
            await log_in(client, tenant, Email(f"user{number}@example.com"))
        assert tenant.stats.token_requests == 6


async def test_a_wrong_code(client: PasswordlessClient, tenant: LocalTenant) -> None:
    """Two wrong codes leave the right one alive, the third kills it; the server tells them apart by its words alone."""
    await client.start(ADA)
    code = tenant.outbox.code_for(ADA)
    errors = []
    for wrong in [wrong for wrong in ("000000", "111111", "222222", "333333") if wrong != code][:3]:
        with pytest.raises(OAuthError) as caught:
            await client.exchange(ADA, wrong)
        errors.append(caught.value)
    assert [type(error) for error in errors] == [WrongCode, WrongCode, TooManyAttempts]
    assert {(error.error, error.status) for error in errors} == {("invalid_grant", 403)}
    with pytest.raises(CodeSpent):
        await client.exchange(ADA, code)


async def test_a_code_is_good_for_once(client: PasswordlessClient, tenant: LocalTenant) -> None:
    """A second exchange of the same code is refused before anything is sent."""
    await log_in(client, tenant)
    with pytest.raises(CodeSpent):
        await client.exchange(ADA, tenant.outbox.code_for(ADA))


async def test_the_newest_code_alone_is_valid(client: PasswordlessClient, tenant: LocalTenant) -> None:
    """A second start kills the first code."""
    await client.start(ADA)
    first = tenant.outbox.code_for(ADA)
    while True:
        await client.start(ADA)
        if tenant.outbox.code_for(ADA) != first:
            break
    with pytest.raises(WrongCode):
        await client.exchange(ADA, first)
    await client.exchange(ADA, tenant.outbox.code_for(ADA))


async def test_an_expired_code() -> None:
    """After three minutes a code is too old, and the error says so."""
    settings = TenantSettings(nonce_replaces_iat=True)
    async with (
        LocalTenant(settings) as tenant,
        PasswordlessClient(tenant.url, tenant.public_client_id, profile=TESTING) as client,
    ):
        await client.start(ADA)
        tenant.clock.advance(181)
        with pytest.raises(CodeExpired):
            await client.exchange(ADA, tenant.outbox.code_for(ADA))


async def test_a_plain_bearer_token_is_refused(client: PasswordlessClient, tenant: LocalTenant) -> None:
    """A Bearer token from an API without DPoP is discarded."""
    with pytest.raises(NotSenderConstrained, match="token_type is not DPoP"):
        await log_in(client, tenant, audience=PLAIN_API)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.SERVICE_UNAVAILABLE, OutcomeUnknown),
        (Fault.RATE_LIMITED_X_RATELIMIT, RateLimited),
        (Fault.RATE_LIMITED_AUTH0, RateLimited),
        (Fault.RATE_LIMITED_RETRY_AFTER, RateLimited),
        (Fault.RATE_LIMITED_SILENT, RateLimited),
        (Fault.REDIRECT, MalformedAnswer),
        (Fault.DROP_BEFORE_READ, OutcomeUnknown),
        (Fault.DROP_AFTER_PROCESSING, OutcomeUnknown),
        (Fault.HUGE_BODY, MalformedAnswer),
        (Fault.CHALLENGE_FOREVER, NonceChallengeRepeated),
        (Fault.CHALLENGE_FOREVER_SAME_NONCE, NonceChallengeRepeated),
        (Fault.CHALLENGE_WITHOUT_HEADER, MalformedAnswer),
        (Fault.MFA_REQUIRED, MfaRequired),
        (Fault.ACCESS_DENIED, AccessDenied),
        (Fault.USER_BLOCKED, AccessDenied),
        (Fault.ACCOUNT_BLOCKED, TooManyAttempts),
        (Fault.UNAUTHORIZED_CLIENT, UnauthorizedClient),
        (Fault.ENDPOINT_DISABLED, OAuthError),
    ],
)
async def test_a_fault_of_the_token_endpoint(
    client: PasswordlessClient, tenant: LocalTenant, fault: Fault, error: type[PasswordlessError]
) -> None:
    """Each fault has its typed error, and nothing is sent again but in answer to a challenge."""
    await log_in(client, tenant, Email("first@example.com"))
    requests = tenant.stats.token_requests
    tenant.faults.add(fault, path=TOKEN)
    with pytest.raises(error):
        await log_in(client, tenant)
    answered = {Fault.CHALLENGE_FOREVER: 3, Fault.CHALLENGE_FOREVER_SAME_NONCE: 1}  # while the nonce is new
    assert tenant.stats.token_requests - requests == 1 + answered.get(fault, 0)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.GARBAGE_JSON, MalformedAnswer),
        (Fault.WRONG_CONTENT_TYPE, MalformedAnswer),
        (Fault.BEARER_TOKEN, NotSenderConstrained),
        (Fault.TOKEN_OF_OTHER_KEY, NotSenderConstrained),
        (Fault.ID_TOKEN_OF_OTHER_ISSUER, InvalidIdToken),
        (Fault.ID_TOKEN_OF_OTHER_CLIENT, InvalidIdToken),
        (Fault.ID_TOKEN_EXPIRED, InvalidIdToken),
        (Fault.ID_TOKEN_TAMPERED, InvalidIdToken),
    ],
)
async def test_an_answer_that_must_not_be_trusted(
    client: PasswordlessClient, tenant: LocalTenant, fault: Fault, error: type[PasswordlessError]
) -> None:
    """Tokens that fail a check are never handed out."""
    await log_in(client, tenant, Email("first@example.com"), scope="openid")
    tenant.faults.add(fault, path=TOKEN)
    with pytest.raises(error):
        await log_in(client, tenant, scope="openid", audience=BOUND_API)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.SERVICE_UNAVAILABLE, TemporarilyUnavailable),
        (Fault.RATE_LIMITED_RETRY_AFTER, RateLimited),
        (Fault.REDIRECT, MalformedAnswer),
        (Fault.DROP_BEFORE_READ, OutcomeUnknown),
        (Fault.DROP_AFTER_PROCESSING, OutcomeUnknown),
        (Fault.HUGE_BODY, MalformedAnswer),
        (Fault.VERIFICATION_REQUIRED, VerificationRequired),
        (Fault.SMS_PROVIDER_ERROR, OAuthError),
    ],
)
async def test_a_fault_of_start(
    client: PasswordlessClient, tenant: LocalTenant, fault: Fault, error: type[PasswordlessError]
) -> None:
    """Each fault has its typed error, after one request."""
    tenant.faults.add(fault, path=START)
    with pytest.raises(error):
        await client.start(ADA)
    assert tenant.stats.start_requests == 1


@pytest.mark.parametrize(
    ("settings", "error"), [({"allow_signup": False}, AccessDenied), ({"grant_enabled": False}, UnauthorizedClient)]
)
async def test_each_refused_permission_has_its_own_error(settings: dict[str, Any], error: type[OAuthError]) -> None:
    """Disabled sign-ups and a grant that is not enabled raise different errors, by words and by code."""
    async with (
        LocalTenant(TenantSettings(**settings)) as tenant,
        PasswordlessClient(tenant.url, tenant.public_client_id, profile=TESTING) as client,
    ):
        with pytest.raises(error):
            await log_in(client, tenant)


async def test_a_wrong_code_by_phone(client: PasswordlessClient, tenant: LocalTenant) -> None:
    """The service says it in other words for a phone; it means the same."""
    phone = Phone("+4930901820")
    await client.start(phone)
    with pytest.raises(WrongCode, match="Wrong phone number"):
        await client.exchange(phone, "000000" if tenant.outbox.code_for(phone) != "000000" else "111111")


async def test_a_429_carries_retry_after(client: PasswordlessClient, tenant: LocalTenant) -> None:
    """``RateLimited.retry_after`` is the wait in seconds."""
    tenant.faults.add(Fault.RATE_LIMITED_RETRY_AFTER, path=START, retry_after=17)
    with pytest.raises(RateLimited) as caught:
        await client.start(ADA)
    assert caught.value.retry_after == 17


async def test_a_challenge_that_spends_the_code(client: PasswordlessClient, tenant: LocalTenant) -> None:
    """Rule 16: a server that judges the code before the nonce ends in a refusal, and later logins get in."""
    tenant.faults.add(Fault.CHALLENGE_SPENDS_CODE, path=TOKEN, times=1)
    with pytest.raises(WrongCode):
        await log_in(client, tenant)
    await log_in(client, tenant)


@pytest.mark.parametrize(
    "fault", [Fault.SERVICE_UNAVAILABLE, Fault.DROP_BEFORE_READ, Fault.GARBAGE_JSON, Fault.HUGE_BODY]
)
async def test_no_code_is_spent_without_signing_keys(
    client: PasswordlessClient, tenant: LocalTenant, fault: Fault
) -> None:
    """If the tenant's keys cannot be fetched, the code is not sent and stays valid."""
    tenant.faults.add(fault, path=JWKS)
    with pytest.raises(NotSent):
        await log_in(client, tenant, scope="openid")
    assert tenant.stats.token_requests == 0
    tenant.faults.clear()
    await client.exchange(ADA, tenant.outbox.code_for(ADA), scope="openid")


async def test_a_wrong_client_secret_is_not_a_wrong_code(tenant: LocalTenant) -> None:
    """A wrong client secret raises ``InvalidClient``."""
    client_id, _ = tenant.confidential_client
    async with PasswordlessClient(
        tenant.url, client_id, client_auth=ClientSecretPost("wrong"), profile=TESTING
    ) as client:
        with pytest.raises(InvalidClient):
            await client.start(ADA)
        with pytest.raises(InvalidClient):
            await client.exchange(ADA, "123456")


@attrs.frozen
class VaultSecret:
    """An application's own way to authenticate itself, in a class that prints what it has."""

    confidential: bool
    secret: str
    forwarded_for: ForwardedFor = ForwardedFor.UNDOCUMENTED

    def credentials(self, client_id: str, issuer: str, body: BodyKind) -> Credentials:
        return ClientSecretPost(self.secret).credentials(client_id, issuer, body)


async def test_an_application_may_bring_its_own_way_to_authenticate_itself(tenant: LocalTenant) -> None:
    """Any class that has the members of ``ClientAuth`` is used, whatever its repr is."""
    client_id, secret = tenant.confidential_client
    auth = VaultSecret(confidential=True, secret=secret)
    async with PasswordlessClient(tenant.url, client_id, client_auth=auth, profile=TESTING) as client:
        assert (await log_in(client, tenant)).bound


async def test_slots_bound_what_is_on_the_wire(tenant: LocalTenant) -> None:
    """Rule 15: with two slots, a third login waits here and signs its proof when it is its turn."""
    release = asyncio.Event()
    async with PasswordlessClient(
        tenant.url, tenant.public_client_id, profile=attrs.evolve(TESTING, max_in_flight=2)
    ) as client:
        await log_in(client, tenant)
        tenant.requests.clear()
        users = [Email(f"user{n}@example.com") for n in range(6)]
        for who in users:
            await client.start(who)
        tenant.faults.add(Fault.SLOW, path=TOKEN, until=release)
        logins = [asyncio.create_task(client.exchange(who, tenant.outbox.code_for(who))) for who in users]
        for _ in range(300):
            await asyncio.sleep(0)
        assert len(tenant.requests.to(TOKEN)) == 2
        release.set()
        await asyncio.gather(*logins)


async def test_a_session_can_be_shared(tenant: LocalTenant) -> None:
    """Two clients on one session use its connections, and leave it open."""
    async with aiohttp.ClientSession() as session:
        for _ in range(2):
            async with PasswordlessClient(
                tenant.url, tenant.public_client_id, session=session, profile=TESTING
            ) as client:
                await log_in(client, tenant)
        assert not session.closed


async def test_a_closed_client_says_so(client: PasswordlessClient) -> None:
    """Closing twice does nothing; using it afterwards is an error of the caller's."""
    await client.aclose()
    await client.aclose()
    with pytest.raises(ClientClosed, match="client: is not open any more"):
        await client.start(ADA)


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda client: client.start("ada@example.com"), "who"),
        (lambda client: client.start(ADA, language="not a tag"), "language"),
        (lambda client: client.start(ADA, forwarded_for="192.0.2.1/32"), "forwarded_for"),
        (lambda client: client.start(ADA, send="smoke"), "send"),
        (lambda client: client.start(ADA, captcha=""), "captcha"),
        (lambda client: client.exchange("ada@example.com", "123456"), "who"),
        (lambda client: client.exchange(ADA, ""), "otp"),
        (lambda client: client.exchange(ADA, "1" * 41), "otp"),
        (lambda client: client.exchange(ADA, "12345é"), "otp"),
        (lambda client: client.exchange(ADA, 123456), "otp"),
        (lambda client: client.exchange(ADA, "123456", scope='open"id'), "scope"),
        (lambda client: client.exchange(ADA, "123456", audience="a b"), "audience"),
        (lambda client: client.exchange(ADA, "123456", key="key"), "key"),
    ],
)
async def test_a_wrong_argument_is_named_and_nothing_is_sent(
    client: PasswordlessClient, tenant: LocalTenant, call: Any, argument: str
) -> None:
    """The error names the argument, before a byte leaves."""
    with pytest.raises(UsageError) as caught:
        await call(client)
    assert caught.value.argument == argument
    assert tenant.stats.wire_requests == 0


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("profile", 5),
        ("profile", "BULK"),
        ("on_event", 5),
        ("on_event", "x"),
        ("on_event", [5]),
        ("on_orphan", "x"),
        ("nonces", {}),
        ("store", 5),
        ("lifetimes", 5),
        ("dpop", 5),
        ("dpop", True),
        ("dpop", "Bearer"),
    ],
)
def test_an_option_of_another_kind_is_refused(argument: str, value: Any) -> None:
    """A client is not made of what it cannot use; the message names the option."""
    with pytest.raises(UsageError) as refused:
        PasswordlessClient("tenant.example", "client", **{argument: value})
    assert argument == refused.value.argument


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda client, tokens: client.session(tokens, origins=["https://api.example"], on_refresh="x"), "on_refresh"),
        (lambda client, tokens: client.request(tokens, "GET", "https://api.example/", on_refresh=5), "on_refresh"),
        (lambda client, _: client.start_many([], progress="x"), "progress"),
        (lambda client, _: client.exchange_many([], progress=5), "progress"),
        (lambda client, _: client.exchange_many([], progress=AsyncMock()), "progress"),
    ],
)
async def test_a_hook_that_cannot_be_called_is_refused_at_once(
    client: PasswordlessClient, tenant: LocalTenant, call: Any, argument: str
) -> None:
    """Not when it is to be called: by then a refresh token, or a code, is spent."""
    await client.start(ADA)
    tokens = await client.exchange(ADA, tenant.outbox.code_for(ADA), scope="openid offline_access")
    with pytest.raises(UsageError, match=r"must be a (plain )?function") as refused:
        call(client, tokens)
    assert refused.value.argument == argument


def test_on_event_must_not_be_a_coroutine_function() -> None:
    """A coroutine function is refused, because the client does not await it."""

    async def later(_event: Event) -> None:
        raise AssertionError

    with pytest.raises(UsageError, match="on_event: must be a plain function"):
        PasswordlessClient("tenant.example", "client", on_event=later)  # type: ignore[arg-type]


async def test_a_caller_cancelled_between_a_challenge_and_its_answer_has_not_spent_the_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The server did not look at the code, so it is presented once more, and nothing else of it is on the wire."""
    async with (
        asyncio.timeout(20),
        LocalTenant() as tenant,
        PasswordlessClient(tenant.url, tenant.public_client_id, profile=TESTING) as client,
    ):
        ada, reached, never = Email("ada@example.com"), asyncio.Event(), asyncio.Event()
        await client.start(ada)
        again = client._dispatcher.gate.again

        async def waits(*_: object) -> float:
            reached.set()
            await never.wait()
            return 0.0

        monkeypatch.setattr(client._dispatcher.gate, "again", waits)
        exchanging = asyncio.create_task(client.exchange(ada, tenant.outbox.code_for(ada)))
        await reached.wait()
        exchanging.cancel()
        await asyncio.gather(exchanging, return_exceptions=True)
        monkeypatch.setattr(client._dispatcher.gate, "again", again)
        tokens = await client.exchange(ada, tenant.outbox.code_for(ada))
        assert tokens.token_type == "DPoP"
        assert tenant.stats.presented_again == 0
