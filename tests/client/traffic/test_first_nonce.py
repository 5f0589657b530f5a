"""One request fetches an origin's first nonce, the others wait for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from multidict import CIMultiDict
from yarl import URL

from helpers.wire import Wire
from passwordless_async._common.http import HttpRequest, HttpResponse
from passwordless_async.client.traffic.first_nonce import FirstNonce
from passwordless_async.dpop import NonceCache
from passwordless_async.errors import NotSent, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

ORIGIN = "https://acme.example"
POST = HttpRequest("POST", URL(f"{ORIGIN}/oauth/token"), {})
CHALLENGE = HttpResponse(400, CIMultiDict({"DPoP-Nonce": "n1"}))
OK = HttpResponse(200)


class Peers:
    """Other processes, as a test has them."""

    def __init__(self, *, has_nonce: bool) -> None:
        self.has_nonce = has_nonce
        self.told: list[str] = []

    def poll(self) -> None:
        self.told.append("polled")

    async def fetched(self) -> bool:
        return self.has_nonce

    def answered(self) -> None:
        self.told.append("answered")

    def failed(self) -> None:
        self.told.append("failed")


@pytest.fixture
def wire() -> Wire:
    """Make a wire."""
    return Wire()


@pytest.fixture
def nonces() -> NonceCache:
    """Make an empty cache."""
    return NonceCache()


async def login(first_nonce: FirstNonce, wire: Wire, nonces: NonceCache) -> HttpResponse:
    """Do as a flow does: send, take the nonce, send again after a challenge."""
    async with first_nonce.turn() as answered:
        response = await wire.send(POST)
        answered(response.status)
        nonces.harvest(ORIGIN, response, nonces.ticket())
        return await wire.send(POST) if response.status == 400 else response


def logins(
    number: int, wire: Wire, nonces: NonceCache, *, patience: float = 3.0, slow_after: float = 1.0
) -> list[asyncio.Task[HttpResponse]]:
    """Begin logins that share a cold start."""
    first_nonce = FirstNonce(nonces, ORIGIN, patience=patience, slow_after=slow_after)
    return [asyncio.create_task(login(first_nonce, wire, nonces)) for _ in range(number)]


async def test_one_request_goes_first(wire: Wire, nonces: NonceCache) -> None:
    """The others go once the challenge is read, before its retry is answered."""
    tasks = logins(10, wire, nonces)
    await wire.reach(1)
    wire.answer(0, CHALLENGE)
    await wire.reach(11)
    for place in range(1, 11):
        wire.answer(place, OK)
    assert {response.status for response in await asyncio.gather(*tasks)} == {200}


async def test_response_without_nonce_ends_the_wait(wire: Wire, nonces: NonceCache) -> None:
    """A server without nonces delays no request after its first response."""
    tasks = logins(3, wire, nonces)
    await wire.reach(1)
    wire.answer(0, OK)
    await wire.reach(3)
    wire.answer(1, OK)
    wire.answer(2, OK)
    await asyncio.gather(*tasks)
    late = logins(1, wire, nonces)
    await wire.reach(4)
    wire.answer(3, OK)
    await asyncio.gather(*late)


FAILURES: dict[str, HttpResponse | Exception] = {
    "an error": NotSent("nothing was sent"),
    "a 503": HttpResponse(503),
    "a 429": HttpResponse(429),
}


@pytest.mark.parametrize("failure", [*FAILURES, "a cancellation"])
async def test_next_request_goes_first_after_a_failure(wire: Wire, nonces: NonceCache, failure: str) -> None:
    """A first request that fails or is cancelled is followed by one other request: the origin is still cold."""
    tasks = logins(5, wire, nonces)
    await wire.reach(1)
    if failure in FAILURES:
        wire.answer(0, FAILURES[failure])
    else:
        tasks[0].cancel()
    await wire.reach(2)
    wire.answer(1, CHALLENGE)
    await wire.reach(6)
    for place in range(2, 6):
        wire.answer(place, OK)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(getattr(result, "status", 0) == 200 for result in results) == 4


async def test_all_go_after_three_failures(wire: Wire, nonces: NonceCache) -> None:
    """An outage does not become a queue."""
    tasks = logins(10, wire, nonces)
    for place in range(3):
        await wire.reach(place + 1)
        wire.answer(place, NotSent("nothing was sent"))
    await wire.reach(10)
    for place in range(3, 10):
        wire.answer(place, OK)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(result, HttpResponse) for result in results) == 7


async def test_all_go_after_the_patience(wire: Wire, nonces: NonceCache) -> None:
    """A first request that takes too long delays no other: it may be reading an endless response."""
    tasks = logins(3, wire, nonces, patience=0.0)
    await wire.reach(3)
    for place in range(3):
        wire.answer(place, OK)
    assert {response.status for response in await asyncio.gather(*tasks)} == {200}


async def test_all_go_after_a_slow_failure(wire: Wire, nonces: NonceCache) -> None:
    """A first request that fails slowly is waited for once."""
    tasks = logins(10, wire, nonces, slow_after=-1.0)
    await wire.reach(1)
    wire.answer(0, NotSent("nothing was sent"))
    await wire.reach(10)
    for place in range(1, 10):
        wire.answer(place, OK)
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize(("seconds", "failures"), [(1.0, 1), (1.25, 3)])
def test_a_failure_is_slow_after_a_time(
    in_virtual_time: Callable[[Any], Any], nonces: NonceCache, seconds: float, failures: int
) -> None:
    """One that took no longer counts once: the next request goes first."""
    first_nonce = FirstNonce(nonces, ORIGIN, slow_after=1.0)

    async def fail() -> None:
        async with first_nonce.turn():
            await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=seconds)

    in_virtual_time(fail())
    assert first_nonce._state.failures == failures


async def test_cancelled_waiter_leaves_the_others_alone(wire: Wire, nonces: NonceCache) -> None:
    """The request in front and the other waiters go on."""
    front, impatient, patient = logins(3, wire, nonces)
    await wire.reach(1)
    impatient.cancel()
    await asyncio.wait([impatient])
    wire.answer(0, OK)
    await wire.reach(2)
    wire.answer(1, OK)
    assert ((await front).status, (await patient).status) == (200, 200)


async def test_users_of_one_cache_wait_together(wire: Wire, nonces: NonceCache) -> None:
    """The state belongs to the cache and the origin; another origin has its own."""
    tasks = logins(1, wire, nonces) + logins(1, wire, nonces)
    await wire.reach(1)
    async with FirstNonce(nonces, "https://other.example").turn():
        pass
    wire.answer(0, OK)
    await wire.reach(2)
    wire.answer(1, OK)
    await asyncio.gather(*tasks)


async def test_refused_request_is_no_failure(nonces: NonceCache) -> None:
    """A request that was refused before it was sent says nothing about the server."""
    first_nonce = FirstNonce(nonces, ORIGIN)
    with pytest.raises(UsageError):
        async with first_nonce.turn():
            raise UsageError("otp", "is empty")
    assert (first_nonce._state.failures, first_nonce.pending, first_nonce.over) == (0, False, False)


@pytest.mark.parametrize(("was_sent", "failures"), [(False, 0), (True, 1)])
async def test_cancelled_request_is_a_failure_if_it_was_sent(
    nonces: NonceCache, *, was_sent: bool, failures: int
) -> None:
    """Cancelled before it was sent, it says nothing about the server; after that, its caller had no answer in time."""
    first_nonce = FirstNonce(nonces, ORIGIN)
    with pytest.raises(asyncio.CancelledError):
        async with first_nonce.turn(lambda: was_sent):
            raise asyncio.CancelledError
    assert (first_nonce._state.failures, first_nonce.pending, first_nonce.over) == (failures, False, False)


async def test_cancelled_wait_for_another_process_is_no_failure(nonces: NonceCache) -> None:
    """The turn is handed on, in this process and the others."""

    class Slow(Peers):
        async def fetched(self) -> bool:
            raise asyncio.CancelledError

    peers = Slow(has_nonce=False)
    first_nonce = FirstNonce(nonces, ORIGIN, peers=peers)
    with pytest.raises(asyncio.CancelledError):
        async with first_nonce.turn(lambda: False):
            pytest.fail("it is cancelled before its turn")
    assert (first_nonce._state.failures, first_nonce.pending, peers.told) == (0, False, ["failed"])


def test_abandoned_event_loop_delays_no_request(nonces: NonceCache) -> None:
    """A cache that outlives its event loop serves another one at once."""
    first_nonce = FirstNonce(nonces, ORIGIN, patience=60.0)
    before = asyncio.new_event_loop()
    turn = first_nonce.turn()
    before.run_until_complete(turn.__aenter__())

    async def later() -> None:
        async with asyncio.timeout(5), first_nonce.turn() as answered:
            answered(200)

    asyncio.run(later())
    assert first_nonce.over
    before.run_until_complete(turn.__aexit__(None, None, None))
    before.close()


async def test_nonce_of_another_process_ends_the_wait(nonces: NonceCache) -> None:
    """Where another process has fetched the nonce, all requests go."""
    first_nonce = FirstNonce(nonces, ORIGIN, peers=Peers(has_nonce=True))
    async with first_nonce.turn():
        assert (first_nonce.over, first_nonce.pending) == (True, False)


@pytest.mark.parametrize(("status", "told"), [(401, "answered"), (503, "failed"), (429, "failed")])
async def test_other_processes_are_told_the_result(nonces: NonceCache, status: int, told: str) -> None:
    """They learn whether the origin has answered, or that the turn is theirs."""
    peers = Peers(has_nonce=False)
    async with FirstNonce(nonces, ORIGIN, peers=peers).turn() as answered:
        answered(status)
    assert peers.told == [told]
