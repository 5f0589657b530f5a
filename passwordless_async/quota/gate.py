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

from passwordless_async.errors import QuotaExceeded
from passwordless_async.quota.pace import Pace

if TYPE_CHECKING:
    from passwordless_async.auth0.rate_limit import Allowance
    from passwordless_async.quota.limit import FixedLimit

_Waiting: TypeAlias = "tuple[int, int, asyncio.Future[bool]]"


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
    """

    def __init__(self, limit: FixedLimit, *, per_second: float | None) -> None:
        self.limit = limit
        self._pace = Pace(per_second)
        self._in_flight = 0
        self._waiting: list[_Waiting] = []
        self._order = itertools.count()
        self._alarm: asyncio.TimerHandle | None = None

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
        """
        loop = asyncio.get_running_loop()
        now = loop.time()
        if not self._waiting and self._in_flight < self.limit.value and self._pace.delay(now) <= 0:
            self._pace.went(now)
            self._in_flight += 1
            return 0.0
        if (left := self._pace.delay(now)) > patience:
            raise QuotaExceeded("there is no room in the quota in time: nothing was sent", retry_after=left)
        if not await self._turn(priority, patience):
            later = max(self._pace.delay(loop.time()), 0.0) or None
            raise QuotaExceeded("there was no room in the quota in time: nothing was sent", retry_after=later)
        return loop.time() - now

    async def again(self) -> None:
        """Wait for leave to send once more what has entered, ahead of all others."""
        await self._turn(Priority.AGAIN, math.inf)

    def charge(self) -> None:
        """Count a request that goes without asking."""
        self._pace.went(asyncio.get_running_loop().time())

    def leave(self) -> None:
        """Say that the answer has come, or will not."""
        self._in_flight -= 1
        self._let_go()

    def answered(self, seconds: float, said: Allowance | None) -> None:
        """Take note of an answer, how long it took and what it says of the limit."""
        self.limit.answered(seconds)
        self._pace.answered(asyncio.get_running_loop().time(), said)

    def refused(self, retry_after: float | None, said: Allowance | None) -> None:
        """Take note of a 429: nobody goes before the time that it names."""
        self.limit.overloaded()
        self._pace.refused(asyncio.get_running_loop().time(), retry_after, said)

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

    def _let_go(self) -> None:
        """Let go whoever may; where it is only too early, come back when it is time."""
        while self._waiting:
            priority, _, turn = self._waiting[0]
            if not turn.done():
                if priority != Priority.AGAIN and self._in_flight >= self.limit.value:
                    return
                now = asyncio.get_running_loop().time()
                if (delay := self._pace.delay(now)) > 0:
                    self._come_back(now + delay)
                    return
                self._pace.went(now)
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

    def aclose(self) -> None:
        """Forget the time of the next."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None


def _expire(turn: asyncio.Future[bool]) -> None:
    if not turn.done():
        turn.set_result(False)
