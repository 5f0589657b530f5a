"""The access log: a line of JSON for each call.

A line has no query, header field, cookie or body. E-mail addresses in a path are masked.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import re
import secrets
from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp.abc import AbstractAccessLogger

from passwordless_async.cli.gateway.health import PATHS

if TYPE_CHECKING:
    from aiohttp import web

REQUEST_ID = "X-Request-ID"
_MAX_PATH = 1024  # characters: lines below 4,096 bytes are written atomically
_EMAIL = re.compile(r"[^/]*(?:@|%40)[^/]*", re.IGNORECASE)
_ID_BYTES = 12


async def name_request(_request: web.Request, response: web.StreamResponse) -> None:
    """Give a call its identifier, for the browser and the log."""
    response.headers[REQUEST_ID] = secrets.token_urlsafe(_ID_BYTES)


class AccessLog(AbstractAccessLogger):
    """Writes a line for each call."""

    @property
    def enabled(self) -> bool:
        """Whether lines are written."""
        return self.logger.isEnabledFor(logging.INFO)

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        """Write the line of a call that has ended. A health check is logged only if it failed."""
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
