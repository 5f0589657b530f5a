"""Failures of an upstream, to the browser and in the log."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from yarl import URL

from passwordless_async.errors import UseDPoPNonce
from passwordless_async.gateway import Upstream
from passwordless_async.gateway.proxy.failures import Failure, FailureLog

if TYPE_CHECKING:
    from conftest import Clock

SECRET = "DPoP the-token"


def of_aiohttp(kind: type[Any], **facts: Any) -> Any:
    """Return an error of aiohttp that shows a request."""
    error: Any = kind.__new__(kind, SECRET)
    error.__dict__.update(facts)
    return error


@pytest.mark.parametrize(
    ("error", "key", "status", "cause"),
    [
        (
            of_aiohttp(aiohttp.ClientConnectorError, _os_error=ConnectionRefusedError(SECRET)),
            "upstream_down",
            502,
            "ConnectionRefusedError",
        ),
        (aiohttp.ServerDisconnectedError(SECRET), "upstream_down", 502, "ServerDisconnectedError"),
        (TimeoutError(SECRET), "upstream_slow", 504, "TimeoutError"),
        (of_aiohttp(aiohttp.WSServerHandshakeError, status=418), "upstream_down", 418, "status 418 to a WebSocket"),
        (UseDPoPNonce(status=401, error="use_dpop_nonce"), "send_again", 503, "UseDPoPNonce"),
    ],
)
def test_what_a_failure_is(error: Exception, key: str, status: int, cause: str) -> None:
    """To the browser a text and a status; to the operator its kind, without the words of a request."""
    failure = Failure.of(error)
    assert (failure.refusal.key, failure.refusal.status, failure.cause) == (key, status, cause)


def test_a_kind_of_failure_has_a_line_a_minute(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """It names the prefix, the host and the cause, and how many more there were; other kinds have their own."""
    failures = FailureLog(Upstream("/api/", URL("http://127.0.0.1:9/v2")))
    for seconds in (0, 0, 30, 29.5, 0.5):
        clock.time += seconds
        failures.report(Failure.of(ConnectionRefusedError(SECRET)))
    failures.report(Failure.of_status(101))
    line = "The upstream /api/ (http://127.0.0.1:9) failed: ConnectionRefusedError; its user gets a 502 (upstream_down)"
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.WARNING, line),
        (logging.WARNING, f"{line} (3 more like it were not logged)"),
        (logging.WARNING, line.replace("ConnectionRefusedError", "status 101")),
    ]
