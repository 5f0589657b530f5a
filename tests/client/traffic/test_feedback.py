"""What an answer says about the server: the circuit and the gate learn it, operation by operation."""

from __future__ import annotations

import asyncio
import json
import math
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from multidict import CIMultiDict
from yarl import URL

from helpers import errors
from passwordless_async import TESTING
from passwordless_async._common import clock as _clock
from passwordless_async._common.http import HttpRequest, HttpResponse
from passwordless_async._common.secret import SecretBytes
from passwordless_async.auth0.rate_limit import Allowance
from passwordless_async.client.events import Operation
from passwordless_async.client.traffic.circuit import Breaker
from passwordless_async.client.traffic.concurrency import FixedLimit
from passwordless_async.client.traffic.feedback import Feedback
from passwordless_async.client.traffic.gate import Gate, Priority
from passwordless_async.errors import MalformedAnswer, NotSent, OutcomeUnknown, PasswordlessError, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from conftest import Clock

    Run = Callable[[Coroutine[Any, Any, Any]], Any]

POST = HttpRequest("POST", URL("https://acme.example/oauth/token"), {})
KEYS = HttpRequest("GET", URL("https://acme.example/.well-known/jwks.json"), {}, shareable=True)
NOW = 1_800_000_000.0
LIMIT = {"x-ratelimit-limit": "10", "x-ratelimit-remaining": "3"}


class RecordingGate(Gate):
    """A gate that notes what it is told."""

    def __init__(self) -> None:
        super().__init__(FixedLimit(10), per_second=None)
        self.told: list[tuple[Any, ...]] = []

    def answered(self, seconds: float, said: Allowance | None) -> None:
        self.told.append(("answered", seconds, said))
        super().answered(seconds, said)

    def refused(self, retry_after: float | None, said: Allowance | None) -> None:
        self.told.append(("refused", retry_after, said))
        super().refused(retry_after, said)

    def pause_starts(self, seconds: float) -> None:
        self.told.append(("pause_starts", seconds))
        super().pause_starts(seconds)

    def failed(self) -> None:
        self.told.append(("failed",))
        super().failed()


@attrs.frozen
class World:
    """A circuit that opens at the second failure in a row, a gate, and what feeds them."""

    circuit: Breaker
    gate: RecordingGate
    feedback: Feedback

    def answer(
        self,
        operation: Operation,
        status: int,
        headers: dict[str, str] | None = None,
        *,
        body: dict[str, str] | None = None,
        request: HttpRequest = POST,
    ) -> list[tuple[Any, ...]]:
        """Give feedback for an answer after 0.25 s; return what the gate was told."""
        fields = CIMultiDict({"Content-Type": "application/json", **(headers or {})})
        response = HttpResponse(status, fields, SecretBytes(json.dumps(body or {}).encode()))
        self.gate.told.clear()
        self.feedback.answered(operation, request, response, 0.25, probing=False)
        return self.gate.told

    @property
    def is_circuit_open(self) -> bool:
        return self.circuit.retry_after is not None


@pytest.fixture
async def world(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> World:
    """Make a world in which all clocks stand."""
    assert clock.time == 1000.0
    monkeypatch.setattr(_clock, "now", lambda: NOW)
    circuit = Breaker(attrs.evolve(TESTING, outage_after=2, outage_rest=5.0, outage_rest_at_most=10.0))
    gate = RecordingGate()
    return World(circuit, gate, Feedback(circuit, gate))


# The server: up or down


@pytest.mark.parametrize("operation", Operation)
@pytest.mark.parametrize("status", [200, 204, 302, 400, 401, 403, 404, 429, 501, 500, 502, 503, 504])
async def test_a_5xx_is_a_failure_of_the_server_and_any_other_answer_is_none(
    world: World, operation: Operation, status: int
) -> None:
    """501 is an answer about the request: the service refuses a grant type by it."""
    fails = status in {500, 502, 503, 504}
    for _ in range(2):
        world.answer(operation, status)
    assert world.is_circuit_open is fails
    assert (("failed",) in world.gate.told) is fails
    if fails:
        assert world.gate.told == [("failed",)]
        world.answer(operation, 403)
        assert not world.is_circuit_open


@pytest.mark.parametrize("kind", errors.classes(TransportError), ids=lambda kind: kind.__name__)
async def test_no_answer_is_a_failure_of_the_server(world: World, kind: type[PasswordlessError]) -> None:
    """Whether the request was sent or not; the gate slows down."""
    for _ in range(2):
        world.feedback.failed(errors.made(kind, status=None), probing=False)
    assert world.is_circuit_open
    assert world.gate.told == [("failed",)] * 2


@pytest.mark.parametrize(("status", "fails"), [(200, False), (302, False), (403, False), (500, True), (503, True)])
async def test_an_answer_that_cannot_be_believed_is_an_answer(world: World, status: int, *, fails: bool) -> None:
    """Unless its status says that the server failed."""
    for _ in range(2):
        world.feedback.failed(MalformedAnswer("too large", status=status), probing=False)
    assert world.is_circuit_open is fails
    assert world.gate.told == ([("failed",)] * 2 if fails else [])


async def test_any_answer_ends_a_row_of_failures(world: World) -> None:
    """Failures count in a row: one answer in between keeps the circuit closed."""
    for _ in range(5):
        world.feedback.failed(NotSent("no connection"), probing=False)
        world.feedback.failed(MalformedAnswer("a redirect", status=302), probing=False)
        world.feedback.failed(OutcomeUnknown("no answer"), probing=False)
        assert not world.is_circuit_open
        world.answer(Operation.EXCHANGE, 429)


@pytest.mark.parametrize("probing", [True, False])
@pytest.mark.parametrize("by_answer", [True, False], ids=["503", "no answer"])
async def test_only_the_probing_call_lengthens_an_outage(
    world: World, clock: Clock, *, probing: bool, by_answer: bool
) -> None:
    """A failure of an older request says nothing new; the circuit is told which one it was."""
    for _ in range(2):
        world.feedback.failed(NotSent("no connection"), probing=False)
    clock.time += 5
    assert world.circuit.check() is True
    if by_answer:
        world.feedback.answered(Operation.REFRESH, POST, HttpResponse(503), 0.1, probing=probing)
    else:
        world.feedback.failed(OutcomeUnknown("no answer"), probing=probing)
    assert world.circuit.retry_after == (10.0 if probing else 0.1)


# The limits: of the tenant, of an address, of a user

TENANTS = [Operation.EXCHANGE, Operation.REFRESH, Operation.REVOKE]
STARTS = [Operation.START]
USERS = [Operation.MFA, Operation.USERINFO]


def test_every_operation_is_in_one_of_the_three() -> None:
    """An operation that is added is added here."""
    assert sorted([*TENANTS, *STARTS, *USERS]) == sorted(Operation)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After": "20"}, 20.0),
        ({"Auth0-RateLimit": "client;q=10;t=7;r=0"}, 7.0),
        ({**LIMIT, "x-ratelimit-reset": str(int(NOW) + 30)}, 30.0),
        ({"Retry-After": "60"}, 60.0),
        ({"Retry-After": "61"}, 61.0),
        ({"Retry-After": "3600"}, 3600.0),
    ],
)
@pytest.mark.parametrize("operation", Operation)
async def test_whom_a_429_holds_back(
    world: World, operation: Operation, headers: dict[str, str], seconds: float | None
) -> None:
    """A tenant's limit everyone, a start's all starts, a user's no one here; more than a minute is an address's."""
    told = world.answer(operation, 429, headers, body={"error": "too_many_requests"})
    if operation in USERS or (seconds or 0.0) > 60.0:
        assert told == []
    elif operation in STARTS:
        assert told == [("pause_starts", 1.0 if seconds is None else seconds)]
    else:
        assert told == [("refused", seconds, None)]


@pytest.mark.parametrize("operation", Operation)
async def test_a_429_about_a_blocked_user_holds_no_one_back(world: World, operation: Operation) -> None:
    """Brute-force protection is about one account."""
    body = {"error": "too_many_attempts", "error_description": "Your account has been blocked"}
    assert world.answer(operation, 429, {"Retry-After": "20"}, body=body) == []


@pytest.mark.parametrize("reset", [30, 60, 61, 3600])
@pytest.mark.parametrize("operation", Operation)
async def test_whose_window_an_answer_describes(world: World, operation: Operation, reset: int) -> None:
    """The pace follows the tenant's windows alone; a window of more than a minute is not the tenant's."""
    told = world.answer(operation, 200, {**LIMIT, "x-ratelimit-reset": str(int(NOW) + reset)})
    expected = Allowance(10, 3, float(reset)) if operation in TENANTS and reset <= 60 else None
    assert told == [("answered", 0.25, expected)]


@pytest.mark.parametrize("status", [200, 400, 401, 403, 501])
async def test_the_gate_learns_how_long_every_answer_took(world: World, status: int) -> None:
    """A refusal is an answer like any other."""
    assert world.answer(Operation.EXCHANGE, status) == [("answered", 0.25, None)]


@pytest.mark.parametrize("operation", Operation)
async def test_the_window_of_keys_is_not_the_tenants(world: World, operation: Operation) -> None:
    """Public keys come from elsewhere: what their answer says of a limit is not about the API."""
    headers = {**LIMIT, "x-ratelimit-reset": str(int(NOW) + 30)}
    assert world.answer(operation, 200, headers, request=KEYS) == [("answered", 0.25, None)]


@pytest.mark.parametrize(
    ("operation", "retry_after", "exchange_waits", "start_waits"),
    [
        (Operation.EXCHANGE, "10", True, True),
        (Operation.START, "10", False, True),  # it may be about starts alone
        (Operation.USERINFO, "10", False, False),  # a limit of the user
        (Operation.EXCHANGE, "61", False, False),  # as long only for one caller
    ],
)
def test_a_429_pauses_the_requests_that_it_is_about(
    in_virtual_time: Run, operation: Operation, retry_after: str, *, exchange_waits: bool, start_waits: bool
) -> None:
    """Through a real gate: the limit of a user or an address delays no other request."""

    async def main() -> list[float]:
        gate = RecordingGate()
        world = World(Breaker(TESTING), gate, Feedback(Breaker(TESTING), gate))
        world.answer(operation, 429, {"Retry-After": retry_after})

        async def wait_of(priority: Priority) -> float:
            seconds = await gate.enter(priority, math.inf)
            gate.leave()
            return seconds

        return list(await asyncio.gather(wait_of(Priority.EXCHANGE), wait_of(Priority.START)))

    waits = in_virtual_time(main())
    assert [wait >= 10 - 1e-6 for wait in waits] == [exchange_waits, start_waits]
