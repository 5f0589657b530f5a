"""Counters in fixed windows, in this process.

Invariants:

- No call suspends between reading and writing the counters.
- Each kind has its own bound: counters of many addresses do not evict those of users, nor those of the total.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from passwordless_async._common import clock as _clock
from passwordless_async._common.expiring import Expiring
from passwordless_async.stores.protocols import Counter, CounterStore

if TYPE_CHECKING:
    from collections.abc import Sequence


# Of a kind, and as many that can be undone; the one that expires first makes room. About 400 bytes each.
_MAX_COUNTERS = 65_536


@attrs.define(eq=False)
class _Window:
    """A window of a counter."""

    ends: float  # by the monotonic clock
    number: int = 0


class MemoryCounters(CounterStore):
    """The :class:`CounterStore <passwordless_async.stores.CounterStore>` in memory: ``size`` counters of each kind."""

    def __init__(self, size: int = _MAX_COUNTERS) -> None:
        self._counter_size = size
        self._windows: dict[str, Expiring[str, _Window]] = {}
        self._counted: Expiring[str, tuple[_Window, ...]] = Expiring(size)

    async def count(self, group: str, counters: Sequence[Counter], *, token: str, remember: float) -> tuple[float, ...]:
        if self._counted.get(f"{group} {token}") is not None:
            return (0.0,) * len(counters)
        now = _clock.monotonic()
        windows = [self._window(group, counter) or _Window(now + counter.window) for counter in counters]
        left = tuple(
            0.0 if window.number < counter.limit else window.ends - now
            for counter, window in zip(counters, windows, strict=True)
        )
        if any(left):
            return left
        for counter, window in zip(counters, windows, strict=True):
            window.number += 1
            self._of(counter.kind).put(f"{group} {counter.name}", window, window.ends - now)
        self._counted.put(f"{group} {token}", tuple(windows), remember)
        return left

    async def undo_count(self, group: str, counters: Sequence[Counter], *, token: str) -> None:
        windows = self._counted.get(f"{group} {token}") or ()
        self._counted.discard(f"{group} {token}")
        for counter in counters:
            window = self._window(group, counter)
            if window is None or window not in windows:
                continue
            window.number -= 1
            if window.number == 0:
                self._of(counter.kind).discard(f"{group} {counter.name}")

    def _window(self, group: str, counter: Counter) -> _Window | None:
        return self._of(counter.kind).get(f"{group} {counter.name}")

    def _of(self, kind: str) -> Expiring[str, _Window]:
        return self._windows.setdefault(kind, Expiring(self._counter_size))
