"""The gate: who goes when, in a loop whose waits take no time."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.values import present
from helpers.virtual_time import VirtualTimeLoop
from passwordless_async import QuotaExceeded
from passwordless_async.auth0.rate_limit import Allowance
from passwordless_async.client.traffic.concurrency import AdaptiveLimit, FixedLimit
from passwordless_async.client.traffic.gate import Gate, Priority

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    Run = Callable[[Coroutine[Any, Any, Any]], Any]

ORDERED = [Priority.EXCHANGE, Priority.REFRESH, Priority.START]


def now() -> float:
    return asyncio.get_running_loop().time()


def stall(seconds: float) -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    loop.stall(seconds)


async def idle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def test_calls_enter_up_to_the_limit(in_virtual_time: Run) -> None:
    """While there is room no call waits; the next one waits until another leaves."""

    async def main() -> None:
        gate = Gate(FixedLimit(2), per_second=None)
        assert [await gate.enter(Priority.START, 0.0) for _ in range(2)] == [0.0, 0.0]
        third = asyncio.create_task(gate.enter(Priority.START, 10.0))
        await asyncio.sleep(3)
        assert (gate.in_flight, third.done()) == (2, False)
        gate.leave(Priority.START)
        assert pytest.approx(await third) == 3.0
        assert gate.in_flight == 2

    in_virtual_time(main())


def test_the_queue_is_ordered_by_priority_and_arrival(in_virtual_time: Run) -> None:
    """Requests sent again go first, then in rounds: five exchanges, two refreshes, one start."""

    async def main() -> None:
        gate = Gate(FixedLimit(1), per_second=10.0)
        order: list[tuple[str, int]] = []

        async def enter(priority: Priority, number: int) -> None:
            await gate.enter(priority, math.inf)
            order.append((priority.name, number))
            gate.leave(priority)

        async def again(number: int) -> None:
            await gate.again(math.inf)
            order.append(("AGAIN", number))

        await gate.enter(Priority.START, 0.0)
        async with asyncio.TaskGroup() as tasks:
            for number in range(6):
                for priority in reversed(ORDERED):
                    tasks.create_task(enter(priority, number))
                tasks.create_task(again(number))
            await idle()
            gate.leave(Priority.START)
        places = {"AGAIN": iter(range(6)), **{priority.name: iter(range(6)) for priority in ORDERED}}
        names = "A" * 6 + "EEEEERRS" + "ERRS" + "RRS" + "SSS"  # the second round has one exchange left
        full = {name[0]: name for name in places}
        assert order == [(full[name], next(places[full[name]])) for name in names]

    in_virtual_time(main())


def test_a_late_request_does_not_overtake_an_earlier_one(in_virtual_time: Run) -> None:
    """A request that arrives when it is time, but before the first was woken, goes after that one."""

    async def main() -> None:
        gate = Gate(FixedLimit(5), per_second=1.0)
        await gate.enter(Priority.EXCHANGE, 0.0)
        order: list[str] = []

        async def again(name: str) -> None:
            await gate.again(math.inf)
            order.append(name)

        first = asyncio.create_task(again("first"))
        await idle()
        stall(2.0)
        await again("second")
        await first
        assert order == ["first", "second"]

    in_virtual_time(main())


def test_a_request_sent_again_needs_no_slot(in_virtual_time: Run) -> None:
    """It goes at the pace of all although the gate is full, and takes no slot."""

    async def main() -> None:
        gate = Gate(FixedLimit(1), per_second=1.0)
        await gate.enter(Priority.EXCHANGE, 0.0)
        began = now()
        for _ in range(3):
            await gate.again(math.inf)
        assert pytest.approx(now() - began, abs=0.05) == 3 / 0.97
        assert gate.in_flight == 1
        gate.leave(Priority.EXCHANGE)
        assert gate.in_flight == 0

    in_virtual_time(main())


def test_a_charged_request_delays_later_ones(in_virtual_time: Run) -> None:
    """A request that was sent without waiting counts against the pace of later ones."""

    async def main() -> None:
        gate = Gate(FixedLimit(9), per_second=2.0)
        for _ in range(10):
            gate.charge()
        assert gate.in_flight == 0
        assert pytest.approx(await gate.enter(Priority.EXCHANGE, 60.0), abs=0.05) == 5.0 / 0.97

    in_virtual_time(main())


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 40), st.lists(st.floats(0, 2), min_size=1, max_size=60))
def test_the_quota_holds(in_virtual_time: Run, rate: int, gaps: list[float]) -> None:
    """No second holds more requests than the quota, requests sent again included."""

    async def main() -> None:
        gate = Gate(FixedLimit(1000), per_second=rate)
        sent: list[float] = []

        async def call(place: int) -> None:
            await gate.enter(ORDERED[place % 3], math.inf)
            sent.append(now())
            if place % 2:
                await gate.again(math.inf)
                sent.append(now())
            gate.leave(ORDERED[place % 3])

        async with asyncio.TaskGroup() as tasks:
            for place, gap in enumerate(gaps):
                tasks.create_task(call(place))
                await asyncio.sleep(gap)
        assert gate.in_flight == 0
        for first, later in zip(sent, sent[rate:], strict=False):
            assert later - first >= 1.0 - 1e-6

    in_virtual_time(main())


def test_a_call_is_refused_when_its_patience_ends(in_virtual_time: Run) -> None:
    """If there is no slot in time the call raises ``QuotaExceeded``, and is not counted."""

    async def main() -> None:
        gate = Gate(FixedLimit(1), per_second=None)
        await gate.enter(Priority.START, 0.0)
        for patience in (0.0, 5.0):
            began = now()
            with pytest.raises(QuotaExceeded) as refused:
                await gate.enter(Priority.EXCHANGE, patience)
            assert now() - began == pytest.approx(patience)
            assert refused.value.retry_after is None
        assert gate.in_flight == 1
        gate.leave(Priority.START)
        assert await gate.enter(Priority.START, 0.0) == 0.0

    in_virtual_time(main())


def test_a_pause_longer_than_the_patience_refuses_at_once(in_virtual_time: Run) -> None:
    """The error names the rest of the pause; the call does not wait and is not counted."""

    async def main() -> None:
        gate = Gate(FixedLimit(5), per_second=None)
        gate.refused(30.0, None)
        began = now()
        with pytest.raises(QuotaExceeded) as refused:
            await gate.enter(Priority.EXCHANGE, 5.0)
        assert (now() - began, gate.in_flight) == (0.0, 0)
        assert 30.0 - 1e-6 <= present(refused.value.retry_after) <= 31.0
        assert refused.value.retry_after == pytest.approx(await gate.enter(Priority.EXCHANGE, 60.0))

    in_virtual_time(main())


def test_a_refusal_delays_requests_that_wait(in_virtual_time: Run) -> None:
    """A 429, or a response that says that nothing is left, delays requests that are already in the queue."""

    async def main() -> None:
        for said, seconds in ((None, 10.0), (Allowance(9, 0, 20.0), 20.0)):
            gate = Gate(FixedLimit(5), per_second=1.0)
            await gate.enter(Priority.EXCHANGE, 0.0)
            waiting = [asyncio.create_task(gate.enter(Priority.EXCHANGE, 60.0)) for _ in range(2)]
            await idle()
            if said is None:
                gate.refused(10.0, None)
            else:
                gate.answered(0.1, said)
            waits = await asyncio.gather(*waiting)
            assert seconds - 1e-6 <= min(waits) <= seconds + 1
            assert max(waits) - min(waits) >= 1.0 - 1e-6

    in_virtual_time(main())


def test_a_lower_limit_holds_for_waiting_calls(in_virtual_time: Run) -> None:
    """After the limit was lowered no call enters until enough have left."""

    async def main() -> None:
        limit = FixedLimit(10)
        gate = Gate(limit, per_second=None)
        for _ in range(8):
            await gate.enter(Priority.EXCHANGE, 0.0)
        waiting = asyncio.create_task(gate.enter(Priority.EXCHANGE, 60.0))
        limit.value = 3
        for left in range(7, 2, -1):
            gate.leave(Priority.EXCHANGE)
            await idle()
            assert (gate.in_flight, waiting.done()) == (left, False)
        gate.leave(Priority.EXCHANGE)
        await waiting
        assert gate.in_flight == 3

    in_virtual_time(main())


def test_a_call_cancelled_when_admitted_gives_its_slot_on(in_virtual_time: Run) -> None:
    """The next call in the queue enters instead."""

    async def main() -> None:
        gate = Gate(FixedLimit(1), per_second=None)
        await gate.enter(Priority.EXCHANGE, 0.0)
        first, second = (asyncio.create_task(gate.enter(Priority.EXCHANGE, 60.0)) for _ in range(2))
        await idle()
        gate.leave(Priority.EXCHANGE)
        first.cancel()
        await second
        assert (first.cancelled(), gate.in_flight) == (True, 1)

    in_virtual_time(main())


def test_only_requests_that_wait_are_counted(in_virtual_time: Run) -> None:
    """Expired and cancelled requests do not count as waiting, before and after they are removed from the queue."""

    async def main() -> None:
        gate = Gate(FixedLimit(1), per_second=None)
        await gate.enter(Priority.EXCHANGE, 0.0)
        expired = [asyncio.create_task(gate.enter(Priority.EXCHANGE, 1.0)) for _ in range(3)]
        waiting = [asyncio.create_task(gate.enter(Priority.START, math.inf)) for _ in range(2)]
        await asyncio.wait(expired)
        waiting[0].cancel()
        await idle()
        assert repr(gate) == "<Gate with 1 in flight and 1 waiting>"
        gate.leave(Priority.EXCHANGE)
        await waiting[1]
        assert repr(gate) == "<Gate with 1 in flight and 0 waiting>"
        assert (gate._queued, gate._unsettled) == (0, 0)
        assert all(isinstance(task.exception(), QuotaExceeded) for task in expired)

    in_virtual_time(main())


def test_a_queue_of_cancelled_requests_is_compacted(in_virtual_time: Run) -> None:
    """Memory of requests that wait no more is given back before the queue moves on."""

    async def main() -> None:
        gate = Gate(FixedLimit(1), per_second=None)
        await gate.enter(Priority.EXCHANGE, 0.0)
        tasks = [asyncio.create_task(gate.enter(Priority.EXCHANGE, math.inf)) for _ in range(1000)]
        await idle()
        for task in tasks[1:]:
            task.cancel()
        await asyncio.wait(tasks[1:])
        assert gate.waiting == 1
        assert gate._queued <= 64
        gate.leave(Priority.EXCHANGE)
        await tasks[0]

    in_virtual_time(main())


@pytest.mark.parametrize("flood", ORDERED)
def test_no_class_is_starved(in_virtual_time: Run, flood: Priority) -> None:
    """While one class floods in, each other gets its share of the quota: of eight requests five, two and one."""

    async def main() -> None:
        gate = Gate(FixedLimit(1000), per_second=10.0)
        sent: list[Priority] = []

        async def one(priority: Priority) -> None:
            try:
                await gate.enter(priority, 5.0)
            except QuotaExceeded:
                return
            sent.append(priority)
            gate.leave(priority)

        async with asyncio.TaskGroup() as tasks:
            for tick in range(300):  # thirty a second, three times what there is
                tasks.create_task(one(flood))
                if tick % 3 == 0:
                    for other in ORDERED:
                        tasks.create_task(one(other))
                await asyncio.sleep(1 / 30)
        shares = [sent.count(priority) / len(sent) for priority in ORDERED]
        assert min(shares[0] - 4 / 8, shares[1] - 1.5 / 8, shares[2] - 0.8 / 8) >= 0

    in_virtual_time(main())


@pytest.mark.parametrize("flood", ORDERED)
@pytest.mark.parametrize(("slots", "reserved"), [(64, 4), (32, 2), (16, 1), (15, 1), (8, 1), (4, 1)])
def test_no_class_takes_all_slots(in_virtual_time: Run, flood: Priority, slots: int, reserved: int) -> None:
    """What hangs for one class leaves the others a sixteenth of the slots each, and one at least."""

    async def main() -> None:
        gate = Gate(FixedLimit(slots), per_second=None)
        hanging = [asyncio.create_task(gate.enter(flood, 1.0)) for _ in range(100)]
        await idle()
        assert gate.in_flight == slots - 2 * reserved
        for other in ORDERED:
            if other is not flood:
                assert [await gate.enter(other, 0.0) for _ in range(reserved)] == [0.0] * reserved
        assert gate.in_flight == slots
        await asyncio.gather(*hanging, return_exceptions=True)

    in_virtual_time(main())


@pytest.mark.parametrize("slots", [1, 2, 3])
def test_fewer_slots_than_four_are_for_all_classes(in_virtual_time: Run, slots: int) -> None:
    """They do not suffice to keep one for each."""

    async def main() -> None:
        gate = Gate(FixedLimit(slots), per_second=None)
        assert [await gate.enter(Priority.EXCHANGE, 0.0) for _ in range(slots)] == [0.0] * slots

    in_virtual_time(main())


def test_paused_starts_leave_the_limit_as_it_is(in_virtual_time: Run) -> None:
    """That an address may request no more codes is no sign that the token endpoint is overloaded."""

    async def main() -> None:
        gate = Gate(AdaptiveLimit(100), per_second=None)
        gate.pause_starts(10.0)
        assert gate.limit.value == 100
        gate.refused(1.0, None)
        assert gate.limit.value == 70

    in_virtual_time(main())


def test_paused_starts_hold_back_no_other_class(in_virtual_time: Run) -> None:
    """Neither those that come later nor those that wait behind them."""

    async def main() -> None:
        gate = Gate(FixedLimit(1), per_second=None)
        await gate.enter(Priority.EXCHANGE, 0.0)
        gate.pause_starts(10.0)
        starting, refreshing = (
            asyncio.create_task(gate.enter(priority, 60.0)) for priority in (Priority.START, Priority.REFRESH)
        )
        await idle()
        gate.leave(Priority.EXCHANGE)
        assert await refreshing == 0.0
        gate.leave(Priority.REFRESH)
        assert await gate.enter(Priority.EXCHANGE, 0.0) == 0.0
        gate.leave(Priority.EXCHANGE)
        assert pytest.approx(await starting) == 10.0

    in_virtual_time(main())


def test_a_refused_call_goes_through_after_the_time_that_it_was_told(in_virtual_time: Run) -> None:
    """``retry_after`` counts the requests that wait, not the next place alone."""

    async def main() -> None:
        gate = Gate(FixedLimit(1000), per_second=10.0)
        waiting = [asyncio.create_task(gate.enter(Priority.EXCHANGE, 60.0)) for _ in range(40)]
        await idle()
        with pytest.raises(QuotaExceeded) as refused:
            await gate.enter(Priority.REFRESH, 0.05)
        seconds = present(refused.value.retry_after)
        assert seconds == pytest.approx(40 / 9.7, abs=0.2)
        await asyncio.sleep(seconds)
        assert await gate.enter(Priority.REFRESH, 0.05) <= 0.05
        assert all(task.done() for task in waiting)

    in_virtual_time(main())


CALLS = st.tuples(
    st.sampled_from([None, *ORDERED]),  # None: sent again once it has entered
    st.integers(0, 6),  # tenths of a second until it comes
    st.sampled_from([0.0, 0.1, 0.5, math.inf]),  # its patience
    st.integers(0, 4),  # tenths of a second that it stays
    st.none() | st.tuples(st.integers(0, 12), st.integers(0, 3)),  # when it is cancelled: tenths, and steps of the loop
)


async def call(gate: Gate, priority: Priority | None, after: int, patience: float, stays: int) -> None:
    await asyncio.sleep(after / 10)
    try:
        await gate.enter(priority or Priority.EXCHANGE, patience)
    except QuotaExceeded:
        return
    try:
        assert 1 <= gate.in_flight <= gate.limit.value
        if priority is None:
            await gate.again(math.inf)
        await asyncio.sleep(stays / 10)
    finally:
        gate.leave(priority or Priority.EXCHANGE)


async def cancel(task: asyncio.Task[None], tenths: int, steps: int) -> None:
    await asyncio.sleep(tenths / 10)
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()


async def refuse(gate: Gate, tenths: int) -> None:
    await asyncio.sleep(tenths / 10)
    gate.refused(0.2, None)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(CALLS, max_size=25),
    st.integers(1, 3),
    st.sampled_from([None, 10.0, 30.0]),
    st.lists(st.integers(0, 12), max_size=2),
)
def test_cancelled_calls_lose_no_slot(
    in_virtual_time: Run, calls: list[Any], most: int, rate: float | None, refusals: list[int]
) -> None:
    """However calls arrive, stay and are cancelled, the limit holds, all end, and no slot is lost."""

    async def main() -> None:
        gate = Gate(FixedLimit(most), per_second=rate)
        tasks = [asyncio.create_task(call(gate, *about)) for *about, _ in calls]
        others = [asyncio.create_task(refuse(gate, tenths)) for tenths in refusals]
        cancelled = [(task, when) for task, (*_, when) in zip(tasks, calls, strict=True) if when is not None]
        others += [asyncio.create_task(cancel(task, *when)) for task, when in cancelled]
        results = await asyncio.wait_for(asyncio.gather(*tasks, *others, return_exceptions=True), 600)
        assert all(result is None or isinstance(result, asyncio.CancelledError) for result in results)
        assert gate.in_flight == 0
        await gate.enter(Priority.START, math.inf)
        gate.leave(Priority.START)

    in_virtual_time(main())


def test_a_call_cancelled_when_sent_again_frees_one_slot(in_virtual_time: Run) -> None:
    """Being admitted again takes no slot, so a cancellation in that moment frees one slot, not two."""

    async def main() -> None:
        gate = Gate(FixedLimit(1), per_second=1.0)
        await gate.enter(Priority.EXCHANGE, 0.0)
        again = asyncio.create_task(gate.again(math.inf))
        await idle()
        stall(2.0)
        # Whoever comes next wakes the one who waits; it is cancelled before it can look.
        other = asyncio.create_task(gate.enter(Priority.START, math.inf))
        await asyncio.sleep(0)
        again.cancel()
        await idle()
        assert (again.cancelled(), gate.in_flight, other.done()) == (True, 1, False)
        gate.leave(Priority.EXCHANGE)
        assert await other == 0.0
        assert gate.in_flight == 1

    in_virtual_time(main())


def test_a_call_cancelled_after_it_was_admitted_gives_its_place_back(in_virtual_time: Run) -> None:
    """It sends nothing, so the next call goes at once."""

    async def main() -> None:
        gate = Gate(FixedLimit(1), per_second=2.0)
        await gate.enter(Priority.EXCHANGE, 0.0)
        await asyncio.sleep(0.6)
        waiting = asyncio.create_task(gate.enter(Priority.EXCHANGE, 5.0))
        await idle()
        gate.leave(Priority.EXCHANGE)
        waiting.cancel()
        await idle()
        assert (waiting.cancelled(), gate.in_flight) == (True, 0)
        assert await gate.enter(Priority.EXCHANGE, 0.0) == 0.0

    in_virtual_time(main())


def test_a_closed_gate_leaves_no_alarm(in_virtual_time: Run) -> None:
    """After ``aclose`` the event loop has nothing to wait for."""
    loops: list[asyncio.AbstractEventLoop] = []
    began: list[float] = []

    async def main() -> None:
        gate = Gate(FixedLimit(1), per_second=None)
        gate.refused(50.0, None)
        waiting = asyncio.create_task(gate.enter(Priority.START, math.inf))
        await idle()
        waiting.cancel()
        await idle()
        gate.aclose()
        gate.aclose()
        loops.append(asyncio.get_running_loop())
        began.append(now())
        await loops[0].create_future()

    with pytest.raises(RuntimeError, match="nothing is to come"):
        in_virtual_time(main())
    assert began == [loops[0].time()]
