"""Handing refreshed tokens to ``on_refresh``: once each, never lost, to no one without the key."""

from __future__ import annotations

import asyncio
import math
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from helpers.clients import TOKEN, arrived, cancelled, kept_waiting, until
from passwordless_async import (
    TESTING,
    DPoPKey,
    Email,
    InvalidDPoPProof,
    InvalidRefreshToken,
    NotSent,
    OutcomeUnknown,
    PasswordlessClient,
    StoreError,
    TokenSet,
)
from passwordless_async._common import clock as _clock
from passwordless_async._common.secret import Secret
from passwordless_async.client.api import handovers as module
from passwordless_async.client.api.handovers import Handovers
from passwordless_async.testing import Fault, LocalTenant, TenantSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from passwordless_async._common.http import HttpResponse

ADA = Email("ada@example.com")
SCOPE = "openid offline_access"


class Application:
    """Keeps tokens as an application does; fails with the errors that a test gives it, in turn."""

    def __init__(self, *errors: BaseException) -> None:
        self.kept: list[TokenSet] = []
        self.adopted: list[TokenSet] = []
        self.errors = list(errors)

    def keep(self, tokens: TokenSet) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.kept.append(tokens)

    async def keep_later(self, tokens: TokenSet) -> None:
        await asyncio.sleep(0)
        self.keep(tokens)


@attrs.frozen
class World:
    """A tenant, a client of it, its handovers, and the tokens of a login."""

    tenant: LocalTenant
    client: PasswordlessClient
    handovers: Handovers
    tokens: TokenSet

    async def renew(self, application: Application, stale: TokenSet | None = None) -> TokenSet:
        stale = self.tokens if stale is None else stale
        return await self.handovers.renew(stale, application.keep, application.adopted.append)

    def keep_no_results(self) -> None:
        """Forget the result of a refresh at once, as if half a minute had passed."""
        self.client._refreshes._flights._keep = 0.0


@asynccontextmanager
async def opened(leeway: float = 0.0, **settings: Any) -> AsyncIterator[World]:
    async with (
        LocalTenant(TenantSettings(refresh_leeway=leeway, **settings)) as tenant,
        PasswordlessClient(tenant.url, tenant.public_client_id, profile=TESTING, refresh_token_leeway=leeway) as client,
    ):
        await client.start(ADA)
        tokens = await client.exchange(ADA, tenant.outbox.code_for(ADA), scope=SCOPE)
        tenant.requests.clear()
        yield World(tenant, client, client._handovers, tokens)
        assert (tenant.stats.refresh_reuse_detected, tenant.disagreements) == (0, ())


async def test_new_tokens_are_handed_over_once_for_all_that_wait() -> None:
    """One request, one call of on_refresh, and everyone adopts the result."""
    application = Application()
    async with opened() as world:
        renewed = await asyncio.gather(*(world.renew(application) for _ in range(10)))
        assert application.kept == [renewed[0]]
        assert [result is renewed[0] for result in renewed] == [True] * 10
        assert application.adopted == [renewed[0]] * 10
        assert arrived(world.tenant, TOKEN) == 1


async def test_a_late_session_gets_the_tokens_without_another_handover() -> None:
    """They were handed over before."""
    application = Application()
    async with opened() as world:
        renewed = await world.renew(application)
        assert await world.renew(application) is renewed
        assert (application.kept, application.adopted) == ([renewed], [renewed] * 2)
        assert arrived(world.tenant, TOKEN) == 1


async def test_tokens_of_a_plain_refresh_are_handed_over() -> None:
    """``client.refresh`` hands nothing over, so the first session that comes does."""
    application = Application()
    async with opened() as world:
        renewed = await world.client.refresh(world.tokens)
        assert await world.renew(application) is renewed
        assert application.kept == [renewed]


async def test_each_new_token_set_is_handed_over_where_the_refresh_token_stays() -> None:
    """Without rotation every refresh has newer tokens to keep."""
    application = Application()
    async with opened(refresh_rotation=False) as world:
        renewed = [await world.renew(application) for _ in range(3)]
        assert application.kept == renewed
        assert len({str(tokens.access_token) for tokens in renewed}) == 3


async def test_each_new_token_set_is_handed_over_where_a_spent_refresh_token_still_works() -> None:
    """Within the leeway of the service a late session spends the old token again, and gets other new ones."""
    application = Application()
    async with opened(leeway=3600.0) as world:
        world.keep_no_results()
        renewed = [await world.renew(application) for _ in range(2)]
        assert renewed[0].refresh_token != renewed[1].refresh_token
        assert application.kept == renewed


async def test_tokens_without_a_refresh_token_stay() -> None:
    """There is nothing to refresh them with."""
    application = Application()
    async with opened() as world:
        stale = attrs.evolve(world.tokens, refresh_token=None)
        assert await world.renew(application, stale) is stale
        assert (application.kept, arrived(world.tenant, TOKEN)) == ([], 0)


async def test_a_coroutine_function_is_awaited_before_anyone_adopts() -> None:
    """A session does not use tokens that are not kept yet."""
    application, adopted = Application(), []
    async with opened() as world:

        def adopt(tokens: TokenSet) -> None:
            adopted.append(application.kept == [tokens])

        await world.handovers.renew(world.tokens, application.keep_later, adopt)
    assert adopted == [True]


@pytest.mark.parametrize("rotation", [True, False], ids=["rotating", "staying"])
async def test_tokens_that_could_not_be_kept_are_handed_over_by_the_next_call(*, rotation: bool) -> None:
    """However often on_refresh fails, and long after: nothing is refreshed again, and no session adopts them before."""
    application = Application(ConnectionError("the database is down"), ConnectionError("and still"))
    async with opened(refresh_rotation=rotation) as world:
        world.keep_no_results()
        for _ in range(2):
            with pytest.raises(ConnectionError):
                await world.renew(application)
        assert application.adopted == []
        renewed = await world.renew(application)
        assert (application.kept, application.adopted) == ([renewed], [renewed])
        assert arrived(world.tenant, TOKEN) == 1


async def test_an_on_refresh_that_fails_reaches_everyone_that_waits() -> None:
    """Its own error, as it is."""
    application = Application(LookupError("no such user"))
    async with opened() as world:
        results = await asyncio.gather(*(world.renew(application) for _ in range(3)), return_exceptions=True)
        assert [repr(result) for result in results] == ["LookupError('no such user')"] * 3
        await world.renew(application)
        assert len(application.kept) == 1


async def test_an_on_refresh_whose_own_awaitable_was_cancelled_is_an_error() -> None:
    """The caller was not cancelled, so it gets a StoreError, and the tokens wait for the next call."""
    application = Application(asyncio.CancelledError())
    async with opened() as world:
        with pytest.raises(StoreError, match="on_refresh was cancelled"):
            await world.renew(application)
        renewed = await world.renew(application)
        assert application.kept == [renewed]


async def test_a_handover_whose_callers_have_gone_is_finished() -> None:
    """The tokens are kept, and the sessions have them."""
    application = Application()
    async with opened() as world:
        renewing, answer = await kept_waiting(world.tenant, world.renew(application))
        other = asyncio.create_task(world.renew(application))
        await asyncio.sleep(0)
        await cancelled(renewing)
        await cancelled(other)
        answer.set()
        await until(lambda: len(application.adopted) == 2)
        assert application.kept == [application.adopted[0]]


async def test_a_failed_refresh_hands_nothing_over() -> None:
    """Its error reaches the caller; the next call decides anew."""
    application = Application()
    async with opened() as world:
        world.tenant.faults.add(Fault.ACCESS_DENIED, path=TOKEN, times=1)
        with pytest.raises(Exception, match="access_denied"):
            await world.renew(application)
        world.tenant.faults.add(Fault.DROP_AFTER_PROCESSING, path=TOKEN, times=1)
        for _ in range(2):
            with pytest.raises(OutcomeUnknown):
                await world.renew(application)
        assert (application.kept, application.adopted) == ([], [])
        assert arrived(world.tenant, TOKEN) == 2


async def test_the_same_refresh_token_with_another_key_gets_nothing() -> None:
    """Neither a handover that is under way, nor tokens that could not be kept, nor kept ones."""
    application, thief = Application(ConnectionError("the database is down")), Application()
    async with opened() as world:
        stolen = attrs.evolve(world.tokens, key=DPoPKey.generate(), jkt=None)
        renewing, answer = await kept_waiting(world.tenant, world.renew(application))
        with pytest.raises((InvalidDPoPProof, InvalidRefreshToken)):
            async with asyncio.timeout(10):
                await world.renew(thief, stolen)
        answer.set()
        with pytest.raises(ConnectionError):
            await renewing
        for _ in range(2):
            with pytest.raises((InvalidDPoPProof, InvalidRefreshToken)):
                await world.renew(thief, stolen)
            await world.renew(application)
        assert (thief.kept, thief.adopted) == ([], [])


@pytest.mark.parametrize("when", ["while they were refreshed", "while they could not be kept"])
async def test_revoked_tokens_are_not_handed_over(when: str) -> None:
    """The caller is told that the session is over."""
    application = Application(*([ConnectionError("down")] if when == "while they could not be kept" else []))
    async with opened() as world:
        renewing, answer = await kept_waiting(world.tenant, world.renew(application))
        if application.errors:
            answer.set()
            with pytest.raises(ConnectionError):
                await renewing
            await world.client.revoke(world.tokens)
            renewing = asyncio.create_task(world.renew(application))
        else:
            await world.client.revoke(world.tokens)
            answer.set()
        with pytest.raises(InvalidRefreshToken, match="revoked while") as refused:
            await renewing
        assert (refused.value.status, refused.value.error) == (403, "invalid_grant")
        with pytest.raises(InvalidRefreshToken):
            await world.renew(application)
        assert (application.kept, application.adopted) == ([], [])
        assert len(world.handovers._not_kept) == 0


async def test_revoked_tokens_are_not_sent() -> None:
    """The service would refuse them; the caller hears that at once."""
    application = Application()
    async with opened() as world:
        await world.client.revoke(world.tokens)
        before = world.tenant.stats.token_requests
        with pytest.raises(InvalidRefreshToken, match="revoked"):
            await world.renew(application)
        assert (world.tenant.stats.token_requests, application.kept) == (before, [])


@pytest.mark.parametrize("end", ["not sent", "cancelled"])
async def test_a_revocation_that_was_not_sent_costs_no_tokens(monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    """The tokens are renewed and handed over as if it had not been tried."""

    async def send(*_: object) -> HttpResponse:
        if end == "cancelled":
            raise asyncio.CancelledError
        raise NotSent("there is no connection")

    application = Application()
    async with opened() as world:
        with monkeypatch.context() as offline:
            offline.setattr(world.client._transport, "send", send)
            if end == "cancelled":
                offline.setattr(world.client._dispatcher.gate, "enter", send)
            with pytest.raises((NotSent, asyncio.CancelledError)):
                await world.client.revoke(world.tokens)
        renewed = await world.renew(application)
        assert application.kept == [renewed]


async def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the tokens that could not be kept the ones least recently asked for are forgotten first."""
    monkeypatch.setattr(module, "_REMEMBERED", 2)
    async with opened() as world:
        handovers, application = Handovers(world.client._refreshes), Application()
        stale = world.tokens
        for _ in range(5):
            stale = await handovers.renew(stale, application.keep, application.adopted.append)
        assert (len(handovers._done), len(handovers._not_kept)) == (2, 0)
        application.errors = [ConnectionError("down")] * 3
        for number in range(3):
            who = Email(f"u{number}@example.com")
            await world.client.start(who)
            tokens = await world.client.exchange(who, world.tenant.outbox.code_for(who), scope=SCOPE)
            with pytest.raises(ConnectionError):
                await handovers.renew(tokens, application.keep, application.adopted.append)
        assert len(handovers._not_kept) == 2


async def test_a_renewal_is_remembered_for_as_long_as_it_counts(clock: Any) -> None:
    """Three quarters of the lifetime of the tokens, a day here: until then they would not be renewed again."""
    async with opened(access_token_lifetime=86_400) as world:
        handovers = Handovers(world.client._refreshes)
        stale = world.tokens
        for seconds, remembered in ((0.0, 1), (64_000.0, 2), (1000.0, 2), (70_000.0, 1)):
            clock.time += seconds
            stale = await handovers.renew_stored(stale, world.client._refreshes.refresh)
            assert len(handovers._renewals) == remembered


async def test_a_renewal_of_tokens_without_an_expiry_is_remembered_for_a_minute(clock: Any) -> None:
    """For so long an API that refuses them causes no other renewal; they are never due."""
    async with opened() as world:
        handovers = Handovers(world.client._refreshes)

        async def refresh(stale: TokenSet) -> TokenSet:
            return attrs.evolve(stale, access_token=Secret("newer"), expires_at=None)

        renewed = await handovers.renew_stored(world.tokens, refresh)
        assert handovers.is_due(renewed, early=math.inf) is False
        for seconds, is_fresh in ((59.9, True), (0.1, False)):
            clock.time += seconds
            assert handovers.is_fresh(renewed) is is_fresh
        assert handovers._renewals.get(module._hashes(renewed)) is None


async def test_tokens_are_due_from_the_second_on_that_was_asked_for(
    clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And renewed ones from three quarters of a short life on."""
    async with opened() as world:
        handovers = Handovers(world.client._refreshes)
        monkeypatch.setattr(_clock, "now", lambda: 1000.0)

        async def refresh(stale: TokenSet) -> TokenSet:
            return attrs.evolve(stale, access_token=Secret("newer"), expires_at=1020)

        tokens = attrs.evolve(world.tokens, expires_at=1030)
        assert [handovers.is_due(tokens, early=early) for early in (29.9, 30.0)] == [False, True]
        renewed = await handovers.renew_stored(tokens, refresh)
        for seconds, is_due in ((14.75, False), (0.25, True)):
            clock.time += seconds
            assert handovers.is_due(renewed, early=30.0) is is_due


@pytest.mark.parametrize("rotation", [True, False], ids=["rotating", "staying"])
async def test_an_on_refresh_that_renews_does_not_wait_for_itself(*, rotation: bool) -> None:
    """It gets the new tokens that it is saving, and both callers adopt them when it has."""
    application, inner = Application(), Application()
    async with opened(refresh_rotation=rotation) as world:

        async def keep(tokens: TokenSet) -> None:
            assert world.handovers.newest(world.tokens) is tokens
            stale = world.tokens if rotation else tokens
            inner.kept.append(await world.handovers.renew(stale, inner.keep, inner.adopted.append))
            assert inner.adopted == []

        async with asyncio.timeout(10):
            renewed = await world.handovers.renew(world.tokens, keep, application.adopted.append)
        assert world.handovers.newest(world.tokens) is world.tokens
        assert inner.kept == inner.adopted == application.adopted == [renewed]
        assert arrived(world.tenant, TOKEN) == 1


async def test_closing_waits_for_handovers_for_the_grace() -> None:
    """The tokens are saved, and their caller has them."""
    application = Application()
    async with opened() as world:
        reached, goes_on = asyncio.Event(), asyncio.Event()

        async def keep(tokens: TokenSet) -> None:
            reached.set()
            await goes_on.wait()
            application.keep(tokens)

        renewing = asyncio.create_task(world.handovers.renew(world.tokens, keep, application.adopted.append))
        await reached.wait()
        closing = asyncio.create_task(world.handovers.aclose(grace=10.0))
        for _ in range(20):
            await asyncio.sleep(0)
        goes_on.set()
        async with asyncio.timeout(10):
            await closing
            assert application.kept == application.adopted == [await renewing]


async def test_closing_ends_handovers_after_the_grace() -> None:
    """An on_refresh that hangs does not keep the client from closing."""
    async with opened() as world:
        hangs = asyncio.Event()

        async def keep(_tokens: TokenSet) -> None:
            hangs.set()
            await asyncio.Event().wait()

        renewing = asyncio.create_task(world.handovers.renew(world.tokens, keep, lambda _tokens: None))
        await hangs.wait()
        async with asyncio.timeout(10):
            await world.handovers.aclose(grace=0.01)
        with pytest.raises(OutcomeUnknown, match="closed"):
            await renewing
