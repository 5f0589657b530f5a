"""The replay store: a proof is good for one request (RFC 9449 §11.1).

Invariants:

- A store lives as long as the service.
- No entry is dropped before it expires. A full store refuses: dropping the oldest entry would let an attacker push out
  the entry of a stolen proof.
- Adding is atomic: of two equal proofs at the same time, one is new.
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
    """Remembers keys until they expire; shared by all processes that verify for one base URL."""

    async def add(self, key: str, expires_at: float) -> bool:
        """Add a key atomically.

        Args:
            key: The thumbprint of the proof's key and its ``jti``; any text without lone surrogates.
            expires_at: The earliest time to drop it: seconds since the UNIX epoch.

        Returns:
            True if the key is new, False if the store has it.

        Raises:
            StoreError: The store is full or unreachable; the request must be refused.
        """
        ...


class MemoryReplayStore:
    """A replay store in this process; other processes do not see its entries.

    Args:
        max_entries: The most keys it keeps, about 300 bytes each; 100,000 keys that live 70 seconds are 1,400 requests
            a second.
        clock: The wall clock, the same as the verifier's: seconds since the UNIX epoch.

    Raises:
        UsageError: ``max_entries`` is not a whole number of one or more.
    """

    __slots__ = ("_by_second", "_clock", "_keys", "_max_entries", "_seconds")

    def __init__(self, *, max_entries: int = 100_000, clock: Callable[[], float] = _clock.now) -> None:
        self._max_entries = _check.positive("max_entries", max_entries)
        self._clock = clock
        self._keys: set[str] = set()
        # Keys by the second they expire in. A window has about 70 seconds, so the heap of seconds stays small and the
        # cost of an entry does not grow with their number.
        self._by_second: dict[int, list[str]] = {}
        self._seconds: list[int] = []

    async def add(self, key: str, expires_at: float) -> bool:
        """Add a key; return whether it is new (see :class:`ReplayStore`)."""
        # No await here: that makes it atomic among the tasks of the loop.
        self._drop_expired()
        if key in self._keys:
            return False
        if len(self._keys) >= self._max_entries:
            raise StoreError(f"the replay store is full: {self._max_entries} entries, none of them expired")
        second = math.ceil(expires_at)
        if second not in self._by_second:
            self._by_second[second] = []
            heapq.heappush(self._seconds, second)
        self._by_second[second].append(key)
        self._keys.add(key)
        return True

    def _drop_expired(self) -> None:
        now = self._clock()
        # Strictly before: with a skew of zero, a proof is still valid in the second in which its entry expires.
        while self._seconds and self._seconds[0] < now:
            self._keys.difference_update(self._by_second.pop(heapq.heappop(self._seconds)))

    def __len__(self) -> int:
        return len(self._keys)

    def __repr__(self) -> str:
        return f"<MemoryReplayStore of {len(self._keys)} entries, at most {self._max_entries}>"
