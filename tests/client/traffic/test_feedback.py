"""What a response, or a failure, teaches the circuit and the gate."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from multidict import CIMultiDict
from yarl import URL

from passwordless_async import (
    INTERACTIVE,
    CircuitOpen,
    MalformedAnswer,
    NotSent,
    OutcomeUnknown,
    PasswordlessError,
    WrongCode,
)
from passwordless_async._common.http import HttpRequest, HttpResponse
from passwordless_async.client.events import Operation
from passwordless_async.client.traffic.circuit import Breaker
from passwordless_async.client.traffic.concurrency import FixedLimit
from passwordless_async.client.traffic.feedback import Feedback
from passwordless_async.client.traffic.gate import Gate, Priority

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    Run = Callable[[Coroutine[Any, Any, Any]], Any]

REQUEST = HttpRequest("POST", URL("https://acme.example/oauth/token"), {})


class Taught:
    """Feedback with a circuit that one failure opens, and a gate."""

    def __init__(self) -> None:
        self.circuit = Breaker(attrs.evolve(INTERACTIVE, outage_after=1))
        self.gate = Gate(FixedLimit(10), per_second=None)
        self.feedback = Feedback(self.circuit, self.gate)

    def answer(self, status: int, operation: Operation = Operation.EXCHANGE, **headers: str) -> None:
        fields = CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()})
        self.feedback.answered(operation, REQUEST, HttpResponse(status, fields), 0.1, probing=False)

    @property
    def is_open(self) -> bool:
        try:
            self.circuit.check()
        except CircuitOpen:
            return True
        return False

    async def wait_of(self, priority: Priority) -> float:
        """Return how long a request of a priority waits now."""
        seconds = await self.gate.enter(priority, math.inf)
        self.gate.leave()
        return seconds


@pytest.mark.parametrize(
    ("error", "opens"),
    [
        (NotSent("m"), True),
        (OutcomeUnknown("m"), True),
        (MalformedAnswer("m", status=502), True),
        (MalformedAnswer("m", status=200), False),
        (WrongCode(status=403, error="e", error_description="d"), False),
    ],
)
async def test_a_failure_opens_the_circuit_if_the_server_failed(error: PasswordlessError, *, opens: bool) -> None:
    """No response and a 5xx are failures of the server; a response that cannot be used is a response."""
    taught = Taught()
    taught.feedback.failed(error, probing=False)
    assert taught.is_open is opens


@pytest.mark.parametrize(("status", "opens"), [(200, False), (403, False), (429, False), (500, True), (501, False)])
async def test_a_5xx_opens_the_circuit(status: int, *, opens: bool) -> None:
    """501 refuses a grant type: it is about the request, not about the server."""
    taught = Taught()
    taught.answer(status)
    assert taught.is_open is opens


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
    """The limit of a user or an address delays no other request."""

    async def main() -> list[float]:
        taught = Taught()
        taught.answer(429, operation, Retry_After=retry_after)
        return list(await asyncio.gather(taught.wait_of(Priority.EXCHANGE), taught.wait_of(Priority.START)))

    waits = in_virtual_time(main())
    assert [wait >= 10 - 1e-6 for wait in waits] == [exchange_waits, start_waits]
