"""One request goes ahead while nobody knows a server's nonce."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

from passwordless_async.errors import QuotaExceeded, UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

_TOO_MANY_REQUESTS, _SERVER_ERROR = 429, 500

_FRONTS = 3  # failures in front after which nobody waits any more
_SLOW = 1.0  # seconds; whoever fails later than that is not waited for again
_PATIENCE = 3.0  # seconds that anybody waits for the one in front; then a challenge each costs less


class Elsewhere(Protocol):
    """What other processes know of the same origin."""

    async def fetched(self) -> bool:
        """Wait until another process has a nonce, or it is this one's turn to fetch one; tells which it is."""

    def answered(self) -> None:
        """Say that the origin has answered this process."""

    def failed(self) -> None:
        """Say that it has not, and that it is another process's turn."""


class ColdStart:
    """Lets one request go ahead while nobody knows an origin's nonce: N logins cost N+1 requests, not 2N.

    The others wait until the one in front is answered, be it by a challenge. Where it fails the next one goes ahead; a
    few in a row, or one that takes long, and all go: one after the other they would turn an outage into a queue, and a
    long answer holds up nobody.

    Args:
        elsewhere: Other processes, one of which goes ahead of all; None: there are none.
    """

    def __init__(self, elsewhere: Elsewhere | None = None) -> None:
        self._elsewhere = elsewhere
        self._front: asyncio.Future[None] | None = None
        self._over = False
        self._failures = 0

    @property
    def over(self) -> bool:
        """Whether nobody has to wait any more."""
        return self._over

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[Callable[[int], None]]:
        """Wait for the one in front, or be it; gives what to call with the status of an answer when one has come.

        Whoever calls it takes the nonce from the answer before giving the loop a turn.
        """
        while self._front is not None and not self._over and self._failures < _FRONTS:
            # Not cancelled with whoever stops waiting: the others wait for it too.
            ended, _ = await asyncio.wait([self._front], timeout=_PATIENCE)
            if not ended:
                break
        if self._over or self._failures >= _FRONTS or self._front is not None:
            yield self._answered
            return
        self._front = asyncio.get_running_loop().create_future()
        began = asyncio.get_running_loop().time()
        asked = True
        try:
            if self._elsewhere is not None and await self._elsewhere.fetched():
                self._go_all()
            yield self._answered
        except (UsageError, QuotaExceeded):
            # Nothing was sent, and that is no news of the server.
            asked = False
            raise
        finally:
            if not self._over:
                self._failed(asyncio.get_running_loop().time() - began if asked else None)
            self._let_go()

    def _answered(self, status: int) -> None:
        # A failure of the server, or one of its gateways, says nothing about its nonces.
        if status < _SERVER_ERROR and status != _TOO_MANY_REQUESTS and not self._over:
            self._go_all()
            if self._elsewhere is not None:
                self._elsewhere.answered()

    def _failed(self, seconds: float | None) -> None:
        """Take note that the one in front brought no news; after how long it failed, None: nothing was asked."""
        if seconds is not None:
            self._failures = _FRONTS if seconds > _SLOW else self._failures + 1
        if self._elsewhere is not None:
            self._elsewhere.failed()

    def _go_all(self) -> None:
        self._over = True
        self._let_go()

    def _let_go(self) -> None:
        if self._front is not None:
            self._front.set_result(None)
            self._front = None
