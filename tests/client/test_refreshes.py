"""One rule for refresh tokens: one request for all callers, and one that may be spent is sent again through no door."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from helpers import errors
from helpers.clients import TOKEN, arrived, cancelled, kept_waiting, until
from passwordless_async import (
    TESTING,
    ClientClosed,
    DPoPKey,
    Email,
    InvalidDPoPProof,
    InvalidRefreshToken,
    NotSent,
    OAuthError,
    Orphan,
    OutcomeUnknown,
    PasswordlessClient,
    PasswordlessError,
    Policy,
    TokenSet,
    UsageError,
)
from passwordless_async._common.secret import Secret
from passwordless_async.auth0.tokens import owner_of
from passwordless_async.client import refreshes
from passwordless_async.client.refreshes import is_unspent, key_of, token_hash
from passwordless_async.errors import ProtocolError
from passwordless_async.testing import Fault, LocalTenant, TenantSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Door = Callable[[PasswordlessClient, TokenSet, str], Awaitable[object]]

ADA, BOB = Email("ada@example.com"), Email("bob@example.com")
SCOPE = "openid email offline_access"
NARROW = "openid offline_access"


@asynccontextmanager
async def opened(
    settings: TenantSettings | None = None,
    *,
    on_orphan: Callable[[Orphan], None] | None = None,
    options: dict[str, Any] | None = None,
    **changes: Any,
) -> AsyncIterator[tuple[LocalTenant, PasswordlessClient, TokenSet]]:
    """Run a tenant and a client, and log Ada in; options are the client's, changes the profile's."""
    async with (
        LocalTenant(settings) as tenant,
        PasswordlessClient(
            tenant.url,
            tenant.public_client_id,
            profile=attrs.evolve(TESTING, **changes),
            on_orphan=on_orphan,
            **(options or {}),
        ) as client,
    ):
        tokens = await logged_in(tenant, client, ADA)
        tenant.requests.clear()
        yield tenant, client, tokens
        assert (tenant.stats.refresh_reuse_detected, tenant.disagreements) == (0, ())


async def logged_in(tenant: LocalTenant, client: PasswordlessClient, who: Email) -> TokenSet:
    await client.start(who)
    return await client.exchange(who, tenant.outbox.code_for(who), scope=SCOPE)


def made(**changes: Any) -> TokenSet:
    """Make tokens that no tenant has issued."""
    tokens = TokenSet(Secret("a"), "DPoP", None, "", Secret("r"), None, None, DPoPKey.generate())
    return attrs.evolve(tokens, **changes)


# What a failed refresh says of its token

UNSPENT = {
    "NotSent",
    "CircuitOpen",
    "QuotaExceeded",
    "CoolingDown",
    "UsageError",
    "KeyMissing",
    "KeyMismatch",
    "BindingRequired",
}


def test_a_refresh_token_is_unspent_where_it_was_not_sent_or_was_refused() -> None:
    """Every other error leaves that open, but for an unusable answer that keeps the refresh token."""
    refused = {
        kind for kind in errors.classes() if kind.__name__ in UNSPENT or issubclass(kind, (OAuthError, UsageError))
    }
    assert {kind for kind in errors.classes() if is_unspent(errors.made(kind))} == refused
    keeping = {kind for kind in errors.classes() if is_unspent(errors.made(kind, keeps_refresh_token=True))}
    assert keeping == refused | set(errors.classes(ProtocolError))


@pytest.mark.parametrize(
    "fault",
    [
        Fault.DROP_BEFORE_READ,
        Fault.DROP_AFTER_PROCESSING,
        Fault.SERVICE_UNAVAILABLE,
        Fault.GARBAGE_JSON,
        Fault.BEARER_TOKEN,
        Fault.ID_TOKEN_TAMPERED,
        Fault.HUGE_BODY,
    ],
)
async def test_a_refresh_token_that_may_be_spent_is_not_sent_again(fault: Fault) -> None:
    """The next caller gets OutcomeUnknown at once, and other users' tokens are refreshed."""
    async with opened() as (tenant, client, tokens):
        others = await logged_in(tenant, client, BOB)
        tenant.faults.add(fault, path=TOKEN, times=1)
        with pytest.raises((OutcomeUnknown, ProtocolError)):
            await client.refresh(tokens)
        requests = arrived(tenant, TOKEN)
        for scope in (None, NARROW):
            with pytest.raises(OutcomeUnknown, match="was not sent again"):
                await client.refresh(tokens, scope=scope)
        with pytest.raises(OutcomeUnknown):
            await client.refresh(attrs.evolve(tokens, key=DPoPKey.generate(), jkt=None))
        assert arrived(tenant, TOKEN) == requests
        await client.refresh(others)


@pytest.mark.parametrize("fault", [Fault.BEARER_TOKEN, Fault.ID_TOKEN_TAMPERED, Fault.ID_TOKEN_OF_OTHER_USER])
async def test_after_an_unusable_answer_that_keeps_the_refresh_token_it_is_sent_again(fault: Fault) -> None:
    """Without rotation the answer spends nothing."""
    async with opened(TenantSettings(refresh_rotation=False)) as (tenant, client, tokens):
        tenant.faults.add(fault, path=TOKEN, times=1)
        with pytest.raises(ProtocolError):
            await client.refresh(tokens)
        assert (await client.refresh(tokens)).refresh_token == tokens.refresh_token


@pytest.mark.parametrize(
    "fault",
    [
        Fault.RATE_LIMITED_RETRY_AFTER,
        Fault.ACCESS_DENIED,
        Fault.UNAUTHORIZED_CLIENT,
        Fault.USER_BLOCKED,
        Fault.CHALLENGE_FOREVER,
        Fault.REFUSAL,
    ],
)
async def test_after_a_refusal_a_refresh_token_is_sent_again(fault: Fault) -> None:
    """The service did not spend it."""
    async with opened() as (tenant, client, tokens):
        tenant.faults.add(fault, path=TOKEN, retry_after=0)
        with pytest.raises(OAuthError):
            await client.refresh(tokens)
        tenant.faults.clear()
        assert (await client.refresh(tokens)).refresh_token != tokens.refresh_token


async def test_a_refresh_token_that_was_not_sent_is_sent_later() -> None:
    """During an outage nothing leaves this machine."""
    async with opened() as (tenant, client, tokens):
        async with tenant.outage():
            # A connection that was open before the outage serves one request more, or breaks.
            with pytest.raises(PasswordlessError):
                await client.exchange(BOB, "123456")
            with pytest.raises(NotSent):
                await client.refresh(tokens)
        assert (await client.refresh(tokens)).refresh_token != tokens.refresh_token


async def test_a_refresh_that_is_cancelled_before_it_is_sent_spends_nothing() -> None:
    """A caller that is cancelled while it waits for its turn leaves the token as it was."""
    async with opened(max_in_flight=1) as (tenant, client, tokens):
        await client.start(BOB)
        ahead, answer = await kept_waiting(tenant, client.exchange(BOB, tenant.outbox.code_for(BOB)))
        waiting = asyncio.create_task(client.refresh(tokens))
        for _ in range(5):
            await asyncio.sleep(0)
        await cancelled(waiting)
        answer.set()
        await ahead
        assert arrived(tenant, TOKEN) == 1
        assert (await client.refresh(tokens)).refresh_token != tokens.refresh_token


async def test_a_foreign_exception_while_it_is_on_the_wire_leaves_the_outcome_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever the exception is: the service may have spent the token."""
    async with opened() as (tenant, client, tokens):
        transport = client._dispatcher._transport
        send = transport.send

        async def fail(*arguments: Any) -> None:
            await send(*arguments)
            raise RuntimeError("foreign")

        with monkeypatch.context() as patched:
            patched.setattr(transport, "send", fail)
            with pytest.raises(RuntimeError, match="foreign"):
                await client.refresh(tokens)
        with pytest.raises(OutcomeUnknown, match="was not sent again"):
            await client.refresh(tokens)
        assert arrived(tenant, TOKEN) == 1


async def test_tokens_without_a_refresh_token_are_refused() -> None:
    """Nothing is sent."""
    async with opened() as (tenant, client, tokens):
        with pytest.raises(UsageError, match="offline_access"):
            await client.refresh(attrs.evolve(tokens, refresh_token=None))
        assert arrived(tenant, TOKEN) == 0
        assert token_hash(attrs.evolve(tokens, refresh_token=None)) == b""


async def test_a_wrong_argument_is_named_before_the_client_is_asked_to_send() -> None:
    """Even by a client that is closed, which sends nothing."""
    async with opened() as (_, client, tokens):
        await client.aclose()
        without, others = attrs.evolve(tokens, refresh_token=None), attrs.evolve(tokens, client_id="other")
        for call in (client.refresh, client.revoke):
            with pytest.raises(UsageError, match="offline_access"):
                await call(without)
            with pytest.raises(UsageError, match="must be this application's"):
                await call(others)
            with pytest.raises(ClientClosed):
                await call(tokens)
        with pytest.raises(ClientClosed):
            client._refreshes.require_open()
        assert not client._refreshes.is_revoked(token_hash(tokens), tokens)


async def test_tokens_of_another_application_get_nothing_from_a_stored_session() -> None:
    """Although a session has the same refresh token and key: nothing is sent."""
    async with opened() as (tenant, client, tokens):
        await client.sessions.open(tokens)
        with pytest.raises(UsageError, match="must be this application's"):
            await client.refresh(attrs.evolve(tokens, client_id="other"))
        assert arrived(tenant, TOKEN) == 0


async def test_the_scope_of_a_stored_session_cannot_be_narrowed() -> None:
    """Its tokens must stay good for all its uses: nothing is sent, and the session keeps them."""
    async with opened() as (tenant, client, tokens):
        identifier = await client.sessions.open(tokens)
        with pytest.raises(UsageError, match=r"^scope: cannot be narrowed"):
            await client.refresh(tokens, scope=NARROW)
        assert arrived(tenant, TOKEN) == 0
        assert (await client.sessions.get(identifier)).tokens == tokens


@pytest.mark.parametrize(
    ("dpop", "has_key", "is_proven"),
    [("off", False, False), ("off", True, True), ("preferred", False, True), ("preferred", True, True)],
)
async def test_a_refresh_goes_to_the_dispatcher_with_its_user_and_policy(
    monkeypatch: pytest.MonkeyPatch, dpop: Any, *, has_key: bool, is_proven: bool
) -> None:
    """It waits for a first nonce if it carries a proof. What was sent before is tried once."""
    calls = list[Any]()

    async def run(call: object, _departure: object) -> TokenSet:
        calls.append(call)
        return tokens

    tokens = made(claims={"sub": "ada"}, **({} if has_key else {"token_type": "Bearer", "key": None}))
    options: dict[str, Any] = {"profile": TESTING, "dpop": dpop, "refresh_token_leeway": 30.0}
    async with PasswordlessClient("acme.eu.auth0.com", "client", **options) as client:
        monkeypatch.setattr(client._dispatcher, "run", run)
        await client.refresh(tokens)
        await client._refreshes.refresh_directly(tokens, sent_before=1.0)
    assert [(call.is_proven, call.user) for call in calls] == [(is_proven, "ada")] * 2
    assert [call.policy and call.policy.tries for call in calls] == [None, 1]


async def test_a_session_that_has_ended_is_asked_once() -> None:
    """Its tokens are refreshed without it from then on; a session without a refresh token is never asked."""
    async with opened() as (_, client, tokens):
        identifier = await client.sessions.open(tokens)
        await client.sessions.open(attrs.evolve(tokens, refresh_token=None))
        noted = client._refreshes._stored.sessions
        assert len(noted(key_of(tokens))) == 1
        assert noted(key_of(attrs.evolve(tokens, refresh_token=None))) == ()
        await client.sessions.close(identifier, revoke=False)
        assert (await client.refresh(tokens)).refresh_token != tokens.refresh_token
        assert noted(key_of(tokens)) == ()


async def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the tokens whose outcome is unknown the one least recently used is forgotten first."""
    monkeypatch.setattr(refreshes, "_REMEMBERED", 2)
    async with opened() as (tenant, client, tokens):
        lost = [tokens, *[await logged_in(tenant, client, Email(f"u{number}@example.com")) for number in range(2)]]
        for stale in lost:
            tenant.faults.add(Fault.DROP_BEFORE_READ, path=TOKEN, times=1)
            with pytest.raises(OutcomeUnknown):
                await client.refresh(stale)
        tenant.requests.clear()
        await client.refresh(lost[0])
        for stale in lost[1:]:
            with pytest.raises(OutcomeUnknown):
                await client.refresh(stale)
        assert arrived(tenant, TOKEN) == 1


# The overlap that a tenant allows, and refresh tokens that stay

LOST = [Fault.DROP_BEFORE_READ, Fault.DROP_AFTER_PROCESSING, Fault.SERVICE_UNAVAILABLE, Fault.GARBAGE_JSON]
LEEWAY = TenantSettings(refresh_leeway=3600.0)
STAYING = TenantSettings(refresh_rotation=False)
MANY = Policy(tries=6, patience=60.0, backoff=0.0, backoff_at_most=0.0, outlasts_outages=True)


@pytest.mark.parametrize("tries", [1, 3])
@pytest.mark.parametrize("fault", LOST)
async def test_within_the_overlap_a_refresh_token_is_sent_again(clock: Any, fault: Fault, tries: int) -> None:
    """By the same call if the profile has further tries, else by the next; after the overlap never."""
    single = attrs.evolve(TESTING.single, tries=tries)
    options = {"refresh_token_leeway": 30.0}
    async with opened(LEEWAY, options=options, single=single) as (tenant, client, tokens):
        tenant.faults.add(fault, path=TOKEN, times=1)
        if tries == 1:
            with pytest.raises((OutcomeUnknown, ProtocolError)):
                await client.refresh(tokens)
            clock.time += 29.0
        renewed = await client.refresh(tokens)
        assert arrived(tenant, TOKEN) == 2
        tenant.faults.add(fault, path=TOKEN, times=tries)
        with pytest.raises((OutcomeUnknown, ProtocolError)):
            await client.refresh(renewed)
        tenant.faults.clear()
        tenant.requests.clear()
        clock.time += 30.0
        with pytest.raises(OutcomeUnknown, match="was not sent again"):
            await client.refresh(renewed)
        assert arrived(tenant, TOKEN) == 0


@pytest.mark.parametrize("fault", LOST)
async def test_a_refresh_token_that_does_not_rotate_is_sent_again(clock: Any, fault: Fault) -> None:
    """However long ago the answer was lost: it is never spent."""
    async with opened(STAYING, options={"refresh_token_rotation": False}) as (tenant, client, tokens):
        tenant.faults.add(fault, path=TOKEN, times=1)
        with pytest.raises((OutcomeUnknown, ProtocolError)):
            await client.refresh(tokens)
        clock.time += 1e6
        assert (await client.refresh(tokens)).access_token != tokens.access_token


async def test_a_second_try_that_is_not_sent_leaves_the_outcome_unknown(clock: Any) -> None:
    """The first one may have been processed: after the overlap the token is not sent."""
    async with opened(LEEWAY, options={"refresh_token_leeway": 30.0}) as (tenant, client, tokens):
        tenant.faults.add(Fault.DROP_AFTER_PROCESSING, path=TOKEN, times=1)
        with pytest.raises(OutcomeUnknown):
            await client.refresh(tokens)
        tenant.faults.add(Fault.RATE_LIMITED_SILENT, path=TOKEN, times=1)
        with pytest.raises(OAuthError):
            await client.refresh(tokens)
        assert client._refreshes.is_doubtful(tokens)
        clock.time += 30.0
        with pytest.raises(OutcomeUnknown, match="was not sent again"):
            await client.refresh(tokens)


def unanswered(clock: Any, seconds: float, policies: list[Policy | None]) -> Callable[..., Awaitable[TokenSet]]:
    """Make a request that is sent, and has no answer after so many seconds; the policies of all are noted."""

    async def request(_request: object, departure: Any, policy: Policy | None) -> TokenSet:
        policies.append(policy)
        departure.on_wire = True
        clock.time += seconds
        raise OutcomeUnknown("no answer came")

    return request


async def test_a_refresh_token_is_tried_for_as_long_as_the_overlap_lasts(
    clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the first use on: each further request is tried once, and waits no longer than what is left."""
    policies = list[Policy | None]()
    async with opened(options={"refresh_token_leeway": 30.0}, single=MANY) as (_, client, tokens):
        monkeypatch.setattr(client._refreshes, "_refresh", unanswered(clock, 9.9, policies))
        with pytest.raises(OutcomeUnknown, match=r"^no answer came"):
            await client.refresh(tokens)
        left = [None if policy is None else round(policy.patience, 3) for policy in policies]
        assert left == [None, 20.1, 10.2, 0.3]
        single = {(policy.tries, policy.outlasts_outages) for policy in policies if policy is not None}
        assert single == {(1, False)}


async def test_a_refresh_token_that_stays_is_tried_as_often_as_the_profile_says(
    clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each request has the whole policy, however long ago the first one was."""
    policies = list[Policy | None]()
    options = {"refresh_token_rotation": False}
    async with opened(STAYING, options=options, single=MANY) as (_, client, tokens):
        monkeypatch.setattr(client._refreshes, "_refresh", unanswered(clock, 1e6, policies))
        with pytest.raises(OutcomeUnknown, match=r"^no answer came"):
            await client.refresh(tokens)
        assert policies == [None] * MANY.tries


@asynccontextmanager
async def answering(answer: Callable[[str | None], TokenSet]) -> AsyncIterator[tuple[PasswordlessClient, TokenSet]]:
    """Open a client whose requests are answered at once, by their scope; a try waits for longer each time."""
    profile = attrs.evolve(TESTING, single=attrs.evolve(MANY, tries=4, backoff=2.0, backoff_at_most=100.0))

    async def request(request: Any, _departure: object, _policy: object) -> TokenSet:
        await asyncio.sleep(0)
        return answer(request.scope)

    client = PasswordlessClient("acme.eu.auth0.com", "client", profile=profile, refresh_token_rotation=False)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(client._refreshes, "_refresh", request)
        async with client:
            yield client, made()


def test_a_refresh_token_waits_longer_before_each_try(in_virtual_time: Callable[[Any], Any]) -> None:
    """By the profile's backoff, once, twice and so on."""

    async def tried() -> list[float]:
        loop, at = asyncio.get_running_loop(), list[float]()

        def answer(_scope: str | None) -> TokenSet:
            at.append(loop.time())
            raise OutcomeUnknown("no answer came")

        async with answering(answer) as (client, tokens):
            with pytest.raises(OutcomeUnknown):
                await client.refresh(tokens)
        return [later - earlier for earlier, later in pairwise(at)]

    assert in_virtual_time(tried()) == [2.0, 4.0, 6.0]


def test_a_refusal_is_not_waited_for(in_virtual_time: Callable[[Any], Any]) -> None:
    """It comes at once, although the profile has further tries."""

    async def refused() -> float:
        loop = asyncio.get_running_loop()

        def answer(_scope: str | None) -> TokenSet:
            raise InvalidRefreshToken(status=403, error="invalid_grant")

        async with answering(answer) as (client, tokens):
            began = loop.time()
            with pytest.raises(InvalidRefreshToken):
                await client.refresh(tokens)
            return loop.time() - began

    assert in_virtual_time(refused()) == 0.0


def test_a_caller_with_another_scope_waits_for_two_answers_alone(in_virtual_time: Callable[[Any], Any]) -> None:
    """For the one under way, and for its own."""

    async def both() -> tuple[list[str], float]:
        loop = asyncio.get_running_loop()
        async with answering(lambda scope: attrs.evolve(tokens, scope=scope or SCOPE)) as (client, tokens):
            began = loop.time()
            renewed = await asyncio.gather(client.refresh(tokens), client.refresh(tokens, scope=NARROW))
            return [each.scope for each in renewed], loop.time() - began

    assert in_virtual_time(both()) == ([SCOPE, NARROW], 0.0)


async def test_a_caller_cancelled_between_two_tries_loses_no_tokens() -> None:
    """The service may have answered the first: the second gets new tokens, which are an orphan."""
    orphans = list[Orphan]()
    single = attrs.evolve(TESTING.single, tries=2, backoff=0.05)
    options = {"refresh_token_leeway": 3600.0}
    async with opened(LEEWAY, options=options, on_orphan=orphans.append, single=single) as (tenant, client, tokens):
        tenant.faults.add(Fault.DROP_AFTER_PROCESSING, path=TOKEN, times=1)
        refreshing = asyncio.create_task(client.refresh(tokens))
        await until(lambda: client._refreshes.is_doubtful(tokens))
        await cancelled(refreshing)
        await until(lambda: orphans)
        assert [(orphan.spent, orphan.error) for orphan in orphans] == [(tokens, None)]
        assert not client._refreshes.is_doubtful(tokens)
        assert arrived(tenant, TOKEN) == 2


async def test_a_refresh_without_callers_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was sent is waited for; whether the token is sent once more is for the next caller to ask."""
    answered, requests = asyncio.Event(), list[object]()

    async def request(request: object, departure: Any, _policy: object) -> TokenSet:
        requests.append(request)
        departure.on_wire = True
        await answered.wait()
        raise OutcomeUnknown("no answer came")

    async with opened(options={"refresh_token_leeway": 3600.0}, single=MANY) as (_, client, tokens):
        monkeypatch.setattr(client._refreshes, "_refresh", request)
        refreshing = asyncio.create_task(client.refresh(tokens))
        await until(lambda: requests)
        await cancelled(refreshing)
        answered.set()
        await until(lambda: not client._refreshes._flights._flights)
        assert len(requests) == 1


async def test_the_overlap_counts_from_the_first_use_by_another_process(clock: Any) -> None:
    """As the store tells it: after the overlap nothing is sent."""
    async with opened(LEEWAY, options={"refresh_token_leeway": 30.0}) as (tenant, client, tokens):
        with pytest.raises(OutcomeUnknown, match="was not sent again"):
            await client._refreshes.refresh_directly(tokens, sent_before=30.0)
        assert arrived(tenant, TOKEN) == 0
        await client._refreshes.refresh_directly(tokens, sent_before=29.9)
        clock.time += 0.1
        client._refreshes._flights._keep = 0.0
        client._refreshes._flights.forget_kept(lambda *_: True)
        with pytest.raises(InvalidRefreshToken, match="replaced"):
            await client.refresh(tokens)
        assert arrived(tenant, TOKEN) == 1


async def test_the_overlap_of_a_replaced_refresh_token_counts_from_its_first_use(clock: Any) -> None:
    """Used again within it, it is not used after it: the service would treat that as theft and end the login."""
    options = {"refresh_token_leeway": 30.0}
    async with opened(LEEWAY, options=options) as (tenant, client, tokens):
        client._refreshes._flights._keep = 0.0
        for seconds in (0.0, 20.0, 9.9):
            clock.time += seconds
            assert (await client.refresh(tokens)).refresh_token != tokens.refresh_token
        clock.time += 0.1
        with pytest.raises(InvalidRefreshToken, match="spent before, and replaced"):
            await client.refresh(tokens)
        assert arrived(tenant, TOKEN) == 3


async def test_a_final_answer_is_remembered() -> None:
    """A refresh token that the service has refused, or has replaced, is not sent again, with the same key."""
    async with opened() as (tenant, client, tokens):
        client._refreshes._flights._keep = 0.0
        renewed = await client.refresh(tokens)
        assert [client._refreshes.is_replaced(each) for each in (tokens, renewed)] == [True, False]
        async with PasswordlessClient(tenant.url, tenant.public_client_id, profile=TESTING) as elsewhere:
            await elsewhere.revoke(renewed)
        replaced, refused = "spent before, and replaced", "invalid_grant"
        for stale, answer in ((tokens, replaced), (renewed, refused), (renewed, refused), (tokens, replaced)):
            with pytest.raises(InvalidRefreshToken, match=answer) as caught:
                await client.refresh(stale)
            assert (caught.value.status, "replaced" in str(caught.value)) == (403, answer == replaced)
        assert arrived(tenant, TOKEN) == 2


async def test_of_a_refresh_token_that_was_replaced_no_error_is_kept() -> None:
    """Only that it was replaced: thousands are remembered, and few are presented again."""
    async with opened() as (_, client, tokens):
        await client.refresh(tokens)
        kept = [attrs.astuple(final) for final in client._refreshes._final.values()]
        assert len(kept) == 1
        assert [value for value in kept[0] if isinstance(value, BaseException)] == []


@pytest.mark.parametrize(
    "options", [{"refresh_token_leeway": -1.0}, {"refresh_token_leeway": "30"}, {"refresh_token_rotation": 0}]
)
def test_settings_of_refresh_tokens_are_checked(options: dict[str, Any]) -> None:
    """The error names the argument."""
    with pytest.raises(UsageError, match=r"^refresh_token_"):
        PasswordlessClient("acme.eu.auth0.com", "client", **options)


# One request for all callers


async def test_concurrent_callers_share_one_request() -> None:
    """Each gets the same tokens, though some are cancelled."""
    async with opened() as (tenant, client, tokens):
        first, answer = await kept_waiting(tenant, client.refresh(tokens))
        others = [asyncio.create_task(client.refresh(attrs.evolve(tokens))) for _ in range(20)]
        for _ in range(5):
            await asyncio.sleep(0)
        await cancelled(first)
        await cancelled(others[7])
        answer.set()
        results = await asyncio.gather(*others[:7], *others[8:])
        assert len({str(result.access_token) for result in results}) == 1
        assert arrived(tenant, TOKEN) == 1


async def test_a_late_caller_receives_the_tokens_of_a_rotated_refresh_token() -> None:
    """A second use would look like theft; after the time they are kept they are forgotten."""
    async with opened() as (tenant, client, tokens):
        renewed = await client.refresh(tokens)
        assert await client.refresh(tokens) is renewed
        assert arrived(tenant, TOKEN) == 1
        client._refreshes._flights._keep = 0.01
        assert (await client.refresh(renewed)).refresh_token != renewed.refresh_token
        await until(lambda: len(client._refreshes._flights._flights) == 1)  # the first one, which is kept longer


async def test_a_late_caller_refreshes_where_the_refresh_token_stays() -> None:
    """Without rotation it is good for newer tokens, and nothing is kept."""
    async with opened(TenantSettings(refresh_rotation=False)) as (tenant, client, tokens):
        renewed = [await client.refresh(tokens) for _ in range(2)]
        assert renewed[0].access_token != renewed[1].access_token
        assert arrived(tenant, TOKEN) == 2
        assert client._refreshes._flights._flights == {}


@pytest.mark.parametrize("rotation", [True, False], ids=["rotating", "staying"])
async def test_callers_with_two_scopes_at_once_each_get_theirs(*, rotation: bool) -> None:
    """The caller with the other scope refreshes the result of the first; both end, and no token is spent twice."""
    async with opened(TenantSettings(refresh_rotation=rotation)) as (tenant, client, tokens):
        scopes = [None, NARROW, None, NARROW, None]
        async with asyncio.timeout(20):
            renewed = await asyncio.gather(*(client.refresh(tokens, scope=scope) for scope in scopes))
        assert [result.scope for result in renewed] == [scope or SCOPE for scope in scopes]
        assert arrived(tenant, TOKEN) == 2
        assert (await client.refresh(renewed[1])).scope == SCOPE


async def test_tokens_that_came_meanwhile_have_not_been_sent_before() -> None:
    """A caller whose refresh token another process may have sent gets the tokens of the refresh under way."""
    async with opened() as (_, client, tokens):
        both = [
            client._refreshes.refresh_directly(tokens, scope=NARROW),
            client._refreshes.refresh_directly(tokens, sent_before=1.0),
        ]
        narrow, wide = await asyncio.gather(*both)
        assert (narrow.scope, wide.scope) == (NARROW, SCOPE)


async def test_callers_with_many_scopes_without_rotation_come_to_an_end() -> None:
    """However many find the flight of another scope that has just landed."""
    async with opened(TenantSettings(refresh_rotation=False)) as (tenant, client, tokens):
        scopes = [None, NARROW, "openid email", "openid"] * 5
        async with asyncio.timeout(20):
            renewed = await asyncio.gather(*(client.refresh(tokens, scope=scope) for scope in scopes))
        assert [result.scope for result in renewed] == [scope or SCOPE for scope in scopes]
        assert arrived(tenant, TOKEN) <= len(scopes)


async def test_the_same_refresh_token_with_another_key_goes_to_the_wire() -> None:
    """The refresh token alone gives no tokens: neither those under way nor those that are kept."""
    async with opened() as (tenant, client, tokens):
        stolen = attrs.evolve(tokens, key=DPoPKey.generate(), jkt=None)
        first, answer = await kept_waiting(tenant, client.refresh(tokens))
        thief = asyncio.create_task(client.refresh(stolen))
        with pytest.raises((InvalidDPoPProof, InvalidRefreshToken)):
            await thief
        answer.set()
        renewed = await first
        with pytest.raises((InvalidDPoPProof, InvalidRefreshToken)):
            await client.refresh(stolen)
        assert arrived(tenant, TOKEN) == 3
        assert await client.refresh(tokens) is renewed


def test_a_refresh_is_known_by_its_token_and_key() -> None:
    """For unbound tokens the key is the one that was proven for them, if any."""
    bound, keys = made(), [DPoPKey.generate() for _ in range(2)]
    unbound = [made(token_type="Bearer", key=None, refresh_key=key) for key in (None, *keys)]
    thumbprints = ["" if key is None else key.thumbprint for key in (bound.key, None, *keys)]
    assert [key_of(each) for each in (bound, *unbound)] == [(token_hash(bound), each) for each in thumbprints]


async def test_two_sessions_of_one_login_share_a_refresh() -> None:
    """One request, one handover, and both sessions have the new tokens."""
    async with opened() as (tenant, client, tokens):
        kept: list[TokenSet] = []
        sessions = [client.session(tokens, origins=["https://api.example"], on_refresh=kept.append) for _ in range(2)]
        renewed = await asyncio.gather(*(session.renew(tokens) for session in sessions))
        assert arrived(tenant, TOKEN) == 1
        assert kept == [renewed[0]]
        assert [session.tokens for session in sessions] == kept * 2


async def test_all_doors_share_a_refresh() -> None:
    """A call, an API session and two stored sessions of one login at once: one request."""
    async with opened() as (tenant, client, tokens):
        identifiers = [await client.sessions.open(tokens) for _ in range(2)]
        doors = [by_refresh(client, tokens, ""), by_api_calls(client, tokens, "")]
        await asyncio.gather(*doors, *(by_stored_session(client, tokens, name) for name in identifiers))
        assert arrived(tenant, TOKEN) == 1


async def test_a_refresh_whose_caller_has_gone_is_an_orphan_and_stays_for_the_next() -> None:
    """``on_orphan`` gets the new tokens and the ones they replace; a caller that asks in time gets them as well."""
    orphans: list[Orphan] = []
    async with opened(on_orphan=orphans.append) as (tenant, client, tokens):
        refreshing, answer = await kept_waiting(tenant, client.refresh(tokens))
        await cancelled(refreshing)
        answer.set()
        await until(lambda: orphans)
        assert [(orphan.spent, orphan.error) for orphan in orphans] == [(tokens, None)]
        assert await client.refresh(tokens) is orphans[0].tokens
        assert [family.revoked for family in tenant.refresh_families] == [False]


# Revocation


async def test_tokens_that_were_revoked_during_their_refresh_are_kept_for_no_later_caller() -> None:
    """The next caller is refused: the refresh token was spent."""
    async with opened() as (tenant, client, tokens):
        refreshing, answer = await kept_waiting(tenant, client.refresh(tokens))
        await client.revoke(tokens)
        answer.set()
        await refreshing
        with pytest.raises(InvalidRefreshToken):
            await client.refresh(tokens)
        assert arrived(tenant, TOKEN) == 1


@pytest.mark.parametrize("which", ["the spent ones", "the new ones"])
async def test_tokens_that_were_revoked_are_kept_no_longer(which: str) -> None:
    """Whether the tokens or their successors were revoked; other users' results stay."""
    async with opened() as (tenant, client, tokens):
        others = await logged_in(tenant, client, BOB)
        renewed, renewed_others = await client.refresh(tokens), await client.refresh(others)
        await client.revoke(tokens if which == "the spent ones" else renewed)
        with pytest.raises(InvalidRefreshToken):
            await client.refresh(tokens)
        assert await client.refresh(others) is renewed_others
        assert client._refreshes.is_revoked(token_hash(tokens), renewed)
        assert not client._refreshes.is_revoked(token_hash(others), renewed_others)


# Closing


@pytest.mark.parametrize(("grace", "abandoned"), [(4.5, 0), (3.5, 1)])
def test_closing_waits_for_a_refresh_that_was_sent(
    in_virtual_time: Callable[[Any], Any], grace: float, abandoned: int
) -> None:
    """For its grace; then the refresh is abandoned, and counted."""

    async def closed() -> int:
        answered, sent = asyncio.Event(), list[object]()

        async def request(request: object, departure: Any, _policy: object) -> TokenSet:
            sent.append(request)
            departure.on_wire = True
            await answered.wait()
            return made()

        async with PasswordlessClient("acme.eu.auth0.com", "client", profile=TESTING) as client:
            with pytest.MonkeyPatch.context() as patched:
                patched.setattr(client._refreshes, "_refresh", request)
                refreshing = asyncio.create_task(client.refresh(made()))
                await until(lambda: sent)
                asyncio.get_running_loop().call_later(4.0, answered.set)
                left = await client._refreshes.aclose(grace=grace)
                await asyncio.wait([refreshing])
                return left

    assert in_virtual_time(closed()) == abandoned


# Through every door


async def by_refresh(client: PasswordlessClient, tokens: TokenSet, _identifier: str) -> object:
    return await client.refresh(tokens)


async def by_api_calls(client: PasswordlessClient, tokens: TokenSet, _identifier: str) -> object:
    async def keep(_tokens: TokenSet) -> None: ...

    api = client.session(tokens, origins=["https://api.example"], on_refresh=keep)
    return await api.renew(tokens)


async def by_stored_session(client: PasswordlessClient, _tokens: TokenSet, identifier: str) -> object:
    return await client.sessions.refresh(identifier)


DOORS = [by_refresh, by_api_calls, by_stored_session]


@pytest.mark.parametrize("second", DOORS)
@pytest.mark.parametrize("first", DOORS)
async def test_a_refresh_token_whose_answer_was_lost_is_not_sent_again(
    tenant: LocalTenant, first: Door, second: Door
) -> None:
    """The second call raises OutcomeUnknown and sends nothing, whichever call sent the token first."""
    async with PasswordlessClient(tenant.url, tenant.public_client_id, profile=TESTING) as client:
        tokens = await logged_in(tenant, client, ADA)
        identifier = await client.sessions.open(tokens)
        tenant.faults.add(Fault.DROP_AFTER_PROCESSING, path=TOKEN, times=1)
        for door in (first, second):
            with pytest.raises(OutcomeUnknown):
                await door(client, tokens, identifier)
    assert tenant.stats.refresh_reuse_detected == 0


@pytest.mark.parametrize("is_tried_again", [False, True])
async def test_tokens_are_revoked_once_a_revocation_was_sent(*, is_tried_again: bool) -> None:
    """One that was cancelled before it was sent does not count, and does not undo another one that was."""
    async with opened(max_in_flight=1) as (tenant, client, tokens):
        await client.start(BOB)
        busy, answer = await kept_waiting(tenant, client.exchange(BOB, tenant.outbox.code_for(BOB)))
        first = asyncio.create_task(client.revoke(tokens))
        await until(lambda: client._dispatcher.gate.waiting == 1)
        others = [asyncio.create_task(client.revoke(tokens))] if is_tried_again else []
        await until(lambda: client._dispatcher.gate.waiting == 1 + len(others))
        await cancelled(first)
        answer.set()
        await asyncio.gather(busy, *others)
        assert client._refreshes.is_revoked(token_hash(tokens), tokens) is is_tried_again


async def test_a_revocation_that_was_cancelled_on_the_wire_counts() -> None:
    """The service may have done it."""
    async with opened() as (tenant, client, tokens):
        revoking, answer = await kept_waiting(tenant, client.revoke(tokens), "/oauth/revoke")
        await cancelled(revoking)
        answer.set()
        assert client._refreshes.is_revoked(token_hash(tokens), tokens)


async def test_a_revocation_goes_to_the_dispatcher_for_its_user_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which shares by user. Tokens that cannot be revoked are refused first, whatever the dispatcher would say."""
    async with opened() as (_, client, tokens):
        calls: list[Any] = []

        async def run(call: object, _departure: object) -> None:
            calls.append(call)

        monkeypatch.setattr(client._dispatcher, "run", run)
        without, others = attrs.evolve(tokens, refresh_token=None), attrs.evolve(tokens, client_id="other")
        for wrong, problem in ((without, "offline_access"), (others, "must be this application's")):
            with pytest.raises(UsageError, match=problem):
                await client.revoke(wrong)
        await client.revoke(tokens)
        assert [call.user for call in calls] == [owner_of(tokens)]


async def test_tokens_whose_revocation_was_refused_count_as_revoked() -> None:
    """The service looked at it: their owner wanted their end, and hears why it failed."""
    async with opened() as (tenant, client, tokens):
        tenant.faults.add(Fault.ENDPOINT_DISABLED, path="/oauth/revoke", times=1)
        with pytest.raises(OAuthError):
            await client.revoke(tokens)
        assert client._refreshes.is_revoked(token_hash(tokens), tokens)


async def test_tokens_that_were_revoked_stay_revoked() -> None:
    """Also if they are revoked again, and that is cancelled before it was sent."""
    async with opened(max_in_flight=1) as (tenant, client, tokens):
        await client.revoke(tokens)
        await client.start(BOB)
        busy, answer = await kept_waiting(tenant, client.exchange(BOB, tenant.outbox.code_for(BOB)))
        again = asyncio.create_task(client.revoke(tokens))
        await until(lambda: client._dispatcher.gate.waiting == 1)
        await cancelled(again)
        answer.set()
        await busy
        assert client._refreshes.is_revoked(token_hash(tokens), tokens)
