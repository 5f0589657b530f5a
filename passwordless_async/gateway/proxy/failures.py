"""Failures of an upstream: the response for the browser, and the line in the log.

Invariants:

- aiohttp's errors show the request with its header fields: only the kind of a failure is kept.
- For each upstream and kind, there is one line a minute, with the number of others. A user's disconnect writes none.
"""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING

import aiohttp
import attrs

from passwordless_async.errors import UseDPoPNonce
from passwordless_async.gateway.proxy.admission import Refusal
from passwordless_async.gateway.repeats import Repeats, others

if TYPE_CHECKING:
    from passwordless_async.gateway.proxy.upstream import Upstream

_log = logging.getLogger("passwordless_async")
_ERRORS = range(HTTPStatus.BAD_REQUEST, 600)


@attrs.frozen
class Failure:
    """A call that an upstream did not answer.

    Attributes:
        refusal: The response for the browser.
        cause: The kind of failure for the operator, without text of the request or the response.
    """

    refusal: Refusal
    cause: str

    @classmethod
    def of(cls, error: Exception) -> Failure:
        """Return what an error is."""
        cause = type(error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error).__name__
        if isinstance(error, UseDPoPNonce):
            return cls(Refusal("send_again", HTTPStatus.SERVICE_UNAVAILABLE, 1), cause)
        if isinstance(error, aiohttp.WSServerHandshakeError) and error.status in _ERRORS:
            return cls(Refusal("upstream_down", error.status), f"status {error.status} to a WebSocket")
        if isinstance(error, TimeoutError):
            return cls(Refusal("upstream_slow", HTTPStatus.GATEWAY_TIMEOUT), cause)
        return cls(Refusal("upstream_down", HTTPStatus.BAD_GATEWAY), cause)

    @classmethod
    def of_status(cls, status: int) -> Failure:
        """Return the failure for a status that is never forwarded."""
        return cls(Refusal("upstream_down", HTTPStatus.BAD_GATEWAY), f"status {status}")


class FailureLog:
    """Logs the failures of one upstream."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._repeats: Repeats[str] = Repeats()

    def report(self, failure: Failure) -> None:
        """Log a failure, unless one of its kind was logged within the last minute."""
        more = self._repeats.count(failure.cause)
        if more is None:
            return
        _log.warning(
            "The upstream %s (%s) failed: %s; its user gets a %d (%s)%s",
            self._upstream.prefix,
            self._upstream.origin,
            failure.cause,
            failure.refusal.status,
            failure.refusal.key,
            others(more),
        )
