"""Sends a request once through aiohttp, and reads the response up to a bound.

Invariants:

- Each call sends at most one request: no redirect is followed, and no failure is retried on the wire.
- The connections, cookies and proxies of a request are as ``connections.py`` says.
- No body is read beyond :data:`MAX_BODY` bytes, nor decoded beyond them, and no header field beyond :data:`MAX_FIELD`.
  A response with a larger body still counts: its status and its header fields are used.
- A failure says whether bytes of the request may have been sent: ``NotSent`` or ``OutcomeUnknown``. No other exception
  is raised, not even one of an application's hook, except a cancellation of the caller.
- Certificates are checked: a session that does not check them is refused.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
from typing import TYPE_CHECKING, Any, Self

import aiohttp

from passwordless_async._common.decoding import decoded
from passwordless_async._common.http import HttpRequest, HttpResponse
from passwordless_async._common.secret import SecretBytes
from passwordless_async.auth0.client_auth import session_checks_peers
from passwordless_async.client.traffic.connections import (
    MAX_FIELD,
    MAX_STALE_CONNECTIONS,
    CheckedRequest,
    ClosedConnection,
    Progress,
    SendOnce,
    StaleConnection,
    TrackedBody,
    guarded_session,
)
from passwordless_async.client.traffic.failures import failure_of
from passwordless_async.client.traffic.proxies import Proxies
from passwordless_async.errors import ClientClosed, NotSent, PasswordlessError, UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from ssl import SSLContext

MAX_BODY = 262_144  # bytes; the largest honest response, a key set with certificates, has about ten thousand
_CONNECT_TIMEOUT = 3.0  # seconds; a connection that takes longer does not serve a person who waits
_DNS_TTL = 60  # seconds; aiohttp's ten would look one busy host up again and again
_MAX_SHOWN = 40  # characters of the server's words
_KEEP_ALIVE = 15.0  # seconds; below the idle time-out of common load balancers, so that a reused connection is alive
_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "passwordless-async"}


class Transport:
    """Sends requests through a pool of connections; kept for the client's lifetime, in one event loop at a time.

    Of the caller's session, the connections, the proxy, the bounds of header fields and the trace configurations are
    used. Cookies, default headers and middlewares are not: the service must not see them, and a middleware that
    retries would send a code twice.

    Args:
        session: The caller's session, or None.
        timeout: Seconds for one transmission.
        ssl: The TLS context of an application that authenticates by certificate.
        proxy: The URL of a proxy; by default, the session's own, or that of the environment if the session trusts it.
        checks: Whether the session must check certificates; not needed if the service is plain http on loopback.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession | None,
        *,
        timeout: float,
        ssl: SSLContext | None = None,
        proxy: object = None,
        checks: bool = True,
    ) -> None:
        if session is not None and not isinstance(session, aiohttp.ClientSession):
            raise UsageError("session", "must be an aiohttp.ClientSession")
        self._callers = session
        self._checks = checks
        self._require_checks()
        self._ssl = True if ssl is None else ssl
        self._proxies = Proxies.of(proxy, session)
        # Not connect, which would include the wait for a connection from the caller's pool.
        self._timeout = aiohttp.ClientTimeout(total=timeout, sock_connect=min(_CONNECT_TIMEOUT, timeout))
        self._session: aiohttp.ClientSession | None = None
        self._api: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None  # in which it is open
        self._sending: set[asyncio.Task[Any] | None] = set()
        self._ended: set[asyncio.Task[Any] | None] = set()  # their requests were cancelled by closing
        self.dependents: dict[Callable[[], Awaitable[None]], None] = {}  # what is closed before the connections

    def _require_checks(self) -> None:
        """Refuse a session that does not check the servers it connects to."""
        if self._checks and not session_checks_peers(self._callers):
            raise UsageError("session", "does not check certificates: codes and secrets would go to any server")

    async def __aenter__(self) -> Self:
        """Open; a transport that was closed can be opened again, in this or another event loop."""
        callers = self._callers
        if self._loop is not None:
            self.require_own_loop()
            raise UsageError("client", "is open already")
        if callers is not None and callers.connector is None:
            raise UsageError("session", "is closed")
        self._require_checks()
        connector = None if callers is None else callers.connector
        if connector is None:
            # The gate bounds the connections: a second bound here would let proofs age in a queue.
            connector = aiohttp.TCPConnector(limit=0, ttl_dns_cache=_DNS_TTL, keepalive_timeout=_KEEP_ALIVE)
        own: dict[str, Any] = {
            "connector_owner": callers is None,
            "trace_configs": None if callers is None else callers.trace_configs,
            "timeout": self._timeout,
            "headers": _HEADERS,
            "auto_decompress": False,
        }
        self._session = self._made(connector, own)
        # For API calls: the same connections, and aiohttp's defaults for redirects, time-outs and bodies.
        self._api = self._made(connector, {"connector_owner": False})
        self._loop = asyncio.get_running_loop()
        self._ended = set()
        return self

    def _made(self, connector: aiohttp.BaseConnector, more: dict[str, Any]) -> aiohttp.ClientSession:
        own = {
            "request_class": type("_ProxiedRequest", (CheckedRequest,), {"proxies": self._proxies}),
            "max_line_size": max(MAX_FIELD, getattr(self._callers, "_max_line_size", 0)),
            "max_field_size": max(MAX_FIELD, getattr(self._callers, "_max_field_size", 0)),
        }
        return guarded_session(connector, {**own, **more})

    @property
    def limit(self) -> int:
        """How many connections there can be: the limit of the caller's pool, or ``sys.maxsize``."""
        connector = None if self._callers is None else self._callers.connector
        bounds = () if connector is None else (connector.limit, connector.limit_per_host)
        return min((bound for bound in bounds if bound), default=sys.maxsize)

    def require_api(self) -> aiohttp.ClientSession:
        """Return the session for API calls, with the same connections; raises :class:`UsageError` if it is not open."""
        if self._api is None or self._loop is None:
            raise self._not_open()
        self.require_own_loop()
        return self._api

    def _not_open(self) -> UsageError:
        if self._session is not None:
            return ClientClosed()
        return UsageError("client", "is not open: use it inside async with, for example in the application's lifespan")

    def require_own_loop(self) -> None:
        """Raise :class:`UsageError` in another event loop than the one in which it was opened."""
        if self._loop is not None and self._loop is not asyncio.get_running_loop():
            raise UsageError(
                "client",
                "is open in another event loop: close it there and open it in this one, or make one for each loop",
            )

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Cancel the requests on the wire, and close the connections unless they are the caller's. Idempotent."""
        self.require_own_loop()
        self._ended |= self._sending
        for task in self._sending:
            if task is not None:
                task.cancel()
        await asyncio.sleep(0)  # the cancelled tasks release their connections
        self._loop = None
        await self._close()

    async def _close(self) -> None:
        """Close what lives on the client, the newest first, then the connections: all of them, even if one raises."""
        if self.dependents:
            close, _ = self.dependents.popitem()
            try:
                closed = close()
                if inspect.isawaitable(closed):
                    await closed
            finally:
                await self._close()
            return
        if self._api is not None:
            await self._api.close()
        if self._session is not None:
            await self._session.close()

    def send(self, request: HttpRequest, departs: Callable[[], None] | None = None) -> Awaitable[HttpResponse]:
        """Send a request once.

        Args:
            request: The request.
            departs: Called when the request has its connection and is about to be written: from then on, bytes of it
                may have been sent, unless ``NotSent`` is raised.

        Raises:
            ClientClosed: The client was closed; nothing was sent.
            UsageError: The client is not open, or open in another event loop; nothing was sent.
            NotSent: Nothing was sent.
            OutcomeUnknown: The request was sent and no response arrived.
        """
        if self._session is None or self._loop is None:
            raise self._not_open()
        self.require_own_loop()
        return self._send(self._session, request, departs)

    async def _send(
        self, session: aiohttp.ClientSession, request: HttpRequest, departs: Callable[[], None] | None
    ) -> HttpResponse:
        stale = 0
        while stale < MAX_STALE_CONNECTIONS:
            # Nothing is sent on a stale connection, and it is closed: the next one may be fresh.
            try:
                return await self._send_once(session, request, Progress(departs))
            except ClosedConnection:
                continue  # there are no more of these than the pool had
            except StaleConnection:
                stale += 1
        raise NotSent("nothing was sent (the server's connections answer before they are asked)")

    async def _send_once(
        self, session: aiohttp.ClientSession, request: HttpRequest, progress: Progress
    ) -> HttpResponse:
        task, cancelling = self._begin()
        failure: PasswordlessError
        try:
            async with session.request(
                request.method,
                request.url,
                data=TrackedBody(request.body, progress) if request.body else None,
                headers=request.headers,
                allow_redirects=False,
                ssl=self._ssl,
                # A request with a body is a POST, which aiohttp never retries.
                middlewares=() if request.body else (SendOnce(progress),),
            ) as response:
                if progress.takes_response():
                    return await _read(response)
                failure = NotSent("nothing was sent (the connection answered before it was asked)")
        except (StaleConnection, UsageError):
            raise
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - a hook may raise anything, and the code may have left
            self._require_ours(error, cancelling)
            failure = failure_of(error, was_sent=progress.was_sent)
        finally:
            self._sending.discard(task)
        raise failure

    def _begin(self) -> tuple[asyncio.Task[Any] | None, int]:
        """Register the current task; return it, and how many cancellations of it are pending."""
        task = asyncio.current_task()
        self._sending.add(task)
        return task, 0 if task is None else task.cancelling()

    def _require_ours(self, error: BaseException, cancelling: int) -> None:
        """Re-raise a cancellation unless :meth:`aclose` caused it: that one becomes an error, as a time-out does."""
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and (
            task is None or task not in self._ended or task.uncancel() > cancelling
        ):
            raise error


async def _read(response: aiohttp.ClientResponse) -> HttpResponse:
    """Read a response to its end, or to the bound of bodies."""
    content = response.content
    # Each chunk is redacted: a traceback of a time-out may print local variables. Mostly the first is the whole body.
    chunks = [SecretBytes(await content.readany())]
    size = len(chunks[0])
    while size <= MAX_BODY and not content.at_eof():
        chunks.append(SecretBytes(await content.readany()))
        size += len(chunks[-1])
    if size > MAX_BODY:
        # The unread rest must not be read as the start of the next response.
        response.close()
        return HttpResponse(response.status, response.headers, unreadable=f"is over {MAX_BODY} bytes")
    body = chunks[0] if len(chunks) == 1 else SecretBytes(b"".join(chunks))
    coding = response.headers.get("Content-Encoding", "")
    plain = decoded(body, coding, at_most=MAX_BODY) if coding else body
    if plain is None:
        problem = f"is compressed as {coding[:_MAX_SHOWN]!a}, and cannot be decoded to {MAX_BODY} bytes or less"
        return HttpResponse(response.status, response.headers, unreadable=problem)
    return HttpResponse(response.status, response.headers, plain)
