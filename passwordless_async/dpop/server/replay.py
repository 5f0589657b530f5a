"""Which proofs were used: the memory that makes each one good for one request (RFC 9449 §11.1).

A store lives as long as the service. It never forgets an entry before its time: when it is full it refuses, because
a store that drops its oldest entry lets an attacker push a stolen proof's entry out.
"""

from __future__ import annotations

import heapq
import math
from typing import TYPE_CHECKING, Protocol

from passwordless_async._common import arguments as _check
from passwordless_async._common import clock as _clock
from passwordless_async.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable


class ReplayStore(Protocol):
    """Remembers keys until their time; shared by all processes that verify for one base URL."""

    async def add(self, key: str, expires_at: float) -> bool:
        """Add a key, in one step that no other call can come between.

        Args:
            key: The thumbprint of the proof's key and its ``jti``; any text without lone surrogates.
            expires_at: Until when to keep it, at least: seconds since the UNIX epoch.

        Returns:
            True when the key is new, False when the store has it.

        Raises:
            StoreError: The store is full or cannot be reached. The request is refused then.
        """
        ...


class MemoryReplayStore:
    """A store inside this process; for one process only, as another one would not know its entries.

    Args:
        max_entries: How many keys are kept at most, about 300 bytes each; at 100,000 and a lifetime of 70 seconds
            that is 1,400 requests a second.
        clock: The wall clock: seconds since the UNIX epoch. The same as the verifier's.

    Raises:
        UsageError: ``max_entries`` is not a whole number of one or more.
    """

    __slots__ = ("_clock", "_keys", "_max_entries", "_seconds", "_slots")

    def __init__(self, *, max_entries: int = 100_000, clock: Callable[[], float] = _clock.now) -> None:
        self._max_entries = _check.positive("max_entries", max_entries)
        self._clock = clock
        self._keys: set[str] = set()
        # Keys by the second they expire in. A window has some seventy seconds, so the heap of seconds stays small
        # and an entry costs the same however many there are.
        self._slots: dict[int, list[str]] = {}
        self._seconds: list[int] = []

    async def add(self, key: str, expires_at: float) -> bool:
        """Add a key; see :meth:`ReplayStore.add`."""
        # No await in here: that makes it one step for every task of the loop.
        self._drop_expired()
        if key in self._keys:
            return False
        if len(self._keys) >= self._max_entries:
            raise StoreError(f"the replay store is full: {self._max_entries} entries, none of them expired")
        second = math.ceil(expires_at)
        if second not in self._slots:
            self._slots[second] = []
            heapq.heappush(self._seconds, second)
        self._slots[second].append(key)
        self._keys.add(key)
        return True

    def _drop_expired(self) -> None:
        now = self._clock()
        # Strictly before: with a skew of zero a proof is still good in the very second that its entry ends in.
        while self._seconds and self._seconds[0] < now:
            self._keys.difference_update(self._slots.pop(heapq.heappop(self._seconds)))

    def __len__(self) -> int:
        return len(self._keys)

    def __repr__(self) -> str:
        return f"<MemoryReplayStore of {len(self._keys)} entries, at most {self._max_entries}>"
