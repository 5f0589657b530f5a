"""Sends a request once through aiohttp, and reads the response up to a bound.

Invariants:

- Each call sends at most one request: no redirect is followed, and no failure is retried on the wire.
- No cookie is kept or sent. Only :class:`Proxies` chooses proxies; the environment alone never does.
- No body is read beyond :data:`MAX_BODY` bytes, nor decoded beyond them, and no header field beyond :data:`MAX_FIELD`.
  A response with a larger body still counts: its status and its header fields are used.
- A failure says whether bytes of the request may have been sent: ``NotSent`` or ``OutcomeUnknown``. No other exception
  is raised, not even one of an application's hook, except a cancellation of the caller.
- A response belongs to its request: a pooled connection with unread bytes, or one that the server closed, is not used.
- Certificates are checked: a session that does not check them is refused.
"""

from __future__ import annotations

import asyncio
import select
import socket
import sys
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar, Self

import aiohttp
from aiohttp.payload import BytesPayload
from multidict import CIMultiDict

from passwordless_async._common.decoding import decoded
from passwordless_async._common.http import HttpRequest, HttpResponse
from passwordless_async._common.origin import is_loopback
from passwordless_async._common.secret import SecretBytes
from passwordless_async.auth0.client_auth import session_checks_peers
from passwordless_async.client.traffic.proxies import NO_PROXIES, Proxies
from passwordless_async.errors import ClientClosed, NotSent, OutcomeUnknown, PasswordlessError, UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from ssl import SSLContext

    from aiohttp.abc import AbstractStreamWriter
    from aiohttp.connector import Connection
    from aiohttp.typedefs import LooseHeaders
    from yarl import URL


MAX_BODY = 262_144  # bytes; the largest honest response, a key set with certificates, has about ten thousand
MAX_FIELD = 65_536  # bytes of a header field or a status line; aiohttp's 8,190 would cost a login for a long cookie
_CONNECT_TIMEOUT = 3.0  # seconds; a connection that takes longer does not serve a person who waits
_DNS_TTL = 60  # seconds; aiohttp's ten would look one busy host up again and again
_MAX_SHOWN = 40  # characters of the server's words
_MAX_STALE_CONNECTIONS = 8  # in a row with unread bytes, before the request fails
_KEEP_ALIVE = 15.0  # seconds; below the idle time-out of common load balancers, so that a reused connection is alive
_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "passwordless-async"}
# Header fields that aiohttp adds by default.
_NOT_ADDED = CIMultiDict[None](dict.fromkeys(("Accept", "Accept-Encoding", "Content-Type", "User-Agent")))
# The name does not exist in DNS. Other failures to resolve a name are temporary failures of the name server.
_UNKNOWN_NAME = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})
_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"})  # how versions of OpenSSL report plain http


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
            "request_class": type("_ProxiedRequest", (_Request,), {"proxies": self._proxies}),
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
        while self.dependents:
            await self.dependents.popitem()[0]()
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
        while stale < _MAX_STALE_CONNECTIONS:
            # Nothing is sent on a stale connection, and it is closed: the next one may be fresh.
            try:
                return await self._send_once(session, request, _Progress(departs))
            except _ClosedConnection:
                continue  # there are no more of these than the pool had
            except _StaleConnection:
                stale += 1
        raise NotSent("nothing was sent (the server's connections answer before they are asked)")

    async def _send_once(
        self, session: aiohttp.ClientSession, request: HttpRequest, progress: _Progress
    ) -> HttpResponse:
        task, cancelling = self._begin()
        failure: PasswordlessError
        try:
            async with session.request(
                request.method,
                request.url,
                data=_Body(request.body, progress) if request.body else None,
                headers=request.headers,
                allow_redirects=False,
                ssl=self._ssl,
                # A request with a body is a POST, which aiohttp never retries.
                middlewares=() if request.body else (_Once(progress),),
            ) as response:
                if progress.answered():
                    return await _read(response)
                failure = NotSent("nothing was sent (the connection answered before it was asked)")
        except (_StaleConnection, UsageError):
            raise
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - a hook may raise anything, and the code may have left
            self._require_ours(error, cancelling)
            # aiohttp's errors show the request with its headers: only the kind of the failure is kept.
            failure = _failure(error, left=progress.left)
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


class _Progress:
    """How far a request got."""

    __slots__ = ("_departs", "left", "reached")

    def __init__(self, departs: Callable[[], None] | None) -> None:
        self._departs = departs
        self.reached: bool = False  # it has a connection
        self.left: bool = False  # bytes of it may have been sent: before that, the server cannot have acted on it

    def reaches(self) -> None:
        self.reached = True
        if self._departs is not None:
            self._departs()

    def answered(self) -> bool:
        """Return whether a response can be one to this request."""
        if not self.reached:
            self.reaches()
            self.left = True
        return self.left


class _StaleConnection(aiohttp.ServerDisconnectedError):
    """A pooled connection holds a response without a request: the next request would take it for its own."""


class _ClosedConnection(_StaleConnection):
    """A pooled connection was closed by the server, and the event loop has not seen it yet."""


class _Request(aiohttp.ClientRequest):
    """A request that chooses its proxy, and checks its connection before it is sent.

    aiohttp keeps the bytes that arrive on an idle connection and gives them to the next request: another user would get
    a response that arrived twice, or late. It also does not see what the event loop has not read yet: it would write
    the request to a connection that the server has closed (RFC 9112 §9.5).
    """

    proxies: ClassVar[Proxies]  # of a subclass for each client
    progress: _Progress | None = None

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
        protocol = conn.protocol
        if protocol is None or protocol.should_close:
            raise _StaleConnection
        # Not for a new connection: TLS 1.3 sends session tickets after the handshake.
        if getattr(protocol, "_payload", None) is not None and _is_closed_unseen(conn.transport):
            raise _ClosedConnection
        body = self.body
        if isinstance(body, _Body):
            body.progress.reaches()
            return await super().send(conn)  # the body records that it was sent
        if self.progress is not None:
            self.progress.reaches()
        response = await super().send(conn)
        if self.progress is not None:
            self.progress.left = True
        return response


class _DirectRequest(_Request):
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
        except _StaleConnection as error:
            stale += not isinstance(error, _ClosedConnection)
            if stale >= _MAX_STALE_CONNECTIONS:
                raise


class _Broken(aiohttp.ClientError):
    """The connection broke.

    aiohttp must not see its own error: it would send an idempotent request again, with the proof of the first.
    """


class _Once:
    """Sends a request without a body once: a middleware that replaces the errors that aiohttp retries after."""

    def __init__(self, progress: _Progress) -> None:
        self._progress = progress

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        failure: aiohttp.ClientError
        if isinstance(request, _Request):
            request.progress = self._progress
        try:
            return await handler(request)
        except (_StaleConnection, aiohttp.ClientConnectorError):
            raise
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
            failure = _Broken(type(error).__name__)
        raise failure


class _Body(BytesPayload):
    """A body that records that it was sent."""

    def __init__(self, value: SecretBytes, progress: _Progress) -> None:
        super().__init__(value)
        self.progress = progress

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        transport = getattr(writer, "transport", None)
        # Head and body are written together. If the connection has just ended, nothing is written.
        self.progress.left = transport is not None and not transport.is_closing()
        await super().write_with_length(writer, content_length)


def _failure(error: BaseException, *, left: bool) -> NotSent | OutcomeUnknown:
    kind = str(error) if isinstance(error, _Broken) else type(error).__name__
    kind = "time-out" if isinstance(error, TimeoutError) else kind
    kind = "the client was closed" if isinstance(error, asyncio.CancelledError) else kind
    if left:
        return OutcomeUnknown(f"the request was sent and no answer came ({kind})")
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return _refused_by_proxy(error.status)
    if isinstance(error, aiohttp.ClientConnectorError):
        return _unconnected(error)
    return NotSent(f"nothing was sent ({kind})")


def _refused_by_proxy(status: int) -> NotSent:
    error = NotSent(f"nothing was sent: the proxy refused the connection (status {status})")
    may_pass = status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS
    return error if may_pass else _final(error, "Check the proxy, its credentials, and whether it allows the domain.")


def _unconnected(error: aiohttp.ClientConnectorError) -> NotSent:
    """Return why there was no connection; host names and messages of TLS and DNS are not secret."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        words = getattr(error.certificate_error, "verify_message", "") or "it cannot be verified"
        return _final(
            NotSent(f"nothing was sent: the certificate of {error.host} was refused: {words}"),
            "Check the certificate: trust the authority that issued it if it is yours, or correct the domain.",
        )
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return _unnamed(error)
    return _unreached(error)


def _unreached(error: aiohttp.ClientConnectorError) -> NotSent:
    reason = getattr(error.os_error, "reason", None) or error.os_error.strerror or type(error).__name__
    which = "proxy" if isinstance(error, aiohttp.ClientProxyConnectionError) else "server"
    problem = NotSent(f"nothing was sent: no connection to the {which} {error.host} ({type(error).__name__}: {reason})")
    if reason not in _NO_TLS or which == "proxy":
        return problem
    return problem.with_facts(advice=f"The server does not seem to speak TLS. {_instead(error.host, error.port)}")


def _unnamed(error: aiohttp.ClientConnectorDNSError) -> NotSent:
    problem = NotSent(f"nothing was sent: the name {error.host} was not found ({error.os_error.strerror})")
    if error.os_error.errno in _UNKNOWN_NAME:
        return _final(problem, "Check the domain: DNS knows no such name here.")
    return problem.with_facts(advice="Check the domain, and whether this machine reaches its name server.")


def _instead(host: str, port: int | None) -> str:
    """Return advice for a server without TLS."""
    shown = f"[{host}]" if ":" in host else host
    return f"Write http://{shown}:{port}." if is_loopback(host) else "Correct the domain or its port."


def _final(error: NotSent, advice: str) -> NotSent:
    """Return an error after which the same call would fail again."""
    return error.with_facts(retryable=False, advice=advice)


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
