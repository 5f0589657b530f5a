"""The access log: a line of JSON for each call.

Invariants:

- A line has no query, header field, cookie or body; what looks like an address of e-mail in a path is masked.
- A log that cannot be written costs no call.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import re
import secrets
import sys
from contextlib import suppress
from http import HTTPStatus
from logging.handlers import WatchedFileHandler
from typing import TYPE_CHECKING

from aiohttp.abc import AbstractAccessLogger

from passwordless_async.cli.gateway.health import PATHS
from passwordless_async.cli.gateway.settings import OFF, STANDARD_OUTPUT

if TYPE_CHECKING:
    from aiohttp import web

REQUEST_ID = "X-Request-ID"
_MAX_PATH = 1024  # characters: of lines below 4,096 bytes, none is written into another
_EMAIL = re.compile(r"[^/]*(?:@|%40)[^/]*", re.IGNORECASE)
_ID_BYTES = 12


class _Lines(logging.Handler):
    """Writes to what is standard output at the time."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line; if its reader has gone, the calls go on."""
        with suppress(OSError):
            sys.stdout.write(f"{record.getMessage()}\n")
            sys.stdout.flush()


class _File(WatchedFileHandler):
    """Appends to a file, which may be renamed and made anew."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line; if that fails, the calls go on."""
        with suppress(OSError):
            self.reopenIfNeeded()
            if self.stream is not None:
                self.stream.write(f"{record.getMessage()}\n")
                self.stream.flush()


def opened(name: str, where: str) -> logging.Logger | None:
    """Return the logger of a file, or of standard output; None if there is to be none.

    Raises:
        OSError: The file cannot be opened.
    """
    if where == OFF:
        return None
    logger = logging.getLogger(f"passwordless_async.cli.{name}")
    logger.handlers = [_Lines() if where == STANDARD_OUTPUT else _File(where, encoding="utf-8")]
    logger.propagate = False
    logger.setLevel(logging.INFO)
    return logger


class LogStream:
    """A logger as a stream, for what writes lines."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def write(self, text: str) -> int:
        """Write a line."""
        self._logger.info("%s", text.rstrip("\n"))
        return len(text)

    def flush(self) -> None:
        """Do nothing: every line is written at once."""


async def name_request(_request: web.Request, response: web.StreamResponse) -> None:
    """Give a call its name, which the browser and the log see."""
    response.headers[REQUEST_ID] = secrets.token_urlsafe(_ID_BYTES)


class AccessLog(AbstractAccessLogger):
    """Writes a line for each call."""

    @property
    def enabled(self) -> bool:
        """Whether lines are written."""
        return self.logger.isEnabledFor(logging.INFO)

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        """Write the line of a call that has ended; of a probe of health only if it found a fault."""
        if request.path in PATHS and response.status == HTTPStatus.OK:
            return
        line = {
            "time": dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds"),
            "method": request.method,
            "path": masked(request.rel_url.raw_path),
            "status": response.status,
            "ms": round(time * 1000, 1),
            "bytes": response.body_length,
            "id": response.headers.get(REQUEST_ID),
        }
        self.logger.info("%s", json.dumps(line))


def masked(path: str) -> str:
    """Return a path without addresses of e-mail."""
    return _EMAIL.sub("[e-mail]", path)[:_MAX_PATH]
