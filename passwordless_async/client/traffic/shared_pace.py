"""A quota that several processes share: each reserves slots in one queue, some of them ahead of its requests.

Invariants:

- Slots are reserved in batches, not one by one: a round trip for each request would double its latency.
- A slot is a point in time. A missed slot is lost: a late request would collide with another process's slot.
- For a request that was sent without a slot, a slot is reserved afterwards.
- If the queue cannot be reached, no request waits for it: the process paces itself for a second, and tries again.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import TYPE_CHECKING, Protocol

from passwordless_async.client.events import report_failure
from passwordless_async.client.traffic.pace import CATCH_UP, LONGEST_PAUSE, SHARE

if TYPE_CHECKING:
    from collections.abc import Callable

_MAX_AHEAD = 0.25  # seconds of the whole quota that one process reserves at most: the others wait that long for theirs
_ALONE = 1.0  # seconds until the next attempt after the queue could not be reached


class PeerQuota(Protocol):
    """The queue that the processes share the quota in."""

    async def reserve(self, requests: int, interval: float) -> float | None:
        """Reserve slots, ``interval`` seconds apart; return the seconds until the first. None: unreachable."""

    def pause(self, seconds: float) -> None:
        """Give no process a slot for this many seconds."""


class Reservations:
    """The slots of one client; kept for the gate's lifetime.

    ``waiting`` returns how many requests wait. It is called only when the reservation is sent, so that all requests of
    one turn of the event loop are reserved together. ``on_ready`` is called when there are slots, or certainly none.
    """

    def __init__(
        self, peers: PeerQuota, per_second: float, *, waiting: Callable[[], int], on_ready: Callable[[], None]
    ) -> None:
        self._peers = peers
        self._interval = 1 / (per_second * SHARE)
        self._batch = max(int(per_second * _MAX_AHEAD), 1)
        self._waiting = waiting
        self._on_ready = on_ready
        self._places: deque[float] = deque()
        self._owed = 0
        self._taken: float | None = None  # the slot of the last request; None: it had none
        self._alone_until = 0.0
        self._asking: asyncio.Task[None] | None = None

    def delay(self, now: float) -> float:
        """Return the seconds until the next slot; 0 or less: now; infinite: slots are being reserved."""
        while self._places and self._places[0] < now - CATCH_UP:
            self._places.popleft()
        if self._places:
            return self._places[0] - now
        if now < self._alone_until:
            return 0.0
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask())
        return math.inf

    def sent(self) -> None:
        """Count a request that is sent now, with or without a slot."""
        self._taken = self._places.popleft() if self._places else None
        if self._taken is None and asyncio.get_running_loop().time() >= self._alone_until:
            self._owed = min(self._owed + 1, self._batch)

    def undo(self) -> None:
        """Undo the count of the last request, and of no earlier one: the next one gets its slot, if it is in time."""
        if self._taken is None:
            self._owed = max(self._owed - 1, 0)
        else:
            self._places.appendleft(self._taken)
            self._taken = None

    def pause(self, seconds: float) -> None:
        """Give no process a slot for this many seconds."""
        self._peers.pause(min(seconds, LONGEST_PAUSE))

    async def _ask(self) -> None:
        owed, self._owed = self._owed, 0
        number = owed + min(max(self._waiting(), 1), self._batch)
        try:
            wait = await self._peers.reserve(number, self._interval)
            now = asyncio.get_running_loop().time()
            if wait is None:
                self._alone_until = now + _ALONE
            else:
                wait = min(wait, LONGEST_PAUSE)  # no queue is longer: the clock that it goes by has jumped
                self._places.extend(now + wait + place * self._interval for place in range(owed, number))
        except Exception as error:  # noqa: BLE001 - an application's queue may raise anything; no request may hang on it
            self._alone_until = asyncio.get_running_loop().time() + _ALONE
            report_failure("the queue of a shared quota", error)
        finally:
            self._asking = None
        self._on_ready()

    def aclose(self) -> None:
        """Cancel the reservation that is being made."""
        if self._asking is not None:
            self._asking.cancel()
