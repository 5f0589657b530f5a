"""The one module that knows aiohttp's client: it sends a request once and reads the response, up to a bound.

Invariants:

- Each call sends at most one request: no redirect is followed, and no failure is retried on the wire.
- No cookie is kept or sent, and no proxy setting is read from the environment.
- No body is read beyond :data:`MAX_BODY` bytes.
- A failure says whether the request was sent: ``NotSent`` or ``OutcomeUnknown``.
- A response belongs to its request: a pooled connection that holds unread bytes is not used.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import TYPE_CHECKING, Any, Self

import aiohttp
from aiohttp.payload import BytesPayload

from passwordless_async._common.http import HttpRequest, HttpResponse
from passwordless_async._common.secret import SecretBytes
from passwordless_async.errors import MalformedAnswer, NotSent, OutcomeUnknown, PasswordlessError, UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from ssl import SSLContext

    from aiohttp.abc import AbstractStreamWriter
    from aiohttp.connector import Connection


MAX_BODY = 262_144  # bytes; the largest honest response, a key set with certificates, has about ten thousand
_CONNECT_TIMEOUT = 3.0  # seconds; a connection that takes longer does not serve a person who waits
_DNS_TTL = 60  # seconds; aiohttp's ten would look one busy host up again and again
_MAX_STALE_CONNECTIONS = 8  # in a row, before the request fails
_KEEP_ALIVE = 15.0  # seconds; below the idle time-out of common load balancers, so that a reused connection is alive
_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "passwordless-async"}


class Transport:
    """Sends requests through a pool of connections; lives as long as its client.

    Of the caller's session, connections and trace configurations are used. Cookies, default headers and middlewares are
    not: the service must not see them, and a middleware that retries would send a code twice. ``timeout`` is seconds
    for one transmission; ``ssl`` the TLS context of an application that authenticates by certificate.
    """

    def __init__(self, session: aiohttp.ClientSession | None, *, timeout: float, ssl: SSLContext | None = None) -> None:
        if session is not None and not isinstance(session, aiohttp.ClientSession):
            raise UsageError("session", "must be an aiohttp.ClientSession")
        self._callers = session
        self._ssl = True if ssl is None else ssl
        # Not connect, which would include the wait for a connection from the caller's pool.
        self._timeout = aiohttp.ClientTimeout(total=timeout, sock_connect=min(_CONNECT_TIMEOUT, timeout))
        self._session: aiohttp.ClientSession | None = None
        self._sending: set[asyncio.Task[Any] | None] = set()
        self._closing = False
        self._api: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        callers = self._callers
        if self._session is not None:
            raise UsageError("client", "is open already, or was: make another")
        if callers is not None and callers.connector is None:
            raise UsageError("session", "is closed")
        connector = None if callers is None else callers.connector
        if connector is None:
            # The gate bounds the connections: a second bound here would let proofs age in a queue.
            connector = aiohttp.TCPConnector(limit=0, ttl_dns_cache=_DNS_TTL, keepalive_timeout=_KEEP_ALIVE)
        self._session = aiohttp.ClientSession(
            connector=connector,
            connector_owner=callers is None,
            cookie_jar=aiohttp.DummyCookieJar(),
            trace_configs=None if callers is None else callers.trace_configs,
            timeout=self._timeout,
            request_class=_Request,
            auto_decompress=False,
            trust_env=False,
            raise_for_status=False,
        )
        # For API calls: the same connections, and aiohttp's defaults for redirects, time-outs and bodies.
        self._api = aiohttp.ClientSession(
            connector=connector,
            connector_owner=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            request_class=_Request,
        )
        return self

    @property
    def limit(self) -> int:
        """How many connections there can be: the limit of the caller's pool, or ``sys.maxsize``."""
        connector = None if self._callers is None else self._callers.connector
        bounds = () if connector is None else (connector.limit, connector.limit_per_host)
        return min((bound for bound in bounds if bound), default=sys.maxsize)

    @property
    def api(self) -> aiohttp.ClientSession:
        """The session for API calls: the same connections, no cookies."""
        if self._api is None or self._api.closed:
            raise UsageError("client", "is not open: use it inside async with")
        return self._api

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Cancel the requests on the wire, and close the connections unless they are the caller's. Idempotent."""
        self._closing = True
        for task in self._sending:
            if task is not None:
                task.cancel()
        await asyncio.sleep(0)  # the cancelled tasks release their connections
        if self._api is not None:
            await self._api.close()
        if self._session is not None:
            await self._session.close()

    def send(self, request: HttpRequest) -> Awaitable[HttpResponse]:
        """Send a request once.

        Raises:
            NotSent: Nothing was sent.
            OutcomeUnknown: The request was sent and no response arrived.
            MalformedAnswer: The response is too large, or compressed.
        """
        if self._session is None or self._session.closed:
            raise UsageError("client", "is not open: use it inside async with")
        return self._send(self._session, request)

    async def _send(self, session: aiohttp.ClientSession, request: HttpRequest) -> HttpResponse:
        for _ in range(_MAX_STALE_CONNECTIONS):
            with contextlib.suppress(_StaleConnection):
                # Nothing is sent on a stale connection, and it is closed: the next one may be fresh.
                return await self._send_once(session, request)
        raise NotSent("nothing was sent (the server's connections answer before they are asked)")

    async def _send_once(self, session: aiohttp.ClientSession, request: HttpRequest) -> HttpResponse:
        body = _Body(request.body)
        cancelling = self._begin()
        failure: PasswordlessError
        try:
            async with session.request(
                request.method,
                request.url,
                data=body if request.body else None,
                headers={**_HEADERS, **request.headers},
                allow_redirects=False,
                ssl=self._ssl,
                middlewares=() if request.body else _ONCE,
            ) as response:
                if body.reached and not body.left:
                    failure = NotSent("nothing was sent (the connection answered before it was asked)")
                elif (content := await _read(response)) is not None:
                    return HttpResponse(response.status, response.headers, content)
                else:
                    failure = MalformedAnswer(
                        f"the answer is over {MAX_BODY} bytes or compressed", status=response.status
                    )
                # The unread rest must not be read as the start of the next response.
                response.close()
        except _StaleConnection:
            raise
        except (aiohttp.ClientError, TimeoutError, OSError, UnicodeError, asyncio.CancelledError) as error:
            self._require_ours(error, cancelling)
            # aiohttp's errors show the request with its headers: only the kind of the failure is kept.
            failure = _failure(error, left=body.left)
        finally:
            self._sending.discard(asyncio.current_task())
        raise failure

    def _begin(self) -> int:
        """Register the current task, and return how many cancellations of it are pending."""
        task = asyncio.current_task()
        self._sending.add(task)
        return 0 if task is None else task.cancelling()

    def _require_ours(self, error: BaseException, cancelling: int) -> None:
        """Re-raise a cancellation unless :meth:`aclose` caused it: that one becomes an error, as a time-out does."""
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and (
            not self._closing or task is None or task.uncancel() > cancelling
        ):
            raise error


class _StaleConnection(aiohttp.ServerDisconnectedError):
    """A pooled connection holds a response that belongs to no request: the next request would take it for its own."""


class _Request(aiohttp.ClientRequest):
    """A request that checks its connection before it is sent.

    aiohttp keeps the bytes that arrive on an idle connection and serves them to the next request: a response that
    arrived twice, or late, would be given to another user.
    """

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        if conn.protocol is None or conn.protocol.should_close:
            raise _StaleConnection
        if isinstance(self.body, _Body):
            self.body.reached = True
        return await super().send(conn)


class _Broken(aiohttp.ClientError):
    """The connection broke.

    aiohttp must not see its own error: it would send an idempotent request again, with the proof of the first.
    """


async def _once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Send once: a middleware that replaces the errors that aiohttp retries after."""
    failure: aiohttp.ClientError
    try:
        return await handler(request)
    except (_StaleConnection, aiohttp.ClientConnectorError):
        raise
    except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
        failure = _Broken(type(error).__name__)
    raise failure


# A request with a body is a POST, which aiohttp never retries.
_ONCE = (_once,)


class _Body(BytesPayload):
    """A body that records how far it was sent."""

    reached = False  # whether the request has a connection
    left = False  # whether sending the body has begun; before that the server cannot have acted on the request

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        self.left = True
        await super().write_with_length(writer, content_length)


def _failure(error: BaseException, *, left: bool) -> NotSent | OutcomeUnknown:
    kind = str(error) if isinstance(error, _Broken) else type(error).__name__
    kind = "time-out" if isinstance(error, TimeoutError) else kind
    kind = "the client was closed" if isinstance(error, asyncio.CancelledError) else kind
    if left:
        return OutcomeUnknown(f"the request was sent and no answer came ({kind})")
    return NotSent(f"nothing was sent ({kind})")


async def _read(response: aiohttp.ClientResponse) -> SecretBytes | None:
    """Return the body; None: it is too large, or compressed although ``identity`` was asked for."""
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        return None
    chunks: list[SecretBytes] = []
    size = 0
    # Each chunk is redacted: a traceback of a time-out may print local variables.
    while chunk := SecretBytes(await response.content.readany()):
        size += len(chunk)
        if size > MAX_BODY:
            return None
        chunks.append(chunk)
    return SecretBytes(b"".join(chunks))
