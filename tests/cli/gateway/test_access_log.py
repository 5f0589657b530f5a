"""The access log: what a line has, and what it never has."""

from __future__ import annotations

import json
import logging

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from passwordless_async.cli.gateway import access_log


def recorded(caplog: pytest.LogCaptureFixture) -> logging.Logger:
    """Return a logger that the test can read."""
    caplog.set_level(logging.INFO)
    return logging.getLogger("test")


def logged(logger: logging.Logger, method: str, path: str, response: web.Response) -> None:
    """Log a call."""
    access_log.AccessLog(logger, "").log(make_mocked_request(method, path, headers={"Cookie": "a=b"}), response, 0.0123)


def test_a_line(caplog: pytest.LogCaptureFixture) -> None:
    """Time, method, path without its query, status, milliseconds, bytes, and the name that the browser has seen."""
    logged(recorded(caplog), "GET", "/api/me?token=x", web.Response(status=201, headers={"X-Request-ID": "abc"}))
    line = json.loads(caplog.messages[0])
    assert line.pop("time").endswith("+00:00")
    assert line == {"method": "GET", "path": "/api/me", "status": 201, "ms": 12.3, "bytes": 0, "id": "abc"}


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/users/ada@example.com/x", "/users/[e-mail]/x"),
        ("/users/ada%40example.com", "/users/[e-mail]"),
        ("/plain", "/plain"),
        ("/" + "x" * 5000, "/" + "x" * 1023),
    ],
)
def test_paths(path: str, shown: str) -> None:
    """An address of e-mail is masked, and a long path cut off."""
    assert access_log.masked(path) == shown


@pytest.mark.parametrize(("path", "status", "lines"), [("/healthz", 200, 0), ("/readyz", 503, 1), ("/", 200, 1)])
def test_probes(path: str, status: int, lines: int, caplog: pytest.LogCaptureFixture) -> None:
    """A probe that finds nothing leaves no line."""
    logged(recorded(caplog), "GET", path, web.Response(status=status))
    assert len(caplog.messages) == lines


async def test_names() -> None:
    """Each call has one of its own."""
    responses = [web.Response(), web.Response()]
    for response in responses:
        await access_log.name_request(make_mocked_request("GET", "/"), response)
    first, second = (response.headers["X-Request-ID"] for response in responses)
    assert (len(first), first != second) == (16, True)
