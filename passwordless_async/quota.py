"""Who may send when: single flight, while a nonce is unknown and for what can be done once for all who ask."""

from __future__ import annotations

import asyncio
import copy
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Generic, TypeVar

from passwordless_async.errors import OutcomeUnknown, PasswordlessError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

K = TypeVar("K")
T = TypeVar("T")

_FRONTS = 3  # failures in front after which nobody waits any more
_SLOW = 1.0  # seconds; whoever fails later than that is not waited for again
_PATIENCE = 3.0  # seconds that anybody waits for the one in front; then a challenge each costs less


class ColdStart:
    """Lets one request go ahead while nobody knows an origin's nonce: N logins cost N+1 requests, not 2N.

    The others wait until the one in front is answered, be it by a challenge. Where it fails the next one goes ahead; a
    few in a row, or one that takes long, and all go: one after the other they would turn an outage into a queue, and a
    long answer holds up nobody.
    """

    def __init__(self) -> None:
        self._front: asyncio.Future[None] | None = None
        self._over = False
        self._failures = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[Callable[[bool], None]]:
        """Wait for the one in front, or be it; gives what to call when an answer has come.

        It is called with whether the answer was one of the protocol's own: a failure of the server says nothing about
        its nonces. Whoever calls it takes the nonce from the answer before giving the loop a turn.
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
        try:
            yield self._answered
        finally:
            if not self._over:
                slow = asyncio.get_running_loop().time() - began > _SLOW
                self._failures = _FRONTS if slow else self._failures + 1
            self._let_go()

    def _answered(self, usable: bool) -> None:  # noqa: FBT001 - a callback of one argument
        if usable:
            self._over = True
            self._let_go()

    def _let_go(self) -> None:
        if self._front is not None:
            self._front.set_result(None)
            self._front = None


class SingleFlight(Generic[K, T]):
    """Runs what several ask for at the same time once, for all of them.

    Args:
        linger: Seconds for which a result is still given to those who ask later.
    """

    def __init__(self, *, linger: float = 0.0) -> None:
        self._linger = linger
        self._flights: dict[K, asyncio.Task[T | PasswordlessError]] = {}

    async def run(self, key: K, make: Callable[[], Awaitable[T]]) -> T:
        """Run, or wait for what is under way under the same key; raises what it raises.

        Whoever stops waiting stops neither the others nor what is under way.
        """
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = asyncio.create_task(self._fly(key, make))
        result: T | PasswordlessError
        try:
            result = await asyncio.shield(flight)
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if not flight.cancelled() or (caller is not None and caller.cancelling()):
                raise
            result = OutcomeUnknown("the client was closed while the request was under way")
        if isinstance(result, PasswordlessError):
            # A copy for each: an exception raised twice collects the tracebacks of both.
            raise copy.copy(result)
        return result

    async def _fly(self, key: K, make: Callable[[], Awaitable[T]]) -> T | PasswordlessError:
        linger = 0.0
        try:
            result = await make()
            linger = self._linger
        except PasswordlessError as error:
            return error
        else:
            return result
        finally:
            if linger:
                asyncio.get_running_loop().call_later(linger, self._flights.pop, key, None)
            else:
                self._flights.pop(key, None)

    async def aclose(self) -> None:
        """End what is under way and forget what lingers."""
        flights = list(self._flights.values())
        self._flights.clear()
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)
