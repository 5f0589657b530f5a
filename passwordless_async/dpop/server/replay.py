"""The replay store: a proof is good for one request (RFC 9449 §11.1).

Invariants:

- A store lives as long as the service.
- One key cannot fill a store for all: it has a share, and beyond that it alone is refused.
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
    """Remembers keys until they expire; shared by all processes that verify for one base URL.

    A store that does not go by this machine's wall clock has its own as the attribute ``clock``. The verifier tells a
    store how long to keep a key by the store's clock, so the two clocks need not agree.
    """

    async def add(self, key: str, expires_at: float) -> bool:
        """Add a key atomically.

        Args:
            key: The thumbprint of the proof's key, a dot, and its ``jti``; any text without lone surrogates.
            expires_at: The earliest time to drop it: seconds since the UNIX epoch, by the store's clock.

        Returns:
            True if the key is new, False if the store has it.

        Raises:
            StoreError: The store is full, or the proof's key has used its share, or the store is unreachable. The
                request must be refused.
        """
        ...


def owner_of(key: str) -> str:
    """Return the owner of a key of a replay store: the thumbprint of the proof's key."""
    return key.partition(".")[0]


class MemoryReplayStore:
    """A replay store in this process; other processes do not see its entries.

    A client, by its key, may have as many entries as are free. So one that floods the service gets half of them, and
    all others pass.

    Args:
        max_entries: The most entries it keeps, about 300 bytes each, for 70 seconds by the verifier's defaults. 200,000
            are 2,800 requests a second, or 1,400 of one client alone.
        clock: The wall clock: seconds since the UNIX epoch.

    Raises:
        UsageError: ``max_entries`` is not a whole number of one or more.
    """

    __slots__ = ("_by_second", "_held", "_keys", "_max_entries", "_seconds", "clock")

    def __init__(self, *, max_entries: int = 200_000, clock: Callable[[], float] = _clock.now) -> None:
        self._max_entries = _check.positive("max_entries", max_entries)
        self.clock = clock
        self._keys: set[str] = set()
        self._held: dict[str, int] = {}  # entries of each owner that has any
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
        owner = owner_of(key)
        held = self._held.get(owner, 0)
        self._check_room(held)
        second = math.ceil(expires_at)
        if second not in self._by_second:
            self._by_second[second] = []
            heapq.heappush(self._seconds, second)
        self._by_second[second].append(key)
        self._keys.add(key)
        self._held[owner] = held + 1
        return True

    def _check_room(self, held: int) -> None:
        """Refuse an entry of an owner that holds so many. The more owners there are, the less each of them may hold."""
        free = self._max_entries - len(self._keys)
        if free == 0:
            raise StoreError(f"the replay store is full: {self._max_entries} entries, none of them expired")
        if held >= free:
            raise StoreError(f"one key has {held} of the replay store's {self._max_entries} entries; {free} are free")

    def _drop_expired(self) -> None:
        now = self.clock()
        # Strictly before: with a skew of zero, a proof is still valid in the second in which its entry expires.
        while self._seconds and self._seconds[0] < now:
            expired = self._by_second.pop(heapq.heappop(self._seconds))
            self._keys.difference_update(expired)
            for owner in map(owner_of, expired):
                self._held[owner] -= 1
                if not self._held[owner]:
                    del self._held[owner]

    def __len__(self) -> int:
        return len(self._keys)

    def __repr__(self) -> str:
        return f"<MemoryReplayStore of {len(self._keys)} entries, at most {self._max_entries}>"
