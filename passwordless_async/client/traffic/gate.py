"""The gate that every request of a client passes: it bounds the requests in flight and keeps their pace.

Invariants:

- Nothing is signed before it is admitted: a proof does not age in the queue.
- At most ``limit.value`` calls are between :meth:`Gate.enter` and :meth:`Gate.leave`.
- Each transmission counts against the pace exactly once; :meth:`Gate.refund` undoes the count of one that was not sent.
- The queue is ordered by priority, then by arrival: the answer to a nonce challenge first, then exchanges (their
  codes expire), then refreshes, then starts.
- A waiter ends in exactly one way: admitted, expired, or cancelled. A waiter that is cancelled after it was admitted
  gives its slot back.
"""

from __future__ import annotations

import asyncio
import enum
import heapq
import itertools
import math
from typing import TYPE_CHECKING, TypeAlias

from passwordless_async.client.traffic.pace import Pace
from passwordless_async.client.traffic.shared_pace import PeerQuota, Reservations
from passwordless_async.errors import NotSent, QuotaExceeded

if TYPE_CHECKING:
    from passwordless_async.auth0.rate_limit import Allowance
    from passwordless_async.client.traffic.concurrency import FixedLimit

_COMPACT_ABOVE = 64  # entries in the queue; a shorter one is not worth compacting
_Entry: TypeAlias = "tuple[Priority, int, asyncio.Future[bool]]"  # the future: True: admitted, False: expired


class Priority(enum.IntEnum):
    """The order of the queue: the lowest number first."""

    AGAIN = 0
    EXCHANGE = 1
    REFRESH = 2
    START = 3


class Gate:
    """Admits requests; lives as long as its client. The quota is ``per_second``, and ``peers`` share it, if known."""

    def __init__(self, limit: FixedLimit, *, per_second: float | None, peers: PeerQuota | None = None) -> None:
        self.limit = limit
        self._reservations: Reservations | None = None
        if peers is not None and per_second is not None:
            self._reservations = Reservations(peers, per_second, waiting=lambda: self.waiting, on_ready=self._admit)
        self._pace = Pace(per_second)
        self._starts_resume_at = 0.0
        self.in_flight = 0  # calls that have entered and not left
        self._queue: list[_Entry] = []
        self._ended = 0  # entries in the queue that expired or were cancelled: when to compact it
        self._arrivals = itertools.count()
        self._alarm: asyncio.TimerHandle | None = None
        self._idle: asyncio.Future[None] | None = None
        self._closing = False

    @property
    def waiting(self) -> int:
        """How many requests wait in the queue."""
        return sum(not waiter.done() for _, _, waiter in self._queue)

    def __repr__(self) -> str:
        return f"<Gate with {self.in_flight} in flight and {self.waiting} waiting>"

    async def enter(self, priority: Priority, patience: float) -> float:
        """Wait until a call may send its first request; the caller calls :meth:`leave` when the call has ended.

        Returns the seconds it waited, ``patience`` at most. Raises ``QuotaExceeded`` if there is no room in time, and
        ``NotSent`` if the client was closed.
        """
        now = asyncio.get_running_loop().time()
        if not self._queue and self.in_flight < self.limit.value and self._delay(priority, now) <= 0:
            self._count(now)
            self.in_flight += 1
            return 0.0
        return await self._wait(priority, patience)

    async def again(self, patience: float) -> float:
        """Wait until a call that has entered may send another request, ahead of all others; see :meth:`enter`."""
        return await self._wait(Priority.AGAIN, patience)

    async def _wait(self, priority: Priority, patience: float) -> float:
        loop = asyncio.get_running_loop()
        began = loop.time()
        if patience < (left := self._delay(priority, began)) < math.inf:
            raise QuotaExceeded("there is no room in the quota in time: nothing was sent", retry_after=left)
        if await self._is_admitted(priority, patience):
            return loop.time() - began
        if self._closing:
            raise NotSent("nothing was sent: the client was closed")
        later = max(self._delay(priority, loop.time()), 0.0)
        raise QuotaExceeded(
            "there was no room in the quota in time: nothing was sent",
            retry_after=later if 0 < later < math.inf else None,
        )

    async def _is_admitted(self, priority: Priority, patience: float) -> bool:
        """Wait in the queue; False: the patience ended, or the client was closed."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[bool] = loop.create_future()
        heapq.heappush(self._queue, (priority, next(self._arrivals), waiter))
        self._admit()
        deadline = None if math.isinf(patience) else loop.call_later(patience, _expire, waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if _was_admitted(waiter) and priority is not Priority.AGAIN:
                self.leave()
            raise
        finally:
            if deadline is not None:
                deadline.cancel()
            if not _was_admitted(waiter):
                self._note_ended()

    def _note_ended(self) -> None:
        """Count an entry that expired or was cancelled, and compact the queue when most entries are such."""
        self._ended += 1
        if self._ended * 2 > len(self._queue) > _COMPACT_ABOVE:
            self._queue = [entry for entry in self._queue if not entry[2].done()]
            heapq.heapify(self._queue)
            self._ended = 0

    def _delay(self, priority: Priority, now: float) -> float:
        """Return the seconds until a request of a priority may go; infinite while reservations are being made."""
        delay = self._pace.delay(now)
        if self._reservations is not None:
            delay = max(delay, self._reservations.delay(now))
        return max(delay, self._starts_resume_at - now) if priority is Priority.START else delay

    def _admit(self) -> None:
        """Admit waiters from the head of the queue; set an alarm if it is too early for the first of them."""
        while self._queue:
            priority, _, waiter = self._queue[0]
            if not waiter.done():
                if priority != Priority.AGAIN and self.in_flight >= self.limit.value:
                    return
                now = asyncio.get_running_loop().time()
                if (delay := self._delay(priority, now)) > 0:
                    self._wake_at(now + delay)
                    return
                self._count(now)
                self.in_flight += priority != Priority.AGAIN
                waiter.set_result(True)
            elif self._ended:
                self._ended -= 1
            heapq.heappop(self._queue)

    def _wake_at(self, when: float) -> None:
        if math.isinf(when):
            return  # the reservations wake the gate when they are there
        if self._alarm is not None:
            if self._alarm.when() <= when:
                return
            self._alarm.cancel()
        self._alarm = asyncio.get_running_loop().call_at(when, self._wake)

    def _wake(self) -> None:
        self._alarm = None
        self._admit()

    def refund(self) -> None:
        """Undo the count of the last request: it was not sent."""
        self._pace.undo()

    def charge(self) -> None:
        """Count a request that was sent without waiting."""
        self._count(asyncio.get_running_loop().time())

    def _count(self, now: float) -> None:
        self._pace.sent(now)
        if self._reservations is not None:
            self._reservations.sent()

    def leave(self) -> None:
        """Free the slot of a call that has ended."""
        self.in_flight -= 1
        if not self.in_flight and self._idle is not None and not self._idle.done():
            self._idle.set_result(None)
        self._admit()

    def answered(self, seconds: float, said: Allowance | None) -> None:
        """Record a response: how long it took, and what it says of the limit."""
        self.limit.answered(seconds)
        self._pace.answered(asyncio.get_running_loop().time(), said)

    def refused(self, retry_after: float | None, said: Allowance | None) -> None:
        """Record a 429: no request goes before the time that it names."""
        self.limit.overloaded()
        if self._reservations is not None and retry_after is not None:
            self._reservations.pause(retry_after)
        self._pace.refused(asyncio.get_running_loop().time(), retry_after, said)

    def pause_starts(self, seconds: float) -> None:
        """Record a 429 to a start: it may be about starts alone, so exchanges and refreshes go on."""
        self.limit.overloaded()
        self._starts_resume_at = max(self._starts_resume_at, asyncio.get_running_loop().time() + seconds)

    def failed(self) -> None:
        """Record a failure of the server."""
        self.limit.overloaded()

    async def drain(self, grace: float) -> int:
        """Refuse all waiters, and return how many of the calls in flight outlast ``grace`` seconds."""
        self._closing = True
        for _, _, waiter in self._queue:
            _expire(waiter)
        if self.in_flight and grace:
            self._idle = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._idle], timeout=grace)
        return self.in_flight

    def aclose(self) -> None:
        """Cancel the alarm and the reservations."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self._reservations is not None:
            self._reservations.aclose()


def _was_admitted(waiter: asyncio.Future[bool]) -> bool:
    return waiter.done() and not waiter.cancelled() and waiter.result()


def _expire(waiter: asyncio.Future[bool]) -> None:
    if not waiter.done():
        waiter.set_result(False)
