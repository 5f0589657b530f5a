"""Expiring values: each has its time, the mapping has its size, and what has expired goes as time passes."""

from __future__ import annotations

from typing import Any

from passwordless_async.stores.memory.expiring import Expiring


def test_a_value_expires(clock: Any) -> None:
    """It is there until its time and not at it."""
    values: Expiring[str] = Expiring(10)
    values.put("name", "value", 5.0)
    clock.time += 4.5
    assert (values.get("name"), values.seconds_left("name")) == ("value", 0.5)
    clock.time += 0.5
    assert (values.get("name"), values.seconds_left("name")) == (None, 0.0)


def test_the_value_longest_unchanged_makes_room() -> None:
    """A value that was put again counts as new; one that was only read does not."""
    values: Expiring[int] = Expiring(2)
    for name, number in (("a", 1), ("b", 2), ("a", 3)):
        values.put(name, number, 60.0)
    values.get("b")
    values.put("c", 4, 60.0)
    assert [values.get(name) for name in "abc"] == [3, None, 4]
    assert len(values) == 2


def test_expired_values_are_dropped_while_others_are_put(clock: Any) -> None:
    """The mapping shrinks to what is alive long before it is full, without a call that pays for all."""
    values: Expiring[int] = Expiring(100_000)
    for number in range(1000):
        values.put(f"old{number}", number, 60.0)
    clock.time += 60.0
    for number in range(500):
        values.put(f"new{number}", number, 60.0)
    assert len(values) == 500
    assert values.get("new0") == 0


def test_a_value_without_time_is_none() -> None:
    """An only value that is put for 0 seconds is dropped, and disturbs no later one."""
    values: Expiring[int] = Expiring(10)
    values.put("name", 1, 0.0)
    values.put("other", 2, 1.0)
    assert (values.get("name"), values.get("other"), len(values)) == (None, 2, 1)


def test_a_discarded_value_is_gone() -> None:
    """Discarding what is not there does nothing."""
    values: Expiring[int] = Expiring(10)
    values.put("name", 1, 1.0)
    for _ in range(2):
        values.discard("name")
    assert values.get("name") is None
