"""Single flight: concurrent callers with the same key share one call.

Invariants:

- A key has at most one flight. A failed flight is not joined: a new caller starts a new one.
- A cancelled caller affects neither the other waiters nor a request on the wire.
- A flight without waiters is cancelled, unless its request is on the wire: then it runs to its end.
- Flights of one queue run one after the other, in the order of their starts, whichever of them is cancelled.
- A result that no waiter received is passed to ``orphaned`` exactly once. A waiter that holds it has not received it.
- Nothing of a flight runs after ``aclose``, in whatever order the loop runs callbacks that are ready at once.
"""

from __future__ import annotations

import asyncio
import copy
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import attrs

from passwordless_async.errors import NotSent, OutcomeUnknown, PasswordlessError, UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Hashable, Iterable

K = TypeVar("K")
T = TypeVar("T")
R = TypeVar("R")

_HANDOVER_SECONDS = 1.0  # to pass on an orphaned result, even if the owner closes without grace


@attrs.define(eq=False)
class Departure:
    """What would be lost if a call were ended now. The call writes it while it sends; the flight reads it."""

    on_wire: bool = False  # something is on the wire whose answer matters: the call must not be cancelled
    was_sent: bool = False  # something was sent at least once, even if the server refused it
    is_abandoned: bool = False  # all callers have gone: the call need not try again; written by the flight


@attrs.define(eq=False, repr=False)
class _Flight(Generic[K, T]):
    """One call and its waiters."""

    key: K
    detail: Any  # the starter's description
    queue: Hashable  # flights of the same queue run one after the other; None: it runs at once
    departure: Departure = attrs.field(factory=Departure)
    waiters: int = 0
    keeps_result: bool = False  # for callers that come later
    keeping: asyncio.TimerHandle | None = None  # ends that
    is_delivered: bool = False  # to a waiter, or to ``orphaned``
    before: _Flight[K, T] | None = None  # in its queue
    callers: int = 0  # that have not returned from it: waiters, and those that were cancelled and leave
    landings: list[asyncio.Future[None]] = attrs.field(factory=list)  # one for each waiter: it has landed
    has_landed: bool = False
    ending: asyncio.Future[None] | None = None  # has a result when the flight is over; made by the first closing
    task: asyncio.Task[T | PasswordlessError] = attrs.field(init=False)

    @property
    def has_failed(self) -> bool:
        return self.task.done() and (self.result is None or isinstance(self.result, PasswordlessError))

    @property
    def result(self) -> T | PasswordlessError | None:
        """The result or error; None while it runs, and where the task was cancelled or raised a foreign exception."""
        if not self.task.done() or self.task.cancelled() or self.task.exception() is not None:
            return None
        return self.task.result()

    def note_progress(self) -> None:
        """Tell ``aclose`` when the flight is over: it has landed, and its callers have returned."""
        if self.ending is not None and self.is_over and not self.ending.done():
            self.ending.set_result(None)

    async def end(self) -> None:
        """Cancel what is left of it, and wait until it is over."""
        self.task.cancel()
        if not self.is_over:
            self.ending = self.ending or asyncio.get_running_loop().create_future()
            await asyncio.wait([self.ending])  # if this closing is cancelled, the others go on

    @property
    def is_over(self) -> bool:
        return self.has_landed and not self.callers

    def landing(self) -> asyncio.Future[None]:
        """Return what a waiter awaits. Not the task: a cancelled waiter would cancel it."""
        landing = self.task.get_loop().create_future()
        self.landings.append(landing)
        return landing

    def wake(self) -> None:
        """Wake the waiters."""
        for landing in self.landings:
            if not landing.done():
                landing.set_result(None)

    def join(self) -> None:
        self.waiters += 1
        self.departure.is_abandoned = False

    def leave(self) -> None:
        self.waiters -= 1
        self.departure.is_abandoned = not self.waiters


@attrs.frozen(eq=False, repr=False)
class Held(Generic[T]):
    """A result or error that its waiter has neither received nor given back yet.

    Until then, a flight with a result can be joined.
    """

    result: T | PasswordlessError
    _settle: Callable[..., asyncio.Task[None] | None]

    def receive(self) -> None:
        """Report that the result was received."""
        self._settle(is_received=True)

    def give_back(self) -> asyncio.Task[None] | None:
        """Report that it was not received; return the call that passes on the orphan."""
        return self._settle(is_received=False)


class SingleFlight(Generic[K, T]):
    """Runs one call for all callers that ask for the same key at the same time.

    Args:
        keep: Seconds for which later callers still get a result.
        keeps: Decides, by key and result, whether that result is kept.
        orphaned: Receives a flight's detail and its result or error if no waiter is left to receive it.
    """

    def __init__(
        self,
        *,
        keep: float = 0.0,
        keeps: Callable[[K, T], bool] = lambda _key, _result: True,
        orphaned: Callable[[Any, T | PasswordlessError], Awaitable[None]] | None = None,
    ) -> None:
        self._keep = keep
        self._keeps = keeps
        self._orphaned = orphaned
        self._flights: dict[K, _Flight[K, T]] = {}  # that a caller joins: also those that landed, while they are kept
        self._in_air: dict[asyncio.Task[Any], _Flight[K, T]] = {}  # also those that all callers have left
        self._last_in_queue: dict[Hashable, _Flight[K, T]] = {}
        self._handovers: dict[asyncio.Task[None], K] = {}

    def detail(self, key: K) -> Any:  # noqa: ANN401 - the caller's own
        """Return the detail of the flight that a call of ``run`` would join; None if it would start one."""
        flight = self._flights.get(key)
        return None if flight is None or flight.has_failed else flight.detail

    def run(
        self,
        key: K,
        call: Callable[[Departure], Awaitable[T]],
        *,
        detail: object = None,
        queue: Hashable = None,
        finish: bool = False,
        on_wire: bool = False,
    ) -> Coroutine[Any, Any, T]:
        """Start a call, or wait for the one under the same key. Raises what the call raises.

        Args:
            key: Identifies the call: callers with the same key share it.
            call: Makes the call, and updates the :class:`Departure` that it gets.
            detail: The caller's own description, for :meth:`detail` and ``orphaned``.
            queue: Flights of one queue run one after the other; None: the call runs at once.
            finish: Whether a cancelled caller waits, before it raises, for a call that is on the wire.
            on_wire: Whether it counts as on the wire before its first step.
        """
        return self._wait(_Flight(key, detail, queue, Departure(on_wire)), call, SingleFlight._receive, finish=finish)

    def hold(
        self,
        key: K,
        call: Callable[[Departure], Awaitable[T]],
        *,
        detail: object = None,
        queue: Hashable = None,
        finish: bool = False,
    ) -> Coroutine[Any, Any, Held[T]]:
        """Do as :meth:`run`, for a caller that learns only later whether the result, or error, is received.

        Raises only errors from outside the library, and those of closing.
        """
        return self._wait(_Flight(key, detail, queue), call, SingleFlight._hold, finish=finish)

    async def _wait(
        self,
        new: _Flight[K, T],
        call: Callable[[Departure], Awaitable[T]],
        take: Callable[[SingleFlight[K, T], _Flight[K, T]], R],
        *,
        finish: bool,
    ) -> R:
        """Join a flight, or start the new one; wait until it has landed, and take its result."""
        flight = self._join(new, call)
        flight.callers += 1
        try:
            if not flight.task.done():
                await flight.landing()
            return take(self, flight)
        except asyncio.CancelledError:
            await self._abandon(flight, finish=finish)
            raise
        finally:
            flight.callers -= 1
            flight.note_progress()

    def _join(self, new: _Flight[K, T], call: Callable[[Departure], Awaitable[T]]) -> _Flight[K, T]:
        """Join the flight under a key; if there is none, start the new one."""
        flight = self._flights.get(new.key)
        _require_own_loop(flight or self._last_in_queue.get(new.queue))
        if flight is None or flight.has_failed:
            flight = self._start(new, call)
        flight.join()
        return flight

    def _receive(self, flight: _Flight[K, T]) -> T:
        """Leave a landed flight with its result, or raise its error."""
        flight.is_delivered = True
        self._leave(flight)
        # A flight is cancelled by closing; its waiter was not cancelled. An error from outside the library, for example
        # of an application's hook, is raised by every waiter.
        result = _ended(flight) if flight.task.cancelled() else _own(flight.task.result())
        if isinstance(result, PasswordlessError):
            raise result
        return result

    def _hold(self, flight: _Flight[K, T]) -> Held[T]:
        """Take the result or error of a landed flight, and do not leave it yet."""
        result = flight.result
        # What was cancelled, or failed with an error from outside the library, has no result: that is raised.
        return Held(self._receive(flight) if result is None else _own(result), partial(self._settle, flight))

    def _settle(self, flight: _Flight[K, T], *, is_received: bool) -> asyncio.Task[None] | None:
        flight.is_delivered = flight.is_delivered or is_received
        flight.leave()
        return self._settle_orphan(flight)

    def _start(self, flight: _Flight[K, T], call: Callable[[Departure], Awaitable[T]]) -> _Flight[K, T]:
        self._flights[flight.key] = flight
        if flight.queue is not None:
            flight.before, self._last_in_queue[flight.queue] = self._last_in_queue.get(flight.queue), flight
        flight.task = asyncio.create_task(self._fly(flight, call))
        self._in_air[flight.task] = flight
        # Not in the task: if it is cancelled before its first step, none of its code runs.
        flight.task.add_done_callback(self._land)
        return flight

    async def _fly(self, flight: _Flight[K, T], call: Callable[[Departure], Awaitable[T]]) -> T | PasswordlessError:
        try:
            while flight.before is not None:
                await asyncio.wait([flight.before.task])
                # If that one was cancelled while it queued, the flight before it is still ahead of this one.
                flight.before = flight.before.before
            result = await call(flight.departure)
            flight.keeps_result = bool(self._keep) and self._keeps(flight.key, result)
        except PasswordlessError as error:
            return error.with_traceback(None)
        else:
            return result

    def _land(self, task: asyncio.Task[Any]) -> None:
        flight = self._in_air.pop(task)
        flight.has_landed = True
        flight.wake()
        self._clear_queue(flight)
        if flight.keeps_result:
            flight.keeping = asyncio.get_running_loop().call_later(self._keep, self._drop, flight)
        self._settle_orphan(flight)
        flight.note_progress()

    def _clear_queue(self, landed: _Flight[K, T]) -> None:
        """Forget a queue in which no flight is left."""
        ahead = last = self._last_in_queue.get(landed.queue)
        while ahead is not None and ahead.task.done():
            ahead = ahead.before
        if last is not None and ahead is None:
            del self._last_in_queue[landed.queue]

    async def _abandon(self, flight: _Flight[K, T], *, finish: bool) -> None:
        """Let a cancelled caller go; with ``finish``, only when the flight has landed."""
        flight.leave()
        flight.landings = [landing for landing in flight.landings if not landing.cancelled()]
        if flight.task.done():
            # It landed, and this waiter was cancelled before it could take the result.
            self._settle_orphan(flight)
        elif not flight.waiters and not flight.departure.on_wire:
            self._drop(flight)
            flight.task.cancel()
        if finish:
            await asyncio.wait([flight.task])

    def _settle_orphan(self, flight: _Flight[K, T]) -> asyncio.Task[None] | None:
        if flight.waiters:
            return None
        self._release(flight)
        result = flight.result
        if result is None or flight.is_delivered or self._orphaned is None:
            return None
        if isinstance(result, PasswordlessError) and not flight.departure.was_sent:
            # The application has no use for such a result, even if the client is already closed.
            return None
        flight.is_delivered = True
        handover: asyncio.Task[None] = asyncio.ensure_future(self._orphaned(flight.detail, result))
        self._handovers[handover] = flight.key
        handover.add_done_callback(self._handed_over)
        return handover

    def _leave(self, flight: _Flight[K, T]) -> None:
        flight.leave()
        self._release(flight)

    def _release(self, flight: _Flight[K, T]) -> None:
        """Forget a landed flight once its last waiter has the result: until then, other callers may share it."""
        if not flight.waiters and not flight.keeps_result:
            self._drop(flight)

    def _handed_over(self, handover: asyncio.Task[None]) -> None:
        self._handovers.pop(handover, None)
        if not handover.cancelled():
            handover.exception()

    def _drop(self, flight: _Flight[K, T]) -> None:
        if flight.keeping is not None:
            flight.keeping.cancel()
        # Only this flight: there may be a newer one under the key.
        if self._flights.get(flight.key) is flight:
            del self._flights[flight.key]

    def forget_kept(self, unwanted: Callable[[K, T], bool]) -> None:
        """Drop the kept results that ``unwanted`` accepts, by key and result. Running flights are not affected."""
        for key, flight in list(self._flights.items()):
            result = flight.result
            if result is not None and not isinstance(result, PasswordlessError) and unwanted(key, result):
                self._drop(flight)

    async def aclose(self, *, grace: float = 0.0) -> tuple[K, ...]:
        """End what is not on the wire at once and the rest after ``grace`` seconds; forget what is kept.

        Returns:
            The keys of the flights that were ended on the wire, and of results that were not handed over in time.
        """
        loop = asyncio.get_running_loop()
        ends = loop.time() + grace
        abandoned = dict.fromkeys(await self._end_flights(grace))
        # Landed results are still passed on: that takes a moment, and saves the user's tokens.
        await _wait_for(self._handovers, max(ends - loop.time(), _HANDOVER_SECONDS))
        late = {handover: key for handover, key in self._handovers.items() if not handover.done()}
        for handover, key in late.items():
            abandoned[key] = None
            handover.cancel()
            await asyncio.wait([handover])
        for flight in list(self._flights.values()):
            self._drop(flight)
        return tuple(abandoned)

    async def _end_flights(self, grace: float) -> list[K]:
        """End all flights; return the keys of those that were on the wire when the grace was over."""
        flights = dict.fromkeys((*self._flights.values(), *self._in_air.values()))
        for flight in (flight for flight in flights if not flight.departure.on_wire):
            flight.task.cancel()
        await _wait_for([flight.task for flight in flights], grace)
        late = [flight.key for flight in flights if flight.departure.on_wire and not flight.task.done()]
        # Until its last caller has returned, a flight may yet have an orphan.
        await asyncio.gather(*(flight.end() for flight in flights))
        return late


async def _wait_for(tasks: Iterable[asyncio.Task[Any]], seconds: float) -> None:
    waited = set(tasks)
    if waited:
        await asyncio.wait(waited, timeout=seconds)


def _own(result: T) -> T:
    """Return a waiter's own copy of an error: an exception that is raised twice collects both tracebacks."""
    return copy.copy(result) if isinstance(result, PasswordlessError) else result


def _require_own_loop(flight: _Flight[Any, Any] | None) -> None:
    if flight is not None and flight.task.get_loop() is not asyncio.get_running_loop():
        raise UsageError("client", "is in use in another event loop: close it there, or make one for each loop")


def cancellations() -> int:
    """Return how often the current task was cancelled."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


def _ended(flight: _Flight[Any, Any]) -> PasswordlessError:
    if flight.departure.on_wire:
        return OutcomeUnknown("the request was ended while it was on the wire: the client was closed")
    return NotSent("nothing was sent: the client was closed")
