"""What several ask for at the same time is done once, for all of them, and nothing that has left is lost.

The promises: whoever stops waiting disturbs neither the others nor what has left; what nobody waits for any more and
has not left is called back; a result that nobody was given is handed over exactly once.
"""

from __future__ import annotations

import asyncio
import copy
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import attrs

from passwordless_async.errors import NotSent, OutcomeUnknown, PasswordlessError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

K = TypeVar("K")
T = TypeVar("T")


@attrs.define(eq=False, repr=False)
class Flight(Generic[T]):
    """One thing that is under way.

    Attributes:
        about: What else is to be known of it.
        line: What it stands in, and goes one after the other.
        left: Whether something has left this machine that is lost if the flight is ended now.
        waiting: How many wait for it.
        forgotten: Whether what comes of it is not wanted any more; it does not linger.
    """

    about: Any = None
    line: Hashable = None
    left: bool = False
    before: Flight[T] | None = attrs.field(default=None, init=False)
    waiting: int = attrs.field(default=0, init=False)
    forgotten: bool = attrs.field(default=False, init=False)
    task: asyncio.Task[T | PasswordlessError] = attrs.field(init=False)
    given: bool = attrs.field(default=False, init=False)

    @property
    def result(self) -> T | PasswordlessError | None:
        """What came of it; None while it is under way, and where it was ended."""
        if not self.task.done() or self.task.cancelled() or self.task.exception() is not None:
            return None
        return self.task.result()


class SingleFlight(Generic[K, T]):
    """Runs what several ask for at the same time once, for all of them.

    Args:
        linger: Seconds for which a result is still given to those who ask later.
        lingers: Tells, by key and result, whether that one does.
        orphaned: Is given what a flight was about and what came of it, result or error, where nobody waits any more.
    """

    def __init__(
        self,
        *,
        linger: float = 0.0,
        lingers: Callable[[K, T], bool] = lambda _key, _result: True,
        orphaned: Callable[[Any, T | PasswordlessError], Awaitable[None]] | None = None,
    ) -> None:
        self._linger = linger
        self._lingers = lingers
        self._orphaned = orphaned
        self._flights: dict[K, Flight[T]] = {}
        self._last: dict[Hashable, Flight[T]] = {}
        self._handovers: set[asyncio.Task[None]] = set()

    def __contains__(self, key: object) -> bool:
        return key in self._flights

    def about(self, key: K) -> Any:  # noqa: ANN401 - the caller's own
        """Return what is to be known of what is under way under a key; None where nothing is."""
        flight = self._flights.get(key)
        return None if flight is None else flight.about

    def landed(self, key: K) -> T | None:
        """Return a result that lingers under a key; None where none does."""
        flight = self._flights.get(key)
        result = None if flight is None else flight.result
        return None if isinstance(result, PasswordlessError) else result

    async def run(
        self,
        key: K,
        make: Callable[[Flight[T]], Awaitable[T]],
        *,
        about: Any = None,  # noqa: ANN401 - the caller's own
        line: Hashable = None,
        stay: bool = False,
    ) -> T:
        """Run, or wait for what is under way under the same key; raises what it raises.

        Args:
            key: What is asked for.
            make: Does it; says by ``left`` of the flight that it is given when something has left.
            about: What else is to be known of it.
            line: What stands in one line goes one after the other; None: it stands in none.
            stay: Whether whoever is cancelled stays until what has left has landed, before it is gone.
        """
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = Flight(about, line)
            if line is not None:
                flight.before, self._last[line] = self._last.get(line), flight
            flight.task = asyncio.create_task(self._fly(key, flight, make))
        flight.waiting += 1
        result: T | PasswordlessError
        try:
            result = await asyncio.shield(flight.task)
            flight.given = True
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if not flight.task.cancelled() or (caller is not None and caller.cancelling()):
                self._leave(key, flight)
                if stay and not flight.task.done():
                    await asyncio.wait([flight.task])
                raise
            result = _closed(flight)
        flight.waiting -= 1
        if isinstance(result, PasswordlessError):
            # A copy for each: an exception raised twice collects the tracebacks of both.
            raise copy.copy(result)
        return result

    def _leave(self, key: K, flight: Flight[T]) -> None:
        flight.waiting -= 1
        if flight.waiting:
            return
        if flight.task.done():
            # It landed, and the one it landed for was cancelled before it could look.
            self._hand_over(flight)
        elif not flight.left:
            self._drop(key, flight)
            flight.task.cancel()

    async def _fly(self, key: K, flight: Flight[T], make: Callable[[Flight[T]], Awaitable[T]]) -> T | PasswordlessError:
        lingers = False
        result: T | PasswordlessError
        try:
            if flight.before is not None:
                await asyncio.wait([flight.before.task])
            result = await make(flight)
            lingers = bool(self._linger) and not flight.forgotten and self._lingers(key, result)
        except PasswordlessError as error:
            result = error.with_traceback(None)
        finally:
            if lingers:
                asyncio.get_running_loop().call_later(self._linger, self._drop, key, flight)
            else:
                self._drop(key, flight)
        if not flight.waiting and self._orphaned is not None:
            flight.given = True
            await self._orphaned(flight.about, result)
        return result

    def _hand_over(self, flight: Flight[T]) -> None:
        result = flight.result
        if result is not None and not flight.given and self._orphaned is not None:
            flight.given = True
            handover = asyncio.ensure_future(self._orphaned(flight.about, result))
            self._handovers.add(handover)
            handover.add_done_callback(self._handovers.discard)

    def _drop(self, key: K, flight: Flight[T]) -> None:
        # Only itself: there may be a younger flight under the key.
        if self._flights.get(key) is flight:
            del self._flights[key]
        if flight.line is not None and self._last.get(flight.line) is flight:
            del self._last[flight.line]
            if flight.before is not None and not flight.before.task.done():
                # Ended before its turn: whoever comes next waits for the one before.
                self._last[flight.line] = flight.before
        flight.before = None

    def forget(self, unwanted: Callable[[K, T | None], bool]) -> None:
        """Forget results by key and result: those that linger, and, by their key, those that are still to come."""
        for key, flight in list(self._flights.items()):
            result = flight.result
            if not isinstance(result, PasswordlessError) and unwanted(key, result):
                flight.forgotten = True
                if flight.task.done():
                    del self._flights[key]

    async def aclose(self, *, grace: float = 0.0) -> tuple[K, ...]:
        """End what has not left at once, and what has after so many seconds of grace; forget what lingers.

        Returns:
            The keys of what had left and was ended all the same: nobody knows what became of it.
        """
        flights = dict(self._flights)
        self._flights.clear()
        for flight in flights.values():
            if not flight.left:
                flight.task.cancel()
        under_way: set[asyncio.Task[Any]] = {flight.task for flight in flights.values()} | self._handovers
        if under_way and grace:
            await asyncio.wait(under_way, timeout=grace)
        abandoned = tuple(key for key, flight in flights.items() if flight.left and not flight.task.done())
        # Handovers may have been added while others landed.
        under_way |= self._handovers
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        return abandoned


def _closed(flight: Flight[Any]) -> PasswordlessError:
    """Return what those are told who wait for a flight that its owner has ended."""
    if flight.left:
        return OutcomeUnknown("the client was closed while the request was under way")
    return NotSent("nothing was sent: the client was closed")
