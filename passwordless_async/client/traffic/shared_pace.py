"""Places in a line that several processes stand in, so that together they stay within one quota.

They are taken some at a time, ahead of those who need them: a question for each request would double what it waits for.
A place is a moment; whoever misses it has lost it, for what comes late would be too much for a later one.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import TYPE_CHECKING, Protocol

from passwordless_async.client.traffic.pace import CATCH_UP, LONGEST_PAUSE, SHARE

if TYPE_CHECKING:
    from collections.abc import Callable

_AHEAD = 0.25  # seconds of the whole quota that one process takes at the most: the others wait so long for theirs
_ALONE = 1.0  # seconds for which nobody asks again for places where the line could not be reached


class Line(Protocol):
    """The line."""

    async def take(self, requests: int, interval: float) -> float | None:
        """Take so many places, so many seconds apart; returns the seconds until the first, None: nobody knows."""

    def hold(self, seconds: float) -> None:
        """Let no process have a place for so many seconds."""


class Reservations:
    """The places of one client; lives as long as its gate.

    Args:
        line: The line.
        per_second: The quota.
        wanted: Tells how many requests wait.
        ready: Called when there are places.
    """

    def __init__(self, line: Line, per_second: float, wanted: Callable[[], int], ready: Callable[[], None]) -> None:
        self._line = line
        self._interval = 1 / (per_second * SHARE)
        self._most = max(int(per_second * _AHEAD), 1)
        self._wanted = wanted
        self._ready = ready
        self._places: deque[float] = deque()
        self._owed = 0
        self._alone_until = 0.0
        self._asking: asyncio.Task[None] | None = None

    def delay(self, now: float) -> float:
        """Return the seconds until the next place; 0 or less: now. Infinite: they are being asked for."""
        while self._places and self._places[0] < now - CATCH_UP:
            self._places.popleft()
        if self._places:
            return self._places[0] - now
        if now < self._alone_until:
            return 0.0
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask())
        return math.inf

    def went(self) -> None:
        """Count a request that goes now, be it without a place."""
        if self._places:
            self._places.popleft()
        elif asyncio.get_running_loop().time() >= self._alone_until:
            self._owed = min(self._owed + 1, self._most)

    def hold(self, seconds: float) -> None:
        """Let no process have a place for so many seconds."""
        self._line.hold(min(seconds, LONGEST_PAUSE))

    async def _ask(self) -> None:
        owed, self._owed = self._owed, 0
        number = owed + min(max(self._wanted(), 1), self._most)
        try:
            wait = await self._line.take(number, self._interval)
            now = asyncio.get_running_loop().time()
            if wait is None:
                self._alone_until = now + _ALONE
            else:
                self._places.extend(now + wait + place * self._interval for place in range(owed, number))
        except Exception as error:  # noqa: BLE001 - whatever a line of the application's raises
            # Those who wait must not wait for ever.
            self._alone_until = asyncio.get_running_loop().time() + _ALONE
            context = {"message": "the line of a shared quota has failed", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)
        finally:
            self._asking = None
        self._ready()

    def aclose(self) -> None:
        """Ask for no more."""
        if self._asking is not None:
            self._asking.cancel()
