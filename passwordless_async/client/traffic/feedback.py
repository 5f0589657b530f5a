"""Learns from each response, or its absence: whether the server is up, how fast requests may go, and who is limited.

Invariants:

- A 429 about the tenant's limit delays all requests; one about a user or an address delays only that caller.
- A failure counts only for its endpoint. The limit in flight and the pace follow only responses of the token endpoint:
  a slow gateway for messages does not slow logins down.
- The failures of one user count as one (``circuit.py``): they may be about that user. A connection that cannot be made
  is not about a user, so each such failure counts.
- Fetching keys and metadata has no effect here: failures of their server refuse no login.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING

import attrs

from passwordless_async._common import clock as _clock
from passwordless_async.auth0.rate_limit import Allowance, allowance, retry_after
from passwordless_async.auth0.refusals import Limited, whom_it_limits
from passwordless_async.client.events import Operation
from passwordless_async.client.traffic.retries import (
    ADDRESS_LIMIT_SECONDS,
    CALLER_LIMIT_SECONDS,
    LIMITED_PER_USER,
    OTHER_WINDOWS,
    SUSPECTED_PAUSE_SECONDS,
)
from passwordless_async.errors import NotSent

if TYPE_CHECKING:
    from collections.abc import Hashable

    from passwordless_async._common.http import HttpResponse
    from passwordless_async.client.traffic.caller_limits import CallerLimits
    from passwordless_async.client.traffic.circuit import Passage
    from passwordless_async.client.traffic.gate import Gate
    from passwordless_async.errors import TransportError

# Named once: in Python 3.11 naming a member of an enumeration takes 0.3 µs, and each response is looked at.
_TOO_MANY_REQUESTS, _SERVER_ERROR = int(HTTPStatus.TOO_MANY_REQUESTS), int(HTTPStatus.INTERNAL_SERVER_ERROR)


@attrs.define(eq=False, repr=False)
class Feedback:
    """Reports the result of each transmission to circuits, gate and limits; kept for the client's lifetime."""

    _gate: Gate  # learns how fast requests may go
    _callers: CallerLimits  # learns who is limited

    def failed(self, operation: Operation, user: Hashable, passage: Passage | None, error: TransportError) -> None:
        """Learn from a transmission without an answer, or that was not sent.

        ``passage`` is the circuit's permission to send it; None for keys and metadata.
        """
        if passage is not None:
            self._server_failed(operation, None if isinstance(error, NotSent) else user, passage)

    def answered(
        self,
        operation: Operation,
        caller: Hashable,
        user: Hashable,
        passage: Passage | None,
        response: HttpResponse,
        seconds: float,
    ) -> bool:
        """Learn from a response, which took ``seconds``.

        Returns:
            Whether the caller, or all callers, are delayed from now on: a retry then waits for that.
        """
        if passage is None:
            return False
        if _is_server_failure(response.status):
            self._server_failed(operation, user, passage)
            return False
        passage.answered()
        if response.status == _TOO_MANY_REQUESTS:
            return self._limited(operation, caller, response)
        self._callers.served(operation)
        if operation not in OTHER_WINDOWS:
            self._gate.answered(seconds, _of_tenant(allowance(response.headers, _clock.now())))
        return False

    def _server_failed(self, operation: Operation, user: Hashable, passage: Passage) -> None:
        if passage.failed(user) and operation not in OTHER_WINDOWS:
            self._gate.failed()

    def _limited(self, operation: Operation, caller: Hashable, response: HttpResponse) -> bool:
        """Delay the callers that a 429 is about; return whether the caller is among them."""
        whom = whom_it_limits(response)
        if operation in LIMITED_PER_USER or whom is Limited.BLOCKED:
            return False
        seconds = retry_after(response.headers, _clock.now())
        # A 429 to a start is about an address, whatever its code.
        if whom is Limited.CALLER or operation is Operation.START or (seconds or 0.0) > CALLER_LIMIT_SECONDS:
            self._caller_limited(operation, caller, seconds)
            return caller is not None
        self._gate.refused(seconds, _of_tenant(allowance(response.headers, _clock.now())))
        return True

    def _caller_limited(self, operation: Operation, caller: Hashable, seconds: float | None) -> None:
        """Delay a caller, but no longer than its limit can last; delay all if several were refused in a row."""
        is_start, now = operation is Operation.START, asyncio.get_running_loop().time()
        longest = ADDRESS_LIMIT_SECONDS if is_start else CALLER_LIMIT_SECONDS
        seconds = None if seconds is None else min(seconds, longest)
        if not self._callers.refused(operation, caller, seconds, now):
            return
        # Only briefly, however often: the tenant's limit is only inferred, and the time is that of a caller's limit.
        if is_start:
            self._gate.pause_starts(SUSPECTED_PAUSE_SECONDS)
        else:
            self._gate.pause(SUSPECTED_PAUSE_SECONDS)


def _is_server_failure(status: int) -> bool:
    # 501 is how Auth0 refuses a grant type: an answer about the request, not about the server.
    return status >= _SERVER_ERROR and status != HTTPStatus.NOT_IMPLEMENTED


def _of_tenant(said: Allowance | None) -> Allowance | None:
    return None if said is not None and said.reset > CALLER_LIMIT_SECONDS else said
