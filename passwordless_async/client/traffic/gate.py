"""The gate that every request of a client passes: it bounds the requests in flight and keeps their pace.

Invariants:

- Nothing is signed before it is admitted: a proof does not age in the queue.
- At most ``limit.value`` calls are between :meth:`Gate.enter` and :meth:`Gate.leave`.
- Each transmission counts against the pace exactly once; :meth:`Gate.refund` undoes the count of one that was not sent.
- The answer to a nonce challenge goes first. Then exchanges go (their codes expire), then refreshes, then starts, and
  within each class by arrival. No class is starved: if all of them wait, five of eight requests are exchanges, two
  refreshes and one a start. A sixteenth of the slots, and at least one, is reserved for each class.
- A waiter ends in exactly one way: admitted, expired, or cancelled. A waiter that is cancelled after it was admitted
  releases its slot and its count.
"""

from __future__ import annotations

import asyncio
import enum
import math
from collections import deque
from typing import TYPE_CHECKING

from passwordless_async.client.traffic.pace import Pace
from passwordless_async.client.traffic.shared_pace import PeerQuota, Reservations
from passwordless_async.errors import NotSent, QuotaExceeded

if TYPE_CHECKING:
    from passwordless_async.auth0.rate_limit import Allowance
    from passwordless_async.client.traffic.concurrency import FixedLimit

_COMPACT_ABOVE = 64  # entries in the queue; a shorter one is not worth compacting
_RESERVED_PART = 16  # of the slots that each class keeps for itself; one at least
_MIN_RESERVING = 4  # slots; with fewer, none is kept for a class: there are three


class Priority(enum.IntEnum):
    """The classes of requests, in the order in which they go."""

    AGAIN = 0
    EXCHANGE = 1
    REFRESH = 2
    START = 3


# How many of a round go if all classes wait. A late exchange costs a login, a late refresh a new login, a late start
# another click: so most of the quota is for exchanges, and each class has a share.
_SHARES = {Priority.EXCHANGE: 5, Priority.REFRESH: 2, Priority.START: 1}


class Gate:
    """Admits requests; kept for the client's lifetime. The quota, if known, is ``per_second``; ``peers`` share it."""

    def __init__(self, limit: FixedLimit, *, per_second: float | None, peers: PeerQuota | None = None) -> None:
        self.limit = limit
        self._reservations: Reservations | None = None
        if peers is not None and per_second is not None:
            self._reservations = Reservations(peers, per_second, waiting=lambda: self.waiting, on_ready=self._admit)
        self._pace = Pace(per_second)
        self._starts_resume_at = 0.0
        self.in_flight: int = 0  # calls that have entered and not left
        self._in_flight_of = dict.fromkeys(_SHARES, 0)
        # The futures' results: True: admitted, False: expired.
        self._queues: dict[Priority, deque[asyncio.Future[bool]]] = {priority: deque() for priority in Priority}
        self._queued = 0  # entries in the queues
        self._unsettled = 0  # waiters that were not admitted and have not gone; fewer than entries: some have gone
        self._left_of_round = dict(_SHARES)
        self._alarm: asyncio.TimerHandle | None = None
        self._idle: asyncio.Future[None] | None = None
        self._closing = False

    @property
    def waiting(self) -> int:
        """How many requests wait in the queue."""
        return sum(not waiter.done() for queue in self._queues.values() for waiter in queue)

    def __repr__(self) -> str:
        return f"<Gate with {self.in_flight} in flight and {self.waiting} waiting>"

    async def enter(self, priority: Priority, patience: float) -> float:
        """Wait until a call may send its first request; the caller calls :meth:`leave` when the call has ended.

        Returns the seconds it waited, ``patience`` at most. Raises ``QuotaExceeded`` if there is no room in time, and
        ``NotSent`` if the client was closed.
        """
        now = asyncio.get_running_loop().time()
        if not self._queued and self._has_slot(priority) and self._delay(priority, now) <= 0:
            self._count(now)
            self._take_slot(priority)
            return 0.0
        return await self._wait(priority, patience)

    async def again(self, patience: float) -> float:
        """Wait until a call that has entered may send another request, ahead of all others; see :meth:`enter`."""
        return await self._wait(Priority.AGAIN, patience)

    async def _wait(self, priority: Priority, patience: float) -> float:
        loop = asyncio.get_running_loop()
        began = loop.time()
        if patience < self._delay(priority, began) < math.inf:
            later = self._time_to_go(priority, began)
            raise QuotaExceeded("there is no room in the quota in time: nothing was sent", retry_after=later)
        if await self._queue_up(priority, patience):
            return loop.time() - began
        if self._closing:
            raise NotSent("nothing was sent: the client was closed")
        later = self._time_to_go(priority, loop.time())
        raise QuotaExceeded("there was no room in the quota in time: nothing was sent", retry_after=later)

    def _time_to_go(self, priority: Priority, now: float) -> float | None:
        """Return the seconds after which a new request would go: all that wait go before it."""
        later = max(self._delay(priority, now), 0.0) + self._unsettled * self._pace.interval(now)
        return later if 0 < later < math.inf else None

    def _has_slot(self, priority: Priority) -> bool:
        limit = self.limit.value
        free = limit - self.in_flight
        reserved = max(limit // _RESERVED_PART, 1) if limit >= _MIN_RESERVING else 0
        if not reserved or free > 2 * reserved:
            return free > 0
        others = (number for other, number in self._in_flight_of.items() if other is not priority)
        return free > sum(max(reserved - number, 0) for number in others)

    def _take_slot(self, priority: Priority) -> None:
        self.in_flight += 1
        self._in_flight_of[priority] += 1

    async def _queue_up(self, priority: Priority, patience: float) -> bool:
        """Wait in the queue; return whether the request was admitted before the patience ended or the client closed."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[bool] = loop.create_future()
        self._queues[priority].append(waiter)
        self._queued += 1
        self._unsettled += 1
        self._admit()
        deadline = None if math.isinf(patience) else loop.call_later(patience, _expire, waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if _was_admitted(waiter):
                self.refund()
                if priority is Priority.AGAIN:
                    self._admit()
                else:
                    self.leave(priority)
            raise
        finally:
            if deadline is not None:
                deadline.cancel()
            if not _was_admitted(waiter):
                self._unsettled -= 1
                self._compact()

    def _compact(self) -> None:
        """Drop the entries that expired or were cancelled when most entries are such."""
        if self._unsettled * 2 < self._queued and self._queued > _COMPACT_ABOVE:
            for priority, queue in self._queues.items():
                self._queues[priority] = deque(waiter for waiter in queue if not waiter.done())
            self._queued = sum(map(len, self._queues.values()))

    def _delay(self, priority: Priority, now: float) -> float:
        """Return the seconds until a request of a priority may go; infinite while reservations are being made."""
        delay = self._pace.delay(now)
        if self._reservations is not None:
            delay = max(delay, self._reservations.delay(now))
        return max(delay, self._starts_resume_at - now) if priority is Priority.START else delay

    def _admit(self) -> None:
        """Admit waiters, class by class; set an alarm if it is too early for the next of them."""
        if not self._queued:
            return
        now = asyncio.get_running_loop().time()
        while self._queued and (priority := self._next_class(now)) is not None:
            if (delay := self._delay(priority, now)) > 0:
                self._wake_at(now + delay)
                return
            self._count(now)
            if priority is not Priority.AGAIN:
                self._take_slot(priority)
                self._left_of_round[priority] -= 1
            self._unsettled -= 1
            self._pop(priority).set_result(True)

    def _next_class(self, now: float) -> Priority | None:
        """Return the class that goes next; None: nothing waits that has a slot."""
        if self._is_waiting(Priority.AGAIN):
            return Priority.AGAIN
        ready = self._ready(now)
        if ready and not any(map(self._left_of_round.__getitem__, ready)):
            self._left_of_round = dict(_SHARES)
        return next(filter(self._left_of_round.__getitem__, ready), None)

    def _ready(self, now: float) -> list[Priority]:
        """Return the classes that wait and have a slot; paused starts do not delay the other classes."""
        ready = [priority for priority in _SHARES if self._is_waiting(priority) and self._has_slot(priority)]
        if self._starts_resume_at > now and len(ready) > 1 and ready[-1] is Priority.START:
            ready.pop()
        return ready

    def _is_waiting(self, priority: Priority) -> bool:
        """Return whether a request of a class waits; drop entries at the head of the queue that no longer wait."""
        queue = self._queues[priority]
        while queue and queue[0].done():
            self._pop(priority)
        return bool(queue)

    def _pop(self, priority: Priority) -> asyncio.Future[bool]:
        self._queued -= 1
        return self._queues[priority].popleft()

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
        if self._reservations is not None:
            self._reservations.undo()

    def charge(self) -> None:
        """Count a request that was sent without waiting."""
        self._count(asyncio.get_running_loop().time())

    def _count(self, now: float) -> None:
        self._pace.sent(now)
        if self._reservations is not None:
            self._reservations.sent()

    def leave(self, priority: Priority) -> None:
        """Free the slot of a call that has ended; the priority is that with which it entered."""
        self.in_flight -= 1
        self._in_flight_of[priority] -= 1
        if not self.in_flight and self._idle is not None and not self._idle.done():
            self._idle.set_result(None)
        if self._queued:
            self._admit()

    def answered(self, seconds: float, said: Allowance | None) -> None:
        """Record a response: its duration, and what it says about the limit."""
        self.limit.answered(seconds)
        self._pace.answered(asyncio.get_running_loop().time(), said)

    def refused(self, retry_after: float | None, said: Allowance | None) -> None:
        """Record a 429: no request goes before the time that it names."""
        self.limit.overloaded()
        if self._reservations is not None and retry_after is not None:
            self._reservations.pause(retry_after)
        self._pace.refused(asyncio.get_running_loop().time(), retry_after, said)

    def pause(self, seconds: float) -> None:
        """Delay all requests of this process for ``seconds``."""
        self._pace.pause(asyncio.get_running_loop().time(), seconds)

    def pause_starts(self, seconds: float) -> None:
        """Delay all starts for ``seconds``; exchanges and refreshes go on at the same rate."""
        self._starts_resume_at = max(self._starts_resume_at, asyncio.get_running_loop().time() + seconds)

    def failed(self) -> None:
        """Record a failure of the server."""
        self.limit.overloaded()

    async def drain(self, grace: float) -> int:
        """Refuse all waiters, and return how many of the calls in flight outlast ``grace`` seconds."""
        self._closing = True
        for queue in self._queues.values():
            for waiter in queue:
                _expire(waiter)
        if self.in_flight and grace:
            self._idle = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._idle], timeout=grace)
        return self.in_flight

    def reopen(self) -> None:
        """Admit requests again, in this or another event loop."""
        self._closing, self._idle, self._queued = False, None, 0
        for queue in self._queues.values():
            queue.clear()  # of waiters that have ended

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
