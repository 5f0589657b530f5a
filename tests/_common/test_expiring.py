"""Expiring values: each has its time, the mapping has its size, and what has expired goes as time passes."""

from __future__ import annotations

from typing import Any

import pytest

from passwordless_async._common.expiring import Deadlines, Expiring


def test_a_value_expires(clock: Any) -> None:
    """It is there until its time and not at it."""
    values: Expiring[str, str] = Expiring(10)
    values.put("name", "value", 5.0)
    clock.time += 4.5
    assert (values.get("name"), values.seconds_left("name")) == ("value", 0.5)
    clock.time += 0.5
    assert (values.get("name"), values.seconds_left("name")) == (None, 0.0)


def test_the_value_longest_unchanged_makes_room() -> None:
    """A value that was put again counts as new; one that was only read does not."""
    values: Expiring[str, int] = Expiring(2)
    for name, number in (("a", 1), ("b", 2), ("a", 3)):
        values.put(name, number, 60.0)
    values.get("b")
    values.put("c", 4, 60.0)
    assert [values.get(name) for name in "abc"] == [3, None, 4]
    assert len(values) == 2


def test_expired_values_are_dropped_while_others_are_put(clock: Any) -> None:
    """The mapping shrinks to what is alive long before it is full, without a call that pays for all."""
    values: Expiring[str, int] = Expiring(100_000)
    for number in range(1000):
        values.put(f"old{number}", number, 60.0)
    clock.time += 60.0
    for number in range(500):
        values.put(f"new{number}", number, 60.0)
    assert len(values) == 500
    assert values.get("new0") == 0


def test_a_value_without_time_is_none() -> None:
    """An only value that is put for 0 seconds is dropped, and disturbs no later one."""
    values: Expiring[str, int] = Expiring(10)
    values.put("name", 1, 0.0)
    values.put("other", 2, 1.0)
    assert (values.get("name"), values.get("other"), len(values)) == (None, 2, 1)


def test_a_discarded_value_is_gone() -> None:
    """Discarding what is not there does nothing."""
    values: Expiring[str, int] = Expiring(10)
    values.put("name", 1, 1.0)
    for _ in range(2):
        values.discard("name")
    assert values.get("name") is None


def test_a_long_time_holds_no_short_one_back(clock: Any) -> None:
    """What is over is given back though a value that was put before it is not over."""
    values: Expiring[str, int] = Expiring(100)
    values.put("long", 0, 3600.0)
    for number in range(10):
        values.put(f"short{number}", number, 5.0)
    clock.time += 5.0
    for name in ("first", "second"):
        values.put(name, 0, 3600.0)
    assert len(values) == 3
    assert values.get("long") == 0


def test_a_value_that_is_put_again_lasts_until_its_new_time(clock: Any) -> None:
    """Its old deadline counts no more, whether it was later or earlier."""
    values: Expiring[str, int] = Expiring(10)
    for old, new in ((5.0, 60.0), (60.0, 5.0)):
        values.put("name", 1, old)
        values.put("name", 2, new)
        clock.time += 6.0
        values.put("other", 0, 1.0)
        assert values.get("name") == (2 if new > old else None)


def test_one_call_gives_back_a_few_values(clock: Any) -> None:
    """Of thousands whose time is over, one call pays for eight."""
    values: Expiring[str, int] = Expiring(10_000)
    for number in range(5000):
        values.put(str(number), number, 60.0)
    clock.time += 60.0
    values.put("new", 0, 60.0)
    assert len(values) == 5000 - 8 + 1


@pytest.mark.usefixtures("clock")
def test_of_a_full_mapping_the_first_to_expire_makes_room() -> None:
    """Of those that expire together it is the one longest unchanged."""
    values: Expiring[str, int] = Expiring(3)
    for name, seconds in (("long", 3600.0), ("old", 60.0), ("young", 60.0), ("new", 60.0)):
        values.put(name, 0, seconds)
    assert [values.get(name) for name in ("long", "old", "young", "new")] == [0, None, 0, 0]


@pytest.mark.parametrize("seconds", [1.0, 60.0, 3600.0, 86_400.0 * 30])
def test_times_are_divided_into_few_steps(clock: Any, seconds: float) -> None:
    """However long values last, and however they are put and discarded, the deadlines take little memory."""
    deadlines: Deadlines[str] = Deadlines()
    for _ in range(5000):
        clock.time += seconds / 2500
        deadlines.remove("name", deadlines.add("name", clock.time + seconds, clock.time))
        assert deadlines.take(clock.time) == []
    assert len(deadlines._steps) == len(deadlines._names) <= 1100


@pytest.mark.parametrize("seconds", [0.5, 60.0, 3600.0, 86_400.0 * 30])
def test_a_deadline_is_soon_over(clock: Any, seconds: float) -> None:
    """It is not over before its time, and a five-hundredth of it later, or a second, it is."""
    deadlines: Deadlines[str] = Deadlines()
    deadlines.add("name", clock.time + seconds, clock.time)
    clock.time += seconds
    assert deadlines.take(clock.time - 0.001) == []
    assert deadlines.take(clock.time + max(seconds / 500, 1.0)) == ["name"]
    assert not deadlines.is_over(clock.time + 2 * seconds)
