"""Values that end at a time of their own, and of which so many are kept."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

from passwordless_async._common import clock as _clock

T = TypeVar("T")


class Expiring(Generic[T]):
    """Values by name, each until its time.

    Args:
        at_most: How many are kept; when there are more, the one longest unchanged is forgotten.
    """

    def __init__(self, at_most: int) -> None:
        self._at_most = at_most
        self._kept: OrderedDict[str, tuple[T, float]] = OrderedDict()

    def get(self, name: str) -> T | None:
        """Return a value; None where there is none, or its time is over."""
        value, until = self._kept.get(name, (None, 0.0))
        if value is not None and until <= _clock.monotonic():
            del self._kept[name]
            return None
        return value

    def left(self, name: str) -> float:
        """Return the seconds that a value has left; 0 where there is none."""
        return max(self._kept[name][1] - _clock.monotonic(), 0.0) if name in self._kept else 0.0

    def put(self, name: str, value: T, seconds: float) -> None:
        """Keep a value for so many seconds."""
        self._kept[name] = (value, _clock.monotonic() + seconds)
        self._kept.move_to_end(name)
        if len(self._kept) > self._at_most:
            self._kept.popitem(last=False)

    def forget(self, name: str) -> None:
        """Forget a value, if there is one."""
        self._kept.pop(name, None)

    def __len__(self) -> int:
        return len(self._kept)
