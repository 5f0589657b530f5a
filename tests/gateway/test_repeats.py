"""Which of repeated events have a line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from passwordless_async.gateway.repeats import Repeats, others

if TYPE_CHECKING:
    from conftest import Clock


def test_of_each_kind_an_event_a_minute_has_a_line(clock: Clock) -> None:
    """The next line says how many had none; another kind has its own lines."""
    repeats: Repeats[str] = Repeats()
    counted: list[tuple[str, int | None]] = []
    for seconds, kind in ((0, "a"), (0, "a"), (59.5, "a"), (0, "b"), (0.5, "a"), (60, "a")):
        clock.time += seconds
        counted.append((kind, repeats.count(kind)))
    assert counted == [("a", 0), ("a", None), ("a", None), ("b", 0), ("a", 2), ("a", 0)]


def test_a_line_tells_of_those_that_had_none() -> None:
    """If there were any."""
    assert (others(0), others(2)) == ("", " (2 more like it were not logged)")
