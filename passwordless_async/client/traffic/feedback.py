"""What an answer, or its absence, says about the server: is it up, how fast may requests go, who is limited."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import attrs

from passwordless_async._common import clock as _clock
from passwordless_async.auth0.rate_limit import Allowance, allowance, retry_after
from passwordless_async.auth0.refusals import blocks_user
from passwordless_async.client.events import Operation
from passwordless_async.client.traffic.retries import (
    CALLER_LIMIT_SECONDS,
    LIMITED_PER_USER,
    OTHER_WINDOWS,
    STARTS_PAUSE_SECONDS,
)
from passwordless_async.errors import PasswordlessError, TransportError

if TYPE_CHECKING:
    from passwordless_async._common.http import HttpRequest, HttpResponse
    from passwordless_async.client.traffic.circuit import Breaker
    from passwordless_async.client.traffic.gate import Gate


@attrs.define(eq=False, repr=False)
class Feedback:
    """Passes on to the circuit and the gate what each transmission showed; lives as long as its client."""

    _circuit: Breaker  # learns whether the server is up
    _gate: Gate  # learns how fast requests may go

    def failed(self, error: PasswordlessError, *, probing: bool) -> None:
        """Learn from a transmission without a usable answer; an answer that cannot be believed is an answer."""
        if isinstance(error, TransportError) or getattr(error, "status", 0) >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self._server_failed(probing=probing)
        else:
            self._circuit.answered()

    def answered(
        self, operation: Operation, request: HttpRequest, response: HttpResponse, seconds: float, *, probing: bool
    ) -> None:
        """Learn from an answer that took so many seconds."""
        if _is_server_failure(response.status):
            self._server_failed(probing=probing)
            return
        self._circuit.answered()
        now = _clock.now()
        if response.status == HTTPStatus.TOO_MANY_REQUESTS:
            if operation not in LIMITED_PER_USER and not blocks_user(response):
                self._limited(operation, retry_after(response.headers, now))
            return
        speaks_of_tenant = operation not in OTHER_WINDOWS and not request.shareable
        self._gate.answered(seconds, _of_tenant(allowance(response.headers, now)) if speaks_of_tenant else None)

    def _server_failed(self, *, probing: bool) -> None:
        self._circuit.failed(probed=probing)
        self._gate.failed()

    def _limited(self, operation: Operation, seconds: float | None) -> None:
        """Hold back the requests that a 429 is about."""
        if (seconds or 0.0) > CALLER_LIMIT_SECONDS:
            return
        if operation is Operation.START:
            self._gate.pause_starts(STARTS_PAUSE_SECONDS if seconds is None else seconds)
        else:
            self._gate.refused(seconds, None)


def _is_server_failure(status: int) -> bool:
    # 501 is how Auth0 refuses a grant type: an answer about the request, not about the server.
    return status >= HTTPStatus.INTERNAL_SERVER_ERROR and status != HTTPStatus.NOT_IMPLEMENTED


def _of_tenant(said: Allowance | None) -> Allowance | None:
    return None if said is not None and said.reset > CALLER_LIMIT_SECONDS else said
