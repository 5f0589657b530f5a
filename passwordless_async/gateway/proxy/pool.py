"""The connections to one upstream, and what its calls have shown about it.

Invariants:

- Each upstream has its own connections: an upstream that is down, hangs or is slow takes none from another.
- A connection with unread bytes is not used, so no response gets to another user.
- The connections are opened by the first call, and closed with the client.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING

import aiohttp

from passwordless_async._common import clock as _clock
from passwordless_async.client.traffic.connections import PlainRequest, guarded_session
from passwordless_async.gateway.proxy.failures import FailureLog
from passwordless_async.gateway.proxy.setup_log import SetupLog
from passwordless_async.gateway.proxy.traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from passwordless_async.client.client import PasswordlessClient
    from passwordless_async.gateway.proxy.upstream import Upstream

_TRUSTED_SECONDS = 10.0  # after an accepted call, for which a long body is sent without a pause
_WAITING = 2  # calls that may wait for a connection, for each connection
_USERS = 2  # that can together use all connections; one user cannot, unless a single session can


def _traffic(upstream: Upstream, connections: int, *, waiting: int = 0) -> Traffic:
    per_session = upstream.max_per_session
    return Traffic(connections * (1 + waiting), per_session, max(per_session, connections // _USERS))


class UpstreamPool:
    """The connections to one upstream, with its limits and logs; kept for the gateway's lifetime."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.traffic: Traffic = _traffic(upstream, upstream.max_connections, waiting=_WAITING)
        self.socket_traffic: Traffic = _traffic(upstream, upstream.max_sockets)
        self.failures: FailureLog = FailureLog(upstream)
        self.setup: SetupLog = SetupLog(upstream)
        self._accepted_at = -_TRUSTED_SECONDS
        self._http: aiohttp.ClientSession | None = None
        self._sockets: aiohttp.TCPConnector | None = None
        # Each part of a call has its own time-out.
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=upstream.connect_timeout)

    @property
    def is_trusted(self) -> bool:
        """Whether the upstream accepted a call a moment ago."""
        return _clock.monotonic() - self._accepted_at < _TRUSTED_SECONDS

    def note_status(self, status: int) -> None:
        """Note the status of a response."""
        if status != HTTPStatus.UNAUTHORIZED:
            self._accepted_at = _clock.monotonic()

    def http(self, client: PasswordlessClient) -> aiohttp.ClientSession:
        """Return the session for calls, opened when it is first needed and closed with the client."""
        if self._http is None or self._http.closed:
            client.before_closing(self.aclose)
            connector = aiohttp.TCPConnector(limit=self.upstream.max_connections)
            more = {"timeout": self._timeout, "auto_decompress": False, "request_class": PlainRequest}
            self._http = guarded_session(connector, more)
        return self._http

    @asynccontextmanager
    async def for_socket(
        self, client: PasswordlessClient, middleware: aiohttp.ClientMiddlewareType
    ) -> AsyncIterator[aiohttp.ClientSession]:
        """Return a session for one WebSocket: aiohttp takes its middleware only from the session."""
        if self._sockets is None or self._sockets.closed:
            client.before_closing(self.aclose)
            self._sockets = aiohttp.TCPConnector(limit=self.upstream.max_sockets, force_close=True)
        more = {"connector_owner": False, "timeout": self._timeout, "request_class": PlainRequest}
        async with guarded_session(self._sockets, {**more, "middlewares": (middleware,)}) as session:
            yield session

    async def aclose(self) -> None:
        """Close the connections; the next call opens new ones."""
        if self._http is not None:
            await self._http.close()
        if self._sockets is not None:
            await self._sockets.close()
