"""Limits log lines of repeated events: one a minute for each kind, and the number of others.

Anyone can cause such events, for example with a link that has ``error=``. So not every event has a line. A kind must
not contain text of a user, because kinds are never forgotten.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from passwordless_async._common import clock as _clock

if TYPE_CHECKING:
    from collections.abc import Hashable

K = TypeVar("K", bound="Hashable")

_QUIET_SECONDS = 60.0  # after an event had a line, for others of its kind


class Repeats(Generic[K]):
    """The events that had a line, by kind."""

    def __init__(self) -> None:
        self._lines: dict[K, tuple[float, int]] = {}  # when the last line was, and how many events came since

    def count(self, kind: K) -> int | None:
        """Count an event. If it has a line, return how many of its kind had none since the last line; else None."""
        now = _clock.monotonic()
        at, more = self._lines.get(kind, (now - _QUIET_SECONDS, 0))
        if now - at < _QUIET_SECONDS:
            self._lines[kind] = at, more + 1
            return None
        self._lines[kind] = now, 0
        return more


def others(more: int) -> str:
    """Return the part of a line about the events that had none."""
    return f" ({more} more like it were not logged)" if more else ""
