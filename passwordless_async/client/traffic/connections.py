"""Sessions of aiohttp that check the connection of each request: for the tenant, for APIs and for upstreams.

Invariants:

- A response belongs to its request: a pooled connection with unread bytes, or one that the server closed, is not used.
- No cookie is kept or sent. Only :class:`Proxies` chooses proxies; the environment alone never does.
- :class:`Progress` is right whenever a request ends: ``was_sent`` is False only if no byte of it was sent.
"""

from __future__ import annotations

import select
from typing import TYPE_CHECKING, Any, ClassVar

import aiohttp
from aiohttp.payload import BytesPayload
from multidict import CIMultiDict

from passwordless_async.client.traffic.proxies import NO_PROXIES, Proxies

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable

    from aiohttp.abc import AbstractStreamWriter
    from aiohttp.connector import Connection
    from aiohttp.typedefs import LooseHeaders
    from yarl import URL

    from passwordless_async._common.secret import SecretBytes

MAX_FIELD = 65_536  # bytes of a header field or a status line; aiohttp's 8,190 would cost a login for a long cookie
MAX_STALE_CONNECTIONS = 8  # in a row with unread bytes, before the request fails
# Header fields that aiohttp adds by default.
_NOT_ADDED = CIMultiDict[None](dict.fromkeys(("Accept", "Accept-Encoding", "Content-Type", "User-Agent")))


class Progress:
    """How far a request got. ``departs`` is called when it has its connection, and is about to be written."""

    __slots__ = ("_departs", "has_connection", "was_sent")

    def __init__(self, departs: Callable[[], None] | None) -> None:
        self._departs = departs
        self.has_connection: bool = False
        self.was_sent: bool = False  # perhaps in part; before that, the server cannot have acted on it

    def note_connection(self) -> None:
        """Note that the request has its connection, and is about to be written."""
        self.has_connection = True
        if self._departs is not None:
            self._departs()

    def takes_response(self) -> bool:
        """Return whether a response can be one to this request."""
        if not self.has_connection:
            self.note_connection()
            self.was_sent = True
        return self.was_sent


class StaleConnection(aiohttp.ServerDisconnectedError):
    """A pooled connection holds a response without a request: the next request would take it for its own."""


class ClosedConnection(StaleConnection):
    """A pooled connection was closed by the server, and the event loop has not seen it yet."""


class CheckedRequest(aiohttp.ClientRequest):
    """A request that chooses its proxy, and checks its connection before it is sent.

    aiohttp keeps the bytes that arrive on an idle connection and gives them to the next request: another user would get
    a response that arrived twice, or late. It also does not see what the event loop has not read yet: it would write
    the request to a connection that the server has closed (RFC 9112 §9.5).
    """

    proxies: ClassVar[Proxies]  # of a subclass for each client
    progress: Progress | None = None

    def update_proxy(
        self, proxy: URL | None, proxy_auth: aiohttp.BasicAuth | None, proxy_headers: LooseHeaders | None
    ) -> None:
        """Choose the proxy again for each hop of a redirect; a proxy that the caller of an API passed is kept."""
        chosen = self.proxies.of_url(self.url) if proxy is None else None
        if chosen is not None:
            proxy = chosen.url
            # A new one each time: aiohttp adds the host to it.
            proxy_headers = {} if chosen.credentials is None else {"Proxy-Authorization": chosen.credentials}
        super().update_proxy(proxy, proxy_auth, proxy_headers)

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        """Send it, unless the connection is stale: :class:`StaleConnection` is raised, and nothing was sent."""
        protocol = conn.protocol
        if protocol is None or protocol.should_close:
            raise StaleConnection
        # Not for a new connection: TLS 1.3 sends session tickets after the handshake.
        if getattr(protocol, "_payload", None) is not None and _is_closed_unseen(conn.transport):
            raise ClosedConnection
        body = self.body
        if isinstance(body, TrackedBody):
            body.progress.note_connection()
            return await super().send(conn)  # the body records that it was sent
        if self.progress is not None:
            self.progress.note_connection()
        response = await super().send(conn)
        if self.progress is not None:
            self.progress.was_sent = True
        return response


class _DirectRequest(CheckedRequest):
    """A request that goes through no proxy."""

    proxies: ClassVar[Proxies] = NO_PROXIES


class PlainRequest(_DirectRequest):
    """The same, with only the caller's header fields: aiohttp would add ``Accept``, ``User-Agent`` and others."""

    def update_auto_headers(self, skip_auto_headers: Iterable[str] | None) -> None:
        """Add none, and none of a body."""
        del skip_auto_headers  # aiohttp would compute the same value again for each request
        self._skip_auto_headers = _NOT_ADDED


def guarded_session(connector: aiohttp.BaseConnector, more: dict[str, Any]) -> aiohttp.ClientSession:
    """Return a session that uses no stale connection, keeps no cookies, and reads nothing from the environment.

    It uses no proxy, unless ``more``, further arguments for aiohttp, has another class of requests.
    """
    defaults: dict[str, Any] = {
        "request_class": _DirectRequest,
        "max_line_size": MAX_FIELD,
        "max_field_size": MAX_FIELD,
    }
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        raise_for_status=False,
        **{**defaults, **more},
    )


def _is_closed_unseen(transport: asyncio.Transport | None) -> bool:
    """Return whether the socket of a pooled connection has something unread: its end, or bytes without a request."""
    sock = None if transport is None else transport.get_extra_info("socket")
    number = -1 if sock is None else sock.fileno()
    return number < 0 or _is_readable(number)


if hasattr(select, "poll"):

    def _is_readable(number: int) -> bool:
        poll = select.poll()
        poll.register(number, select.POLLIN)
        return bool(poll.poll(0))

else:  # Windows

    def _is_readable(number: int) -> bool:
        return bool(select.select([number], [], [], 0)[0])


async def on_fresh_connection(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Send a request of an application; if a pooled connection is stale, use another one.

    Raises ``aiohttp.ClientConnectionError`` if the session was closed after the call began: aiohttp does not expect
    that, and would fail on an assertion.
    """
    stale = 0
    while True:
        if request.session.closed:
            raise aiohttp.ClientConnectionError("nothing was sent: the session was closed")
        try:
            return await handler(request)
        except StaleConnection as error:
            stale += not isinstance(error, ClosedConnection)
            if stale >= MAX_STALE_CONNECTIONS:
                raise


class BrokenConnection(aiohttp.ClientError):
    """The connection broke.

    aiohttp must not see its own error: it would send an idempotent request again, with the proof of the first.
    """


class SendOnce:
    """Sends a request without a body once: a middleware that replaces the errors that aiohttp retries after."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Send a request, once."""
        failure: aiohttp.ClientError
        if isinstance(request, CheckedRequest):
            request.progress = self._progress
        try:
            return await handler(request)
        except (StaleConnection, aiohttp.ClientConnectorError):
            raise
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
            failure = BrokenConnection(type(error).__name__)
        raise failure


class TrackedBody(BytesPayload):
    """A body that records that it was sent."""

    def __init__(self, value: SecretBytes, progress: Progress) -> None:
        super().__init__(value)
        self.progress = progress

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Write it, and record whether that could be."""
        transport = getattr(writer, "transport", None)
        # Head and body are written together. If the connection has just ended, nothing is written.
        self.progress.was_sent = transport is not None and not transport.is_closing()
        await super().write_with_length(writer, content_length)
