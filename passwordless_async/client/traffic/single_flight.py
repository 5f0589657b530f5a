"""What several ask for at the same time is done once, for all of them, and nothing that has left is lost.

The promises: whoever stops waiting disturbs neither the others nor what has left; what nobody waits for any more and
has not left is called back; what stands in one line goes one after the other, whoever is called back in between; and a
result that nobody was given is handed over exactly once.
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

_HANDOVER = 1.0  # seconds that handing over what has landed is given, though the owner closes at once


@attrs.define(eq=False, repr=False)
class Flight(Generic[T]):
    """One thing that is under way.

    Attributes:
        about: What else is to be known of it.
        line: What it stands in, where things go one after the other; None: nothing.
        left: Whether something has left this machine that is lost if the flight is ended now.
        ever_left: Whether anything has left for it, be it that it was refused and is lost to nobody.
        waiting: How many wait for it.
        forgotten: Whether what comes of it is not wanted any more; it does not linger.
        lingers: Whether its result is kept for those who ask later.
        given: Whether somebody has its result.
        before: What stands before it in its line.
        task: What does it.
    """

    about: Any = None
    line: Hashable = None
    left: bool = False
    ever_left: bool = False
    waiting: int = attrs.field(default=0, init=False)
    forgotten: bool = attrs.field(default=False, init=False)
    lingers: bool = attrs.field(default=False, init=False)
    given: bool = attrs.field(default=False, init=False)
    before: Flight[T] | None = attrs.field(default=None, init=False)
    task: asyncio.Task[T | PasswordlessError] = attrs.field(init=False)

    @property
    def failed(self) -> bool:
        """Whether it has ended, and not well."""
        return self.task.done() and (self.result is None or isinstance(self.result, PasswordlessError))

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
        self._handovers: dict[asyncio.Task[None], K] = {}

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
        if flight is None or flight.failed:
            # Of what has failed those hear who waited for it; who asks now asks anew.
            flight = self._begin(key, Flight(about, line), make)
        caller = asyncio.current_task()
        cancelling = 0 if caller is None else caller.cancelling()
        flight.waiting += 1
        result: T | PasswordlessError
        try:
            result = await asyncio.shield(flight.task)
            flight.given = True
        except asyncio.CancelledError:
            if not flight.task.cancelled() or (caller is not None and caller.cancelling() > cancelling):
                self._leave(key, flight)
                if stay and not flight.task.done():
                    await asyncio.wait([flight.task])
                raise
            result = _ended(flight)
        except Exception:
            # None of ours, such as a callback's: it is raised to all who wait.
            self._took(key, flight)
            raise
        self._took(key, flight)
        if isinstance(result, PasswordlessError):
            # A copy for each: an exception raised twice collects the tracebacks of both.
            raise copy.copy(result)
        return result

    def _begin(self, key: K, flight: Flight[T], make: Callable[[Flight[T]], Awaitable[T]]) -> Flight[T]:
        self._flights[key] = flight
        if flight.line is not None:
            flight.before, self._last[flight.line] = self._last.get(flight.line), flight
        flight.task = asyncio.create_task(self._fly(key, flight, make))
        return flight

    async def _fly(self, key: K, flight: Flight[T], make: Callable[[Flight[T]], Awaitable[T]]) -> T | PasswordlessError:
        try:
            while flight.before is not None:
                await asyncio.wait([flight.before.task])
                # Of one that was called back in the line, what stood before it stands before this one.
                flight.before = flight.before.before
            result = await make(flight)
            flight.lingers = bool(self._linger) and not flight.forgotten and self._lingers(key, result)
        except PasswordlessError as error:
            return error.with_traceback(None)
        else:
            return result
        finally:
            self._land(key, flight)

    def _land(self, key: K, flight: Flight[T]) -> None:
        loop = asyncio.get_running_loop()
        self._clear_line(flight)
        if flight.lingers:
            loop.call_later(self._linger, self._drop, key, flight)
        if not flight.waiting:
            # When the task has its result; those who wait have theirs in the same turn of the loop.
            loop.call_soon(self._leave_unwatched, key, flight)

    def _clear_line(self, landed: Flight[T]) -> None:
        """Forget a line in which nothing is under way any more."""
        place = last = self._last.get(landed.line)
        while place is not None and (place is landed or place.task.done()):
            place = place.before
        if last is not None and place is None:
            del self._last[landed.line]

    def _leave_unwatched(self, key: K, flight: Flight[T]) -> None:
        if not flight.waiting:
            self._let_go(key, flight)
            self._hand_over(key, flight)

    def _leave(self, key: K, flight: Flight[T]) -> None:
        flight.waiting -= 1
        if flight.waiting:
            return
        if flight.task.done():
            # It landed, and the one it landed for was cancelled before it could look.
            self._leave_unwatched(key, flight)
        elif not flight.left:
            self._drop(key, flight)
            flight.task.cancel()

    def _took(self, key: K, flight: Flight[T]) -> None:
        flight.waiting -= 1
        self._let_go(key, flight)

    def _let_go(self, key: K, flight: Flight[T]) -> None:
        """Forget a flight that has landed when the last who waited has its result: until then others may share it."""
        if not flight.waiting and not flight.lingers:
            self._drop(key, flight)

    def _hand_over(self, key: K, flight: Flight[T]) -> None:
        result = flight.result
        if result is None or flight.given or self._orphaned is None:
            return
        flight.given = True
        handover = asyncio.ensure_future(self._orphaned(flight.about, result))
        self._handovers[handover] = key
        handover.add_done_callback(self._handed_over)

    def _handed_over(self, handover: asyncio.Task[None]) -> None:
        self._handovers.pop(handover, None)
        if not handover.cancelled():
            handover.exception()

    def _drop(self, key: K, flight: Flight[T]) -> None:
        # Only itself: there may be a younger flight under the key.
        if self._flights.get(key) is flight:
            del self._flights[key]

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
            The keys of what had left and was ended all the same, and of what could not be handed over in time.
        """
        loop = asyncio.get_running_loop()
        flights = dict(self._flights)
        for flight in flights.values():
            if not flight.left:
                flight.task.cancel()
        ends = loop.time() + grace
        await _wait({flight.task for flight in flights.values()}, grace)
        abandoned = {key: None for key, flight in flights.items() if flight.left and not flight.task.done()}
        for flight in flights.values():
            flight.task.cancel()
        await asyncio.gather(*(flight.task for flight in flights.values()), return_exceptions=True)
        await asyncio.sleep(0)  # in which those who wait have their results, or are found to be gone
        # What landed is handed over still: that costs the application a moment, and not the user their tokens.
        await _wait(set(self._handovers), max(ends - loop.time(), _HANDOVER))
        for handover, key in list(self._handovers.items()):
            abandoned[key] = None
            handover.cancel()
            await asyncio.wait([handover])
        self._flights.clear()
        self._last.clear()
        return tuple(abandoned)


async def _wait(tasks: set[asyncio.Task[Any]], seconds: float) -> None:
    if tasks and seconds:
        await asyncio.wait(tasks, timeout=seconds)


def _ended(flight: Flight[Any]) -> PasswordlessError:
    """Return what those are told who wait for a flight that was ended."""
    if flight.left:
        return OutcomeUnknown("the request was ended while it was under way: the client was closed")
    return NotSent("nothing was sent: the client was closed")
