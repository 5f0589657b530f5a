"""Single flight: answers that are shared."""

from __future__ import annotations

import asyncio

import pytest
from yarl import URL

from helpers.wire import Wire
from passwordless_async._common.http import HttpRequest, HttpResponse
from passwordless_async.client.traffic import Departure, SingleFlight
from passwordless_async.errors import NotSent, OutcomeUnknown

ORIGIN = "https://acme.example"
POST = HttpRequest("POST", URL(f"{ORIGIN}/oauth/token"), {})
GET = HttpRequest("GET", URL(f"{ORIGIN}/.well-known/jwks.json"), {}, shareable=True)
OTHER_GET = HttpRequest("GET", URL(f"{ORIGIN}/other"), {}, shareable=True)


@pytest.fixture
def wire() -> Wire:
    """Make a wire."""
    return Wire()


async def fetch(flights: SingleFlight[URL, HttpResponse], wire: Wire, request: HttpRequest = GET) -> HttpResponse:
    return await flights.run(request.url, lambda _departure: wire.send(request))


async def test_what_is_asked_for_at_once_is_done_once(wire: Wire) -> None:
    """Ten ask for the same at once: one request, ten times its answer; under another key it is another request."""
    flights = SingleFlight()
    asking = [asyncio.create_task(fetch(flights, wire)) for _ in range(10)]
    elsewhere = asyncio.create_task(fetch(flights, wire, OTHER_GET))
    await wire.reach(2)
    answer = HttpResponse(200)
    wire.answer(0, answer)
    wire.answer(1, HttpResponse(204))
    assert [answer] * 10 == await asyncio.gather(*asking)
    assert (await elsewhere).status == 204


async def test_a_shared_failure_reaches_everybody_as_its_own(wire: Wire) -> None:
    """Each waiter gets an error of its own, equal in kind and facts; who asks next starts anew."""
    flights = SingleFlight(keep=60)
    asking = [asyncio.create_task(fetch(flights, wire)) for _ in range(3)]
    await wire.reach(1)
    wire.answer(0, NotSent("nothing was sent"))
    errors = await asyncio.gather(*asking, return_exceptions=True)
    assert [("NotSent", "nothing was sent")] * 3 == [(type(e).__name__, str(e)) for e in errors]
    assert len({id(error) for error in errors}) == 3
    again = asyncio.create_task(fetch(flights, wire))
    await wire.reach(2)
    wire.answer(1, HttpResponse(200))
    await again


async def test_a_result_lingers(wire: Wire) -> None:
    """Who comes late is given the result, and nothing is done again; without lingering it is."""
    for linger, requests in ((60.0, 1), (0.0, 3)):
        flights = SingleFlight(keep=linger)
        for place in (0, 0) if linger else (1, 2):
            asking = asyncio.create_task(fetch(flights, wire))
            await wire.reach(place + 1)
            if not wire.requests[place][1].done():
                wire.answer(place, HttpResponse(200))
            await asking
        await wire.reach(requests)
        await flights.aclose()


async def test_who_stops_waiting_does_not_stop_the_flight(wire: Wire) -> None:
    """Cancelling one leaves the others their answer."""
    flights = SingleFlight()
    impatient, patient = [asyncio.create_task(fetch(flights, wire)) for _ in range(2)]
    await wire.reach(1)
    impatient.cancel()
    await asyncio.wait([impatient])
    wire.answer(0, HttpResponse(200))
    assert (await patient).status == 200
    assert impatient.cancelled()


async def leaving(departure: Departure, wire: Wire) -> HttpResponse:
    departure.on_wire = True
    return await wire.send(POST)


class Taken:
    """Takes what is orphaned."""

    def __init__(self) -> None:
        self.results: list[tuple[object, object]] = []

    async def __call__(self, about: object, result: object) -> None:
        self.results.append((about, result))


async def cancelled(task: asyncio.Task[object]) -> None:
    task.cancel()
    await asyncio.wait([task])


async def test_what_has_not_left_is_called_back(wire: Wire) -> None:
    """Nobody waits any more and nothing has left: it is ended, and who asks next begins anew."""
    taken = Taken()
    flights = SingleFlight(orphaned=taken)
    before = asyncio.all_tasks()
    await_first = asyncio.create_task(fetch(flights, wire))
    await wire.reach(1)
    await cancelled(await_first)
    assert GET.url not in flights
    again = asyncio.create_task(fetch(flights, wire))
    await wire.reach(2)
    wire.answer(1, HttpResponse(204))
    assert (await again).status == 204
    assert ([], before) == (taken.results, asyncio.all_tasks())


@pytest.mark.parametrize("result", [HttpResponse(200), NotSent("m")])
async def test_what_has_left_is_handed_over_once(wire: Wire, result: HttpResponse | Exception) -> None:
    """Nobody waits any more and something has left: it ends, and what came of it goes to whoever takes orphans."""
    taken = Taken()
    flights = SingleFlight(orphaned=taken)
    asking = asyncio.create_task(flights.run("key", lambda departure: leaving(departure, wire), detail="what"))
    await wire.reach(1)
    await cancelled(asking)
    assert "key" in flights
    wire.answer(0, result)
    for _ in range(20):
        await asyncio.sleep(0)
    assert [("what", result)] == taken.results
    assert "key" not in flights


async def test_what_is_taken_is_no_orphan(wire: Wire) -> None:
    """One of two is cancelled: the other takes the result, and nobody else is given it."""
    taken = Taken()
    flights = SingleFlight(orphaned=taken)
    asking = [asyncio.create_task(flights.run("key", lambda departure: leaving(departure, wire))) for _ in range(2)]
    await wire.reach(1)
    await cancelled(asking[0])
    wire.answer(0, HttpResponse(200))
    assert (await asking[1]).status == 200
    assert [] == taken.results


async def test_a_result_for_somebody_who_has_just_gone_is_an_orphan(wire: Wire) -> None:
    """It lands, and before the one it landed for is woken that one is cancelled: it is handed over."""
    taken = Taken()
    flights = SingleFlight(orphaned=taken)
    asking = asyncio.create_task(flights.run("key", lambda departure: leaving(departure, wire), detail="what"))
    await wire.reach(1)
    wire.answer(0, HttpResponse(200))
    for _ in range(1000):
        if flights._flights["key"].task.done():
            break
        await asyncio.sleep(0)
    await cancelled(asking)
    await flights.aclose(grace=5)
    assert 1 == len(taken.results)


async def test_who_stays_sees_it_land(wire: Wire) -> None:
    """Cancelled with stay, the caller is gone only when what had left has landed."""
    taken = Taken()
    flights = SingleFlight(orphaned=taken)
    asking = asyncio.create_task(flights.run("key", lambda departure: leaving(departure, wire), finish=True))
    await wire.reach(1)
    asking.cancel()
    for _ in range(20):
        await asyncio.sleep(0)
    assert not asking.done()
    wire.answer(0, HttpResponse(200))
    await asyncio.wait([asking])
    assert asking.cancelled()
    assert 1 == len(taken.results)


async def test_closing_ends_what_has_not_left(wire: Wire) -> None:
    """Whoever waits when the owner closes is told that nothing was sent, and is not cancelled."""
    flights = SingleFlight()
    before = asyncio.all_tasks()
    asking = asyncio.create_task(fetch(flights, wire))
    await wire.reach(1)
    assert () == await flights.aclose(grace=60)
    with pytest.raises(NotSent, match="closed"):
        await asking
    assert asyncio.all_tasks() == before


async def test_closing_gives_what_has_left_a_moment(wire: Wire) -> None:
    """What lands within the grace period is given to whoever waits for it; what does not is named."""
    flights = SingleFlight()
    asking = [
        asyncio.create_task(flights.run(key, lambda departure: leaving(departure, wire)))
        for key in ("lands", "does not")
    ]
    await wire.reach(2)
    closing = asyncio.create_task(flights.aclose(grace=0.05))
    await asyncio.sleep(0)
    wire.answer(0, HttpResponse(200))
    assert ("does not",) == await closing
    assert (await asking[0]).status == 200
    with pytest.raises(OutcomeUnknown, match="closed"):
        await asking[1]
