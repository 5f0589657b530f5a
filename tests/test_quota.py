"""Single flight: the login in front of a cold start, and answers that are shared."""

from __future__ import annotations

import asyncio

import pytest
from multidict import CIMultiDict
from yarl import URL

from passwordless_async._common.http import HttpRequest, HttpResponse
from passwordless_async.client.traffic import ColdStart, Flight, SingleFlight
from passwordless_async.dpop import NonceCache
from passwordless_async.errors import NotSent, OutcomeUnknown

ORIGIN = "https://acme.example"
POST = HttpRequest("POST", URL(f"{ORIGIN}/oauth/token"), {})
GET = HttpRequest("GET", URL(f"{ORIGIN}/.well-known/jwks.json"), {}, shareable=True)
OTHER_GET = HttpRequest("GET", URL(f"{ORIGIN}/other"), {}, shareable=True)


class Wire:
    """A wire that the test answers by hand."""

    def __init__(self) -> None:
        self.requests: list[tuple[HttpRequest, asyncio.Future[HttpResponse]]] = []

    async def send(self, request: HttpRequest) -> HttpResponse:
        future = asyncio.get_running_loop().create_future()
        self.requests.append((request, future))
        return await future

    async def reach(self, number: int) -> None:
        for _ in range(1000):
            if len(self.requests) == number:
                break
            await asyncio.sleep(0)
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(self.requests) == number

    def answer(self, place: int, result: HttpResponse | Exception) -> None:
        future = self.requests[place][1]
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)


@pytest.fixture
def wire() -> Wire:
    """Make a wire."""
    return Wire()


@pytest.fixture
def nonces() -> NonceCache:
    """Make an empty cache."""
    return NonceCache()


async def login(cold: ColdStart, wire: Wire, nonces: NonceCache) -> HttpResponse:
    """Do as the flow does: ask, take the nonce, ask again when challenged."""
    async with cold.turn() as answered:
        response = await wire.send(POST)
        answered(response.status)
        nonces.harvest(ORIGIN, response, nonces.ticket())
        return await wire.send(POST) if response.status == 400 else response


def challenge() -> HttpResponse:
    return HttpResponse(400, CIMultiDict({"DPoP-Nonce": "n1"}))


async def test_one_login_goes_ahead(wire: Wire, nonces: NonceCache):
    """One asks while no nonce is known; the others go once the challenge is read, before its retry is answered."""
    cold = ColdStart()
    logins = [asyncio.create_task(login(cold, wire, nonces)) for _ in range(10)]
    await wire.reach(1)
    wire.answer(0, challenge())
    await wire.reach(11)
    for place in range(1, 11):
        wire.answer(place, HttpResponse(200))
    assert {200} == {response.status for response in await asyncio.gather(*logins)}


async def test_a_server_without_nonces_holds_nobody_back(wire: Wire, nonces: NonceCache):
    """An answer without a nonce ends the cold start too."""
    cold = ColdStart()
    logins = [asyncio.create_task(login(cold, wire, nonces)) for _ in range(3)]
    await wire.reach(1)
    wire.answer(0, HttpResponse(200))
    await wire.reach(3)
    wire.answer(1, HttpResponse(200))
    wire.answer(2, HttpResponse(200))
    await asyncio.gather(*logins)
    late = asyncio.create_task(login(cold, wire, nonces))
    await wire.reach(4)
    wire.answer(3, HttpResponse(200))
    await late


FAILURES = {"an error": NotSent("nothing was sent"), "a 503": HttpResponse(503), "a cancellation": None}


@pytest.mark.parametrize("failure", FAILURES)
async def test_a_failure_in_front_sends_the_next_one_ahead(wire: Wire, nonces: NonceCache, failure: str):
    """Where the one in front fails, or is cancelled, another takes its place: the start is still cold."""
    cold = ColdStart()
    logins = [asyncio.create_task(login(cold, wire, nonces)) for _ in range(5)]
    await wire.reach(1)
    if FAILURES[failure] is None:
        logins[0].cancel()
    else:
        wire.answer(0, FAILURES[failure])
    await wire.reach(2)
    wire.answer(1, challenge())
    await wire.reach(6)
    for place in range(2, 6):
        wire.answer(place, HttpResponse(200))
    assert 4 == sum(getattr(r, "status", 0) == 200 for r in await asyncio.gather(*logins, return_exceptions=True))


async def test_a_few_failures_and_all_go(wire: Wire, nonces: NonceCache):
    """An outage does not become a queue: after three failures in front nobody waits any more."""
    cold = ColdStart()
    logins = [asyncio.create_task(login(cold, wire, nonces)) for _ in range(10)]
    for place in range(3):
        await wire.reach(place + 1)
        wire.answer(place, NotSent("nothing was sent"))
    await wire.reach(10)
    for place in range(3, 10):
        wire.answer(place, HttpResponse(200))
    results = await asyncio.gather(*logins, return_exceptions=True)
    assert 7 == sum(isinstance(result, HttpResponse) for result in results)


async def test_a_long_answer_holds_up_nobody(wire: Wire, nonces: NonceCache, monkeypatch: pytest.MonkeyPatch):
    """Whoever has waited long enough goes; the one in front may be reading something endless."""
    monkeypatch.setattr("passwordless_async.client.traffic.first_nonce._PATIENCE", 0.0)
    cold = ColdStart()
    logins = [asyncio.create_task(login(cold, wire, nonces)) for _ in range(3)]
    await wire.reach(3)
    for place in range(3):
        wire.answer(place, HttpResponse(200))
    assert {200} == {response.status for response in await asyncio.gather(*logins)}


async def test_a_slow_failure_and_all_go(wire: Wire, nonces: NonceCache, monkeypatch: pytest.MonkeyPatch):
    """Whoever takes long to fail is waited for once."""
    monkeypatch.setattr("passwordless_async.client.traffic.first_nonce._SLOW", -1.0)
    cold = ColdStart()
    logins = [asyncio.create_task(login(cold, wire, nonces)) for _ in range(10)]
    await wire.reach(1)
    wire.answer(0, NotSent("nothing was sent"))
    await wire.reach(10)
    for place in range(1, 10):
        wire.answer(place, HttpResponse(200))
    await asyncio.gather(*logins, return_exceptions=True)


async def test_who_stops_waiting_stops_nobody_else(wire: Wire, nonces: NonceCache):
    """Cancelling one of those behind leaves the one in front and the rest alone."""
    cold = ColdStart()
    front, impatient, patient = [asyncio.create_task(login(cold, wire, nonces)) for _ in range(3)]
    await wire.reach(1)
    impatient.cancel()
    await asyncio.wait([impatient])
    wire.answer(0, HttpResponse(200))
    await wire.reach(2)
    wire.answer(1, HttpResponse(200))
    assert (200, 200) == ((await front).status, (await patient).status)


async def fetch(flights: SingleFlight[URL, HttpResponse], wire: Wire, request: HttpRequest = GET) -> HttpResponse:
    return await flights.run(request.url, lambda _flight: wire.send(request))


async def test_what_is_asked_for_at_once_is_done_once(wire: Wire):
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


async def test_a_shared_failure_reaches_everybody_as_its_own(wire: Wire):
    """Each waiter gets an error of its own, equal in kind and facts; who asks next starts anew."""
    flights = SingleFlight(linger=60)
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


async def test_a_result_lingers(wire: Wire):
    """Who comes late is given the result, and nothing is done again; without lingering it is."""
    for linger, requests in ((60.0, 1), (0.0, 3)):
        flights = SingleFlight(linger=linger)
        for place in (0, 0) if linger else (1, 2):
            asking = asyncio.create_task(fetch(flights, wire))
            await wire.reach(place + 1)
            if not wire.requests[place][1].done():
                wire.answer(place, HttpResponse(200))
            await asking
        await wire.reach(requests)
        await flights.aclose()


async def test_who_stops_waiting_does_not_stop_the_flight(wire: Wire):
    """Cancelling one leaves the others their answer."""
    flights = SingleFlight()
    impatient, patient = [asyncio.create_task(fetch(flights, wire)) for _ in range(2)]
    await wire.reach(1)
    impatient.cancel()
    await asyncio.wait([impatient])
    wire.answer(0, HttpResponse(200))
    assert (await patient).status == 200
    assert impatient.cancelled()


async def leaving(flight: Flight[HttpResponse], wire: Wire) -> HttpResponse:
    flight.left = True
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


async def test_what_has_not_left_is_called_back(wire: Wire):
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
async def test_what_has_left_is_handed_over_once(wire: Wire, result: HttpResponse | Exception):
    """Nobody waits any more and something has left: it ends, and what came of it goes to whoever takes orphans."""
    taken = Taken()
    flights = SingleFlight(orphaned=taken)
    asking = asyncio.create_task(flights.run("key", lambda flight: leaving(flight, wire), about="what"))
    await wire.reach(1)
    await cancelled(asking)
    assert "key" in flights
    wire.answer(0, result)
    for _ in range(20):
        await asyncio.sleep(0)
    assert [("what", result)] == taken.results
    assert "key" not in flights


async def test_what_is_taken_is_no_orphan(wire: Wire):
    """One of two is cancelled: the other takes the result, and nobody else is given it."""
    taken = Taken()
    flights = SingleFlight(orphaned=taken)
    asking = [asyncio.create_task(flights.run("key", lambda flight: leaving(flight, wire))) for _ in range(2)]
    await wire.reach(1)
    await cancelled(asking[0])
    wire.answer(0, HttpResponse(200))
    assert (await asking[1]).status == 200
    assert [] == taken.results


async def test_a_result_for_somebody_who_has_just_gone_is_an_orphan(wire: Wire):
    """It lands, and before the one it landed for is woken that one is cancelled: it is handed over."""
    taken = Taken()
    flights = SingleFlight(orphaned=taken)
    asking = asyncio.create_task(flights.run("key", lambda flight: leaving(flight, wire), about="what"))
    await wire.reach(1)
    wire.answer(0, HttpResponse(200))
    for _ in range(1000):
        if flights._flights["key"].task.done():
            break
        await asyncio.sleep(0)
    await cancelled(asking)
    await flights.aclose(grace=5)
    assert 1 == len(taken.results)


async def test_who_stays_sees_it_land(wire: Wire):
    """Cancelled with stay, the caller is gone only when what had left has landed."""
    taken = Taken()
    flights = SingleFlight(orphaned=taken)
    asking = asyncio.create_task(flights.run("key", lambda flight: leaving(flight, wire), stay=True))
    await wire.reach(1)
    asking.cancel()
    for _ in range(20):
        await asyncio.sleep(0)
    assert not asking.done()
    wire.answer(0, HttpResponse(200))
    await asyncio.wait([asking])
    assert asking.cancelled()
    assert 1 == len(taken.results)


async def test_closing_ends_what_has_not_left(wire: Wire):
    """Whoever waits when the owner closes is told that nothing was sent, and is not cancelled."""
    flights = SingleFlight()
    before = asyncio.all_tasks()
    asking = asyncio.create_task(fetch(flights, wire))
    await wire.reach(1)
    assert () == await flights.aclose(grace=60)
    with pytest.raises(NotSent, match="closed"):
        await asking
    assert asyncio.all_tasks() == before


async def test_closing_gives_what_has_left_a_moment(wire: Wire):
    """What lands within the grace period is given to whoever waits for it; what does not is named."""
    flights = SingleFlight()
    asking = [
        asyncio.create_task(flights.run(key, lambda flight: leaving(flight, wire))) for key in ("lands", "does not")
    ]
    await wire.reach(2)
    closing = asyncio.create_task(flights.aclose(grace=0.05))
    await asyncio.sleep(0)
    wire.answer(0, HttpResponse(200))
    assert ("does not",) == await closing
    assert (await asking[0]).status == 200
    with pytest.raises(OutcomeUnknown, match="closed"):
        await asking[1]
