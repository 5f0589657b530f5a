"""One line of places for all processes: spaced, shared by all, and never saved up."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from passwordless_async import KeyRing, MemoryStore
from passwordless_async.stores.redis import RedisStore

if TYPE_CHECKING:
    from collections.abc import Callable

    Stores = Callable[[], Any]

TAKES = st.lists(st.tuples(st.integers(1, 50), st.floats(0.001, 10.0), st.floats(0.0, 30.0)), min_size=1, max_size=30)


async def test_places_are_spaced(stores: Stores):
    """Each taker begins where the one before ends, on whatever machine; another quota has a line of its own."""
    store, other = stores(), stores()
    waits = [await each.reserve("quota", requests=2, interval=100.0) for each in (store, other, store)]
    assert 0.0 == waits[0]
    assert [200, 400] == pytest.approx(waits[1:], abs=2.0)
    assert 0.0 == await other.reserve("another", requests=1, interval=1.0)


async def test_takers_at_once_have_places_of_their_own(stores: Stores):
    """A hundred takers on four machines stand in one line without gaps; the last waits for all before it."""
    made = [stores() for _ in range(4)]
    takes = [made[n % 4].reserve("quota", requests=1 + n % 3, interval=1000.0) for n in range(100)]
    waits = await asyncio.gather(*takes)
    lengths = {wait: 1000.0 * (1 + n % 3) for n, wait in enumerate(waits)}
    line = sorted(lengths)
    assert 100 == len(line)
    # What passes between two takes is real time; it is nothing beside the places.
    ends = [wait + lengths[wait] for wait in line]
    assert line[1:] == pytest.approx(ends[:-1], abs=30.0)
    assert 1000.0 * (100 + 99) - 30.0 - lengths[line[-1]] <= line[-1] <= 1000.0 * (100 + 99) - lengths[line[-1]]


async def test_idle_time_is_not_saved_up(stores: Stores):
    """After a while without requests there is one place at once, and the next an interval later."""
    store = stores()
    await store.reserve("quota", requests=1, interval=0.01)
    await asyncio.sleep(0.05)
    assert 0.0 == await store.reserve("quota", requests=1, interval=10.0)
    assert 8.0 < await store.reserve("quota", requests=1, interval=10.0) <= 10.0


async def test_a_hold_stops_all(stores: Stores):
    """Nobody has a place before its end, and afterwards they are spaced; a shorter hold ends no longer one."""
    store, other = stores(), stores()
    await store.pause("quota", 500)
    await other.pause("quota", 5)
    assert 495 < await other.reserve("quota", requests=1, interval=100.0) <= 500
    assert 595 < await store.reserve("quota", requests=1, interval=100.0) <= 600
    await store.pause("quota", 5)
    assert 695 < await store.reserve("quota", requests=1, interval=100.0) <= 700


async def test_a_high_quota_is_not_exceeded(stores: Stores):
    """Parts of a microsecond count: a million places of 7.5 µs take no less than that."""
    store = stores()
    await store.pause("quota", 1000)
    first = await store.reserve("quota", requests=1_000_000, interval=0.0000075)
    assert 7.5 == pytest.approx(await store.reserve("quota", requests=1, interval=1.0) - first, abs=0.4)


async def test_what_is_kept_ends(redis_server: Any):
    """A line that nobody stands in any more is forgotten soon after its last place."""
    async with RedisStore(redis_server.url, keys=KeyRing(b"k" * 32, users=b"u" * 32)) as store:
        await store.reserve("quota", requests=10, interval=1.0)
        await store.pause("held", 20)
        kept = {name.rsplit(b":", 1)[1]: redis_server.ask("PTTL", name) for name in redis_server.ask("KEYS", "*")}
        assert {b"quota": True, b"held": True} == {
            b"quota": 9_000 < kept[b"quota"] <= 11_001,
            b"held": 19_000 < kept[b"held"] <= 21_000,
        }


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(takes=TAKES)
def test_no_two_places_overlap(clock: Any, takes: list[tuple[int, float, float]]):
    """Whoever takes how many when: places begin where those before end, or now where these are over."""

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
def test_a_line_has_no_gaps(clock: Any, requests: list[int], interval: float):
    """Of many who take at once, sorted by their first places, each has as many as it asked for until the next."""

    async def main() -> list[float]:
        store = MemoryStore()
        return await asyncio.gather(*(store.reserve("quota", requests=each, interval=interval) for each in requests))

    clock.time += 1000.0
    waits = asyncio.run(main())
    steps = [after - before for before, after in itertools.pairwise(waits)]
    assert sorted(waits) == waits
    assert [each * interval for each in requests[:-1]] == pytest.approx(steps, abs=1e-6)
