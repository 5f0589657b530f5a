"""Codes on several machines: what one does with a user's code holds for all."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from helpers.machines import ADA, BOB, COOL, HERE, START, TOKEN, machines, wrong_code
from helpers.values import present
from passwordless_async import (
    TESTING,
    CodeSpent,
    CoolingDown,
    Email,
    NotSent,
    OutcomeUnknown,
    PasswordlessClient,
    PasswordlessError,
    QuotaExceeded,
    RateLimited,
    TooManyAttempts,
    WrongCode,
)
from passwordless_async.testing import Fault

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Door = Callable[[PasswordlessClient, str], Awaitable[PasswordlessError | None]]


async def test_a_code_sent_by_one_machine_is_exchanged_on_another(stores: Any) -> None:
    """Users log in on a machine that did not send their code."""
    async with machines(stores, 4) as (tenant, clients, _):
        crowd = [Email(f"user{number}@example.com") for number in range(40)]
        await asyncio.gather(*(clients[n % 4].start(who) for n, who in enumerate(crowd)))
        tokens = await asyncio.gather(
            *(clients[(n + 1) % 4].exchange(who, tenant.outbox.code_for(who)) for n, who in enumerate(crowd))
        )
        assert len({present(tokens.key).thumbprint for tokens in tokens}) == 40


async def test_a_user_cools_down_on_all_machines(stores: Any) -> None:
    """No other machine sends a code that would kill the first; a login ends the cool-down on all of them."""
    async with machines(stores, profile=COOL) as (tenant, (here, there), _):
        await here.start(ADA)
        with pytest.raises(CoolingDown) as refused:
            await there.start(ADA)
        assert 25 < (refused.value.retry_after or 0) <= 30
        await there.start(BOB)
        await there.exchange(ADA, tenant.outbox.code_for(ADA))
        await there.start(ADA)
        assert tenant.stats.start_requests == 3


async def test_concurrent_starts_of_one_user_send_one_code(stores: Any) -> None:
    """A hundred starts on four machines send one code."""
    async with machines(stores, 4, profile=COOL) as (tenant, clients, _):
        starts = [clients[n % 4].start(ADA) for n in range(100)]
        started = await asyncio.gather(*starts, return_exceptions=True)
        assert Counter(type(each).__name__ for each in started) == {"StartReceipt": 1, "CoolingDown": 99}
        assert tenant.stats.start_requests == 1


async def test_a_start_that_sent_nothing_starts_no_cool_down(stores: Any) -> None:
    """If no code was sent, another machine may send one at once; if one may have been sent, it may not."""
    async with machines(stores, profile=COOL) as (tenant, (here, there), _):
        tenant.faults.add(Fault.RATE_LIMITED_RETRY_AFTER, path=START, times=1)
        with pytest.raises(RateLimited):
            await here.start(ADA)
        tenant.faults.add(Fault.DROP_AFTER_PROCESSING, path=START, times=1)
        with pytest.raises(OutcomeUnknown):
            await there.start(ADA)
        with pytest.raises(CoolingDown):
            await here.start(ADA)


async def test_a_start_cancelled_before_it_was_sent_starts_no_cool_down(
    stores: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelled after it was sent, it does: a code may be on its way."""
    async with machines(stores, profile=attrs.evolve(COOL, max_in_flight=1)) as (tenant, (here, there), _):
        answer, begun = asyncio.Event(), asyncio.Event()
        tenant.faults.add(Fault.SLOW, path=START, times=1, until=answer)
        blocking = asyncio.create_task(here.start(BOB))
        while not tenant.stats.start_requests:  # noqa: ASYNC110 - only polling tells
            await asyncio.sleep(0.001)
        codes = here._starts._codes
        begin = codes.begin_start

        async def beginning(*arguments: Any, **named: Any) -> Any:
            ticket = await begin(*arguments, **named)
            begun.set()
            return ticket

        monkeypatch.setattr(codes, "begin_start", beginning)
        waiting = asyncio.create_task(here.start(ADA))
        await begun.wait()
        with pytest.raises(CoolingDown):
            await there.start(ADA)
        waiting.cancel()
        blocking.cancel()
        await asyncio.gather(waiting, blocking, return_exceptions=True)
        await asyncio.gather(*here._peers.availability._background)
        await there.start(ADA)
        with pytest.raises(CoolingDown):
            await there.start(BOB)
        answer.set()


async def test_one_machine_presents_a_code(stores: Any) -> None:
    """At once or later, the tenant sees the code once; the other machines raise CodeSpent."""
    async with machines(stores, 4) as (tenant, clients, _):
        await clients[0].start(ADA)
        code = tenant.outbox.code_for(ADA)
        exchanges = [client.exchange(ADA, code) for client in clients]
        outcomes = await asyncio.gather(*exchanges, return_exceptions=True)
        assert Counter(type(outcome).__name__ for outcome in outcomes) == {"TokenSet": 1, "CodeSpent": 3}
        for client in clients:
            with pytest.raises(CodeSpent, match="presented before"):
                await client.exchange(ADA, code)
        assert (tenant.stats.tokens_issued, tenant.stats.presented_again) == (1, 0)


async def test_attempts_are_counted_over_all_machines(stores: Any) -> None:
    """Each machine knows how many are left; a code without any is not presented."""
    async with machines(stores, 3) as (tenant, clients, _):
        await clients[0].start(ADA)
        code = tenant.outbox.code_for(ADA)
        tried = wrong_code(code)
        for left, client in zip((2, 1), clients, strict=False):
            with pytest.raises(WrongCode) as refused:
                await client.exchange(ADA, tried)
            assert left == refused.value.attempts_left
            tried = wrong_code(tried)
        with pytest.raises(TooManyAttempts):
            await clients[2].exchange(ADA, tried)
        asked = tenant.stats.token_requests
        with pytest.raises(CodeSpent, match="no attempts left"):
            await clients[1].exchange(ADA, code)
        assert asked == tenant.stats.token_requests
        await clients[2].start(ADA)
        assert await clients[1].exchange(ADA, tenant.outbox.code_for(ADA))


@pytest.mark.slow
async def test_a_code_that_the_service_did_not_look_at_may_be_presented_again(stores: Any) -> None:
    """A 429 or an unsent request spends neither code nor attempt."""
    async with machines(stores) as (tenant, (here, there), _):
        await here.start(ADA)
        code = tenant.outbox.code_for(ADA)
        tenant.faults.add(Fault.RATE_LIMITED_RETRY_AFTER, path=TOKEN, times=1)
        with pytest.raises(RateLimited):
            await here.exchange(ADA, code)
        async with tenant.outage():
            for _ in range(4):
                with pytest.raises(NotSent):
                    await there.exchange(ADA, code)
        assert await here.exchange(ADA, code)


async def test_a_code_with_unknown_outcome_is_presented_by_no_machine(stores: Any) -> None:
    """It may be spent."""
    async with machines(stores) as (tenant, (here, there), _):
        await here.start(ADA)
        tenant.faults.add(Fault.DROP_AFTER_PROCESSING, path=TOKEN, times=1)
        with pytest.raises(OutcomeUnknown):
            await here.exchange(ADA, tenant.outbox.code_for(ADA))
        with pytest.raises(CodeSpent):
            await there.exchange(ADA, tenant.outbox.code_for(ADA))


@pytest.mark.slow
@pytest.mark.parametrize("cancelled_after", [0, 1, 2, 3, 5, 8])
async def test_a_cancelled_exchange_spends_the_code_or_leaves_it_to_another_machine(
    stores: Any, cancelled_after: int
) -> None:
    """Whenever it is cancelled, the code is presented once."""
    async with machines(stores) as (tenant, (here, there), _):
        await here.start(ADA)
        code = tenant.outbox.code_for(ADA)
        exchange = asyncio.create_task(here.exchange(ADA, code))
        for _ in range(cancelled_after):
            await asyncio.sleep(0)
        exchange.cancel()
        await asyncio.gather(exchange, return_exceptions=True)
        await here.aclose()
        if not tenant.stats.tokens_issued:
            assert await there.exchange(ADA, code)
        assert (tenant.stats.tokens_issued, tenant.stats.presented_again) == (1, 0)


async def test_an_address_has_one_budget_on_all_machines(stores: Any) -> None:
    """Starts are counted wherever they are made; an unsent start is given back."""
    profile = attrs.evolve(TESTING, starts_per_hour=3)
    async with machines(stores, profile=profile, confidential=True) as (tenant, (here, there), _):
        async with tenant.outage():
            for _ in range(5):
                with pytest.raises(NotSent):
                    await here.start(ADA, forwarded_for=HERE)
        for client in (here, there, here):
            await client.start(ADA, forwarded_for=HERE)
        for client in (here, there):
            with pytest.raises(QuotaExceeded) as refused:
                await client.start(BOB, forwarded_for=HERE)
            assert 3500 < (refused.value.retry_after or 0) <= 3600
        await there.start(BOB)
