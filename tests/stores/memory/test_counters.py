"""Counters in memory: they expire by the clock, and there are so many at most."""

from __future__ import annotations

from typing import Any

from passwordless_async import MemoryStore
from passwordless_async.stores import Counter
from passwordless_async.stores.memory.counters import MemoryCounters

HOUR = 3600.0


def count(store: Any, token: str, name: str, *, kind: str = "user", at_most: int = 2, remember: float = 60.0) -> Any:
    return store.count("group", (Counter(kind, name, at_most, HOUR),), token=token, remember=remember)


async def test_a_window_lasts_from_its_first_count(clock: Any) -> None:
    """By a stopped clock: counts do not prolong it, and what can no longer be undone stays counted."""
    store, only = MemoryStore(), (Counter("user", "ada", 2, HOUR),)
    assert await count(store, "one", "ada") == (0.0,)
    clock.time += HOUR - 1
    assert await count(store, "two", "ada", remember=0.5) == (0.0,)
    clock.time += 0.5
    await store.undo_count("group", only, token="two")
    assert await count(store, "three", "ada") == (0.5,)
    clock.time += 0.5
    assert await count(store, "three", "ada") == (0.0,)
    assert await count(store, "four", "ada") == (0.0,)


async def test_an_undo_leaves_the_next_window_alone(clock: Any) -> None:
    """It was counted in a window that is over."""
    store, only = MemoryStore(), (Counter("user", "ada", 1, HOUR),)
    await count(store, "one", "ada", at_most=1, remember=2 * HOUR)
    clock.time += HOUR
    assert await count(store, "two", "ada", at_most=1) == (0.0,)
    await store.undo_count("group", only, token="one")
    assert await count(store, "three", "ada", at_most=1) == (HOUR,)


async def test_a_flood_of_one_kind_displaces_no_other() -> None:
    """Of each kind there are so many; the one longest unchanged makes room for its own kind alone."""
    store = MemoryCounters(100)
    assert await count(store, "all", "everybody", kind="sms", at_most=1) == (0.0,)
    for n in range(1000):
        assert await count(store, f"{n}", f"user{n}") == (0.0,)
    assert len(store._windows["user"]) == 100
    assert any(await count(store, "more", "everybody", kind="sms", at_most=1))


async def test_what_is_refused_leaves_nothing() -> None:
    """An address that has used its budget cannot make the counters of further users."""
    store = MemoryCounters(100)
    address = Counter("address", "one", 3, HOUR)
    for n in range(50):
        await store.count("group", (address, Counter("user", f"user{n}", 5, HOUR)), token=f"{n}", remember=60.0)
    assert len(store._windows["user"]) == 3
    assert len(store._counted) == 3
