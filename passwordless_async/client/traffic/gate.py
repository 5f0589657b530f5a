"""The gate that every request of a client passes: as many as may be in flight, at the pace that the server can take.

Who waits here has signed nothing yet: a proof does not age in the queue. The dearest goes first: what a challenge
demands again, then exchanges, whose codes are running out, then refreshes, then starts.
"""

from __future__ import annotations

import asyncio
import enum
import heapq
import itertools
import math
from typing import TYPE_CHECKING, TypeAlias

from passwordless_async.client.traffic.pace import Pace
from passwordless_async.client.traffic.shared_pace import Reservations
from passwordless_async.errors import NotSent, QuotaExceeded

if TYPE_CHECKING:
    from passwordless_async.auth0.rate_limit import Allowance
    from passwordless_async.client.traffic.concurrency import FixedLimit
    from passwordless_async.client.traffic.shared_pace import Line

_TIDY = 64  # who wait; fewer are not worth the clearing
_Waiting: TypeAlias = "tuple[Priority, int, asyncio.Future[bool]]"


class Priority(enum.IntEnum):
    """Who goes first."""

    AGAIN = 0
    EXCHANGE = 1
    REFRESH = 2
    START = 3


class Gate:
    """Lets requests go; lives as long as its client.

    Args:
        limit: How many may be in flight.
        per_second: The tenant's quota; None: not known.
        line: The line of other processes that share the quota; None: there are none.
    """

    def __init__(self, limit: FixedLimit, *, per_second: float | None, line: Line | None = None) -> None:
        self.limit = limit
        self._places: Reservations | None = None
        if line is not None and per_second is not None:
            self._places = Reservations(line, per_second, self._wanted, self._let_go)
        self._pace = Pace(per_second)
        self._starts_resume = 0.0
        self._in_flight = 0
        self._waiting: list[_Waiting] = []
        self._gone = 0
        self._order = itertools.count()
        self._alarm: asyncio.TimerHandle | None = None
        self._idle: asyncio.Future[None] | None = None
        self._closing = False

    @property
    def in_flight(self) -> int:
        """How many have entered and not left."""
        return self._in_flight

    async def enter(self, priority: Priority, patience: float) -> float:
        """Wait for leave to send one request; whoever has it calls :meth:`leave` in the end.

        Args:
            priority: Who goes first.
            patience: Seconds to wait at the most.

        Returns:
            How many seconds it took.

        Raises:
            QuotaExceeded: There is no room in time; nothing was sent.
            NotSent: The client was closed.
        """
        now = asyncio.get_running_loop().time()
        if not self._waiting and self._in_flight < self.limit.value and self._delay(priority, now) <= 0:
            self._goes(now)
            self._in_flight += 1
            return 0.0
        return await self._wait(priority, patience)

    async def again(self, patience: float) -> float:
        """Wait for leave to send once more what has entered, ahead of all others; see :meth:`enter`."""
        return await self._wait(Priority.AGAIN, patience)

    async def _wait(self, priority: Priority, patience: float) -> float:
        loop = asyncio.get_running_loop()
        began = loop.time()
        if patience < (left := self._delay(priority, began)) < math.inf:
            raise QuotaExceeded("there is no room in the quota in time: nothing was sent", retry_after=left)
        if await self._turn(priority, patience):
            return loop.time() - began
        if self._closing:
            raise NotSent("nothing was sent: the client was closed")
        later = max(self._delay(priority, loop.time()), 0.0)
        raise QuotaExceeded(
            "there was no room in the quota in time: nothing was sent",
            retry_after=later if 0 < later < math.inf else None,
        )

    def _wanted(self) -> int:
        """Return how many wait."""
        return len(self._waiting) - self._gone

    def _delay(self, priority: Priority, now: float) -> float:
        delay = self._pace.delay(now)
        if self._places is not None:
            delay = max(delay, self._places.delay(now))
        return max(delay, self._starts_resume - now) if priority is Priority.START else delay

    def refund(self) -> None:
        """Take back the last request that was counted: it was not sent."""
        self._pace.undo()

    def charge(self) -> None:
        """Count a request that goes without asking."""
        self._goes(asyncio.get_running_loop().time())

    def _goes(self, now: float) -> None:
        self._pace.went(now)
        if self._places is not None:
            self._places.went()

    def leave(self) -> None:
        """Say that the answer has come, or will not."""
        self._in_flight -= 1
        if not self._in_flight and self._idle is not None and not self._idle.done():
            self._idle.set_result(None)
        self._let_go()

    def answered(self, seconds: float, said: Allowance | None) -> None:
        """Take note of an answer, how long it took and what it says of the limit."""
        self.limit.answered(seconds)
        self._pace.answered(asyncio.get_running_loop().time(), said)

    def refused(self, retry_after: float | None, said: Allowance | None) -> None:
        """Take note of a 429: nobody goes before the time that it names."""
        self.limit.overloaded()
        if self._places is not None and retry_after is not None:
            self._places.hold(retry_after)
        self._pace.refused(asyncio.get_running_loop().time(), retry_after, said)

    def pause_starts(self, seconds: float) -> None:
        """Take note of a 429 to a start: it may be about starts alone, and holds nobody else up."""
        self.limit.overloaded()
        self._starts_resume = max(self._starts_resume, asyncio.get_running_loop().time() + seconds)

    def failed(self) -> None:
        """Take note of a failure of the server."""
        self.limit.overloaded()

    async def _turn(self, priority: Priority, patience: float) -> bool:
        """Wait in the queue; gives whether the turn came in time."""
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[bool] = loop.create_future()
        heapq.heappush(self._waiting, (priority, next(self._order), turn))
        self._let_go()
        deadline = None if math.isinf(patience) else loop.call_later(patience, _expire, turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.result() and priority is not Priority.AGAIN:
                # It came, and the one it came for is gone.
                self.leave()
            raise
        finally:
            if deadline is not None:
                deadline.cancel()
            if not (turn.done() and not turn.cancelled() and turn.result()):
                self._forget_one()

    def _forget_one(self) -> None:
        """Count one who waits no more, and clear the queue when most of it is such."""
        self._gone += 1
        if self._gone * 2 > len(self._waiting) > _TIDY:
            self._waiting = [waiting for waiting in self._waiting if not waiting[2].done()]
            heapq.heapify(self._waiting)
            self._gone = 0

    def _let_go(self) -> None:
        """Let go whoever may; where it is only too early, come back when it is time."""
        while self._waiting:
            priority, _, turn = self._waiting[0]
            if not turn.done():
                if priority != Priority.AGAIN and self._in_flight >= self.limit.value:
                    return
                now = asyncio.get_running_loop().time()
                if (delay := self._delay(priority, now)) > 0:
                    if delay < math.inf:
                        self._come_back(now + delay)
                    return
                self._goes(now)
                self._in_flight += priority != Priority.AGAIN
                turn.set_result(True)
            heapq.heappop(self._waiting)

    def _come_back(self, when: float) -> None:
        if self._alarm is not None:
            if self._alarm.when() <= when:
                return
            self._alarm.cancel()
        self._alarm = asyncio.get_running_loop().call_at(when, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        self._let_go()

    async def drain(self, grace: float) -> int:
        """Send away all who wait, and give what is in flight so many seconds.

        Returns:
            How many are in flight still.
        """
        self._closing = True
        for _, _, turn in self._waiting:
            _expire(turn)
        if self._in_flight and grace:
            self._idle = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._idle], timeout=grace)
        return self._in_flight

    def aclose(self) -> None:
        """Wake nobody any more."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self._places is not None:
            self._places.aclose()


def _expire(turn: asyncio.Future[bool]) -> None:
    if not turn.done():
        turn.set_result(False)
