"""Forwards calls to upstreams: the session cookie identifies the user, and each call gets a token and a proof.

Invariants:

- A call uses only the tokens of the session that its cookie names; the cookie is not forwarded.
- Tokens are renewed through the store, and challenges answered, before the browser gets a response.
- Each upstream has its own connections: an upstream that is down, hangs or is slow takes none from another.
- A connection with unread bytes is not used, so no response gets to another user.
- Bodies are streamed, never collected. When the browser disconnects, the upstream's connection is closed.
- A stream ends soon after its session.
- No error quotes the upstream, or reveals its URL.
"""

from __future__ import annotations

import asyncio
import logging
import re
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING

import aiohttp

from passwordless_async._common import clock as _clock
from passwordless_async.client.traffic.transport import PlainRequest, guarded_session
from passwordless_async.errors import BrokenSeal, InvalidSession, StoreUnavailable, UseDPoPNonce
from passwordless_async.gateway.demands import claims_of, demands_of, is_in_vain
from passwordless_async.gateway.proxies import user_address_of
from passwordless_async.gateway.proxy import fields
from passwordless_async.gateway.proxy.admission import Refusal, admit, is_navigation
from passwordless_async.gateway.proxy.failures import Failure, FailureLog
from passwordless_async.gateway.proxy.messages import (
    FAILED,
    GOING_AWAY,
    NO_CODE,
    NORMAL,
    POLICY,
    TOO_BIG,
    ProxiedRequest,
    ProxiedResponse,
    SocketClosed,
    UpstreamBroke,
)
from passwordless_async.gateway.proxy.traffic import Traffic
from passwordless_async.gateway.proxy.uploads import Deadline, Upload

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping

    from passwordless_async._common.secret import Secret
    from passwordless_async.client.api.user_session import UserSession
    from passwordless_async.client.client import PasswordlessClient
    from passwordless_async.gateway.cookies import Cookies
    from passwordless_async.gateway.framing import Framing
    from passwordless_async.gateway.proxy.messages import BrowserSocket
    from passwordless_async.gateway.proxy.upstream import Upstream
    from passwordless_async.gateway.settings import Settings

_log = logging.getLogger("passwordless_async")
_TRUSTED_SECONDS = 10.0  # after an accepted call, for which a long body is sent without a pause
_WAITING = 2  # calls that may wait for a connection, for each connection
_CHECK_SECONDS = 15.0  # between two checks whether the session of a long call has ended
_HEARTBEAT_SECONDS = 30.0  # between two pings of a WebSocket; proxies between close a silent one after a minute
_CLOSE_SECONDS = 2.0  # that the other end may take to confirm the close of a WebSocket
_PROTOCOL = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,200}")  # RFC 6455 §4.1: a token
_SENT_CODES = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015), *range(3000, 5000)})
_MAX_REASON = 40  # characters; the frame has room for 123 bytes
_CLAIMS = {"max_age": "auth_time", "acr_values": "acr"}  # the claim that a service checks for each (RFC 9470)
_MAX_SHOWN = 100  # characters of an upstream's demands
_RESPONSES = range(HTTPStatus.OK, 600)  # a 101 would make a tunnel of the browser's connection
_FAILURES = (aiohttp.ClientError, UseDPoPNonce, TimeoutError, OSError, ValueError)


class StepUpNeeded(Exception):
    """An upstream wants a newer or a stronger login (RFC 9470), for a page that a browser shows.

    Args:
        demands: ``max_age``, ``acr_values``.
    """

    def __init__(self, demands: Mapping[str, str]) -> None:
        super().__init__("step-up")
        self.demands = demands


class Channel:
    """One upstream with its connections and its traffic; open from its first call until the client is closed."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.traffic: Traffic = Traffic(upstream.max_connections * (1 + _WAITING), upstream.max_per_session)
        self.socket_traffic: Traffic = Traffic(upstream.max_sockets, upstream.max_per_session)
        self.failures: FailureLog = FailureLog(upstream)
        self._warned: set[object] = set()
        self._accepted_at = -_TRUSTED_SECONDS
        self._http: aiohttp.ClientSession | None = None
        self._sockets: aiohttp.TCPConnector | None = None
        # Each part of a call has its own time-out.
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=upstream.connect_timeout)

    @property
    def is_trusted(self) -> bool:
        """Whether the upstream accepted a call a moment ago."""
        return _clock.monotonic() - self._accepted_at < _TRUSTED_SECONDS

    def note(self, status: int) -> None:
        """Note the status of a response."""
        if status != HTTPStatus.UNAUTHORIZED:
            self._accepted_at = _clock.monotonic()

    def warn_in_vain(self, demands: Mapping[str, str]) -> None:
        """Warn once for each kind of demand that the upstream makes although the login meets it."""
        self._warn_once(
            frozenset(demands),
            "The upstream %s asks for a newer or a stronger login (%s), but the login is that already, and its user "
            "gets a 403 (login_not_enough). Do the access tokens have the claims that it reads (%s)?",
            " ".join(f"{name}={value[:_MAX_SHOWN]!r}" for name, value in sorted(demands.items()))
            or "without saying which",
            ", ".join(_CLAIMS[name] for name in sorted(demands)) or "auth_time, acr",
        )

    def require_scopes(self, granted: str, requested: str) -> None:
        """Raise :class:`Refusal` if a token lacks one of the scopes; warn if no login requests it.

        Only then, not when the gateway is made: the tenant may grant a scope that was not requested.

        Args:
            granted: The scope of the token.
            requested: The scope of logins.
        """
        missing = self.upstream.scopes.difference(granted.split())
        if not missing:
            return
        named, unrequested = ", ".join(sorted(missing)), ", ".join(sorted(missing.difference(requested.split())))
        _log.debug(
            "a call to the upstream %s is refused as scope_missing: the access token lacks %s",
            self.upstream.prefix,
            named,
        )
        if unrequested:
            self._warn_once(
                "scopes",
                "The upstream %s needs scopes that scope= of the gateway does not request (%s), and its user gets a "
                "403 (scope_missing).",
                unrequested,
            )
        raise Refusal("scope_missing", HTTPStatus.FORBIDDEN)

    def note_token(self, status: int, access_token: Secret, audience: str | None) -> None:
        """Warn if an upstream answers 401 to a token that is for no API, because the gateway has no audience.

        Only then, not when the gateway is made: the tenant may have a default audience.
        """
        if status == HTTPStatus.UNAUTHORIZED and audience is None and not claims_of(access_token):
            self._warn_once(
                "audience",
                "The upstream %s answers 401 to an access token that is not a signed JWT: audience= of the gateway is "
                "missing. It is the identifier of the API in the tenant.",
            )

    def _warn_once(self, kind: object, message: str, *more: object) -> None:
        if kind not in self._warned:
            self._warned.add(kind)
            _log.warning(f"{message} This is logged once", self.upstream.prefix, *more)

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
        """Close the connections."""
        if self._http is not None:
            await self._http.close()
        if self._sockets is not None:
            await self._sockets.close()


class Forwarding:
    """Forwards calls; kept for the gateway's lifetime.

    Args:
        client: Its sessions have the tokens.
        settings: How the gateway behaves.
        cookies: Reads the session's cookie.
        upstreams: The upstreams, those with the longest prefixes first.
        clock: The wall clock: seconds since the UNIX epoch.
    """

    def __init__(
        self,
        client: PasswordlessClient,
        settings: Settings,
        cookies: Cookies,
        upstreams: Iterable[Upstream],
        clock: Callable[[], float] = _clock.now,
    ) -> None:
        self._client = client
        self._settings = settings
        self._cookies = cookies
        self._clock = clock
        self._own_cookies = frozenset({cookies.session_name, *cookies.login_names, cookies.language_name})
        self._origin = str(settings.base_url)
        self._host = self._origin.partition("://")[2]  # without a default port, which `authority` would have
        self._channels = tuple(Channel(upstream) for upstream in upstreams)

    def serves(self, path: str) -> bool:
        """Return whether a path below the mount, as it came, goes to an upstream."""
        return any(channel.upstream.is_above(path) for channel in self._channels)

    def _channel(self, path: str) -> Channel:
        return next(channel for channel in self._channels if channel.upstream.is_above(path))

    async def forward(self, request: ProxiedRequest) -> ProxiedResponse:
        """Forward a call, and return the response when it begins.

        Raises:
            Refusal: Nothing was sent, or there was no response, or the upstream refuses a login that another could not
                improve.
            StepUpNeeded: The upstream demands a newer or a stronger login.
            PasswordlessError: The session has ended, or its tokens could not be read or renewed.
            BrowserGone: The browser closed its connection.
        """
        channel = self._channel(request.path)
        upstream = channel.upstream
        framing = admit(request, origin=self._origin, at_most=upstream.max_request_bytes, prefix=upstream.prefix)
        session = self._session_of(request)
        async with self._client.sessions.api(session, origins=[upstream.origin]) as api:
            channel.require_scopes(api.tokens.scope or "", self._settings.scope)
            release = channel.traffic.enter(session)
            try:
                response = await self._send(channel, request, framing, api)
                channel.note_token(response.status, api.tokens.access_token, self._settings.audience)
                await self._look_at_demands(channel, request, response, session)
            except BaseException:
                release()
                raise
        headers = tuple(self._answered(upstream, request, response))
        whole = _whole(response, upstream)
        if whole is not None:
            response.release()
            release()
            return ProxiedResponse(response.status, headers, whole)
        watch = _Watch(self._client, session, response.close)
        watch.begin()

        async def close() -> None:
            watch.end()
            release()
            if response.content.at_eof():
                response.release()
            else:
                response.close()

        return ProxiedResponse(response.status, headers, _pieces(response, upstream), close)

    async def connect(self, request: ProxiedRequest, browser: BrowserSocket) -> None:
        """Forward a WebSocket until either end closes it. Raises as :meth:`forward`, until it is accepted."""
        channel = self._channel(request.path)
        upstream = channel.upstream
        admit(request, origin=self._origin, at_most=upstream.max_request_bytes, prefix=upstream.prefix)
        session = self._session_of(request)
        async with self._client.sessions.api(session, origins=[upstream.origin]) as api:
            channel.require_scopes(api.tokens.scope or "", self._settings.scope)
            release = channel.socket_traffic.enter(session)
            try:
                async with self._socket(channel, request, api.middleware) as socket:
                    await browser.accept(socket.protocol)
                    ended = asyncio.Event()
                    watch = _Watch(self._client, session, ended.set)
                    watch.begin()
                    try:
                        await _relay(browser, socket, ended, upstream.max_message_bytes)
                    finally:
                        watch.end()
            finally:
                release()

    async def aclose(self) -> None:
        """Close the connections to all upstreams; the next call opens new ones."""
        await asyncio.gather(*(channel.aclose() for channel in self._channels))

    def _session_of(self, request: ProxiedRequest) -> Secret:
        session = self._cookies.session_of(request.headers)
        if session is None:
            raise Refusal("signed_out", HTTPStatus.UNAUTHORIZED)
        return session

    def _asked(self, channel: Channel, request: ProxiedRequest) -> list[tuple[str, str]]:
        """Return the header fields of a call, without token and proof."""
        upstream, base = channel.upstream, self._settings.base_url
        address = user_address_of(request, self._settings.trusted_proxies)
        return [
            *fields.asked(request.headers, upstream.headers),
            *fields.forwarded(address, base.scheme, self._host, f"{request.mount}{upstream.prefix}".rstrip("/")),
        ]

    async def _send(
        self, channel: Channel, request: ProxiedRequest, framing: Framing, api: UserSession
    ) -> aiohttp.ClientResponse:
        upstream, upload = channel.upstream, None
        failure: Failure
        try:
            async with asyncio.timeout(upstream.timeout) as timeout:
                if framing.has_body and request.body is not None:
                    deadline, is_trusted = Deadline(timeout, upstream.timeout), channel.is_trusted
                    upload = Upload(request.body, framing.length, upstream, deadline, is_trusted=is_trusted)
                response = await channel.http(self._client).request(
                    request.method,
                    upstream.target(request.path, request.query),
                    headers=self._asked(channel, request),
                    data=upload,
                    allow_redirects=False,
                    middlewares=(api.middleware,),
                )
                if upload is not None:
                    upload.deadline.end()
        except _FAILURES as error:
            failure = Failure.of(error)
        else:
            if response.status in _RESPONSES:
                channel.note(response.status)
                return response
            response.close()
            failure = Failure.of_status(response.status)
        if upload is not None and upload.failure is not None:
            raise upload.failure
        channel.failures.report(failure)
        raise failure.refusal

    async def _look_at_demands(
        self, channel: Channel, request: ProxiedRequest, response: aiohttp.ClientResponse, session: Secret
    ) -> None:
        """Check whether the upstream demands a newer or a stronger login (RFC 9470), and whether one would help.

        A page redirects to it. A script gets the challenge itself, unless no login would help.
        """
        demands = fields.step_up_of(response.headers) if response.status == HTTPStatus.UNAUTHORIZED else None
        if demands is None:
            return
        try:
            stored = await self._client.sessions.get(session, counts_as_use=False)
        except BaseException:
            response.close()
            raise
        would_help = not is_in_vain(stored, demands_of(demands), self._clock())
        if would_help and not is_navigation(request.headers):
            return
        response.close()
        if would_help:
            raise StepUpNeeded(demands)
        channel.warn_in_vain(demands)
        raise Refusal("login_not_enough", HTTPStatus.FORBIDDEN)

    @asynccontextmanager
    async def _socket(
        self, channel: Channel, request: ProxiedRequest, middleware: aiohttp.ClientMiddlewareType
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse[bool]]:
        upstream, failure = channel.upstream, None
        async with channel.for_socket(self._client, middleware) as http:
            try:
                async with asyncio.timeout(upstream.timeout):
                    socket = await http.ws_connect(
                        upstream.target(request.path, request.query),
                        headers=self._asked(channel, request),
                        protocols=[name for name in request.protocols if _PROTOCOL.fullmatch(name)],
                        timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSE_SECONDS),
                        heartbeat=_HEARTBEAT_SECONDS,
                        max_msg_size=upstream.max_message_bytes,
                    )
            except _FAILURES as error:
                failure = Failure.of(error)
            if failure is not None:
                channel.failures.report(failure)
                raise failure.refusal
            try:
                yield socket
            finally:
                await socket.close()

    def _answered(
        self, upstream: Upstream, request: ProxiedRequest, response: aiohttp.ClientResponse
    ) -> Iterable[tuple[str, str]]:
        """Yield the header fields of a response, the length of a body among them."""
        for name, value in fields.answered(response.headers, upstream.response_headers, cookies=self._own_cookies):
            is_place = name.lower() in {"location", "content-location"}
            yield name, upstream.location(value, request.mount) if is_place else value


def _whole(response: aiohttp.ClientResponse, upstream: Upstream) -> bytes | None:
    """Return a body that arrived with the header fields, as most do; None if there is more to come."""
    content, at_most = response.content, upstream.max_response_bytes
    if not content.is_eof() or content.exception() is not None:
        return None
    return content.read_nowait() if at_most is None or content.total_bytes <= at_most else None


async def _pieces(response: aiohttp.ClientResponse, upstream: Upstream) -> AsyncIterator[bytes]:
    """Yield the pieces of a body as they come."""
    content, at_most, size = response.content, upstream.max_response_bytes, 0
    while True:
        try:
            async with asyncio.timeout(upstream.timeout):
                piece = await content.readany()
        except (aiohttp.ClientError, TimeoutError, OSError):
            piece = None
        if piece is None:
            raise UpstreamBroke
        if not piece:
            return
        size += len(piece)
        if at_most is not None and size > at_most:
            raise UpstreamBroke
        yield piece


class _Watch:
    """Ends a long call some time after its session has ended. Checking the session does not count as its use."""

    def __init__(self, client: PasswordlessClient, session: Secret, end: Callable[[], object]) -> None:
        self._client = client
        self._session = session
        self._end = end
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Begin, or go on."""
        self._timer = asyncio.get_running_loop().call_later(_CHECK_SECONDS, self._look)

    def _look(self) -> None:
        self._task = asyncio.create_task(self._check())

    async def _check(self) -> None:
        try:
            await self._client.sessions.get(self._session, counts_as_use=False)
        except StoreUnavailable:
            pass  # unknown: a call does not end because the store is unreachable for a moment
        except (InvalidSession, BrokenSeal):
            self._end()
            return
        self.begin()

    def end(self) -> None:
        """Stop: the call has ended."""
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()


async def _relay(
    browser: BrowserSocket, upstream: aiohttp.ClientWebSocketResponse[bool], ended: asyncio.Event, at_most: int
) -> None:
    """Forward messages in both directions until one end closes, the session has ended, or the server ends."""
    tasks = {
        asyncio.create_task(_to_upstream(browser, upstream, at_most)),
        asyncio.create_task(_to_browser(upstream, browser)),
        asyncio.create_task(_after(ended.wait(), SocketClosed(POLICY, "the session has ended"))),
        asyncio.create_task(_after(browser.until_ending(), SocketClosed(GOING_AWAY))),
    }
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    closed = next((task.result() for task in done if not task.cancelled() and task.exception() is None), None)
    code, reason = _passed_on(closed or SocketClosed(FAILED))
    # One of them is already closed: closing it again does nothing.
    await asyncio.gather(
        browser.close(code, reason), upstream.close(code=code, message=reason.encode()), return_exceptions=True
    )


async def _to_upstream(
    browser: BrowserSocket, upstream: aiohttp.ClientWebSocketResponse[bool], at_most: int
) -> SocketClosed:
    try:
        while True:
            message = await browser.receive()
            if len(message) > at_most:
                return SocketClosed(TOO_BIG)
            await (upstream.send_str(message) if isinstance(message, str) else upstream.send_bytes(message))
    except SocketClosed as closed:
        return closed


async def _to_browser(upstream: aiohttp.ClientWebSocketResponse[bool], browser: BrowserSocket) -> SocketClosed:
    async for message in upstream:
        if message.type not in {aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY}:
            break  # ERROR: a message that is too large, or malformed
        await browser.send(message.data)
    return SocketClosed(upstream.close_code or FAILED)


async def _after(awaited: Awaitable[object], closed: SocketClosed) -> SocketClosed:
    await awaited
    return closed


def _passed_on(closed: SocketClosed) -> tuple[int, str]:
    """Return a code that may be sent (RFC 6455 §7.4), and the reason."""
    if closed.code in _SENT_CODES:
        return closed.code, closed.reason[:_MAX_REASON]
    # 1005 means a close without a code, and must not be sent; neither may 1006, a connection without a close.
    return (NORMAL if closed.code == NO_CODE else FAILED), ""
