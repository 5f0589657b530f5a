"""Single flight: answers that are shared."""

from __future__ import annotations

import asyncio
import gc
import random
import weakref
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from yarl import URL

from helpers import plants
from helpers.wire import Wire
from passwordless_async._common.http import HttpRequest, HttpResponse
from passwordless_async.client.traffic.single_flight import Departure, SingleFlight
from passwordless_async.errors import NotSent, OutcomeUnknown
from simulation.loop import SimulatedLoop

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

ORIGIN = "https://acme.example"
POST = HttpRequest("POST", URL(f"{ORIGIN}/oauth/token"), {})
GET = HttpRequest("GET", URL(f"{ORIGIN}/.well-known/jwks.json"), {}, shareable=True)
OTHER_GET = HttpRequest("GET", URL(f"{ORIGIN}/other"), {}, shareable=True)

Flights: TypeAlias = SingleFlight[Any, HttpResponse]


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
    """A result that the cancelled waiter has not seen is handed to ``orphaned``."""
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
    assert len(taken.results) == 1


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


async def test_an_error_is_not_held(wire: Wire) -> None:
    """It is raised, and the flight is over."""
    flights: Flights = SingleFlight()
    holding = asyncio.create_task(flights.hold("key", lambda _departure: wire.send(POST)))
    await wire.reach(1)
    wire.answer(0, NotSent("nothing was sent"))
    with pytest.raises(NotSent):
        await holding
    assert flights._flights == {}


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
    assert (flights._flights, flights._last_in_queue, flights._cancelled) == ({}, {}, {})


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
