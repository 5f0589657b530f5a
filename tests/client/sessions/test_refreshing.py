"""Refreshing stored sessions: one process at a time, and no refresh token is sent twice."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from itertools import pairwise, repeat
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from helpers.clients import arrived, until
from helpers.remote_store import RemoteStore
from helpers.session_clients import (
    BOB,
    TOKEN,
    before_call,
    fail_call,
    log_in,
    opened,
    outcome_unknown,
)
from helpers.store_fixtures import NEW, OLD, USERS
from passwordless_async import (
    INTERACTIVE,
    TESTING,
    ClientClosed,
    DPoPKey,
    InvalidRefreshToken,
    InvalidSession,
    KeyRing,
    Lifetimes,
    MemoryStore,
    NotSent,
    OutcomeUnknown,
    PasswordlessClient,
    ProtocolError,
    RateLimited,
    Secret,
    StoreUnavailable,
    TokenSet,
    UsageError,
)
from passwordless_async._common import clock as _clock
from passwordless_async.client.events import Retried
from passwordless_async.client.sessions import refreshing
from passwordless_async.client.sessions.refreshing import ends_soon, patiently
from passwordless_async.stores import RefreshLease, RefreshTurn
from passwordless_async.testing import Fault, LocalTenant, TenantSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    from passwordless_async import StoredSession


async def test_concurrent_refreshes_on_four_machines_spend_one_token(store: Any) -> None:
    """All callers get the new tokens, and so does the store."""
    async with opened(store, clients=4) as (tenant, clients):
        identifier = await clients[0].sessions.open(await log_in(tenant, clients[0]))
        refreshed = await asyncio.gather(*(clients[n % 4].sessions.refresh(identifier) for n in range(100)))
        assert len({session.tokens.refresh_token for session in refreshed}) == 1
        assert refreshed[0].tokens == (await clients[1].sessions.get(identifier)).tokens
        assert tenant.stats.refresh_rotations == 1
        assert (await clients[2].sessions.refresh(identifier)).tokens != refreshed[0].tokens


async def test_a_refresh_is_a_use_also_near_the_end_of_a_session(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list of sessions says so, although the session ends before its idle time does."""
    async with opened(store) as (tenant, (client,)):
        tokens = await log_in(tenant, client)
        with monkeypatch.context() as earlier:
            opened_at = _clock.now() - 3000.0
            earlier.setattr(_clock, "now", lambda: opened_at)
            identifier = await client.sessions.open(tokens, lifetime=4000.0)
        session = await client.sessions.refresh(identifier)
        (info,) = await client.sessions.list(session.user)
        assert info.opened_at == opened_at
        assert info.ends_at == info.idle_ends_at == opened_at + 4000.0
        assert info.last_used_at == pytest.approx(_clock.now(), abs=60.0)


async def test_the_tokens_that_a_refresh_gives_a_session_are_known_as_its_own() -> None:
    """Refreshed by ``client.refresh``, they do not leave the session with a spent refresh token."""
    async with opened(MemoryStore()) as (tenant, (client,)):
        identifier = await client.sessions.open(await log_in(tenant, client))
        newer = await client.refresh((await client.sessions.refresh(identifier)).tokens)
        assert (await client.sessions.get(identifier)).tokens == newer


def made() -> TokenSet:
    """Make tokens that no tenant has issued."""
    return TokenSet(Secret("a"), "DPoP", None, "", Secret("r"), None, None, DPoPKey.generate())


@asynccontextmanager
async def leasing(
    leases: Iterable[RefreshLease],
) -> AsyncIterator[tuple[PasswordlessClient, Secret, list[float]]]:
    """Open a session whose store gives these answers to a refresh, and note when each was asked for."""
    loop, store, asked, answers = asyncio.get_running_loop(), MemoryStore(), list[float](), iter(leases)

    async def begin(*_arguments: object, **_named: object) -> RefreshTurn:
        asked.append(loop.time())
        return RefreshTurn(next(answers))

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(store, "begin_refresh", begin)
        async with PasswordlessClient("acme.eu.auth0.com", "client", profile=TESTING, store=store) as client:
            yield client, await client.sessions.open(made(), user="ada"), asked


def test_a_lease_of_another_machine_is_waited_for_ever_longer(in_virtual_time: Callable[[Any], Any]) -> None:
    """Each wait is twice the one before, up to half a second; a session that has changed is not waited for."""

    async def waits() -> list[float]:
        leases = [*[RefreshLease.BUSY] * 6, RefreshLease.CHANGED, RefreshLease.GONE]
        async with leasing(leases) as (client, identifier, asked):
            with pytest.raises(InvalidSession):
                await client.sessions.refresh(identifier)
        return [round(later - earlier, 3) for earlier, later in pairwise(asked)]

    assert in_virtual_time(waits()) == [0.05, 0.1, 0.2, 0.4, 0.5, 0.5, 0.0]


def test_without_callers_a_lease_of_another_machine_is_not_waited_for(in_virtual_time: Callable[[Any], Any]) -> None:
    """The store is not asked again, and the lease is not taken when it ends."""

    async def asked_after_the_cancellation() -> int:
        async with leasing(repeat(RefreshLease.BUSY)) as (client, identifier, asked):
            refreshing_it = asyncio.create_task(client.sessions.refresh(identifier))
            await until(lambda: asked)
            before = len(asked)
            refreshing_it.cancel()
            await until(lambda: not client.sessions._session_refreshes._flights._in_air)
            return len(asked) - before

    assert in_virtual_time(asked_after_the_cancellation()) == 0


async def test_a_session_without_a_refresh_token_is_not_refreshed() -> None:
    """Each caller hears why at once: no lease is left."""
    async with opened(MemoryStore(), clients=2) as (tenant, (here, there)):
        tokens = attrs.evolve(await log_in(tenant, here), refresh_token=None)
        identifier, before = await here.sessions.open(tokens), arrived(tenant, TOKEN)
        for client in (here, there):
            with pytest.raises(UsageError, match="offline_access"):
                await client.sessions.refresh(identifier)
        assert arrived(tenant, TOKEN) == before


def test_tokens_end_soon_in_their_last_half_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens whose end is unknown do not."""
    monkeypatch.setattr(_clock, "now", lambda: 1000.0)
    ends = [999, 1030, 1031, None]
    assert [ends_soon(attrs.evolve(made(), expires_at=end)) for end in ends] == [True, True, False, False]


@pytest.mark.parametrize(
    ("first", "seconds", "waits"),
    [
        (refreshing._FIRST_POLL_SECONDS, {}, [0.05, 0.1, 0.2, 0.4, *[0.5] * 38]),
        (0.25, {"seconds": 0.75}, [0.25, 0.5]),
    ],
)
def test_a_store_that_does_not_answer_is_asked_again_for_a_while(
    in_virtual_time: Callable[[Any], Any],
    monkeypatch: pytest.MonkeyPatch,
    first: float,
    seconds: dict[str, float],
    waits: list[float],
) -> None:
    """For twenty seconds or as long as is wanted, ever less often; then the error is raised."""
    monkeypatch.setattr(refreshing, "_FIRST_POLL_SECONDS", first)

    async def asked() -> list[float]:
        loop, at = asyncio.get_running_loop(), list[float]()
        monkeypatch.setattr(_clock, "monotonic", loop.time)

        async def ask() -> None:
            at.append(loop.time())
            raise StoreUnavailable("unreachable")

        with pytest.raises(StoreUnavailable):
            await patiently(ask, **seconds)
        return [round(later - earlier, 3) for earlier, later in pairwise(at)]

    assert in_virtual_time(asked()) == waits


async def test_a_closed_client_asks_for_no_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    """It could send nothing."""
    store = MemoryStore(keys=KeyRing(NEW, users=USERS))
    async with opened(store) as (tenant, (client,)):
        identifier = await client.sessions.open(await log_in(tenant, client))
        await client.aclose()
        asked = fail_call(monkeypatch, store, "begin_refresh")
        with pytest.raises(ClientClosed):
            await client.sessions.refresh(identifier)
        assert asked == []


async def test_a_refresh_that_was_not_sent_leaves_no_mark(store: Any) -> None:
    """The next refresh sends the token."""
    async with opened(store, clients=2) as (tenant, (here, there)):
        identifier = await here.sessions.open(await log_in(tenant, here))
        async with tenant.outage():
            for _ in range(3):
                with pytest.raises((NotSent, OutcomeUnknown)):
                    await log_in(tenant, here, BOB)
            with pytest.raises(NotSent):
                await here.sessions.refresh(identifier)
        await there.sessions.refresh(identifier)
        assert tenant.stats.refresh_rotations == 1


@pytest.mark.parametrize("fault", [Fault.DROP_AFTER_PROCESSING, Fault.DROP_BEFORE_READ])
async def test_a_refresh_with_unknown_outcome_is_not_sent_again(store: Any, fault: Fault) -> None:
    """Another machine raises OutcomeUnknown and sends nothing: no family is revoked."""
    async with opened(store, clients=2) as (tenant, (here, there)):
        identifier = await here.sessions.open(await log_in(tenant, here))
        tenant.faults.add(fault, path=TOKEN, times=1)
        with pytest.raises(OutcomeUnknown):
            await here.sessions.refresh(identifier)
        tenant.faults.clear()
        before = tenant.stats.token_requests
        with pytest.raises(OutcomeUnknown, match="not sent again"):
            await there.sessions.refresh(identifier)
        assert before == tenant.stats.token_requests
        assert [family.revoked for family in tenant.refresh_families] == [False]


async def test_a_refused_refresh_token_is_sent_once(store: Any) -> None:
    """Each machine raises the refusal, from the store; the session's access token stays readable."""
    async with opened(store, clients=3) as (tenant, (here, there, elsewhere)):
        tokens = await log_in(tenant, here)
        identifier = await here.sessions.open(tokens)
        await elsewhere.revoke(tokens)
        before = arrived(tenant, TOKEN)
        for client in (here, there, here, there):
            with pytest.raises(InvalidRefreshToken) as refused:
                await client.sessions.refresh(identifier)
            assert (refused.value.status, refused.value.error) == (403, "invalid_grant")
        assert arrived(tenant, TOKEN) == before + 1
        assert (await there.sessions.get(identifier)).tokens == tokens


async def test_sessions_of_one_login_share_a_refresh_on_all_machines(store: Any) -> None:
    """At once and one after the other, each refresh token is sent once, and both get the result."""
    async with opened(store, clients=2) as (tenant, (here, there)):
        tokens = await log_in(tenant, here)
        first, second = [await here.sessions.open(tokens) for _ in range(2)]
        both = await asyncio.gather(here.sessions.refresh(first), there.sessions.refresh(second))
        assert both[0].tokens == both[1].tokens
        assert tenant.stats.refresh_rotations == 1
        for client, identifier in ((there, second), (here, first), (here, first), (there, second)):
            await client.sessions.refresh(identifier)
        assert (await here.sessions.refresh(first)).tokens == (await there.sessions.refresh(second)).tokens
        assert len(tenant.refresh_families) == 1


async def test_tokens_refreshed_for_a_closed_session_stay_for_the_others_of_its_login(store: Any) -> None:
    """They are not revoked, and the other session gets them."""
    async with opened(store, clients=2) as (tenant, (here, there)):
        tokens = await log_in(tenant, here)
        closed, stays = [await here.sessions.open(tokens) for _ in range(2)]
        answer, before = asyncio.Event(), arrived(tenant, TOKEN)
        tenant.faults.add(Fault.SLOW, path=TOKEN, until=answer, times=1)
        refreshing_it = asyncio.create_task(here.sessions.refresh(closed))
        await until(lambda: arrived(tenant, TOKEN) > before)
        await there.sessions.close(closed, revoke=False)
        answer.set()
        with pytest.raises(InvalidSession, match="closed while"):
            await refreshing_it
        assert (await there.sessions.refresh(stays)).tokens.refresh_token != tokens.refresh_token
        assert [family.revoked for family in tenant.refresh_families] == [False]
        assert tenant.stats.refresh_rotations == 1


async def test_a_session_gets_tokens_that_have_not_ended(store: Any) -> None:
    """If the other session's tokens have ended as well, they are refreshed once more."""
    settings = TenantSettings(access_token_lifetime=20)
    async with opened(store, clients=2, settings=settings) as (tenant, (here, there)):
        tokens = await log_in(tenant, here)
        first, second = [await here.sessions.open(tokens) for _ in range(2)]
        renewed = await here.sessions.refresh(first)
        assert (await there.sessions.refresh(second)).tokens.refresh_token != renewed.tokens.refresh_token
        assert tenant.stats.refresh_rotations == 2


async def test_a_session_that_changes_while_it_gets_tokens_that_have_ended_is_refreshed(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It never returns the tokens that it had, and its new data stays."""
    settings = TenantSettings(access_token_lifetime=20)
    async with opened(store, clients=2, settings=settings) as (tenant, (here, there)):
        tokens = await log_in(tenant, here)
        first, second = [await here.sessions.open(tokens) for _ in range(2)]
        renewed = await here.sessions.refresh(first)
        before_call(monkeypatch, store, "reseal", lambda: here.sessions.update(second, data={"a": 1}))
        refreshed = await there.sessions.refresh(second)
        assert refreshed.tokens.refresh_token not in {tokens.refresh_token, renewed.tokens.refresh_token}
        assert (await here.sessions.get(second)).data == {"a": 1}
        assert tenant.stats.refresh_rotations == 2


async def test_refused_tokens_are_not_the_newer_ones_that_a_refresh_under_way_gives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The session is just getting them from another one of its login: an API call that has them needs newer ones."""
    store = MemoryStore()
    async with opened(store) as (tenant, (client,)):
        tokens = await log_in(tenant, client)
        first, second = [await client.sessions.open(tokens) for _ in range(2)]
        refused = (await client.sessions.refresh(first)).tokens
        reseal, renewing = store.reseal, list[asyncio.Task[TokenSet]]()

        async def slow(*arguments: Any) -> bool:
            is_theirs = await reseal(*arguments)
            renewing.append(asyncio.create_task(client.sessions._session_refreshes.renew(second, refused)))
            await turns()
            return is_theirs

        monkeypatch.setattr(store, "reseal", slow)
        assert (await client.sessions.refresh(second)).tokens.access_token == refused.access_token
        assert (await renewing[0]).access_token != refused.access_token
        assert (len(renewing), tenant.stats.refresh_rotations) == (1, 2)


LEEWAY = TenantSettings(refresh_leeway=3600.0)


async def session_in_doubt(tenant: LocalTenant, client: PasswordlessClient) -> Secret:
    """Return a session whose refresh token was spent, and its answer lost."""
    identifier = await client.sessions.open(await log_in(tenant, client))
    tenant.faults.add(Fault.DROP_AFTER_PROCESSING, path=TOKEN, times=1)
    await outcome_unknown(client.sessions.refresh(identifier))
    return identifier


async def test_a_machine_knows_how_long_ago_another_one_sent_a_token(
    clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that it sends it for what is left of the overlap, and not for a whole one."""
    async with opened(MemoryStore(), clients=2, settings=LEEWAY, refresh_token_leeway=30.0) as (tenant, machines):
        here, there = machines
        identifier = await session_in_doubt(tenant, here)
        clock.time += 5.0
        ask, told = there._refreshes.refresh_directly, list[object]()

        async def refresh(tokens: Any, *, sent_before: float | None) -> Any:
            told.append(sent_before)
            return await ask(tokens, sent_before=sent_before)

        monkeypatch.setattr(there._refreshes, "refresh_directly", refresh)
        await there.sessions.refresh(identifier)
        assert told == [5.0]


async def test_a_token_whose_overlap_ends_before_it_is_sent_stays_in_doubt(
    clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine that has not sent it either does not report it as unspent."""
    async with opened(MemoryStore(), clients=2, settings=LEEWAY, refresh_token_leeway=30.0) as (tenant, machines):
        here, there = machines
        identifier = await session_in_doubt(tenant, here)
        before, ask = arrived(tenant, TOKEN), there._refreshes.refresh_directly

        async def refresh(tokens: Any, *, sent_before: float | None) -> Any:
            clock.time += 30.0
            return await ask(tokens, sent_before=30.0 + (sent_before or 0.0))

        with monkeypatch.context() as slow:
            slow.setattr(there._refreshes, "refresh_directly", refresh)
            await outcome_unknown(there.sessions.refresh(identifier))
        await outcome_unknown(there.sessions.refresh(identifier))
        assert arrived(tenant, TOKEN) == before


@pytest.mark.parametrize("tries", [1, 2])
async def test_a_token_that_is_refused_for_now_stays_in_doubt(clock: Any, tries: int) -> None:
    """Its first use may have spent it: after the overlap no machine sends it, and none waits for the lease."""
    profile, store = attrs.evolve(TESTING, single=attrs.evolve(TESTING.single, tries=tries)), MemoryStore()
    options: dict[str, Any] = {"store": store, "refresh_token_leeway": 30.0}
    async with opened(settings=LEEWAY, **options) as (tenant, (there,)):
        here = PasswordlessClient(tenant.url, tenant.public_client_id, profile=profile, **options)
        async with here, asyncio.timeout(10):
            identifier = await here.sessions.open(await log_in(tenant, here))
            tenant.faults.add(Fault.DROP_AFTER_PROCESSING, path=TOKEN, times=1)
            if tries == 1:
                await outcome_unknown(here.sessions.refresh(identifier))
            tenant.faults.add(Fault.RATE_LIMITED_SILENT, path=TOKEN, times=1)
            with pytest.raises(RateLimited):
                await here.sessions.refresh(identifier)
            before = arrived(tenant, TOKEN)
            clock.time += 30.0
            await outcome_unknown(there.sessions.refresh(identifier))
        assert arrived(tenant, TOKEN) == before


async def test_a_renewal_of_the_lease_is_over_when_the_refresh_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """It lasts until the store has the new tokens; then it is cancelled, and waited for."""
    monkeypatch.setattr(refreshing, "_LEASE_SECONDS", 0.06)
    store, order, answer = MemoryStore(), list[str](), asyncio.Event()
    end_refresh = store.end_refresh

    async def hold(*_arguments: object, **_named: object) -> None:
        answer.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await turns()
            order.append("hold")

    async def end(*arguments: Any, **named: Any) -> Any:
        order.append("end")
        return await end_refresh(*arguments, **named)

    monkeypatch.setattr(store, "hold_refresh", hold)
    monkeypatch.setattr(store, "end_refresh", end)
    async with opened(store) as (tenant, (client,)):
        identifier = await client.sessions.open(await log_in(tenant, client))
        tenant.faults.add(Fault.SLOW, path=TOKEN, until=answer, times=1)
        await client.sessions.refresh(identifier)
        assert order == ["end", "hold"]


@pytest.mark.slow
async def test_a_lease_lasts_as_long_as_its_refresh(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long that takes, another machine waits for the result; a dead process's lease still ends soon."""
    monkeypatch.setattr(refreshing, "_LEASE_SECONDS", 0.3)
    async with opened(store, clients=2) as (tenant, (here, there)):
        identifier = await here.sessions.open(await log_in(tenant, here))
        held, answer, hold = list[str](), asyncio.Event(), store.hold_refresh

        async def counted(*arguments: Any, **named: Any) -> None:
            await hold(*arguments, **named)
            held.append(named["token"])
            if len(held) == 6:  # twice the lease
                answer.set()

        monkeypatch.setattr(store, "hold_refresh", counted)
        tenant.faults.add(Fault.SLOW, path=TOKEN, until=answer, times=1)
        both = await asyncio.gather(here.sessions.refresh(identifier), there.sessions.refresh(identifier))
        assert both[0].tokens == both[1].tokens
        assert (tenant.stats.refresh_rotations, len(set(held))) == (1, 1)


@pytest.mark.parametrize("fault", [Fault.DROP_AFTER_PROCESSING, Fault.SERVICE_UNAVAILABLE, Fault.GARBAGE_JSON])
async def test_within_the_overlap_another_machine_sends_the_token_again(store: Any, fault: Fault) -> None:
    """And only within it: a client without the setting does not."""
    settings = TenantSettings(refresh_leeway=3600.0)
    async with opened(store, clients=2, settings=settings, refresh_token_leeway=3600.0) as (tenant, (here, there)):
        strict = PasswordlessClient(tenant.url, tenant.public_client_id, profile=TESTING, store=store)
        identifier = await here.sessions.open(await log_in(tenant, here))
        tenant.faults.add(fault, path=TOKEN, times=1)
        with pytest.raises((OutcomeUnknown, ProtocolError)):
            await here.sessions.refresh(identifier)
        async with strict:
            await outcome_unknown(strict.sessions.refresh(identifier))
        refreshed = await there.sessions.refresh(identifier)
        assert refreshed.tokens == (await here.sessions.get(identifier)).tokens
        assert [family.revoked for family in tenant.refresh_families] == [False]


async def test_a_client_closed_without_grace_leaves_no_doubt(store: Any) -> None:
    """A refresh that was refused by a 429 and waits was not processed: the next machine's goes through."""
    waits = asyncio.Event()

    def note(event: object) -> None:
        if isinstance(event, Retried):
            waits.set()

    async with opened(store) as (tenant, (there,)):
        here = PasswordlessClient(tenant.url, tenant.public_client_id, profile=INTERACTIVE, store=store, on_event=note)
        async with here:
            identifier = await there.sessions.open(await log_in(tenant, there))
            tenant.faults.add(Fault.RATE_LIMITED_RETRY_AFTER, path=TOKEN, times=1, retry_after=4)
            refreshing_it = asyncio.create_task(here.sessions.refresh(identifier))
            await waits.wait()
            await here.aclose(grace=0)
            with pytest.raises((NotSent, RateLimited)):
                await refreshing_it
        await there.sessions.refresh(identifier)
        assert tenant.stats.refresh_rotations == 1


async def test_new_tokens_of_a_session_closed_meanwhile_are_revoked(store: Any) -> None:
    """They do not outlive the session."""
    async with opened(store, clients=2) as (tenant, (here, there)):
        identifier = await here.sessions.open(await log_in(tenant, here))
        answer = asyncio.Event()
        tenant.faults.add(Fault.SLOW, path=TOKEN, until=answer, times=1)
        before = tenant.stats.token_requests
        refreshing = asyncio.create_task(here.sessions.refresh(identifier))
        async with asyncio.timeout(10):
            while tenant.stats.token_requests == before:  # noqa: ASYNC110 - only polling tells
                await asyncio.sleep(0.001)
        await there.sessions.close(identifier, revoke=False)
        answer.set()
        with pytest.raises(InvalidSession, match="closed while"):
            await refreshing
        assert [family.revoked for family in tenant.refresh_families] == [True]


async def test_a_refresh_token_that_is_not_replaced_is_not_revoked_by_a_late_refresh() -> None:
    """It is what the session had: whether it ends was decided by who closed the session."""
    store, settings = MemoryStore(), TenantSettings(refresh_rotation=False)
    async with opened(store, settings=settings, refresh_token_rotation=False) as (tenant, (client,)):
        identifier = await client.sessions.open(await log_in(tenant, client))
        with pytest.MonkeyPatch.context() as patch:
            before_call(patch, store, "end_refresh", lambda: client.sessions.close(identifier, revoke=False))
            with pytest.raises(InvalidSession, match="closed while"):
                await client.sessions.refresh(identifier)
        assert [family.revoked for family in tenant.refresh_families] == [False]


async def test_data_that_changes_during_a_refresh_stays(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """So do the new tokens: the session has both."""
    async with opened(store, clients=2) as (tenant, (here, there)):
        identifier = await here.sessions.open(await log_in(tenant, here), data={"a": 1})
        update = there.sessions.update
        before_call(monkeypatch, store, "end_refresh", lambda: update(identifier, data={"b": 2}))
        refreshed = await here.sessions.refresh(identifier)
        found = await there.sessions.get(identifier)
        assert (found.tokens, found.data, refreshed.data) == (refreshed.tokens, {"a": 1, "b": 2}, {"a": 1, "b": 2})
        again = await there.sessions.refresh(identifier)
        assert (again.data, tenant.stats.refresh_reuse_detected) == ({"a": 1, "b": 2}, 0)


@pytest.mark.parametrize("rotates", [True, False], ids=["rotation", "no rotation"])
@pytest.mark.parametrize("then", ["lease", "refresh", "close"])
async def test_a_late_report_revokes_no_token_of_a_living_login(
    store: Any, monkeypatch: pytest.MonkeyPatch, then: str, *, rotates: bool
) -> None:
    """The lease has passed to another process, which is still at it, has refreshed, or whose session was closed."""
    settings = TenantSettings(refresh_rotation=rotates, refresh_leeway=3600.0)
    options: dict[str, Any] = {"refresh_token_leeway": 3600.0} if rotates else {"refresh_token_rotation": False}
    async with opened(store, clients=2, settings=settings, **options) as (tenant, (here, there)):
        tokens = await log_in(tenant, here)
        identifier, sibling = [await here.sessions.open(tokens) for _ in range(2)]
        record = await here.sessions._records.find(identifier)
        ask, reports, theirs = store.end_refresh, list[str](), list[Any]()

        async def end(*arguments: Any, **named: Any) -> Any:
            reports.append(named["token"])
            if len(reports) == 1:
                await store.hold_refresh(record.place, login=record.login, token=reports[0], seconds=0.0)
                await there.sessions._session_refreshes._begin(record, "theirs")
                if then != "lease":
                    await store.hold_refresh(record.place, login=record.login, token="theirs", seconds=0.0)
                    theirs.append(await there.sessions.refresh(identifier))
                if then == "close":
                    await there.sessions.close(identifier, revoke=False)
            return await ask(*arguments, **named)

        monkeypatch.setattr(store, "end_refresh", end)
        if then == "close":
            with pytest.raises(InvalidSession, match="closed while"):
                await here.sessions.refresh(identifier)
        else:
            refreshed = await here.sessions.refresh(identifier)
            assert refreshed.tokens == (await there.sessions.get(identifier)).tokens
            assert refreshed.tokens.access_token != tokens.access_token
            assert [session.tokens for session in theirs] == [refreshed.tokens] * (then == "refresh")
        assert (await there.sessions.get(sibling)).user == record.session.user
        assert [family.revoked for family in tenant.refresh_families] == [False]


async def test_a_session_refreshed_between_read_and_lease_is_not_refreshed_again(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller gets the other refresh's tokens, and sends nothing."""
    async with opened(store, clients=2) as (tenant, (here, there)):
        identifier = await here.sessions.open(await log_in(tenant, here))
        renewed: list[Any] = []

        async def refresh() -> None:
            renewed.append(await there.sessions.refresh(identifier))

        before_call(monkeypatch, store, "begin_refresh", refresh)
        assert (await here.sessions.refresh(identifier)).tokens == renewed[0].tokens
        assert tenant.stats.refresh_rotations == 1


async def test_a_session_sealed_again_between_read_and_lease_is_refreshed(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only its text has changed, not its tokens."""
    async with opened(store, clients=2) as (tenant, (here, there)):
        identifier = await here.sessions.open(await log_in(tenant, here))
        here.sessions._records.keys = KeyRing(OLD, NEW, users=USERS)
        there.sessions._records.keys = KeyRing(NEW, OLD, users=USERS)
        before_call(monkeypatch, store, "begin_refresh", lambda: there.sessions.get(identifier))
        await here.sessions.refresh(identifier)
        assert tenant.stats.refresh_rotations == 1


@pytest.mark.slow
async def test_a_doubtful_token_is_remembered_as_long_as_its_session(store: Any) -> None:
    """A session that use keeps alive never looks as if its refresh token was not sent."""
    async with opened(store, clients=2, lifetimes=Lifetimes(idle=2.0)) as (tenant, (here, there)):
        identifier = await session_in_doubt(tenant, here)
        tenant.faults.clear()
        before = tenant.stats.token_requests
        over = asyncio.create_task(asyncio.sleep(2.2))
        while not over.done():
            await asyncio.wait([over], timeout=0.1)
            await there.sessions.get(identifier)
        await outcome_unknown(there.sessions.refresh(identifier))
        assert before == tenant.stats.token_requests


@pytest.mark.parametrize("fault", [Fault.BEARER_TOKEN, Fault.GARBAGE_JSON])
async def test_a_response_that_fails_a_check_spends_the_refresh_token(store: Any, fault: Fault) -> None:
    """The service has spent the token for it: no machine sends it again."""
    async with opened(store, clients=2) as (tenant, (here, there)):
        identifier = await here.sessions.open(await log_in(tenant, here))
        tenant.faults.add(fault, path=TOKEN, times=1)
        with pytest.raises((ProtocolError, OutcomeUnknown)):
            await here.sessions.refresh(identifier)
        tenant.faults.clear()
        before = tenant.stats.token_requests
        await outcome_unknown(there.sessions.refresh(identifier))
        assert before == tenant.stats.token_requests


@pytest.mark.parametrize("lost", [True, False])
async def test_a_store_lost_before_a_refresh_leaves_the_token_unspent(
    store: Any, monkeypatch: pytest.MonkeyPatch, *, lost: bool
) -> None:
    """Nothing was sent, whether or not the store granted the lease: the next refresh sends the token."""
    async with opened(store, clients=2) as (tenant, (here, there)):
        identifier = await here.sessions.open(await log_in(tenant, here))
        fail_call(monkeypatch, store, "begin_refresh", lost=lost)
        with pytest.raises(StoreUnavailable):
            await here.sessions.refresh(identifier)
        await there.sessions.refresh(identifier)
        assert tenant.stats.refresh_rotations == 1


async def test_a_caller_cancelled_while_the_lease_is_granted_leaves_no_doubt(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The refresh goes on, and others get its tokens."""
    async with opened(store, clients=2) as (tenant, (here, there)):
        identifier = await here.sessions.open(await log_in(tenant, here))
        told, go, ask = asyncio.Event(), asyncio.Event(), store.begin_refresh

        async def slow(*arguments: Any, **named: Any) -> Any:
            begun = await ask(*arguments, **named)
            told.set()
            await go.wait()
            return begun

        monkeypatch.setattr(store, "begin_refresh", slow)
        refreshing = asyncio.create_task(here.sessions.refresh(identifier))
        await told.wait()
        refreshing.cancel()
        await asyncio.wait([refreshing])
        monkeypatch.setattr(store, "begin_refresh", ask)
        go.set()
        async with asyncio.timeout(10):
            assert (await there.sessions.refresh(identifier)).tokens
        assert tenant.stats.refresh_rotations == 1


async def test_a_store_lost_after_an_unsent_refresh_is_told_later(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller gets the reason, and the store hears later that nothing was spent."""
    async with opened(store, clients=2) as (tenant, (here, there)):
        identifier = await here.sessions.open(await log_in(tenant, here))
        struck = fail_call(monkeypatch, store, "release_refresh", times=3)
        tenant.faults.add(Fault.RATE_LIMITED_SILENT, path=TOKEN)
        with pytest.raises(RateLimited):
            await here.sessions.refresh(identifier)
        tenant.faults.clear()
        async with asyncio.timeout(10):
            await there.sessions.refresh(identifier)
        assert (len(struck), tenant.stats.refresh_rotations) == (3, 1)


async def test_a_store_lost_after_a_refusal_is_told_of_it_later(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other machines do not send the refused token."""
    async with opened(store, clients=3) as (tenant, (here, there, elsewhere)):
        tokens = await log_in(tenant, here)
        identifier = await here.sessions.open(tokens)
        await elsewhere.revoke(tokens)
        fail_call(monkeypatch, store, "release_refresh")
        with pytest.raises(InvalidRefreshToken):
            await here.sessions.refresh(identifier)
        await until(lambda: not here.sessions._session_refreshes._reports)
        before = arrived(tenant, TOKEN)
        with pytest.raises(InvalidRefreshToken, match="refused before"):
            await there.sessions.refresh(identifier)
        assert arrived(tenant, TOKEN) == before


async def test_a_store_lost_after_an_unknown_outcome_changes_nothing(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller gets OutcomeUnknown, whatever the store answers."""
    async with opened(store) as (tenant, (client,)):
        identifier = await client.sessions.open(await log_in(tenant, client))
        fail_call(monkeypatch, store, "hold_refresh")
        tenant.faults.add(Fault.DROP_AFTER_PROCESSING, path=TOKEN, times=1)
        await outcome_unknown(client.sessions.refresh(identifier))


@pytest.mark.parametrize("lost", [True, False])
async def test_a_store_lost_after_a_refresh_gets_the_new_tokens_later(
    store: Any, monkeypatch: pytest.MonkeyPatch, *, lost: bool
) -> None:
    """They are kept when the store is back, also if it had them already and its answer was lost."""
    async with opened(store, clients=2) as (tenant, (here, there)):
        identifier = await here.sessions.open(await log_in(tenant, here))
        fail_call(monkeypatch, store, "end_refresh", lost=lost, times=2)
        refreshed = await here.sessions.refresh(identifier)
        assert refreshed.tokens == (await there.sessions.get(identifier)).tokens
        assert [family.revoked for family in tenant.refresh_families] == [False]


@pytest.mark.parametrize("then", ["reseal", "refresh"])
async def test_new_tokens_that_others_went_on_from_are_not_revoked(
    store: Any, monkeypatch: pytest.MonkeyPatch, then: str
) -> None:
    """The store had them, the answer was lost, and others have refreshed or sealed the session again since."""
    async with opened(store, clients=2) as (tenant, (here, there)):
        identifier = await here.sessions.open(await log_in(tenant, here))
        here.sessions._records.keys = KeyRing(OLD, NEW, users=USERS)
        if then == "reseal":
            there.sessions._records.keys = KeyRing(NEW, OLD, users=USERS)
        ask, tries = store.end_refresh, []

        async def end(*arguments: Any, **named: Any) -> Any:
            tries.append(named["token"])
            if tries.count(named["token"]) > 1 or len(set(tries)) > 1:
                return await ask(*arguments, **named)
            await ask(*arguments, **named)
            await (there.sessions.refresh if then == "refresh" else there.sessions.get)(identifier)
            raise StoreUnavailable("the answer is lost")

        monkeypatch.setattr(store, "end_refresh", end)
        refreshed = await here.sessions.refresh(identifier)
        assert refreshed.tokens == (await there.sessions.get(identifier)).tokens
        assert [family.revoked for family in tenant.refresh_families] == [False]
        await there.sessions.refresh(identifier)


async def turns(number: int = 50) -> None:
    """Give the loop turns."""
    for _ in range(number):
        await asyncio.sleep(0)


async def tokens_of(refreshed: Awaitable[StoredSession]) -> TokenSet:
    return (await refreshed).tokens


@pytest.mark.parametrize("call", ["refresh", "renew"])
async def test_closing_waits_for_the_report_of_new_tokens(call: str) -> None:
    """Without grace too: a store that answers soon has them, and so has the caller, or the API call."""
    store = RemoteStore()
    async with opened(store) as (tenant, (client,)):
        tokens = await log_in(tenant, client)
        identifier, refreshes = await client.sessions.open(tokens), client.sessions._session_refreshes
        answered = store.hold("end_refresh")
        refreshing_it = asyncio.create_task(
            refreshes.renew(identifier, tokens) if call == "renew" else tokens_of(refreshes.refresh(identifier))
        )
        await until(lambda: "end_refresh" in store.asked)
        closing = asyncio.create_task(client.aclose(grace=0.0))
        await turns()
        assert not closing.done()
        answered.set()
        await closing
        assert (await refreshing_it).refresh_token not in {None, tokens.refresh_token}
        assert [family.revoked for family in tenant.refresh_families] == [False]


@pytest.mark.parametrize("answers", [True, False])
async def test_closing_waits_for_reports_of_unspent_tokens(monkeypatch: pytest.MonkeyPatch, *, answers: bool) -> None:
    """For a moment, so that another machine need not wait for the lease to end; then they are given up."""
    monkeypatch.setattr(refreshing, "_CLOSING_SECONDS", 10.0 if answers else 0.01)
    store = RemoteStore()
    async with opened(store, clients=2) as (tenant, (here, there)):
        identifier = await here.sessions.open(await log_in(tenant, here))
        fail_call(monkeypatch, store, "release_refresh")
        held = store.hold("release_refresh")
        tenant.faults.add(Fault.RATE_LIMITED_SILENT, path=TOKEN, times=1)
        with pytest.raises(RateLimited):
            await here.sessions.refresh(identifier)
        refreshes = here.sessions._session_refreshes
        reports = refreshes._reports
        assert len(reports) == 1
        closing = asyncio.create_task(refreshes.aclose(grace=0.0))
        await turns()
        if answers:
            assert not closing.done()
            held.set()
        async with asyncio.timeout(10):
            await closing
        assert len(reports) == 0
        if answers:
            await there.sessions.refresh(identifier)
            assert tenant.stats.refresh_rotations == 1
