"""Every fault of the tenant, for each operation: by one user, by 200 at once, with a store, and cancelled on the wire.

For each: how it ends, how many requests it takes, whether it spends the code or the refresh token, and who else is
affected: nobody. While the fault lasts, all operations at other endpoints succeed, and after it another user's call.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from helpers.values import present
from passwordless_async import (
    INTERACTIVE,
    AccessDenied,
    Email,
    InvalidIdToken,
    InvalidPhoneNumber,
    MalformedAnswer,
    MemoryStore,
    MfaRequired,
    NonceChallengeRepeated,
    NotSenderConstrained,
    OAuthError,
    Orphan,
    OutcomeUnknown,
    PasswordlessClient,
    PasswordlessError,
    QuotaExceeded,
    RateLimited,
    TemporarilyUnavailable,
    TokenSet,
    TooManyAttempts,
    UnauthorizedClient,
    UseDPoPNonce,
    VerificationRequired,
)
from passwordless_async.client.traffic import pace
from passwordless_async.testing import Fault, LocalTenant, TenantSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

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


# Start, exchange, refresh. The second factor ends as an exchange, a revocation as a start, but for what follows below.
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
    # A start needs no body, but what is there must be a receipt.
    Fault.GARBAGE_JSON: (Row(MalformedAnswer), Row(MalformedAnswer), Row(MalformedAnswer)),
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
    **dict.fromkeys((Fault.TOKEN_OF_OTHER_KEY, Fault.ACCESS_TOKEN_EXPIRED), (GOOD, GOOD, GOOD)),  # APIs find out
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
    Fault.SMS_PROVIDER_ERROR: refused(InvalidPhoneNumber),
    Fault.REFUSAL: refused(OAuthError),
}
FAULTS_OF_TOKENS = {
    Fault.BEARER_TOKEN,
    Fault.TOKEN_OF_OTHER_KEY,
    Fault.ACCESS_TOKEN_EXPIRED,
    *(fault for fault in Fault if fault.name.startswith("ID_TOKEN_")),
}
# A fault of the token endpoint alone: it redeems the grant, and then demands the nonce that the proof had. Without
# another nonce the request is not sent again.
SPENT_BY_CHALLENGE = Row(NonceChallengeRepeated)
# What a revocation or a question about the user does to a fault; both may be repeated, and neither spends anything.
REVOKE: dict[Fault, Row] = {
    Fault.DROP_BEFORE_READ: Row(OutcomeUnknown, requests=3, spent=0),
    Fault.DROP_AFTER_PROCESSING: Row(OutcomeUnknown, requests=3),
    # RFC 7009 §2.2: the body is ignored, of whatever size.
    **dict.fromkeys((Fault.GARBAGE_JSON, Fault.HUGE_BODY), GOOD),
}
USERINFO: dict[Fault, Row] = {
    **dict.fromkeys((Fault.DROP_BEFORE_READ, Fault.DROP_AFTER_PROCESSING), Row(OutcomeUnknown, requests=3)),
    Fault.RATE_LIMITED_SILENT: Row(RateLimited, requests=3),
    **dict.fromkeys((Fault.GARBAGE_JSON, Fault.WRONG_CONTENT_TYPE), Row(MalformedAnswer)),
    Fault.CHALLENGE_FOREVER: Row(NonceChallengeRepeated, requests=4),
    Fault.CHALLENGE_FOREVER_SAME_NONCE: Row(NonceChallengeRepeated, requests=2),
    Fault.CHALLENGE_WITHOUT_HEADER: Row(MalformedAnswer),
}

Call = Callable[[PasswordlessClient], Awaitable[Any]]  # any client of the tenant may make it


async def start(_tenant: LocalTenant, _client: PasswordlessClient, who: Email) -> Call:
    return lambda client: client.start(who)


async def exchange(tenant: LocalTenant, client: PasswordlessClient, who: Email) -> Call:
    await client.start(who)
    code = tenant.outbox.code_for(who)
    return lambda client: client.exchange(who, code, scope=SCOPE)


async def logged_in(tenant: LocalTenant, client: PasswordlessClient, who: Email) -> TokenSet:
    tokens: TokenSet = await (await exchange(tenant, client, who))(client)
    return tokens


def refresh_of(tokens: TokenSet) -> Call:
    return lambda client: client.refresh(tokens)


async def refresh(tenant: LocalTenant, client: PasswordlessClient, who: Email) -> Call:
    return refresh_of(await logged_in(tenant, client, who))


async def userinfo(tenant: LocalTenant, client: PasswordlessClient, who: Email) -> Call:
    tokens = await logged_in(tenant, client, who)
    return lambda client: client.userinfo(tokens)


async def revoke(tenant: LocalTenant, client: PasswordlessClient, who: Email) -> Call:
    tokens = await logged_in(tenant, client, who)
    return lambda client: client.revoke(tokens)


async def mfa(tenant: LocalTenant, client: PasswordlessClient, who: Email) -> Call:
    tenant.users.add(who, mfa=("otp",))
    with pytest.raises(MfaRequired) as stopped:
        await logged_in(tenant, client, who)
    state = present(stopped.value.state)
    return lambda client: client.mfa.verify_otp(state, tenant.mfa.otp_for(who))


@attrs.frozen
class Operation:
    """An operation: what brings a user to it, its endpoint, and the tenant's count of what it processed."""

    prepare: Callable[[LocalTenant, PasswordlessClient, Email], Awaitable[Call]]
    path: str
    counter: str | None  # of TenantStats; None: nothing is spent
    gives_tokens: bool = False

    @property
    def name(self) -> str:
        return self.prepare.__name__

    def row(self, fault: Fault) -> Row:
        """Return how it ends."""
        if fault is Fault.CHALLENGE_SPENDS_CODE:
            return SPENT_BY_CHALLENGE if self.name != "mfa" else attrs.evolve(SPENT_BY_CHALLENGE, spent=0)
        started, exchanged, refreshed = TABLE[fault]
        rows = {
            "start": started,
            "exchange": exchanged,
            "refresh": refreshed,
            "mfa": exchanged,
            "revoke": REVOKE.get(fault, started),
            "userinfo": attrs.evolve(USERINFO.get(fault, started), spent=0),
        }
        return rows[self.name]

    def calls_after(self, fault: Fault, calls: list[Call], results: list[Any]) -> list[Call]:
        """Return the calls that the same users can make next; none if what they had is spent."""
        row = self.row(fault)
        if self.name == "refresh" and row.error is None:
            return [refresh_of(tokens) for tokens in results]
        is_spent = row.spent > 0 or fault is Fault.CHALLENGE_SPENDS_CODE
        return [] if is_spent and self.name != "start" else calls

    def counts(self, tenant: LocalTenant) -> tuple[int, int]:
        """Return how many requests came, and how many were processed."""
        return len(tenant.requests.to(self.path)), getattr(tenant.stats, self.counter) if self.counter else 0


OPERATIONS = (
    Operation(start, "/passwordless/start", "codes_sent"),
    Operation(exchange, "/oauth/token", "codes_presented", gives_tokens=True),
    Operation(refresh, "/oauth/token", "refresh_rotations", gives_tokens=True),
    Operation(userinfo, "/userinfo", None),
    Operation(revoke, "/oauth/revoke", "families_revoked"),
    Operation(mfa, "/oauth/token", "tokens_issued", gives_tokens=True),
)


def test_every_fault_has_its_row() -> None:
    """Each fault of the tenant is in the table."""
    assert set(Fault) == {*TABLE, Fault.CHALLENGE_SPENDS_CODE}


@pytest.fixture(autouse=True)
def _long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a 429 that names no time, all wait for longer than a crowd takes on a busy machine: none goes again."""
    monkeypatch.setattr(pace, "_FIRST_PAUSE", 60.0)


@asynccontextmanager
async def opened_client(tenant: LocalTenant, **options: Any) -> AsyncIterator[PasswordlessClient]:
    """Open a client of a tenant that knows its nonce and its keys."""
    async with PasswordlessClient(tenant.url, tenant.public_client_id, profile=PROFILE, **options) as client:
        warm = Email("warm@example.com")
        await client.start(warm)
        await client.exchange(warm, tenant.outbox.code_for(warm), scope="openid")
        yield client


async def results_of(calls: Iterable[Call], client: PasswordlessClient) -> list[Any]:
    results = await asyncio.gather(*(call(client) for call in calls), return_exceptions=True)
    unexpected = [r for r in results if isinstance(r, BaseException) and not isinstance(r, PasswordlessError)]
    assert unexpected == []
    return results


def outcomes_in(results: Iterable[Any]) -> Counter[type | None]:
    return Counter(type(r) if isinstance(r, PasswordlessError) else None for r in results)


async def outcomes_of(calls: Iterable[Call], client: PasswordlessClient) -> Counter[type | None]:
    return outcomes_in(await results_of(calls, client))


def faults_of(operation: Operation) -> list[Fault]:
    """Return the faults that an operation's endpoint can have."""
    return [f for f in Fault if f is not Fault.CHALLENGE_SPENDS_CODE or operation.path == "/oauth/token"]


def faults_met_by(operation: Operation) -> list[Fault]:
    """Return the faults that an operation can notice: what is wrong with tokens shows where there are any."""
    return [f for f in faults_of(operation) if operation.gives_tokens or f not in FAULTS_OF_TOKENS]


def combinations(quick: int) -> pytest.MarkDecorator:
    """Make a test run for each operation and each fault that its endpoint can have; one of ``quick`` is quick."""
    pairs = [(operation, fault) for operation in OPERATIONS for fault in faults_of(operation)]
    return pytest.mark.parametrize(
        ("operation", "fault"),
        [
            pytest.param(*pair, id=f"{pair[0].name}-{pair[1]}", marks=pytest.mark.slow if number % quick else ())
            for number, pair in enumerate(pairs)
        ],
    )


async def others_of(operation: Operation, tenant: LocalTenant, client: PasswordlessClient) -> tuple[list[Call], Call]:
    """Bring other users to each operation at another endpoint, and one to the same operation."""
    elsewhere = [
        await other.prepare(tenant, client, Email(f"{other.name}@example.com"))
        for other in OPERATIONS
        if other.path != operation.path
    ]
    return elsewhere, await operation.prepare(tenant, client, Email("another@example.com"))


def unaffected(fault: Fault) -> set[type | None]:
    """Return how the calls of other users may end: well. A limit of the tenant's holds them back, and sends nothing."""
    return {None, QuotaExceeded} if fault.name.startswith("RATE_LIMITED_") else {None}


async def prepared(
    operation: Operation, tenant: LocalTenant, client: PasswordlessClient, users: int, name: str = "user"
) -> list[Call]:
    """Bring users to an operation."""
    crowd = [Email(f"{name}{number}@example.com") for number in range(users)]
    return await asyncio.gather(*(operation.prepare(tenant, client, who) for who in crowd))


async def meet(
    operation: Operation,
    fault: Fault,
    calls: list[Call],
    tenant: LocalTenant,
    client: PasswordlessClient,
    *,
    is_repeated: bool = False,
) -> list[Any]:
    """Assert that each call ends as its row says, and that no other user is affected; return the results.

    ``is_repeated``: another client made the same calls before, and presented what they present.
    """
    presented_again = tenant.stats.presented_again
    elsewhere, another = await others_of(operation, tenant, client)
    tenant.faults.add(fault, path=operation.path, size=SIZE)
    requests, spent = operation.counts(tenant)
    results = await results_of(calls, client)
    now_requests, now_spent = operation.counts(tenant)
    row, users = operation.row(fault), len(calls)
    assert outcomes_in(results) == {row.error: users}
    assert (now_requests - requests, now_spent - spent) == (row.requests * users, row.spent * users)
    during = await outcomes_of(elsewhere, client)
    tenant.faults.clear()
    after = await outcomes_of([another], client)
    assert set(during + after) <= unaffected(fault)
    assert tenant.stats.presented_again - presented_again in ({0, users} if is_repeated else {0})
    assert tenant.disagreements == ()
    return results


async def meet_alone(operation: Operation, fault: Fault, users: int, **options: Any) -> None:
    async with new_tenant() as tenant, opened_client(tenant, **options) as client:
        await meet(operation, fault, await prepared(operation, tenant, client, users), tenant, client)


def new_tenant() -> LocalTenant:
    return LocalTenant(TenantSettings(id_token_alg="ES256"))


@combinations(quick=3)
async def test_alone(operation: Operation, fault: Fault) -> None:
    """A code or refresh token is sent again only after a nonce challenge or a 429; no other user notices."""
    await meet_alone(operation, fault, 1)


SHARES = 3  # of an operation's faults, to be run by several processes


@pytest.mark.slow
@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
async def test_crowd(operation: Operation, share: int) -> None:
    """The same holds for each of 200 users at once, in one fault after the other.

    Each fault meets a new client. Users whose code or token was not spent call again in the next one.
    """
    calls: list[Call] = []
    async with new_tenant() as tenant:
        for fault in faults_met_by(operation)[share::SHARES]:
            async with opened_client(tenant) as client:
                is_repeated = bool(calls)
                calls = calls or await prepared(operation, tenant, client, CROWD, name=f"{fault}-")
                results = await meet(operation, fault, calls, tenant, client, is_repeated=is_repeated)
            calls = operation.calls_after(fault, calls, results)


@combinations(quick=10)
async def test_with_a_store(operation: Operation, fault: Fault) -> None:
    """The same holds for a client whose rules about codes and refresh tokens go by a store."""
    await meet_alone(operation, fault, 2, store=MemoryStore())


@combinations(quick=10)
async def test_cancelled(operation: Operation, fault: Fault) -> None:
    """A caller that is cancelled once its request is on the wire: nothing is sent again, tokens are handed over."""
    orphans: list[Orphan] = []
    async with new_tenant() as tenant, opened_client(tenant, on_orphan=orphans.append) as client:
        call = await operation.prepare(tenant, client, Email("user@example.com"))
        elsewhere, another = await others_of(operation, tenant, client)
        tenant.faults.add(fault, path=operation.path, size=SIZE)
        requests = operation.counts(tenant)[0]
        caller = asyncio.ensure_future(call(client))
        while operation.counts(tenant)[0] == requests:  # noqa: ASYNC110 - the tenant's log has no event
            await asyncio.sleep(0)
        caller.cancel()
        during = await outcomes_of(elsewhere, client)
        tenant.faults.clear()
        after = await outcomes_of([another], client)
        assert set(during + after) <= unaffected(fault)
        await client.aclose(grace=5.0)
        assert caller.cancelled()
        assert tenant.stats.presented_again == 0
        if operation.gives_tokens and operation.row(fault).error is None:
            assert [isinstance(orphan.tokens, TokenSet) for orphan in orphans] == [True]
