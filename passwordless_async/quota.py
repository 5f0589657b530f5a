"""Who may send when: single flight, while a nonce is unknown and for what can be done once for all who ask."""

from __future__ import annotations

import asyncio
import copy
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Generic, TypeVar

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
        lingers: Tells, by key and result, whether that one does.
    """

    def __init__(self, *, linger: float = 0.0, lingers: Callable[[K, T], bool] = lambda _key, _result: True) -> None:
        self._linger = linger
        self._lingers = lingers
        self._flights: dict[K, asyncio.Task[T | PasswordlessError]] = {}

    def __contains__(self, key: object) -> bool:
        return key in self._flights

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
        lingers = False
        try:
            result = await make()
            lingers = bool(self._linger) and self._lingers(key, result)
        except PasswordlessError as error:
            return error
        else:
            return result
        finally:
            if lingers:
                asyncio.get_running_loop().call_later(self._linger, self._drop, key, asyncio.current_task())
            else:
                self._drop(key, asyncio.current_task())

    def _drop(self, key: K, flight: asyncio.Task[Any] | None) -> None:
        # Only itself: there may be a younger flight under the key.
        if self._flights.get(key) is flight:
            del self._flights[key]

    def forget(self, unwanted: Callable[[K, T], bool]) -> None:
        """Forget lingering results by key and result."""
        for key, flight in list(self._flights.items()):
            if flight.done() and not flight.cancelled() and flight.exception() is None:
                result = flight.result()
                if not isinstance(result, PasswordlessError) and unwanted(key, result):
                    del self._flights[key]

    async def aclose(self, *, grace: float = 0.0) -> None:
        """End what is under way, after so many seconds of grace, and forget what lingers."""
        flights = list(self._flights.values())
        self._flights.clear()
        if flights and grace:
            await asyncio.wait(flights, timeout=grace)
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)
