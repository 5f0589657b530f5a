"""Mappings and queues for values that expire.

Invariants:

- There are no timers. Each new value frees up to ``GIVEN_BACK_AT_ONCE`` expired values, in the order of expiry. So no
  single call pays for all, and at a steady rate of new values, no expired ones accumulate.
- The cost of a step does not grow with the number of values.
- A value is kept at most a five-hundredth of its lifetime too long, or a second.
"""

from __future__ import annotations

import heapq
import math
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

from passwordless_async._common import clock as _clock

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")

GIVEN_BACK_AT_ONCE = 8  # in about as many microseconds
_STEPS = 1024  # per lifetime at most: the heap of steps stays small, whatever the lifetimes


class Deadlines(Generic[K]):
    """Names in the order of their expiry.

    A name is in the step in which it expires. A step lasts a second, or up to a five-hundredth of a longer lifetime.
    Call :meth:`take` as often as :meth:`add`: only that removes the steps that have passed.
    """

    __slots__ = ("_names", "_steps")

    def __init__(self) -> None:
        self._names: dict[int, OrderedDict[K, None]] = {}  # by the end of the step, the longest there first
        self._steps: list[int] = []  # a heap

    def add(self, name: K, at: float, now: float) -> int:
        """Add a name that expires ``at``; return its step, for :meth:`remove`."""
        step = math.ceil(at)
        if at - now > _STEPS:
            width = 1 << (int(at - now) // _STEPS).bit_length()
            step = -(-step // width) * width
        names = self._names.get(step)
        if names is None:
            names = self._names[step] = OrderedDict()
            heapq.heappush(self._steps, step)
        names[name] = None
        return step

    def remove(self, name: K, step: int) -> None:
        """Remove a name."""
        # A step without names is left until it has passed: finding it in the heap would cost more.
        del self._names[step][name]

    def is_over(self, now: float) -> bool:
        """Return whether there may be names that have expired."""
        return bool(self._steps) and self._steps[0] <= now

    def take(self, now: float, at_most: int = GIVEN_BACK_AT_ONCE) -> list[K]:
        """Remove and return names that have expired."""
        taken: list[K] = []
        while len(taken) < at_most and self.is_over(now):
            self._take_first(taken)
        return taken

    def take_first(self) -> K:
        """Remove and return the name that expires first; there must be one."""
        taken: list[K] = []
        while not taken:
            self._take_first(taken)
        return taken[0]

    def _take_first(self, taken: list[K]) -> None:
        """Take the first name of the first step, or drop a step without names."""
        names = self._names[self._steps[0]]
        if names:
            taken.append(names.popitem(last=False)[0])
        else:
            del self._names[heapq.heappop(self._steps)]


class Expiring(Generic[K, T]):
    """Values by name, each until it expires; at most ``size``, of which the first to expire is evicted."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: dict[K, tuple[T, float, int]] = {}  # value, expiry, and step of the deadline
        self._deadlines: Deadlines[K] = Deadlines()

    def get(self, name: K) -> T | None:
        """Return a value; None if there is none, or it has expired."""
        entry = self._entries.get(name)
        if entry is None:
            return None
        if entry[1] <= _clock.monotonic():
            self.discard(name)
            return None
        return entry[0]

    def seconds_left(self, name: K) -> float:
        """Return the seconds until a value expires; 0 if there is none."""
        return max(self._entries[name][1] - _clock.monotonic(), 0.0) if name in self._entries else 0.0

    def put(self, name: K, value: T, seconds: float) -> None:
        """Keep a value for ``seconds``."""
        now = _clock.monotonic()
        # Nearly always neither is true: the check here saves a login some frames.
        if name in self._entries:
            self.discard(name)
        if self._deadlines.is_over(now):
            for over in self._deadlines.take(now):
                del self._entries[over]
        if len(self._entries) >= self._size:
            del self._entries[self._deadlines.take_first()]
        expires = now + seconds
        self._entries[name] = value, expires, self._deadlines.add(name, expires, now)

    def discard(self, name: K) -> None:
        """Delete a value, if there is one."""
        entry = self._entries.pop(name, None)
        if entry is not None:
            self._deadlines.remove(name, entry[2])

    def __len__(self) -> int:
        return len(self._entries)
