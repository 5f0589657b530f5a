"""What an answer says about the server: the circuit and the gate learn it, operation by operation."""

from __future__ import annotations

import asyncio
import json
import math
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from multidict import CIMultiDict

from passwordless_async import TESTING
from passwordless_async._common import clock as _clock
from passwordless_async._common.http import HttpResponse
from passwordless_async._common.secret import SecretBytes
from passwordless_async.auth0.rate_limit import Allowance
from passwordless_async.client.events import Operation
from passwordless_async.client.traffic.caller_limits import CallerLimits
from passwordless_async.client.traffic.circuit import Breaker, Passage
from passwordless_async.client.traffic.concurrency import FixedLimit
from passwordless_async.client.traffic.feedback import Feedback
from passwordless_async.client.traffic.gate import Gate, Priority
from passwordless_async.errors import NotSent, OutcomeUnknown, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from conftest import Clock

    Run = Callable[[Coroutine[Any, Any, Any]], Any]

NOW = 1_800_000_000.0
NO_ANSWER = OutcomeUnknown("no response in time")
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

    def pause(self, seconds: float) -> None:
        self.told.append(("pause", seconds))
        super().pause(seconds)

    def failed(self) -> None:
        self.told.append(("failed",))
        super().failed()


@attrs.define(eq=False)
class World:
    """A circuit that opens at the second failure, a gate, the limits of callers, and what feeds them."""

    circuit: Breaker
    gate: RecordingGate
    callers: CallerLimits
    feedback: Feedback
    is_held: bool = False  # by the last answer

    @classmethod
    def made(cls) -> World:
        """Make one."""
        profile = attrs.evolve(TESTING, outage_after=2, outage_rest=5.0, outage_rest_at_most=10.0)
        gate, callers = RecordingGate(), CallerLimits()
        return cls(Breaker(profile), gate, callers, Feedback(gate, callers))

    def answer(
        self,
        operation: Operation,
        status: int,
        headers: dict[str, str] | None = None,
        *,
        body: dict[str, str] | None = None,
        caller: str | None = "ada",
        user: str | None = None,
        of_keys: bool = False,
    ) -> list[tuple[Any, ...]]:
        """Give feedback for an answer after 0.25 s; return what the gate was told."""
        fields = CIMultiDict({"Content-Type": "application/json", **(headers or {})})
        response = HttpResponse(status, fields, SecretBytes(json.dumps(body or {}).encode()))
        self.gate.told.clear()
        passage = None if of_keys else Passage(self.circuit, 0)
        self.is_held = self.feedback.answered(operation, caller, user, passage, response, 0.25)
        return self.gate.told

    def fail(
        self, operation: Operation = Operation.EXCHANGE, *, user: str | None = None, error: TransportError = NO_ANSWER
    ) -> None:
        """Give feedback for a transmission without an answer."""
        self.feedback.failed(operation, user, Passage(self.circuit, 0), error)

    @property
    def is_circuit_open(self) -> bool:
        return self.circuit.retry_after is not None

    def held(self, caller: str) -> float:
        """Return the seconds for which a caller is held back, without the part by chance."""
        return round(self.callers.delay(caller, asyncio.get_running_loop().time()) // 1, 0)


@pytest.fixture
async def world(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> World:
    """Make a world in which all clocks stand."""
    assert clock.time == 1000.0
    monkeypatch.setattr(_clock, "now", lambda: NOW)
    return World.made()


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
    if fails:
        # The number in flight follows the token endpoint alone.
        assert world.gate.told == ([("failed",)] if operation in TENANTS else [])
        world.answer(operation, 403)
        assert not world.is_circuit_open


async def test_no_answer_is_a_failure_of_the_server(world: World) -> None:
    """Whether the request was sent or not; the gate slows down."""
    for _ in range(2):
        world.fail()
    assert world.is_circuit_open
    assert world.gate.told == [("failed",)] * 2


@pytest.mark.parametrize("by_answer", [True, False], ids=["500", "no answer"])
async def test_one_user_who_fails_again_is_no_failure_of_the_server(world: World, *, by_answer: bool) -> None:
    """Neither the circuit nor the number in flight changes with it, until another user fails as well."""

    def fail(user: str) -> bool:
        world.gate.told.clear()
        if by_answer:
            world.answer(Operation.EXCHANGE, 500, user=user)
        else:
            world.fail(user=user)
        return world.gate.told == [("failed",)]

    assert [fail("ada"), fail("ada"), world.is_circuit_open] == [True, False, False]
    assert [fail("bob"), world.is_circuit_open] == [True, True]


async def test_a_connection_that_cannot_be_made_is_a_failure_of_the_server(world: World) -> None:
    """It is about no user: each failure counts, also where all are of one."""
    for _ in range(2):
        world.fail(user="ada", error=NotSent("nothing was sent (no connection)"))
    assert world.is_circuit_open


@pytest.mark.parametrize("operation", [Operation.START, Operation.USERINFO, Operation.MFA])
async def test_what_fails_elsewhere_does_not_slow_down_logins(world: World, operation: Operation) -> None:
    """A gateway for messages that hangs, or is slow, is no sign that the token endpoint is overloaded."""
    for _ in range(2):
        world.fail(operation)
    assert world.is_circuit_open
    assert world.gate.told == []
    assert world.answer(operation, 200) == []


async def test_keys_and_metadata_are_no_part_of_it(world: World) -> None:
    """Whatever their server says or does, it neither opens a circuit, nor closes one, nor closes the gate."""
    for status in (500, 503, 429):
        for _ in range(5):
            assert world.answer(Operation.EXCHANGE, status, {"Retry-After": "20"}, of_keys=True) == []
            world.feedback.failed(Operation.EXCHANGE, None, None, NO_ANSWER)
    assert (world.is_circuit_open, world.gate.told, world.held("ada")) == (False, [], 0)
    for _ in range(2):
        world.fail()
    world.answer(Operation.EXCHANGE, 200, of_keys=True)
    assert world.is_circuit_open


async def test_answers_keep_the_circuit_closed(world: World) -> None:
    """Of whatever kind they are, while they are more than the failures."""
    for _ in range(5):
        world.answer(Operation.EXCHANGE, 403)
        world.answer(Operation.EXCHANGE, 302)
        world.answer(Operation.EXCHANGE, 429)
        world.fail()
        world.fail()
        assert not world.is_circuit_open


@pytest.mark.parametrize("probing", [True, False])
@pytest.mark.parametrize("by_answer", [True, False], ids=["503", "no answer"])
async def test_only_the_probing_call_lengthens_an_outage(
    world: World, clock: Clock, *, probing: bool, by_answer: bool
) -> None:
    """A failure of an older request says nothing new; the circuit is told which one it was."""
    for _ in range(2):
        world.fail()
    clock.time += 5
    probe = world.circuit.check()
    passage = probe if probing else Passage(world.circuit, 0)
    if by_answer:
        world.feedback.answered(Operation.REFRESH, None, None, passage, HttpResponse(503), 0.1)
    else:
        world.feedback.failed(Operation.REFRESH, None, passage, NO_ANSWER)
    clock.time += 9
    assert world.circuit.retry_after == 1.0
    probe.end()
    assert world.circuit.retry_after == (1.0 if probing else None)


# The limits: of the tenant, of an address, of a user

# A logout token asks for keys alone, which count for neither: see ``of_keys`` above.
TENANTS = [Operation.EXCHANGE, Operation.REFRESH, Operation.REVOKE, Operation.KEYS]
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
    """A tenant's limit everyone; a start's the address; a user's no one here; over a minute the caller."""
    told = world.answer(operation, 429, headers, body={"error": "too_many_requests"})
    if operation in USERS:
        assert (told, world.held("ada"), world.is_held) == ([], 0, False)
    elif operation in STARTS or (seconds or 0.0) > 60.0:
        longest = 3600.0 if operation in STARTS else 60.0
        assert (told, world.held("ada"), world.is_held) == ([], min(1.0 if seconds is None else seconds, longest), True)
    else:
        reset = seconds if seconds in {7.0, 30.0} else None  # said in a header that says all
        said = None if reset is None else Allowance(10, 0 if reset == 7.0 else 3, reset)
        assert (told, world.held("ada"), world.is_held) == ([("refused", seconds, said)], 0, True)


@pytest.mark.parametrize("operation", Operation)
async def test_a_429_about_a_blocked_user_holds_no_one_back(world: World, operation: Operation) -> None:
    """Brute-force protection is about one account, and no time ends it; however many accounts are blocked."""
    body = {"error": "too_many_attempts", "error_description": "Your account has been blocked"}
    for caller in ("ada", "bob", "eve", "mallory"):
        assert world.answer(operation, 429, {"Retry-After": "20"}, body=body, caller=caller) == []
        assert (world.held(caller), world.is_held) == (0, False)


WINDOW = {**LIMIT, "x-ratelimit-reset": str(int(NOW) + 20)}


@pytest.mark.parametrize(
    ("body", "headers", "is_tenants"),
    [
        ({"error": "too_many_requests"}, {}, True),
        ({"error": "too_many_requests"}, WINDOW, True),
        ({"message": "Too Many Requests"}, {}, True),
        ({}, {"Retry-After": "20"}, True),
        ({"error": "too_many_logins"}, {"Retry-After": "20"}, False),
        ({"error": "too_many_logins"}, WINDOW, False),
        ({"code": "too_many_logins", "description": "You've logged in too many times."}, WINDOW, False),
        ({"error": "too_many_of_something"}, {"Retry-After": "20"}, False),
        ({"error": "too_many_of_something"}, WINDOW, True),
        ({"error": "too_many_of_something"}, {"Auth0-RateLimit": "client;q=10;t=20;r=0"}, True),
    ],
)
async def test_whose_limit_a_429_of_the_token_endpoint_names(
    world: World, body: dict[str, str], headers: dict[str, str], *, is_tenants: bool
) -> None:
    """By its code; an unknown code is the tenant's if the tenant's headers are there."""
    told = world.answer(Operation.EXCHANGE, 429, headers, body=body)
    assert [kind for kind, *_ in told] == (["refused"] if is_tenants else [])
    assert (world.held("ada") > 0) is not is_tenants
    assert (world.held("bob"), world.is_held) == (0, True)


async def test_several_users_who_are_refused_in_a_row_are_the_tenants_limit(world: World) -> None:
    """Whatever the service calls it, all wait a moment; one user who is refused often is one."""
    body, headers = {"error": "too_many_logins"}, {"Retry-After": "20"}
    for caller in ("ada", "ada", "ada", "ada", "bob"):
        assert world.answer(Operation.EXCHANGE, 429, headers, body=body, caller=caller) == []
    assert world.answer(Operation.EXCHANGE, 429, headers, body=body, caller="eve") == [("pause", 1.0)]


def test_users_who_are_refused_again_and_again_cost_all_others_a_moment(in_virtual_time: Run) -> None:
    """However often several are refused in a row: that it is the tenant's limit is a conclusion, no statement."""

    async def main() -> list[float]:
        world, waits = World.made(), list[float]()
        for group in range(8):
            for caller in range(3):
                world.answer(Operation.EXCHANGE, 429, body={"error": "too_many_logins"}, caller=f"{group} {caller}")
            waits.append(await world.gate.enter(Priority.EXCHANGE, math.inf))
            world.gate.leave(Priority.EXCHANGE)
        return waits

    waits = in_virtual_time(main())
    assert min(waits) >= 1.0
    assert max(waits) <= 1.5


@pytest.mark.parametrize("served", [200, 400, 403])
async def test_a_user_who_is_served_in_between_shows_that_the_tenant_has_room(world: World, served: int) -> None:
    """Then those who are refused are refused for themselves, however many they are."""
    body, headers = {"error": "too_many_logins"}, {"Retry-After": "20"}
    for number in range(20):
        assert world.answer(Operation.EXCHANGE, 429, headers, body=body, caller=f"user {number}") == []
        if number % 2:
            world.answer(Operation.EXCHANGE, served, caller="bob")


async def test_starts_pause_if_several_addresses_are_refused_in_a_row(world: World) -> None:
    """Each for the time that the service names, and all for a moment."""
    for caller in ("192.0.2.1", "192.0.2.2"):
        assert world.answer(Operation.START, 429, {"Retry-After": "20"}, caller=caller) == []
    assert world.answer(Operation.START, 429, {"Retry-After": "20"}, caller="192.0.2.3") == [("pause_starts", 1.0)]
    assert (world.held("192.0.2.1"), world.held("192.0.2.4")) == (20.0, 0)


@pytest.mark.parametrize("reset", [30, 60, 61, 3600])
@pytest.mark.parametrize("operation", Operation)
async def test_whose_window_an_answer_describes(world: World, operation: Operation, reset: int) -> None:
    """The pace follows the tenant's windows alone; a window of more than a minute is not the tenant's."""
    told = world.answer(operation, 200, {**LIMIT, "x-ratelimit-reset": str(int(NOW) + reset)})
    expected = Allowance(10, 3, float(reset)) if reset <= 60 else None
    assert told == ([("answered", 0.25, expected)] if operation in TENANTS else [])


@pytest.mark.parametrize("status", [200, 400, 401, 403, 501])
async def test_the_gate_learns_how_long_every_answer_took(world: World, status: int) -> None:
    """A refusal is an answer like any other."""
    assert world.answer(Operation.EXCHANGE, status) == [("answered", 0.25, None)]


@pytest.mark.parametrize(
    ("operation", "retry_after", "exchange_waits", "start_waits"),
    [
        (Operation.EXCHANGE, "10", True, True),
        (Operation.START, "10", False, False),  # a limit of the address
        (Operation.USERINFO, "10", False, False),  # a limit of the user
        (Operation.EXCHANGE, "61", False, False),  # as long only for one caller
    ],
)
def test_a_429_pauses_the_requests_that_it_is_about(
    in_virtual_time: Run, operation: Operation, retry_after: str, *, exchange_waits: bool, start_waits: bool
) -> None:
    """Through a real gate: the limit of a user or an address delays no other request."""

    async def main() -> list[float]:
        world = World.made()
        gate = world.gate
        world.answer(operation, 429, {"Retry-After": retry_after})

        async def wait_of(priority: Priority) -> float:
            seconds = await gate.enter(priority, math.inf)
            gate.leave(priority)
            return seconds

        return list(await asyncio.gather(wait_of(Priority.EXCHANGE), wait_of(Priority.START)))

    waits = in_virtual_time(main())
    assert [wait >= 10 - 1e-6 for wait in waits] == [exchange_waits, start_waits]
