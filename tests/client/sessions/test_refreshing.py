"""Refreshing stored sessions: one process at a time, and no refresh token is sent twice."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

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
    InvalidRefreshToken,
    InvalidSession,
    KeyRing,
    Lifetimes,
    NotSent,
    OutcomeUnknown,
    ProtocolError,
    RateLimited,
    StoreUnavailable,
)
from passwordless_async.testing import Fault


async def test_concurrent_refreshes_on_four_machines_spend_one_token(store: Any) -> None:
    """All callers get the new tokens, and so does the store."""
    async with opened(store, clients=4) as (tenant, clients):
        identifier = await clients[0].sessions.open(await log_in(tenant, clients[0]))
        refreshed = await asyncio.gather(*(clients[n % 4].sessions.refresh(identifier) for n in range(100)))
        assert len({session.tokens.refresh_token for session in refreshed}) == 1
        assert refreshed[0].tokens == (await clients[1].sessions.get(identifier)).tokens
        assert tenant.stats.refresh_rotations == 1
        assert (await clients[2].sessions.refresh(identifier)).tokens != refreshed[0].tokens


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


async def test_a_refused_refresh_token_is_refused_again(store: Any) -> None:
    """The refusal is raised each time: it spends nothing."""
    async with opened(store) as (tenant, (client,)):
        tokens = await log_in(tenant, client)
        identifier = await client.sessions.open(tokens)
        await client.revoke(tokens)
        for _ in range(2):
            with pytest.raises(InvalidRefreshToken):
                await client.sessions.refresh(identifier)


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
    async with opened(store, clients=2, lifetimes=Lifetimes(idle=1.0)) as (tenant, (here, there)):
        identifier = await here.sessions.open(await log_in(tenant, here))
        tenant.faults.add(Fault.DROP_AFTER_PROCESSING, path=TOKEN, times=1)
        await outcome_unknown(here.sessions.refresh(identifier))
        tenant.faults.clear()
        before = tenant.stats.token_requests
        for _ in range(8):
            await asyncio.sleep(0.15)
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
        struck = fail_call(monkeypatch, store, "end_refresh", times=3)
        tenant.faults.add(Fault.RATE_LIMITED_SILENT, path=TOKEN)
        with pytest.raises(RateLimited):
            await here.sessions.refresh(identifier)
        tenant.faults.clear()
        async with asyncio.timeout(10):
            await there.sessions.refresh(identifier)
        assert (len(struck), tenant.stats.refresh_rotations) == (3, 1)


async def test_a_store_lost_after_an_unknown_outcome_changes_nothing(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller gets OutcomeUnknown, whatever the store answers."""
    async with opened(store) as (tenant, (client,)):
        identifier = await client.sessions.open(await log_in(tenant, client))
        fail_call(monkeypatch, store, "abandon_refresh")
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
