"""Single flight: answers that are shared."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import weakref
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs
import pytest
from yarl import URL

from helpers import plants
from helpers.values import present
from helpers.wire import Wire
from passwordless_async._common.http import HttpRequest, HttpResponse
from passwordless_async.client.traffic.single_flight import Departure, SingleFlight, cancellations
from passwordless_async.errors import NotSent, OutcomeUnknown, UsageError
from simulation.loop import SimulatedLoop

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

ORIGIN = "https://acme.example"
POST = HttpRequest("POST", URL(f"{ORIGIN}/oauth/token"), {})
GET = HttpRequest("GET", URL(f"{ORIGIN}/.well-known/jwks.json"), {}, shareable=True)
OTHER_GET = HttpRequest("GET", URL(f"{ORIGIN}/other"), {}, shareable=True)

Flights: TypeAlias = SingleFlight[Any, HttpResponse]
InVirtualTime: TypeAlias = "Callable[[Coroutine[Any, Any, Any]], Any]"


@pytest.fixture
def wire() -> Wire:
    """Make a wire."""
    return Wire()


async def fetch(flights: Flights, wire: Wire, request: HttpRequest = GET) -> HttpResponse:
    return await flights.run(request.url, lambda _departure: wire.send(request))


async def test_concurrent_callers_share_one_call(wire: Wire) -> None:
    """Ten callers of one key share one request and its response; another key has its own."""
    flights: Flights = SingleFlight()
    asking = [asyncio.create_task(fetch(flights, wire)) for _ in range(10)]
    elsewhere = asyncio.create_task(fetch(flights, wire, OTHER_GET))
    await wire.reach(2)
    answer = HttpResponse(200)
    wire.answer(0, answer)
    wire.answer(1, HttpResponse(204))
    assert [answer] * 10 == await asyncio.gather(*asking)
    assert (await elsewhere).status == 204


async def test_each_waiter_of_a_failed_flight_has_its_own_error(wire: Wire) -> None:
    """The errors are equal in kind and facts, and a new caller starts a new flight."""
    flights: Flights = SingleFlight(keep=60)
    asking = [asyncio.create_task(fetch(flights, wire)) for _ in range(3)]
    await wire.reach(1)
    wire.answer(0, NotSent("nothing was sent"))
    errors = await asyncio.gather(*asking, return_exceptions=True)
    assert [(type(e).__name__, str(e)) for e in errors] == [("NotSent", "nothing was sent")] * 3
    assert len({id(error) for error in errors}) == 3
    again = asyncio.create_task(fetch(flights, wire))
    await wire.reach(2)
    wire.answer(1, HttpResponse(200))
    await again


async def test_a_kept_result_is_given_to_later_callers(wire: Wire) -> None:
    """With ``keep`` a later caller receives the result; without it, a new flight starts."""
    for linger, requests in ((60.0, 1), (0.0, 3)):
        flights: Flights = SingleFlight(keep=linger)
        for place in (0, 0) if linger else (1, 2):
            asking = asyncio.create_task(fetch(flights, wire))
            await wire.reach(place + 1)
            if not wire.requests[place][1].done():
                wire.answer(place, HttpResponse(200))
            await asking
        await wire.reach(requests)
        await flights.aclose()


@pytest.mark.parametrize("end", ["closed", "forgotten"])
async def test_what_is_kept_no_longer_leaves_no_timer(wire: Wire, end: str) -> None:
    """A timer would hold the result, with its tokens, for half a minute more."""
    flights: Flights = SingleFlight(keep=60)
    asking = asyncio.create_task(fetch(flights, wire))
    await wire.reach(1)
    wire.answer(0, HttpResponse(200))
    result = weakref.ref(await asking)
    del asking
    wire.requests.clear()
    if end == "closed":
        await flights.aclose()
    else:
        flights.forget_kept(lambda _key, _result: True)
    await asyncio.sleep(0)
    gc.collect()
    assert result() is None


async def test_a_cancelled_caller_leaves_the_flight_to_the_others(wire: Wire) -> None:
    """The other waiter receives the response."""
    flights: Flights = SingleFlight()
    impatient, patient = [asyncio.create_task(fetch(flights, wire)) for _ in range(2)]
    await wire.reach(1)
    impatient.cancel()
    await asyncio.wait([impatient])
    wire.answer(0, HttpResponse(200))
    assert (await patient).status == 200
    assert impatient.cancelled()


async def send_for_good(departure: Departure, wire: Wire) -> HttpResponse:
    departure.on_wire = departure.was_sent = True
    return await wire.send(POST)


async def sent_for(departure: Departure, seconds: float) -> int:
    """Have something on the wire for so many seconds."""
    departure.on_wire = departure.was_sent = True
    await asyncio.sleep(seconds)
    return 1


class Taken:
    """Receives orphaned results."""

    def __init__(self) -> None:
        self.results: list[tuple[object, object]] = []

    async def __call__(self, about: object, result: object) -> None:
        self.results.append((about, result))


async def cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.wait([task])


async def test_a_flight_without_waiters_is_cancelled_before_it_is_sent(wire: Wire) -> None:
    """It leaves no task and no orphan, and the next caller starts a new flight."""
    taken = Taken()
    flights: Flights = SingleFlight(orphaned=taken)
    before = asyncio.all_tasks()
    asking = asyncio.create_task(fetch(flights, wire))
    await wire.reach(1)
    await cancelled(asking)
    assert GET.url not in flights._flights
    again = asyncio.create_task(fetch(flights, wire))
    await wire.reach(2)
    wire.answer(1, HttpResponse(204))
    assert (await again).status == 204
    assert (taken.results, asyncio.all_tasks()) == ([], before)


@pytest.mark.parametrize("result", [HttpResponse(200), NotSent("m")])
async def test_a_sent_flight_without_waiters_ends_as_an_orphan(wire: Wire, result: HttpResponse | Exception) -> None:
    """It runs to its end, and ``orphaned`` receives its result or error once."""
    taken = Taken()
    flights: Flights = SingleFlight(orphaned=taken)
    asking = asyncio.create_task(flights.run("key", lambda departure: send_for_good(departure, wire), detail="what"))
    await wire.reach(1)
    await cancelled(asking)
    assert "key" in flights._flights
    wire.answer(0, result)
    for _ in range(20):
        await asyncio.sleep(0)
    assert [("what", result)] == taken.results
    assert "key" not in flights._flights


async def test_an_error_before_anything_was_sent_is_no_orphan(wire: Wire) -> None:
    """The application has nothing to do about it."""
    taken = Taken()
    flights: Flights = SingleFlight(orphaned=taken)

    async def refuse(departure: Departure) -> HttpResponse:
        departure.on_wire = True  # it counts as on the wire before it has sent anything
        await wire.send(GET)
        raise NotSent("m")

    asking = asyncio.create_task(flights.run("key", refuse, detail="what"))
    await wire.reach(1)
    await cancelled(asking)
    wire.answer(0, HttpResponse(200))
    for _ in range(20):
        await asyncio.sleep(0)
    assert (taken.results, "key" in flights._flights) == ([], False)


async def test_a_delivered_result_is_no_orphan(wire: Wire) -> None:
    """If one of two waiters is cancelled, the other receives the result, and ``orphaned`` does not."""
    taken = Taken()
    flights: Flights = SingleFlight(orphaned=taken)
    asking = [
        asyncio.create_task(flights.run("key", lambda departure: send_for_good(departure, wire))) for _ in range(2)
    ]
    await wire.reach(1)
    await cancelled(asking[0])
    wire.answer(0, HttpResponse(200))
    assert (await asking[1]).status == 200
    assert taken.results == []


async def test_a_waiter_cancelled_as_the_flight_ends_leaves_an_orphan(wire: Wire) -> None:
    """A result that the cancelled waiter has not seen is handed to ``orphaned``, and the loop reports nothing."""
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: reported.append(context))
    taken = Taken()
    flights: Flights = SingleFlight(orphaned=taken)
    asking = asyncio.create_task(flights.run("key", lambda departure: send_for_good(departure, wire), detail="what"))
    await wire.reach(1)
    wire.answer(0, HttpResponse(200))
    for _ in range(1000):
        if flights._flights["key"].task.done():
            break
        await asyncio.sleep(0)
    await cancelled(asking)
    await flights.aclose(grace=5)
    assert (len(taken.results), reported) == (1, [])


async def test_a_caller_that_finishes_ends_after_its_flight(wire: Wire) -> None:
    """With ``finish`` a cancelled caller ends only when the flight has ended."""
    taken = Taken()
    flights: Flights = SingleFlight(orphaned=taken)
    asking = asyncio.create_task(flights.run("key", lambda departure: send_for_good(departure, wire), finish=True))
    await wire.reach(1)
    asking.cancel()
    for _ in range(20):
        await asyncio.sleep(0)
    assert not asking.done()
    wire.answer(0, HttpResponse(200))
    await asyncio.wait([asking])
    assert asking.cancelled()
    assert len(taken.results) == 1


async def test_closing_cancels_flights_that_were_not_sent(wire: Wire) -> None:
    """Their waiters receive ``NotSent`` and are not cancelled."""
    flights: Flights = SingleFlight()
    before = asyncio.all_tasks()
    asking = asyncio.create_task(fetch(flights, wire))
    await wire.reach(1)
    assert await flights.aclose(grace=60) == ()
    with pytest.raises(NotSent, match="closed"):
        await asking
    assert asyncio.all_tasks() == before


async def test_closing_gives_sent_flights_their_grace(wire: Wire) -> None:
    """A flight that ends in time is delivered; the keys of the others are returned."""
    flights: Flights = SingleFlight()
    asking = [
        asyncio.create_task(flights.run(key, lambda departure: send_for_good(departure, wire)))
        for key in ("lands", "does not")
    ]
    await wire.reach(2)
    closing = asyncio.create_task(flights.aclose(grace=0.05))
    await asyncio.sleep(0)
    wire.answer(0, HttpResponse(200))
    assert await closing == ("does not",)
    assert (await asking[0]).status == 200
    with pytest.raises(OutcomeUnknown, match="closed"):
        await asking[1]


@pytest.mark.parametrize("received", [(True, False), (False, True), (False, False)])
async def test_a_held_result_is_an_orphan_if_no_waiter_received_it(wire: Wire, received: tuple[bool, bool]) -> None:
    """Whichever of them did, and in whichever order they say so; the flight is joined until then."""
    orphans: list[Any] = []

    async def orphaned(detail: Any, result: Any) -> None:
        orphans.append((detail, result))

    flights: Flights = SingleFlight(orphaned=orphaned)
    holding = [
        asyncio.create_task(flights.hold("key", lambda _departure: wire.send(POST), detail=number))
        for number in range(2)
    ]
    await wire.reach(1)
    answer = HttpResponse(200)
    wire.answer(0, answer)
    for is_received, held in zip(received, await asyncio.gather(*holding), strict=True):
        assert (held.result, orphans) == (answer, [])
        assert "key" in flights._flights
        if is_received:
            held.receive()
        else:
            handover = held.give_back()
            if handover is not None:
                await handover
    assert orphans == ([] if any(received) else [(0, answer)])
    assert flights._flights == {}


@pytest.mark.parametrize("is_received", [True, False])
async def test_a_held_error_is_an_orphan_if_no_waiter_received_it(wire: Wire, *, is_received: bool) -> None:
    """As a result is. Each waiter has a copy of its own, and a new caller does not join the flight."""
    taken = Taken()
    flights: Flights = SingleFlight(orphaned=taken)
    first, second = (
        asyncio.create_task(flights.hold("key", lambda departure: send_for_good(departure, wire), detail="what"))
        for _ in range(2)
    )
    await wire.reach(1)
    error = OutcomeUnknown("no response")
    wire.answer(0, error)
    held, other = await first, await second
    assert isinstance(held.result, OutcomeUnknown)
    assert len({id(error), id(held.result), id(other.result)}) == 3
    assert flights.detail("key") is None
    held.give_back()
    if is_received:
        other.receive()
    else:
        await present(other.give_back())
    assert taken.results == ([] if is_received else [("what", error)])
    assert flights._flights == {}


async def test_what_holds_a_flight_that_closing_ends_has_its_error(wire: Wire) -> None:
    """It is raised: there is nothing to hold. So is an exception that is not ours."""
    flights: Flights = SingleFlight()
    holding = asyncio.create_task(flights.hold("key", lambda _departure: wire.send(POST)))
    await wire.reach(1)
    assert await flights.aclose() == ()
    with pytest.raises(NotSent, match="closed"):
        await holding
    holding = asyncio.create_task(flights.hold("key", lambda _departure: wire.send(POST)))
    await wire.reach(2)
    wire.answer(1, LookupError("the hook is broken"))
    with pytest.raises(LookupError):
        await holding
    assert flights._flights == {}


# What ends, and when


async def test_each_caller_of_a_call_that_breaks_has_its_exception(wire: Wire) -> None:
    """An exception that is not ours, for example of an application's hook, reaches all; the next caller calls anew."""
    taken = Taken()
    flights: Flights = SingleFlight(keep=60, orphaned=taken)
    asking = [asyncio.create_task(fetch(flights, wire)) for _ in range(2)]
    await wire.reach(1)
    wire.answer(0, LookupError("the hook is broken"))
    errors = await asyncio.gather(*asking, return_exceptions=True)
    assert [(type(error), str(error)) for error in errors] == [(LookupError, "the hook is broken")] * 2
    assert (flights._flights, taken.results) == ({}, [])


async def test_the_detail_is_that_of_a_flight_that_a_caller_would_join(wire: Wire) -> None:
    """None where there is none."""
    flights: Flights = SingleFlight()
    assert flights.detail("key") is None
    asking = asyncio.create_task(flights.run("key", lambda _departure: wire.send(GET), detail="what"))
    await wire.reach(1)
    assert flights.detail("key") == "what"
    wire.answer(0, HttpResponse(200))
    await asking
    assert flights.detail("key") is None


@pytest.mark.parametrize("error", [NotSent("m"), LookupError("m")])
async def test_a_failed_flight_is_not_joined(wire: Wire, error: Exception) -> None:
    """A new caller starts a new one, even before the waiters of the failed one have their error."""
    flights: Flights = SingleFlight()
    has_failed = asyncio.Event()

    async def fail(_departure: Departure) -> HttpResponse:
        try:
            return await wire.send(GET)
        finally:
            has_failed.set()

    async def again() -> tuple[object, HttpResponse]:
        await has_failed.wait()
        detail = flights.detail("key")
        return detail, await flights.run("key", lambda _departure: wire.send(GET))

    first, second = asyncio.create_task(flights.run("key", fail, detail="what")), asyncio.create_task(again())
    await wire.reach(1)
    wire.answer(0, error)
    with pytest.raises(type(error)):
        await first
    await wire.reach(2)
    wire.answer(1, HttpResponse(204))
    detail, response = await second
    assert (detail, response.status) == (None, 204)


def test_a_result_is_kept_for_its_time(in_virtual_time: InVirtualTime) -> None:
    """Until then callers share it, even if others have left meanwhile; afterwards a caller calls anew."""

    async def trial() -> list[int]:
        flights: SingleFlight[str, int] = SingleFlight(keep=60)
        made = 0

        async def call(_departure: Departure) -> int:
            nonlocal made
            made += 1
            return made

        given = [await flights.run("key", call)]
        for pause in (59, 0, 2, 59):
            await asyncio.sleep(pause)
            given.append(await flights.run("key", call))
        return given

    assert in_virtual_time(trial()) == [1, 1, 1, 2, 2]


async def test_only_a_result_that_is_to_be_kept_is_kept() -> None:
    """``keeps`` decides by key and result."""
    asked = []

    def keeps(key: str, result: int) -> bool:
        asked.append((key, result))
        return result > 1

    flights: SingleFlight[str, int] = SingleFlight(keep=60, keeps=keeps)
    results = iter((1, 2, 3))

    async def call(_departure: Departure) -> int:
        return next(results)

    given = [await flights.run("key", call) for _ in range(3)]
    await flights.aclose()
    assert (given, asked) == ([1, 2, 2], [("key", 1), ("key", 2)])


async def test_what_is_forgotten_is_what_is_unwanted() -> None:
    """By key and result; a flight that runs, and an error that its waiters have yet to see, are left alone."""
    wire = Wire()
    flights: Flights = SingleFlight(keep=60)

    async def answered(_departure: Departure) -> HttpResponse:
        return HttpResponse(200)

    kept = [await flights.run(key, answered) for key in "ab"]
    running = asyncio.create_task(fetch(flights, wire))
    await wire.reach(1)
    asked = []

    def is_unwanted(key: object, result: HttpResponse) -> bool:
        asked.append((key, result))
        return key == "a"

    flights.forget_kept(is_unwanted)
    assert asked == [("a", kept[0]), ("b", kept[1])]
    assert list(flights._flights) == ["b", GET.url]
    flights._flights[GET.url].task.add_done_callback(lambda _task: flights.forget_kept(is_unwanted))
    wire.answer(0, NotSent("m"))
    with pytest.raises(NotSent):
        await running
    assert asked[2:] == [("b", kept[1])]
    await flights.aclose()


async def test_flights_of_a_queue_take_turns(wire: Wire) -> None:
    """In their order; those of another queue, and of none, are not kept waiting. What has landed is forgotten."""
    flights: Flights = SingleFlight()

    def fly(key: str, queue: str | None) -> asyncio.Task[HttpResponse]:
        request = HttpRequest("POST", URL(f"{ORIGIN}/{key}"), {})
        return asyncio.create_task(flights.run(key, lambda _departure: wire.send(request), queue=queue))

    asking = [fly("a1", "a"), fly("a2", "a"), fly("a3", "a"), fly("b1", "b"), fly("c1", None), fly("c2", None)]
    await wire.reach(4)
    for place in range(6):
        wire.answer(place, HttpResponse(200))
        await wire.reach(min(place + 5, 6) if place == 0 else 5 if place < 4 else 6)
    await asyncio.wait(asking)
    assert [request.url.path for request, _ in wire.requests] == ["/a1", "/b1", "/c1", "/c2", "/a2", "/a3"]
    assert (flights._flights, flights._last_in_queue) == ({}, {})


async def test_a_cancelled_flight_in_a_queue_lets_nothing_overtake(wire: Wire) -> None:
    """The flight behind it waits for the one before it. Both are forgotten by a queue of which nothing is left."""
    flights: Flights = SingleFlight()
    asking = [
        asyncio.create_task(flights.run(key, lambda _departure: wire.send(POST), queue="user")) for key in range(3)
    ]
    await wire.reach(1)
    await cancelled(asking[1])
    await wire.reach(1)
    wire.answer(0, HttpResponse(200))
    await wire.reach(2)
    wire.answer(1, HttpResponse(200))
    await asyncio.wait(asking)
    assert flights._last_in_queue == {}


async def test_the_last_of_a_queue_that_is_cancelled_leaves_the_queue_to_those_ahead(wire: Wire) -> None:
    """A flight that comes later still waits for the one that runs."""
    flights: Flights = SingleFlight()

    def fly(key: str) -> asyncio.Task[HttpResponse]:
        return asyncio.create_task(flights.run(key, lambda _departure: wire.send(POST), queue="user"))

    first, second = fly("1"), fly("2")
    await wire.reach(1)
    await cancelled(second)
    third = fly("3")
    await wire.reach(1)
    wire.answer(0, HttpResponse(200))
    await wire.reach(2)
    wire.answer(1, HttpResponse(200))
    await asyncio.wait([first, third])


async def test_a_flight_that_counts_as_sent_outlives_its_caller_from_the_start(wire: Wire) -> None:
    """With ``on_wire``, a caller that is cancelled before the first step of the flight leaves it running."""
    taken = Taken()
    flights: Flights = SingleFlight(orphaned=taken)

    async def call(departure: Departure) -> HttpResponse:
        departure.was_sent = True
        return await wire.send(POST)

    asking = asyncio.create_task(flights.run("key", call, detail="what", on_wire=True))
    await asyncio.sleep(0)
    asking.cancel()
    await wire.reach(1)
    wire.answer(0, HttpResponse(200))
    await flights.aclose(grace=5)
    assert [detail for detail, _ in taken.results] == ["what"]


async def test_a_call_hears_whether_a_caller_is_left(wire: Wire) -> None:
    """It need not try again for none; one that joins later counts."""
    departures: list[Departure] = []
    flights: Flights = SingleFlight()

    async def call(departure: Departure) -> HttpResponse:
        departures.append(departure)
        return await send_for_good(departure, wire)

    def fly() -> asyncio.Task[HttpResponse]:
        return asyncio.create_task(flights.run("key", call))

    heard = []
    callers = [fly(), fly()]
    await wire.reach(1)
    for caller in callers:
        await cancelled(caller)
        heard.append(departures[0].is_abandoned)
    third = fly()
    await asyncio.sleep(0)
    heard.append(departures[0].is_abandoned)
    wire.answer(0, HttpResponse(200))
    await third
    assert heard == [False, True, False]


def test_a_caller_that_finishes_waits_for_what_its_flight_tidies_up(in_virtual_time: InVirtualTime) -> None:
    """Of a flight that is cancelled, too; without ``finish`` it does not wait."""

    async def trial(ask: str, **options: bool) -> float:
        flights: SingleFlight[str, int] = SingleFlight()
        loop = asyncio.get_running_loop()

        async def call(_departure: Departure) -> int:
            try:
                await loop.create_future()
            finally:
                await asyncio.sleep(3)
            return 1

        asking = asyncio.create_task(getattr(flights, ask)("key", call, **options))
        await asyncio.sleep(1)
        began = loop.time()
        await cancelled(asking)
        took = loop.time() - began
        await flights.aclose()
        return took

    for ask in ("run", "hold"):
        assert [in_virtual_time(trial(ask, finish=True)), in_virtual_time(trial(ask))] == [3, 0]


def test_a_flight_belongs_to_its_event_loop(in_virtual_time: InVirtualTime) -> None:
    """A caller of another loop could not wait for it, or for the one before it in its queue."""
    flights: SingleFlight[str, int] = SingleFlight(keep=60)
    waits = asyncio.new_event_loop()

    async def call(_departure: Departure) -> int:
        await asyncio.get_running_loop().create_future()
        return 1

    async def elsewhere(key: str, queue: str | None) -> None:
        await flights.run(key, call, queue=queue)

    async def begin() -> asyncio.Task[int]:
        asking = asyncio.create_task(flights.run("key", call, queue="user"))
        await asyncio.sleep(0)
        return asking

    asking = waits.run_until_complete(begin())
    for key, queue in (("key", None), ("other", "user")):
        with pytest.raises(UsageError, match="client: is in use in another event loop"):
            in_virtual_time(elsewhere(key, queue))
    assert list(flights._flights) == ["key"]
    waits.run_until_complete(cancelled(asking))
    waits.close()


async def test_a_cancelled_caller_leaves_nothing_behind(wire: Wire) -> None:
    """A flight that takes long would collect one from each."""
    flights: Flights = SingleFlight()
    patient = asyncio.create_task(fetch(flights, wire))
    await wire.reach(1)
    flight = flights._flights[GET.url]
    task: Any = flight.task
    before = (len(flight.landings), task._callbacks)
    impatient = asyncio.create_task(fetch(flights, wire))
    await asyncio.sleep(0)
    await cancelled(impatient)
    assert (len(flight.landings), task._callbacks) == before
    wire.answer(0, HttpResponse(200))
    await patient


@pytest.mark.parametrize(("grace", "needed", "ended"), [(0, 0.5, 0), (0, 1.5, 1), (10, 8, 0), (10, 12, 1)])
def test_closing_gives_hand_overs_their_time(
    in_virtual_time: InVirtualTime, grace: float, needed: float, ended: int
) -> None:
    """A second at least, and the grace; one that needs longer is cancelled, and its key returned."""
    cancels = 0
    reported: list[dict[str, Any]] = []

    async def orphaned(_detail: object, _result: object) -> None:
        nonlocal cancels
        try:
            await asyncio.sleep(needed)
        except asyncio.CancelledError:
            await asyncio.sleep(0.25)
            cancels += 1
            raise

    async def trial() -> tuple[tuple[str, ...], float, int, dict[Any, Any]]:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: reported.append(context))
        flights: SingleFlight[str, int] = SingleFlight(orphaned=orphaned)

        asking = asyncio.create_task(flights.run("key", lambda departure: sent_for(departure, 1)))
        await asyncio.sleep(0.5)
        await cancelled(asking)
        await asyncio.sleep(0.5)
        began = asyncio.get_running_loop().time()
        abandoned = await flights.aclose(grace=grace)
        return abandoned, asyncio.get_running_loop().time() - began, cancels, flights._handovers

    took = max(grace, 1) + 0.25 if ended else needed
    assert in_virtual_time(trial()) == (("key",) * ended, pytest.approx(took), ended, {})
    assert reported == []


def test_the_grace_of_flights_and_hand_overs_is_one(in_virtual_time: InVirtualTime) -> None:
    """What flights have used of it is not given again to hand-overs, except for their second."""

    async def orphaned(_detail: object, _result: object) -> None:
        await asyncio.sleep(60)

    async def trial() -> tuple[tuple[str, ...], float]:
        flights: SingleFlight[str, int] = SingleFlight(orphaned=orphaned)

        asking = asyncio.create_task(flights.run("key", lambda departure: sent_for(departure, 8)))
        await asyncio.sleep(1)
        await cancelled(asking)
        began = asyncio.get_running_loop().time()
        return await flights.aclose(grace=10), asyncio.get_running_loop().time() - began

    assert in_virtual_time(trial()) == (("key",), pytest.approx(10))


def test_a_hand_over_that_fails_is_over(wire: Wire, in_virtual_time: InVirtualTime) -> None:
    """Its exception was the application's to see; the loop does not report it again."""
    reported: list[dict[str, Any]] = []

    async def orphaned(_detail: object, _result: object) -> None:
        raise LookupError

    async def trial() -> dict[Any, Any]:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: reported.append(context))
        flights: Flights = SingleFlight(orphaned=orphaned)
        asking = asyncio.create_task(flights.run("key", lambda departure: send_for_good(departure, wire)))
        await wire.reach(1)
        await cancelled(asking)
        wire.answer(0, HttpResponse(200))
        await asyncio.sleep(1)
        return flights._handovers

    assert (in_virtual_time(trial()), reported) == ({}, [])


async def test_closing_ends_what_its_callers_have_left(wire: Wire) -> None:
    """A flight that goes on after it was cancelled is ended, although a newer one has its key."""
    flights: Flights = SingleFlight()
    ended = []

    async def slow_to_end(_departure: Departure) -> HttpResponse:
        try:
            return await wire.send(POST)
        finally:
            try:
                await wire.send(GET)
            finally:
                ended.append(1)

    old = asyncio.create_task(flights.run("key", slow_to_end))
    await wire.reach(1)
    await cancelled(old)
    new = asyncio.create_task(flights.run("key", slow_to_end))
    await wire.reach(3)
    assert await flights.aclose() == ()
    assert (ended, flights._in_air, flights._flights) == ([1, 1], {}, {})
    with pytest.raises(NotSent, match="closed"):
        await new


def test_closing_waits_for_a_flight_that_its_callers_have_left(in_virtual_time: InVirtualTime) -> None:
    """It is ended at once, without grace, and what it tidies up is done when closing returns."""

    async def trial() -> tuple[tuple[str, ...], float]:
        flights: SingleFlight[str, int] = SingleFlight()
        loop = asyncio.get_running_loop()

        async def call(departure: Departure) -> int:
            departure.on_wire = True
            try:
                await loop.create_future()
            finally:
                await asyncio.sleep(3)
            return 1

        asking = asyncio.create_task(flights.run("key", call))
        await asyncio.sleep(1)
        await cancelled(asking)
        began = loop.time()
        return await flights.aclose(), loop.time() - began

    assert in_virtual_time(trial()) == (("key",), 3)


@pytest.mark.parametrize("result", [HttpResponse(200), LookupError()])
def test_a_flight_whose_callers_have_left_ends_in_silence(
    wire: Wire, in_virtual_time: InVirtualTime, result: Any
) -> None:
    """Where nothing takes orphans, and where its exception is none of ours: the loop reports nothing."""
    reported: list[dict[str, Any]] = []
    taken = Taken()

    async def trial(flights: Flights) -> dict[Any, Any]:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: reported.append(context))
        asking = asyncio.create_task(flights.run("key", lambda departure: send_for_good(departure, wire)))
        await wire.reach(1)
        await cancelled(asking)
        wire.answer(0, result)
        await asyncio.sleep(1)
        return flights._flights

    for flights in (SingleFlight[Any, HttpResponse](), SingleFlight[Any, HttpResponse](orphaned=taken)):
        wire.requests.clear()
        assert in_virtual_time(trial(flights)) == {}
    assert (len(taken.results), reported) == (int(isinstance(result, HttpResponse)), [])


async def test_a_held_flight_without_waiters_is_cancelled_before_it_is_sent(wire: Wire) -> None:
    """Nothing is on the wire before the call says so."""
    assert attrs.astuple(Departure()) == (False, False, False)
    flights: Flights = SingleFlight()
    holding = asyncio.create_task(flights.hold("key", lambda _departure: wire.send(POST)))
    await wire.reach(1)
    await cancelled(holding)
    assert (flights._flights, wire.requests[0][1].cancelled()) == ({}, True)


async def test_a_result_that_is_held_is_shared_after_others_have_left(wire: Wire) -> None:
    """A later caller receives it, without a turn of the event loop."""
    flights: Flights = SingleFlight()
    running = asyncio.create_task(flights.run("key", lambda _departure: wire.send(POST)))
    holding = asyncio.create_task(flights.hold("key", lambda _departure: wire.send(POST)))
    await wire.reach(1)
    wire.answer(0, HttpResponse(200))
    await running
    held = await holding
    with pytest.raises(StopIteration) as returned:
        flights.run("key", lambda _departure: wire.send(POST)).send(None)
    assert returned.value.value is held.result
    held.receive()
    assert (flights._flights, len(wire.requests)) == ({}, 1)


async def test_a_caller_that_comes_as_closing_ends_has_the_held_result(wire: Wire) -> None:
    """The flight was over for closing already, when the last of its callers had returned."""
    flights: Flights = SingleFlight()
    late: list[asyncio.Task[HttpResponse]] = []

    def fly(*, finish: bool = False) -> Coroutine[Any, Any, HttpResponse]:
        return flights.run("key", lambda departure: send_for_good(departure, wire), finish=finish)

    holding = asyncio.create_task(flights.hold("key", lambda departure: send_for_good(departure, wire)))
    finishing = asyncio.create_task(fly(finish=True))
    await wire.reach(1)
    flight, endings = flights._flights["key"], []
    # As closing does it in some order of the loop's callbacks: when the flight has landed, and a caller has yet to go.
    flight.task.add_done_callback(lambda _task: endings.append(asyncio.create_task(flight.end())))
    finishing.cancel()
    finishing.add_done_callback(lambda _task: late.append(asyncio.create_task(fly())))
    await wire.reach(1)
    wire.answer(0, HttpResponse(200))
    held = await holding
    await asyncio.wait([finishing])
    assert flight.ending is not None
    await endings[0]
    assert await late[0] is held.result
    held.receive()


async def test_how_often_a_task_was_cancelled() -> None:
    """Of a callback, which is in no task, never."""
    loop, counts = asyncio.get_running_loop(), []

    async def stubborn() -> None:
        counts.append(cancellations())
        for _ in range(2):
            with contextlib.suppress(asyncio.CancelledError):
                await loop.create_future()
            counts.append(cancellations())

    task = asyncio.create_task(stubborn())
    for _ in range(2):
        await asyncio.sleep(0)
        task.cancel()
    await task
    loop.call_soon(lambda: counts.append(cancellations()))
    await asyncio.sleep(0)
    assert counts == [0, 1, 2, 0]


# In whatever order the loop runs callbacks


async def _cancelled_before_its_first_step() -> None:
    """Run a queue of flights whose callers leave as soon as they have come; its last flight must have its turn."""
    flights: Flights = SingleFlight()

    async def call(_departure: Departure) -> HttpResponse:
        await asyncio.sleep(0)
        return HttpResponse(200)

    asking = [asyncio.create_task(flights.run(number, call, queue="user")) for number in range(6)]
    await asyncio.sleep(0)
    for task in asking[:-1]:
        task.cancel()
    await asyncio.wait(asking)
    await asyncio.sleep(1)
    assert (flights._flights, flights._last_in_queue, flights._in_air) == ({}, {}, {})


async def _closed_while_a_caller_leaves() -> None:
    """Close while a flight lands and its caller is cancelled: its orphan is handed over before closing has ended."""
    handed: list[Any] = []

    async def orphaned(_detail: Any, result: Any) -> None:
        await asyncio.sleep(0.01)
        handed.append(result)

    flights: Flights = SingleFlight(orphaned=orphaned)
    wire = Wire()
    before = asyncio.all_tasks()
    asking = asyncio.create_task(flights.run("key", lambda departure: send_for_good(departure, wire)))
    await wire.reach(1)
    # Once the flight has its result, and before the caller can take it: then there is an orphan.
    flights._flights["key"].task.add_done_callback(lambda _task: asking.cancel())
    closing = asyncio.create_task(flights.aclose(grace=5.0))
    wire.answer(0, HttpResponse(200))
    assert await closing == ()
    handed_in_time = len(handed)
    await asyncio.wait([asking])
    await asyncio.sleep(1)
    assert (handed_in_time, len(handed)) == (asking.cancelled(), asking.cancelled())
    assert asyncio.all_tasks() == before


async def _closed_by_several() -> None:
    """Close three times at once, and cancel one closing: the others return once the flight is over."""
    flights: Flights = SingleFlight()

    async def call(_departure: Departure) -> HttpResponse:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(1)
        return HttpResponse(200)

    asking = asyncio.create_task(flights.run("key", call))
    await asyncio.sleep(1)
    closings = [asyncio.create_task(flights.aclose()) for _ in range(3)]
    await asyncio.sleep(0.5)
    closings[0].cancel()
    async with asyncio.timeout(10):
        assert await asyncio.gather(*closings[1:]) == [(), ()]
    assert flights._flights == {}
    with pytest.raises(NotSent, match="closed"):
        await asking


@pytest.mark.parametrize("trial", [_cancelled_before_its_first_step, _closed_while_a_caller_leaves, _closed_by_several])
def test_no_promise_leans_on_the_order_of_callbacks(trial: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """A loop may run callbacks that are ready at once in any order: flights land, and closing leaves nothing behind."""
    _run_in_many_orders(trial)


def test_a_closing_that_gives_callers_no_turn_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """With that fault planted, an orphan is handed over too late in one of the same orders."""
    plants.no_turn_before_hand_overs(monkeypatch)
    with pytest.raises(AssertionError):
        _run_in_many_orders(_closed_while_a_caller_leaves)


def _run_in_many_orders(trial: Callable[[], Coroutine[Any, Any, None]]) -> None:
    for seed in range(800):
        loop = SimulatedLoop(random.Random(seed), is_stock=False)  # noqa: S311 - no secret
        try:
            loop.run_until_complete(trial())
        finally:
            loop.close()
