"""Keeps secrets in requests out of the logs of servers.

If the server of aiohttp.web cannot parse a request, it logs a traceback that quotes up to a hundred bytes of a header
field, a URL or a body, which may be a cookie or a code. No application has seen the request by then, so only a filter
of the server's logger can prevent it. aiohttp.web also quotes the subprotocols that a WebSocket's handshake offers, if
none is chosen; some scripts pass a token in one.

Access logs of all servers have the query, which for the callback of a link contains a code. Servers write them after
the response, from the request itself. So the query is removed from the request, which works for every log.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from passwordless_async._common.secret import REDACTED

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

_SERVER = "aiohttp.server"  # the logger of runners that are given none
_WEBSOCKETS = "aiohttp.websocket"


class Unquoted(logging.Filter):
    """Replaces the traceback of a malformed request by the name of its error."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let a record pass, without the quoted text."""
        error = None if record.exc_info is None else record.exc_info[1]
        if any(isinstance(each, HttpProcessingError | web.RequestPayloadError) for each in _chain(error)):
            record.msg = f"{record.getMessage()}: {type(error).__name__}"
            record.args, record.exc_info, record.exc_text = (), None, None
        return True


class UnquotedProtocols(logging.Filter):
    """Redacts the list of subprotocols that a browser offered."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let a record pass, without the list."""
        if isinstance(record.args, tuple):
            record.args = tuple(REDACTED if isinstance(each, list) else each for each in record.args)
        return True


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def hide_query(request: web.BaseRequest) -> None:
    """Remove the query of a request of aiohttp.web after it has been read: the server logs the request afterwards."""
    of, url = vars(request), request.rel_url
    if not url.raw_query_string:
        return
    bare = url.with_query(None)
    # No public name changes a request; clone() makes another one, which the server does not know.
    of["_rel_url"] = bare
    of["_message"] = of["_message"]._replace(path=bare.raw_path, url=bare)
    for name in ("path_qs", "query", "query_string", "raw_path", "url"):
        of["_cache"].pop(name, None)


async def filter_server_log(_application: web.Application) -> AsyncIterator[None]:
    """Filter the server's loggers while an application runs (a ``cleanup_ctx``)."""
    filters = {_SERVER: Unquoted(), _WEBSOCKETS: UnquotedProtocols()}
    for name, unquoted in filters.items():
        logging.getLogger(name).addFilter(unquoted)
    yield
    for name, unquoted in filters.items():
        logging.getLogger(name).removeFilter(unquoted)
