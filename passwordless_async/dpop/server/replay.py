"""The replay store: a proof is accepted for one request only (RFC 9449 §11.1).

Invariants:

- A store is kept for the lifetime of the service.
- One client cannot fill a store for all others: it has a share, and beyond it only this client is refused. A client is
  identified by its key, or by its access token, because it may have another key after each login.
- No entry is dropped before it expires. A full store refuses: dropping the oldest entry would let an attacker push out
  the entry of a stolen proof.
- Adding is atomic: of two equal proofs at the same time, one is new.
- A dropped proof is not accepted as new if the clock that proofs are checked by was set back: the verifier remembers
  until when the dropped ones could pass (:class:`Dropped`).
"""

from __future__ import annotations

import heapq
import math
from typing import TYPE_CHECKING, Any, Protocol

import attrs

from passwordless_async._common import arguments as _check
from passwordless_async._common import clock as _clock
from passwordless_async._common.secret import always_printable
from passwordless_async.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class ReplayStore(Protocol):
    """Remembers keys until they expire; shared by all processes that verify for one base URL.

    A store that uses another clock than this machine's wall clock has it as the attribute ``clock``. The verifier
    computes ``expires_at`` by the store's clock, so the two clocks need not agree.
    """

    async def add(self, key: str, expires_at: float, *, owner: str | None = None) -> bool:
        """Add a key atomically.

        Args:
            key: The thumbprint of the proof's key, a dot, and its ``jti``; any text without lone surrogates.
            expires_at: The earliest time to drop it: seconds since the UNIX epoch, by the store's clock.
            owner: The client for whom the key is kept; not part of the key. The verifier passes it only if its caller
                does. None: the proof's key identifies the client.

        Returns:
            True if the key is new, False if the store has it.

        Raises:
            StoreError: The store is full, or the client has used its share, or the store is unreachable. The request
                must be refused.
        """
        ...


def owner_of(key: str) -> str:
    """Return the owner of a key of a replay store: the thumbprint of the proof's key."""
    return key.partition(".")[0]


def user_of(claims: Mapping[str, Any]) -> str | None:
    """Return the user of an access token, by ``iss`` and ``sub``, to own entries; None if the token names none."""
    subject = claims.get("sub")
    return f"{claims.get('iss')} {subject}" if isinstance(subject, str) and subject else None


@attrs.define(eq=False)
class _Share:
    """The entries of one client."""

    owner: str
    entries: int = 0


@always_printable
class MemoryReplayStore:
    """A replay store in this process; other processes do not see its entries.

    A client may have at most as many entries as are free. So a client that floods the service gets half of them, and
    the others still pass. The ``owner`` passed to :meth:`DPoPVerifier.verify` identifies the client, or else its key.

    Args:
        max_entries: The maximum number of entries, about 300 bytes each, kept for 70 seconds by the verifier's
            defaults. 200,000 allow 2,800 requests a second, or 1,400 of a single client.
        clock: A wall clock: seconds since the UNIX epoch. By default, one that starts at this machine's time and
            ignores later changes to it, so that no entry is dropped early or kept for hours.

    Raises:
        UsageError: ``max_entries`` is not a whole number of one or more.
    """

    __slots__ = ("_by_second", "_keys", "_max_entries", "_seconds", "_shares", "clock")

    def __init__(self, *, max_entries: int = 200_000, clock: Callable[[], float] | None = None) -> None:
        self._max_entries = _check.positive("max_entries", max_entries)
        self.clock: Callable[[], float] = _clock.steady() if clock is None else clock
        self._keys: dict[str, _Share] = {}
        self._shares: dict[str, _Share] = {}  # of each client that has any entries
        # Keys by the second they expire in. A window has about 70 seconds, so the heap of seconds stays small and the
        # cost of an entry does not grow with their number.
        self._by_second: dict[int, list[str]] = {}
        self._seconds: list[int] = []

    async def add(self, key: str, expires_at: float, *, owner: str | None = None) -> bool:
        """Add a key; return whether it is new (see :class:`ReplayStore`)."""
        # No await here: that makes it atomic among the tasks of the loop.
        self._drop_expired()
        if key in self._keys:
            return False
        # A thumbprint has no blank: no owner is taken for the key of another.
        name = owner_of(key) if owner is None else f"owner {owner}"
        share = self._shares.get(name) or _Share(name)
        self._check_room(share.entries)
        second = math.ceil(expires_at)
        if second not in self._by_second:
            self._by_second[second] = []
            heapq.heappush(self._seconds, second)
        self._by_second[second].append(key)
        self._keys[key] = self._shares[name] = share
        share.entries += 1
        return True

    def _check_room(self, held: int) -> None:
        """Refuse an entry if its client has ``held``: the more clients there are, the smaller each share is."""
        free = self._max_entries - len(self._keys)
        if free == 0:
            raise StoreError(f"the replay store is full: {self._max_entries} entries, none of them expired")
        if held >= free:
            raise StoreError(
                f"one client has {held} of the replay store's {self._max_entries} entries; {free} are free"
            )

    def _drop_expired(self) -> None:
        now = self.clock()
        # Strictly before: with a skew of zero, a proof is still valid in the second in which its entry expires.
        while self._seconds and self._seconds[0] < now:
            for key in self._by_second.pop(heapq.heappop(self._seconds)):
                share = self._keys.pop(key)
                share.entries -= 1
                if not share.entries:
                    del self._shares[share.owner]

    def __len__(self) -> int:
        return len(self._keys)

    def __repr__(self) -> str:
        return f"<MemoryReplayStore of {len(self._keys)} entries, at most {self._max_entries}>"


class Dropped:
    """The time until which proofs that a store has dropped could pass, as far as one verifier knows.

    It is in the past, unless the clock that proofs are checked by was set back: then a proof that ends no later may be
    a dropped one.
    """

    __slots__ = ("_ends", "_latest", "_seconds")

    def __init__(self) -> None:
        self._ends: dict[int, float] = {}  # the latest end, by the second in which the store drops the proofs
        self._seconds: list[int] = []
        self._latest = -math.inf

    def expect(self, ends: float, expires_at: float) -> None:
        """Note until when a proof could pass, and from when the store may have dropped it, by the store's clock."""
        second = math.ceil(expires_at)
        known = self._ends.get(second)
        if known is None:
            heapq.heappush(self._seconds, second)
        self._ends[second] = ends if known is None else max(known, ends)

    def latest(self, now: float) -> float:
        """Return until when they could pass; ``now`` is the time by the store's clock."""
        while self._seconds and self._seconds[0] < now:
            self._latest = max(self._latest, self._ends.pop(heapq.heappop(self._seconds)))
        return self._latest
