"""The access log: what a line has, and what it never has; a log that cannot be written costs nothing."""

from __future__ import annotations

import errno
import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from passwordless_async.cli.gateway import access_log

if TYPE_CHECKING:
    import logging
    from pathlib import Path


def logged(logger: logging.Logger, method: str, path: str, response: web.Response) -> None:
    """Log a call."""
    access_log.AccessLog(logger, "").log(make_mocked_request(method, path, headers={"Cookie": "a=b"}), response, 0.0123)


def test_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Time, method, path without its query, status, milliseconds, bytes, and the name that the browser has seen."""
    logger = access_log.opened("access", "-")
    assert logger is not None
    logged(logger, "GET", "/api/me?token=x", web.Response(status=201, headers={"X-Request-ID": "abc"}))
    line = json.loads(capsys.readouterr().out)
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
def test_probes(path: str, status: int, lines: int, capsys: pytest.CaptureFixture[str]) -> None:
    """A probe that finds nothing leaves no line."""
    logger = access_log.opened("access", "-")
    assert logger is not None
    logged(logger, "GET", path, web.Response(status=status))
    assert capsys.readouterr().out.count("\n") == lines


def test_a_file_that_is_renamed(tmp_path: Path) -> None:
    """The next line is in a new file of its name."""
    file = tmp_path / "access"
    logger = access_log.opened("access", str(file))
    assert logger is not None
    logger.info("one")
    file.rename(tmp_path / "old")
    logger.info("two")
    assert ((tmp_path / "old").read_text(), file.read_text()) == ("one\n", "two\n")
    logger.handlers[0].close()


def test_off() -> None:
    """There is no logger then."""
    assert access_log.opened("access", "off") is None


def test_a_reader_that_has_gone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A line that cannot be written raises nothing."""

    class Broken:
        def write(self, _text: str) -> int:
            raise BrokenPipeError(errno.EPIPE, "gone")

    monkeypatch.setattr(sys, "stdout", Broken())
    for where in ("-", str(tmp_path / "log")):
        logger = access_log.opened("access", where)
        assert logger is not None
        handler: Any = logger.handlers[0]
        if where != "-":
            handler.stream.close()
            handler.stream = Broken()
        logger.info("line")
        logger.handlers = []


async def test_names() -> None:
    """Each call has one of its own."""
    responses = [web.Response(), web.Response()]
    for response in responses:
        await access_log.name_request(make_mocked_request("GET", "/"), response)
    first, second = (response.headers["X-Request-ID"] for response in responses)
    assert (len(first), first != second) == (16, True)


def test_a_stream_of_lines(tmp_path: Path) -> None:
    """What writes to a stream writes to the log."""
    logger = access_log.opened("audit", str(tmp_path / "audit"))
    assert logger is not None
    stream = access_log.LogStream(logger)
    assert stream.write('{"percent": "%s"}\n') == 18
    stream.flush()
    assert (tmp_path / "audit").read_text() == '{"percent": "%s"}\n'
    logger.handlers[0].close()
