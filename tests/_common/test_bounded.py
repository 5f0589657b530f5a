"""The bounded mapping: what counts as use, and what makes room."""

from __future__ import annotations

from passwordless_async._common.bounded import Bounded


def filled(size: int = 3) -> Bounded[str, int]:
    """Return a full mapping: a, b, c."""
    entries: Bounded[str, int] = Bounded(size)
    entries.update(a=1, b=2, c=3)
    return entries


def test_the_oldest_entry_makes_room() -> None:
    """An entry too many drops the one that was written first."""
    entries = filled()
    entries["d"] = 4
    assert dict(entries) == {"b": 2, "c": 3, "d": 4}


def test_reading_counts_as_use() -> None:
    """What was read by subscript or by get stays, and what was not read goes."""
    entries = filled()
    assert (entries["a"], entries.get("b")) == (1, 2)
    entries["d"] = 4
    assert list(entries) == ["a", "b", "d"]


def test_writing_counts_as_use() -> None:
    """A value that is replaced moves its key to the end."""
    entries = filled()
    entries["a"] = 10
    entries["d"] = 4
    assert dict(entries) == {"c": 3, "a": 10, "d": 4}


def test_looking_on_does_not_count_as_use() -> None:
    """Membership, iteration and views leave the order as it is."""
    entries = filled()
    assert "a" in entries
    assert (list(entries.items()), list(entries.values())) == ([("a", 1), ("b", 2), ("c", 3)], [1, 2, 3])
    entries["d"] = 4
    assert "a" not in entries


def test_a_missing_key() -> None:
    """A default is returned, and makes no entry."""
    entries = filled()
    assert (entries.get("x"), entries.get("x", 7), entries.pop("x", None)) == (None, 7, None)
    assert list(entries) == ["a", "b", "c"]


def test_entries_are_taken_out() -> None:
    """pop, del and clear make room like any mapping's."""
    entries = filled()
    assert entries.pop("b") == 2
    del entries["a"]
    assert dict(entries) == {"c": 3}
    entries.clear()
    assert len(entries) == 0


def test_one_entry() -> None:
    """The smallest mapping holds the newest entry."""
    entries: Bounded[str, int] = Bounded(1)
    for number, key in enumerate("abc"):
        entries[key] = number
    assert dict(entries) == {"c": 2}
