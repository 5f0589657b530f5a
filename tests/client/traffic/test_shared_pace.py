"""Places in a line that several gates share: together they stay within the quota, without it each goes on alone."""

from __future__ import annotations

import asyncio
import bisect
import itertools
import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.values import present
from passwordless_async.client.traffic.concurrency import FixedLimit
from passwordless_async.client.traffic.gate import Gate, Priority
from passwordless_async.client.traffic.shared_pace import Reservations

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    Run = Callable[[Coroutine[Any, Any, Any]], Any]


def now() -> float:
    return asyncio.get_running_loop().time()


async def idle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


class Peers:
    """A line in memory; each question takes its time there and back."""

    def __init__(self, trip: float = 0.001) -> None:
        self.trip = trip
        self.away = False
        self.taken: list[int] = []
        self.held: list[float] = []
        self._next = 0.0

    async def reserve(self, requests: int, interval: float) -> float | None:
        await asyncio.sleep(self.trip)
        if self.away:
            return None
        self.taken.append(requests)
        first = max(self._next, now())
        self._next = first + requests * interval
        return first - now()

    def pause(self, seconds: float) -> None:
        self.held.append(seconds)
        self._next = max(self._next, now() + seconds)


async def send(gate: Gate, went: list[float], answer: float = 0.01) -> None:
    await gate.enter(Priority.EXCHANGE, math.inf)
    went.append(now())
    await asyncio.sleep(answer)
    gate.leave(Priority.EXCHANGE)


def most_in_a_second(went: list[float]) -> int:
    """Return the most that went in any second; one that begins where the other ends is the next."""
    went = sorted(went)
    return max(bisect.bisect_left(went, first + 1.0 - 1e-6) - index for index, first in enumerate(went))


@settings(max_examples=30)
@given(gates=st.integers(1, 6), per_second=st.integers(4, 60), trips=st.lists(st.floats(0.0, 0.02), min_size=6))
def test_gates_together_stay_within_the_quota(
    in_virtual_time: Run, gates: int, per_second: int, trips: list[float]
) -> None:
    """For any number of gates no second holds more requests than the quota, and not many fewer."""

    async def main() -> tuple[list[float], float]:
        shared, went, began = Peers(trips[0]), list[float](), now()
        made = [Gate(FixedLimit(1000), per_second=float(per_second), peers=shared) for _ in range(gates)]
        await asyncio.gather(*(send(made[n % gates], went) for n in range(per_second * 4)))
        return went, now() - began

    went, seconds = in_virtual_time(main())
    assert per_second * 4 == len(went)
    assert most_in_a_second(went) <= per_second
    assert seconds < 4 * 1.6 + 1


@pytest.mark.parametrize("pause", [0.0, 0.5, 3.0])
def test_requests_after_a_pause_are_spaced(in_virtual_time: Run, pause: float) -> None:
    """Places that were missed during a pause are not made up for."""

    async def main() -> list[float]:
        shared, went = Peers(), list[float]()
        gates = [Gate(FixedLimit(1000), per_second=20.0, peers=shared) for _ in range(3)]
        for _ in range(3):
            await asyncio.gather(*(send(gates[n % 3], went) for n in range(30)))
            await asyncio.sleep(pause)
        return went

    assert most_in_a_second(in_virtual_time(main())) <= 20


def test_a_gate_goes_on_alone_if_the_queue_is_unreachable(in_virtual_time: Run) -> None:
    """It keeps its own pace, and asks the queue again once a second, not for each request."""

    async def main() -> None:
        shared, went = Peers(), list[float]()
        gate = Gate(FixedLimit(1000), per_second=20.0, peers=shared)
        shared.away = True
        took, began = 0, now()

        async def reserve(requests: int, interval: float) -> float | None:
            nonlocal took
            took += 1
            return await Peers.reserve(shared, requests, interval)

        shared.reserve = reserve  # type: ignore[method-assign]
        await asyncio.gather(*(send(gate, went) for _ in range(60)))
        assert pytest.approx(now() - began, abs=0.15) == 3 / 0.97
        assert most_in_a_second(went) <= 20
        assert 3 <= took <= 4
        shared.away = False
        await asyncio.sleep(1)
        await send(gate, went)
        assert shared.taken == [1]

    in_virtual_time(main())


def test_a_request_without_a_place_is_owed(in_virtual_time: Run) -> None:
    """Its place is reserved afterwards; no more are owed than one batch."""

    async def main() -> None:
        shared, ready = Peers(), asyncio.Event()
        places = Reservations(shared, 40.0, waiting=lambda: 2, on_ready=ready.set)
        for _ in range(3):
            places.sent()
        assert math.inf == places.delay(now())
        await ready.wait()
        assert shared.taken == [5]
        assert pytest.approx(places.delay(now())) == 3 / (40 * 0.97)
        for _ in range(2):
            places.sent()
        for _ in range(1000):
            places.sent()
        places.delay(now())
        await asyncio.sleep(1)
        assert shared.taken == [5, 10 + 2]

    in_virtual_time(main())


@pytest.mark.parametrize("unsent", [1, 3])
def test_the_place_of_a_request_that_was_not_sent_is_the_next_ones(in_virtual_time: Run, unsent: int) -> None:
    """A call that was cancelled, or got no connection, costs no other process a place."""

    async def main() -> None:
        shared = Peers()
        gate = Gate(FixedLimit(1000), per_second=20.0, peers=shared)
        for _ in range(unsent):
            await gate.enter(Priority.EXCHANGE, math.inf)
            gate.refund()
            gate.leave(Priority.EXCHANGE)
        await send(gate, [])
        assert shared.taken == [1]

    in_virtual_time(main())


def test_a_place_that_was_given_back_too_late_is_lost(in_virtual_time: Run) -> None:
    """By then it is another process's turn."""

    async def main() -> None:
        shared = Peers()
        gate = Gate(FixedLimit(1000), per_second=20.0, peers=shared)
        await gate.enter(Priority.EXCHANGE, math.inf)
        await asyncio.sleep(1)
        gate.refund()
        await send(gate, [])
        assert shared.taken == [1, 1]

    in_virtual_time(main())


def test_a_request_that_was_not_sent_is_not_owed(in_virtual_time: Run) -> None:
    """Neither before its place is reserved, nor afterwards."""

    async def main() -> None:
        shared = Peers()
        places = Reservations(shared, 40.0, waiting=lambda: 1, on_ready=lambda: None)
        places.sent()
        places.sent()
        places.undo()
        places.delay(now())
        await asyncio.sleep(1)
        assert shared.taken == [1 + 1]
        places.undo()
        places.delay(now())
        await asyncio.sleep(1)
        assert shared.taken == [2, 1]
        shared.away = True
        places.delay(now())
        await asyncio.sleep(0.1)
        places.sent()  # alone
        places.undo()
        assert places.delay(now()) == 0

    in_virtual_time(main())


def test_the_batch_is_bounded(in_virtual_time: Run) -> None:
    """As many places as requests wait are reserved, a quarter of a second of the quota at most, and at least one."""

    async def main() -> None:
        for wanted, expected in ((0, 1), (3, 3), (1000, 10)):
            shared = Peers()
            places = Reservations(shared, 40.0, waiting=itertools.repeat(wanted).__next__, on_ready=lambda: None)
            places.delay(now())
            places.delay(now())
            await asyncio.sleep(1)
            assert shared.taken == [expected]

    in_virtual_time(main())


def test_a_missed_place_is_lost(in_virtual_time: Run) -> None:
    """A place is valid shortly after its time; later another one is reserved."""

    async def main() -> None:
        shared = Peers(0.0)
        places = Reservations(shared, 10.0, waiting=lambda: 1, on_ready=lambda: None)
        places.delay(now())
        await idle()
        assert places.delay(now() + 0.02) <= 0
        assert math.inf == places.delay(now() + 0.05)
        places.aclose()

    in_virtual_time(main())


def test_a_429_pauses_all_gates(in_virtual_time: Run) -> None:
    """A 429 to one gate pauses the others too, by a minute at most."""

    async def main() -> None:
        shared, went = Peers(), list[float]()
        here, there = (Gate(FixedLimit(1000), per_second=20.0, peers=shared) for _ in range(2))
        began = now()
        here.refused(5.0, None)
        await send(there, went)
        assert 5.0 <= went[0] - began < 5.1
        here.refused(1e9, None)
        assert shared.held == [5.0, 60.0]
        here.refused(None, None)
        assert len(shared.held) == 2

    in_virtual_time(main())


def test_closing_cancels_the_reservation(in_virtual_time: Run) -> None:
    """The reservation is cancelled, and wakes no request."""

    async def main() -> None:
        shared, woken = Peers(60.0), list[None]()
        places = Reservations(shared, 10.0, waiting=lambda: 1, on_ready=lambda: woken.append(None))
        places.aclose()
        places.delay(now())
        asking = present(places._asking)
        await idle()
        places.aclose()
        await asyncio.wait([asking])
        await asyncio.sleep(100)
        assert (asking.cancelled(), shared.taken, woken) == (True, [], [])

    in_virtual_time(main())


def test_a_failing_queue_does_not_stop_the_gate(in_virtual_time: Run) -> None:
    """The gate goes on alone for a while, and the exception is reported to the event loop."""

    class Broken(Peers):
        async def reserve(self, requests: int, interval: float) -> float | None:  # noqa: ARG002
            raise ZeroDivisionError

    async def main() -> None:
        heard: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: heard.append(context["exception"]))
        went = list[float]()
        gate = Gate(FixedLimit(1000), per_second=20.0, peers=Broken())
        await asyncio.gather(*(send(gate, went) for _ in range(3)))
        assert (len(went), type(heard[0])) == (3, ZeroDivisionError)

    in_virtual_time(main())


def test_a_queue_that_is_too_long_is_not_believed(in_virtual_time: Run) -> None:
    """The clock that a store goes by has jumped: that costs a minute at most, the longest pause there is."""

    class Jumped(Peers):
        async def reserve(self, requests: int, interval: float) -> float | None:
            wait = await super().reserve(requests, interval)
            return 1e6 if self.taken == [requests] else wait

    async def main() -> None:
        went, began = list[float](), now()
        gate = Gate(FixedLimit(1000), per_second=20.0, peers=Jumped())
        await send(gate, went)
        assert pytest.approx(went[0] - began, abs=0.1) == 60.0

    in_virtual_time(main())
