"""Every fault of the tenant, for a start, an exchange and a refresh, by one user and by 200 at once.

For each: how it ends, how many requests it takes, and whether it spends the code or the refresh token.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from passwordless_async import (
    INTERACTIVE,
    AccessDenied,
    Email,
    InvalidIdToken,
    MalformedAnswer,
    MfaRequired,
    NonceChallengeRepeated,
    NotSenderConstrained,
    OAuthError,
    OutcomeUnknown,
    PasswordlessClient,
    PasswordlessError,
    RateLimited,
    TemporarilyUnavailable,
    TokenSet,
    TooManyAttempts,
    UnauthorizedClient,
    UseDPoPNonce,
    VerificationRequired,
)
from passwordless_async.testing import Fault, LocalTenant, TenantSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

START, TOKEN = "/passwordless/start", "/oauth/token"
CROWD = 200
SIZE = 300_000  # bytes of a body that is too large
SCOPE = "openid offline_access"
# As for people who wait, without what takes time: no wait between tries, no patience with pauses. The circuit stays
# closed: the table says what each single request does.
PROFILE = attrs.evolve(
    INTERACTIVE,
    single=attrs.evolve(INTERACTIVE.single, patience=0.0, backoff=0.0, backoff_at_most=0.0),
    cool_down=0.0,
    adaptive=False,
    outage_after=1_000_000,
)


@attrs.frozen
class Row:
    """How one operation ends: the error (None: it succeeds), its requests, and what the tenant processed."""

    error: type[PasswordlessError] | None
    requests: int = 1
    spent: int = 1


GOOD = Row(None)


def refused(error: type[PasswordlessError], *, start: type[PasswordlessError] | None = None) -> tuple[Row, Row, Row]:
    """Return the rows of a request that is answered and not processed."""
    row = Row(error, spent=0)
    return Row(start or error, spent=0), row, row


def unbelieved(error: type[PasswordlessError]) -> tuple[Row, Row, Row]:
    """Return the rows of tokens that must not be trusted: a start knows none."""
    return GOOD, Row(error), Row(error)


# Start, exchange, refresh.
TABLE: dict[Fault, tuple[Row, Row, Row]] = {
    Fault.SERVICE_UNAVAILABLE: (
        Row(TemporarilyUnavailable, requests=3, spent=0),
        Row(OutcomeUnknown, spent=0),
        Row(OutcomeUnknown, spent=0),
    ),
    **dict.fromkeys(
        (
            Fault.RATE_LIMITED_X_RATELIMIT,
            Fault.RATE_LIMITED_AUTH0,
            Fault.RATE_LIMITED_RETRY_AFTER,
            Fault.RATE_LIMITED_SILENT,
        ),
        refused(RateLimited),
    ),
    Fault.REDIRECT: refused(MalformedAnswer),
    Fault.DROP_BEFORE_READ: refused(OutcomeUnknown),
    Fault.DROP_AFTER_PROCESSING: (Row(OutcomeUnknown), Row(OutcomeUnknown), Row(OutcomeUnknown)),
    Fault.SLOW: (GOOD, GOOD, GOOD),
    # A start needs no body: 200 says all.
    Fault.GARBAGE_JSON: unbelieved(MalformedAnswer),
    Fault.WRONG_CONTENT_TYPE: unbelieved(MalformedAnswer),
    Fault.HUGE_BODY: (Row(MalformedAnswer), Row(MalformedAnswer), Row(MalformedAnswer)),
    # Three challenges are answered, each with a nonce that is new.
    Fault.CHALLENGE_FOREVER: (
        Row(UseDPoPNonce, spent=0),
        Row(NonceChallengeRepeated, requests=4, spent=0),
        Row(NonceChallengeRepeated, requests=4, spent=0),
    ),
    Fault.CHALLENGE_FOREVER_SAME_NONCE: (
        Row(UseDPoPNonce, spent=0),
        Row(NonceChallengeRepeated, requests=2, spent=0),
        Row(NonceChallengeRepeated, requests=2, spent=0),
    ),
    Fault.CHALLENGE_WITHOUT_HEADER: refused(MalformedAnswer, start=UseDPoPNonce),
    Fault.BEARER_TOKEN: unbelieved(NotSenderConstrained),
    Fault.TOKEN_OF_OTHER_KEY: (GOOD, GOOD, GOOD),  # opaque: userinfo finds out
    **dict.fromkeys(
        (fault for fault in Fault if fault.name.startswith("ID_TOKEN_") and fault is not Fault.ID_TOKEN_OF_OTHER_USER),
        unbelieved(InvalidIdToken),
    ),
    # The service says who logs in; a refresh must not change that.
    Fault.ID_TOKEN_OF_OTHER_USER: (GOOD, GOOD, Row(InvalidIdToken)),
    Fault.MFA_REQUIRED: refused(MfaRequired),
    Fault.ACCESS_DENIED: refused(AccessDenied),
    Fault.USER_BLOCKED: refused(AccessDenied),
    Fault.ACCOUNT_BLOCKED: refused(TooManyAttempts),
    Fault.UNAUTHORIZED_CLIENT: refused(UnauthorizedClient),
    Fault.ENDPOINT_DISABLED: refused(OAuthError),
    Fault.VERIFICATION_REQUIRED: refused(VerificationRequired),
    Fault.SMS_PROVIDER_ERROR: refused(OAuthError),
    Fault.REFUSAL: refused(OAuthError),
}
# A fault of the token endpoint alone: it redeems the grant, and then demands the nonce that the proof had. Without
# another nonce the request is not sent again.
SPENT_BY_CHALLENGE = Row(NonceChallengeRepeated)


def test_every_fault_has_its_row() -> None:
    """Each fault of the tenant is in the table."""
    assert set(Fault) == {*TABLE, Fault.CHALLENGE_SPENDS_CODE}


@asynccontextmanager
async def opened() -> AsyncIterator[tuple[LocalTenant, PasswordlessClient]]:
    """Run a tenant, and a client that knows its nonce and its keys."""
    async with (
        LocalTenant(TenantSettings(id_token_alg="ES256")) as tenant,
        PasswordlessClient(tenant.url, tenant.public_client_id, profile=PROFILE) as client,
    ):
        warm = Email("warm@example.com")
        await client.start(warm)
        await client.exchange(warm, tenant.outbox.code_for(warm), scope="openid")
        yield tenant, client


async def outcomes_of(calls: Any) -> Counter[type | None]:
    results = await asyncio.gather(*calls, return_exceptions=True)
    unexpected = [r for r in results if isinstance(r, BaseException) and not isinstance(r, PasswordlessError)]
    assert unexpected == []
    return Counter(type(r) if isinstance(r, PasswordlessError) else None for r in results)


async def logged_in(tenant: LocalTenant, client: PasswordlessClient, who: Email) -> TokenSet:
    await client.start(who)
    return await client.exchange(who, tenant.outbox.code_for(who), scope=SCOPE)


def holds(row: Row, users: int, outcomes: Counter[type | None], requests: int, spent: int) -> None:
    """Assert that the operation of each user ended as the row says."""
    assert {row.error: users} == outcomes
    assert (row.requests * users, row.spent * users) == (requests, spent)


PEOPLE = pytest.mark.parametrize(
    "users", [pytest.param(1, id="alone"), pytest.param(CROWD, id="crowd", marks=pytest.mark.slow)]
)


@PEOPLE
@pytest.mark.parametrize("fault", TABLE)
async def test_starts_during_a_fault(fault: Fault, users: int) -> None:
    """Each start ends as its row says, with as many requests and messages."""
    async with opened() as (tenant, client):
        crowd = [Email(f"user{number}@example.com") for number in range(users)]
        tenant.faults.add(fault, path=START, size=SIZE)
        requests, sent = tenant.stats.start_requests, tenant.stats.codes_sent
        outcomes = await outcomes_of(map(client.start, crowd))
        requests, sent = tenant.stats.start_requests - requests, tenant.stats.codes_sent - sent
        holds(TABLE[fault][0], users, outcomes, requests, sent)


@PEOPLE
@pytest.mark.parametrize("fault", Fault)
async def test_exchanges_during_a_fault(fault: Fault, users: int) -> None:
    """Each exchange ends as its row says; a code is sent again only after a nonce challenge or a 429."""
    async with opened() as (tenant, client):
        crowd = [Email(f"user{number}@example.com") for number in range(users)]
        await asyncio.gather(*map(client.start, crowd))
        tenant.faults.add(fault, path=TOKEN, size=SIZE)
        requests, presented = tenant.stats.token_requests, tenant.stats.codes_presented
        outcomes = await outcomes_of(client.exchange(who, tenant.outbox.code_for(who), scope=SCOPE) for who in crowd)
        requests, presented = tenant.stats.token_requests - requests, tenant.stats.codes_presented - presented
        row = SPENT_BY_CHALLENGE if fault is Fault.CHALLENGE_SPENDS_CODE else TABLE[fault][1]
        holds(row, users, outcomes, requests, presented)
        assert tenant.stats.presented_again == 0


@PEOPLE
@pytest.mark.parametrize("fault", Fault)
async def test_refreshes_during_a_fault(fault: Fault, users: int) -> None:
    """Each refresh ends as its row says; its token is sent again only after a nonce challenge or a 429."""
    async with opened() as (tenant, client):
        crowd = [Email(f"user{number}@example.com") for number in range(users)]
        sessions = await asyncio.gather(*(logged_in(tenant, client, who) for who in crowd))
        tenant.faults.add(fault, path=TOKEN, size=SIZE)
        requests, rotations = tenant.stats.token_requests, tenant.stats.refresh_rotations
        outcomes = await outcomes_of(map(client.refresh, sessions))
        requests, rotations = tenant.stats.token_requests - requests, tenant.stats.refresh_rotations - rotations
        row = SPENT_BY_CHALLENGE if fault is Fault.CHALLENGE_SPENDS_CODE else TABLE[fault][2]
        holds(row, users, outcomes, requests, rotations)
        assert tenant.stats.presented_again == 0
