"""Many logins at once, with exchanges that the test holds in its hand: no sockets, no time."""

from __future__ import annotations

import asyncio
import gc
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.leaks import lines_with, shown
from helpers.values import present
from passwordless_async import (
    TESTING,
    Email,
    Login,
    NotSent,
    Outcome,
    PasswordlessClient,
    PasswordlessError,
    TokenSet,
    UsageError,
    WrongCode,
)
from passwordless_async._common import clock as _clock
from passwordless_async._common.secret import Secret
from passwordless_async.client import bulk
from passwordless_async.dpop import DPoPKey

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Iterator

    from passwordless_async import Progress

KEY = DPoPKey.generate()


def login(number: int) -> Login:
    return Login(Email(f"user{number}@example.com"), "123456", tag=number)


def tokens(of: Login) -> TokenSet:
    return TokenSet(Secret(f"token-{of.tag}"), "DPoP", None, "", None, None, None, KEY)


async def left_alone(_outcome: Outcome) -> None:
    return None


def outcomes(
    exchange: Callable[[Login], Awaitable[TokenSet]],
    logins: Any,
    *,
    concurrency: int,
    taken: Callable[[Outcome], None] = lambda _outcome: None,
    untaken: Callable[[Outcome], Awaitable[None]] = left_alone,
    progress: Callable[[Progress], None] | None = None,
) -> AsyncGenerator[Outcome, None]:
    async def each(of: Login) -> Outcome:
        try:
            return Outcome(of, tokens=await exchange(of))
        except PasswordlessError as error:
            return Outcome(of, error=error)

    batch = bulk.Batch("logins", Login, each, lambda outcome: outcome.error, taken, untaken)
    return bulk.outcomes(batch, logins, concurrency=concurrency, progress=progress)


class Exchange:
    """Exchanges that wait until they are let go."""

    def __init__(self) -> None:
        self.running: dict[int, asyncio.Future[None]] = {}

    async def __call__(self, of: Login) -> TokenSet:
        self.running[of.tag] = asyncio.get_running_loop().create_future()
        try:
            await self.running[of.tag]
        finally:
            del self.running[of.tag]
        return tokens(of)

    async def reach(self, number: int) -> None:
        """Give the loop turns until that many run; bounded, so that a defect fails instead of hanging."""
        for _ in range(1000):
            if len(self.running) == number:
                return
            await asyncio.sleep(0)
        raise AssertionError(f"{len(self.running)} run, not {number}")


async def at_once(of: Login) -> TokenSet:
    return tokens(of)


async def turns(number: int = 50) -> None:
    """Give everything that can go on the chance to."""
    for _ in range(number):
        await asyncio.sleep(0)


async def test_every_login_has_one_outcome() -> None:
    """As many outcomes as logins, each with the login's own tokens and tag."""
    found = {o.login.tag: o async for o in outcomes(at_once, [login(n) for n in range(100)], concurrency=7)}
    assert set(found) == set(range(100))
    assert all(present(o.tokens).access_token == f"token-{tag}" and o.error is None for tag, o in found.items())


async def test_outcomes_come_in_order_of_completion() -> None:
    """The first to be answered is the first to come out, whatever its place in the list."""
    exchange = Exchange()
    async with aclosing(outcomes(exchange, map(login, range(3)), concurrency=3)) as stream:
        first = asyncio.ensure_future(anext(stream))
        await exchange.reach(3)
        exchange.running[2].set_result(None)
        assert (await first).login.tag == 2
        exchange.running[0].set_result(None)
        assert (await anext(stream)).login.tag == 0
        exchange.running[1].set_result(None)
        assert (await anext(stream)).login.tag == 1


async def test_logins_are_read_lazily() -> None:
    """Nothing is read beyond what may be in flight, or finished and not yet taken."""
    read: list[int] = []

    def reading() -> Iterator[Login]:
        for number in range(1000):
            read.append(number)
            yield login(number)

    async with aclosing(outcomes(at_once, reading(), concurrency=5)) as stream:
        await anext(stream)
        await turns()
        assert len(read) <= 5 + 1


@given(total=st.integers(0, 40), concurrency=st.integers(1, 12))
def test_concurrency_is_reached_and_never_exceeded(total: int, concurrency: int) -> None:
    """As many logins as allowed are in flight while there are enough, and never more."""
    running = most = 0

    async def a_few_turns(of: Login) -> TokenSet:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await turns(3)
        running -= 1
        return tokens(of)

    async def run() -> int:
        return len([o async for o in outcomes(a_few_turns, map(login, range(total)), concurrency=concurrency)])

    assert asyncio.run(run()) == total
    assert most == min(concurrency, total)


async def test_a_failure_is_an_outcome() -> None:
    """One login's error comes out as its outcome, and the others go on."""

    async def odd_ones_fail(of: Login) -> TokenSet:
        if of.tag % 2:
            raise WrongCode(status=403, error="invalid_grant")
        return tokens(of)

    found = [o async for o in outcomes(odd_ones_fail, map(login, range(10)), concurrency=3)]
    assert {o.login.tag for o in found if isinstance(o.error, WrongCode) and o.tokens is None} == {1, 3, 5, 7, 9}
    assert sum(o.error is None for o in found) == 5


async def test_an_async_iterable_is_read_too() -> None:
    """While the source waits, what is finished comes out."""
    more = asyncio.Event()

    async def slowly() -> AsyncIterator[Login]:
        yield login(0)
        await more.wait()
        yield login(1)

    async with aclosing(outcomes(at_once, slowly(), concurrency=4)) as stream:
        assert (await anext(stream)).login.tag == 0
        more.set()
        assert (await anext(stream)).login.tag == 1
        with pytest.raises(StopAsyncIteration):
            await anext(stream)


async def test_a_closed_stream_leaves_no_task() -> None:
    """After ``aclose`` no task of the stream is left."""
    exchange = Exchange()
    before = asyncio.all_tasks()
    async with aclosing(outcomes(exchange, map(login, range(20)), concurrency=4)) as stream:
        first = asyncio.ensure_future(anext(stream))
        await exchange.reach(4)
        exchange.running[0].set_result(None)
        await first
    assert exchange.running == {}
    assert asyncio.all_tasks() == before


async def test_leaving_the_loop_closes_the_source() -> None:
    """A source that holds something open lets it go when the loop is left, and not some time later."""
    closed = False

    async def source() -> AsyncIterator[Login]:
        nonlocal closed
        try:
            for number in range(100):
                yield login(number)
        finally:
            closed = True

    async with aclosing(outcomes(at_once, source(), concurrency=2)) as stream:
        await anext(stream)
    assert closed


async def test_leaving_by_break_ends_everything_too() -> None:
    """Without aclosing the stream is closed when it is collected."""
    exchange = Exchange()
    before = asyncio.all_tasks()

    async def first_only() -> Outcome:
        async for outcome in outcomes(exchange, map(login, range(20)), concurrency=4):
            return outcome
        raise AssertionError

    first = asyncio.ensure_future(first_only())
    await exchange.reach(4)
    exchange.running[0].set_result(None)
    await first
    gc.collect()
    await turns()
    assert exchange.running == {}
    assert asyncio.all_tasks() == before


async def test_cancelling_the_consumer_ends_everything() -> None:
    """A cancelled consumer takes its children along."""
    exchange = Exchange()
    before = asyncio.all_tasks()

    async def consume() -> None:
        async with aclosing(outcomes(exchange, map(login, range(20)), concurrency=4)) as stream:
            async for _ in stream:
                pass

    consumer = asyncio.create_task(consume())
    await exchange.reach(4)
    consumer.cancel()
    await asyncio.wait([consumer])
    assert consumer.cancelled()
    assert exchange.running == {}
    assert asyncio.all_tasks() == before


async def test_a_source_that_raises_loses_nothing() -> None:
    """What is in flight when reading fails is finished and handed over; then the caller's error is raised."""

    def breaking() -> Iterator[Login]:
        yield login(0)
        yield login(1)
        raise LookupError("no more")

    stream = outcomes(at_once, breaking(), concurrency=8)
    assert {(await anext(stream)).login.tag, (await anext(stream)).login.tag} == {0, 1}
    with pytest.raises(LookupError, match="no more"):
        await anext(stream)


async def slowly(items: Iterable[Any]) -> AsyncIterator[Any]:
    for item in items:
        yield item


@pytest.mark.parametrize("container", [list, iter, slowly])
async def test_something_else_than_a_login_is_refused(container: Callable[[list[Any]], Any]) -> None:
    """The message names the type, and not the value, which holds a code; nor does a local variable of its traceback."""
    with pytest.raises(UsageError, match="logins: must hold Login values, not tuple") as refused:
        async for _ in outcomes(at_once, container([("ada@example.com", "123456")]), concurrency=1):
            pass
    assert lines_with({"123456"}, shown(refused.value)) == []


@pytest.mark.parametrize("concurrency", [0, -1, True, 1.5, "8", None])
async def test_concurrency_must_be_a_number_of_one_or_more(concurrency: Any) -> None:
    """It is checked at the call, before the first login is read."""
    client = PasswordlessClient("acme.eu.auth0.com", "client", profile=TESTING)
    with pytest.raises(UsageError, match="concurrency: must be"):
        client.exchange_many([], concurrency=concurrency)


async def test_an_error_that_is_not_ours_is_not_swallowed() -> None:
    """A defect is raised, not turned into an outcome."""

    async def defect(_of: Login) -> TokenSet:
        raise ZeroDivisionError

    with pytest.raises(ExceptionGroup) as caught:
        async for _ in outcomes(defect, [login(0)], concurrency=1):
            pass
    assert caught.group_contains(ZeroDivisionError)


async def test_outcomes_show_no_secret() -> None:
    """Neither the code nor the tokens stand in an outcome's repr."""
    good, bad = Outcome(login(1), tokens=tokens(login(1))), Outcome(login(1), error=NotSent("nothing was sent"))
    assert "token-1" not in repr(good)
    assert "123456" not in repr(good) + repr(bad)


async def test_an_outcome_that_was_not_taken_is_kept() -> None:
    """Each outcome goes to ``take`` before it is yielded or, if the stream is closed before, to ``keep_untaken``."""
    untaken: list[int] = []

    async def take(outcome: Outcome) -> None:
        untaken.append(outcome.login.tag)

    taken: list[int] = []
    stream = outcomes(
        at_once,
        map(login, range(10)),
        concurrency=5,
        taken=lambda outcome: taken.append(outcome.login.tag),
        untaken=take,
    )
    async with aclosing(stream):
        assert taken == [(await anext(stream)).login.tag]
        await turns()
    assert sorted(taken + untaken) == list(range(5))


async def consume(stream: AsyncGenerator[Outcome, None], number: int) -> None:
    """Take some outcomes, and leave."""
    async with aclosing(stream):
        for _ in range(number):
            await anext(stream)


async def test_a_consumer_cancelled_while_outcomes_are_kept_loses_none() -> None:
    """It hears of the cancellation when all of them are kept, however often it was cancelled."""
    may_keep = asyncio.Event()
    kept: list[Outcome] = []

    async def keep(outcome: Outcome) -> None:
        await may_keep.wait()
        kept.append(outcome)

    stream = outcomes(at_once, map(login, range(4)), concurrency=4, untaken=keep)
    consumer = asyncio.create_task(consume(stream, 1))
    await turns()
    for _ in range(2):
        consumer.cancel()
        await turns()
        assert not consumer.done()
    may_keep.set()
    await turns()
    assert (consumer.cancelled(), [outcome.login.tag for outcome in kept]) == (True, [1, 2, 3])


async def test_a_consumer_cancelled_while_exchanges_finish_hears_of_it() -> None:
    """Exchanges on the wire are waited for, and what was not taken is kept; then the cancellation is raised."""
    answer = asyncio.Event()
    kept: list[int] = []

    async def keep(outcome: Outcome) -> None:
        kept.append(outcome.login.tag)

    async def exchange(of: Login) -> TokenSet:
        try:
            return tokens(of) if of.tag < 2 else await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            await answer.wait()  # as an exchange that is on the wire does
            raise

    consumer = asyncio.create_task(consume(outcomes(exchange, map(login, range(3)), concurrency=3, untaken=keep), 1))
    await turns()
    consumer.cancel()
    await turns()
    assert not consumer.done()
    answer.set()
    await turns()
    assert (consumer.cancelled(), kept) == (True, [1])


async def test_a_source_that_does_not_close_holds_up_no_cancelled_consumer() -> None:
    """A cancellation reaches what closes the source."""

    async def source() -> AsyncIterator[Login]:
        try:
            yield login(0)
            yield login(1)
        finally:
            await asyncio.get_running_loop().create_future()

    consumer = asyncio.create_task(consume(outcomes(at_once, source(), concurrency=1), 1))
    await turns()
    assert not consumer.done()
    consumer.cancel()
    await turns()
    assert consumer.cancelled()


class Logins:
    """An async iterator that is no generator: it cannot be closed."""

    def __init__(self, number: int) -> None:
        self.left = list(range(number))

    def __aiter__(self) -> Logins:
        return self

    async def __anext__(self) -> Login:
        if not self.left:
            raise StopAsyncIteration
        return login(self.left.pop(0))


async def test_an_async_iterator_that_cannot_be_closed_is_read_too() -> None:
    """It is left as it is, at its end and when the loop is left."""
    assert [o.login.tag async for o in outcomes(at_once, Logins(3), concurrency=1)] == [0, 1, 2]
    await consume(outcomes(at_once, Logins(3), concurrency=1), 1)


async def test_progress_says_how_long_it_took() -> None:
    """In seconds since the first began; they only grow."""
    told: list[float] = []
    began = _clock.monotonic()
    stream = outcomes(at_once, map(login, range(3)), concurrency=1, progress=lambda p: told.append(p.seconds))
    assert len([outcome async for outcome in stream]) == 3
    times = [0.0, *told, _clock.monotonic() - began]
    assert times == sorted(times)


async def test_progress_is_reported_after_each_outcome() -> None:
    """The hook receives how many have ended, failed and are in flight; the last report says that all have ended."""
    told: list[tuple[int, int, int]] = []

    async def odd_ones_fail(of: Login) -> TokenSet:
        if of.tag % 2:
            raise WrongCode(status=403, error="invalid_grant")
        return tokens(of)

    stream = outcomes(
        odd_ones_fail,
        map(login, range(5)),
        concurrency=2,
        progress=lambda p: told.append((p.done, p.failed, p.in_flight)),
    )
    assert len([outcome async for outcome in stream]) == 5
    assert [done for done, _, _ in told] == list(range(1, 6))
    assert told[-1] == (5, 2, 0)
    assert all(0 <= in_flight <= 2 for _, _, in_flight in told)


async def test_a_progress_hook_that_raises_costs_no_outcome() -> None:
    """Its error is the consumer's, and comes after the outcome."""

    def broken(_progress: Progress) -> None:
        raise LookupError("no bar")

    stream = outcomes(at_once, [login(0)], concurrency=1, progress=broken)
    assert (await anext(stream)).login.tag == 0
    with pytest.raises(LookupError, match="no bar"):
        await anext(stream)


@pytest.mark.parametrize("logins", [123456, None, object()])
async def test_what_is_no_iterable_is_refused(logins: object) -> None:
    """It is named at the first step, before anything is begun. A code in its place does not show."""
    with pytest.raises(UsageError, match="logins: must be an iterable") as refused:
        await anext(outcomes(at_once, logins, concurrency=1))
    assert lines_with({"123456"}, shown(refused.value)) == []
