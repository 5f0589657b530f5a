"""A mapping with two limits: each value has an expiry, and the mapping has a size."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

from passwordless_async._common import clock as _clock

T = TypeVar("T")


class Expiring(Generic[T]):
    """Values by name, each until it expires.

    Of ``size`` values the one longest unchanged makes room for a new one. A write drops up to two expired values, the
    longest unchanged first. So the mapping shrinks as time passes, and no single call pays for all of them.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: OrderedDict[str, tuple[T, float]] = OrderedDict()

    def get(self, name: str) -> T | None:
        """Return a value; None if there is none, or it has expired."""
        entry = self._entries.get(name)
        if entry is None:
            return None
        if entry[1] <= _clock.monotonic():
            del self._entries[name]
            return None
        return entry[0]

    def seconds_left(self, name: str) -> float:
        """Return the seconds until a value expires; 0 if there is none."""
        return max(self._entries[name][1] - _clock.monotonic(), 0.0) if name in self._entries else 0.0

    def put(self, name: str, value: T, seconds: float) -> None:
        """Keep a value for so many seconds."""
        now = _clock.monotonic()
        is_known = name in self._entries
        self._entries[name] = (value, now + seconds)
        if is_known:
            self._entries.move_to_end(name)
        if self._drop_oldest(now) and self._entries:
            self._drop_oldest(now)

    def _drop_oldest(self, now: float) -> bool:
        """Drop the longest unchanged value if it has expired, or if there are too many; return whether it did."""
        oldest = next(iter(self._entries))
        if len(self._entries) <= self._size and self._entries[oldest][1] > now:
            return False
        del self._entries[oldest]
        return True

    def discard(self, name: str) -> None:
        """Delete a value, if there is one."""
        self._entries.pop(name, None)

    def __len__(self) -> int:
        return len(self._entries)
