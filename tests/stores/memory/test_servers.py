"""Nonces and quotas in memory: nonces and turns expire; the queue of a quota has neither overlaps nor gaps."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from passwordless_async import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable

    Stores = Callable[[], Any]


ORIGIN = "origin-of-43-characters"


async def test_nonces_and_turns_expire(clock: Any) -> None:
    """They end when they were said to, by a stopped clock."""
    store = MemoryStore()
    await store.put_nonce(ORIGIN, "nonce", seconds=60)
    clock.time += 59.5
    assert await store.nonce(ORIGIN) == "nonce"
    clock.time += 0.5
    assert [
        await store.nonce(ORIGIN),
        await store.nonce_or_turn(ORIGIN, token="one", seconds=3),
        await store.nonce_or_turn(ORIGIN, token="two", seconds=3),
    ] == [None, True, False]
    clock.time += 3
    assert await store.nonce_or_turn(ORIGIN, token="two", seconds=3) is True


TAKES = st.lists(st.tuples(st.integers(1, 50), st.floats(0.001, 10.0), st.floats(0.0, 30.0)), min_size=1, max_size=30)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(takes=TAKES)
def test_no_two_places_overlap(clock: Any, takes: list[tuple[int, float, float]]) -> None:
    """Places begin where those before end, or now if these are over."""

    async def main() -> None:
        store, free = MemoryStore(), 0.0
        for requests, interval, pause in takes:
            clock.time += pause
            wait = await store.reserve("quota", requests=requests, interval=interval)
            first = max(free, clock.time)
            assert first - clock.time == pytest.approx(wait, abs=1e-6)
            free = first + requests * interval

    asyncio.run(main())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(requests=st.lists(st.integers(1, 50), min_size=1, max_size=50), interval=st.floats(0.001, 10.0))
def test_the_queue_has_no_gaps(clock: Any, requests: list[int], interval: float) -> None:
    """Of many concurrent reservations each has as many places as it asked for until the next."""

    async def main() -> list[float]:
        store = MemoryStore()
        return await asyncio.gather(*(store.reserve("quota", requests=each, interval=interval) for each in requests))

    clock.time += 1000.0
    waits = asyncio.run(main())
    steps = [after - before for before, after in itertools.pairwise(waits)]
    assert sorted(waits) == waits
    assert [each * interval for each in requests[:-1]] == pytest.approx(steps, abs=1e-6)
