"""Forwards calls to upstreams: the session cookie identifies the user, and each call gets a token and a proof.

Invariants:

- A call uses only the tokens of the session that its cookie names; the cookie is not forwarded.
- Tokens are renewed through the store, and challenges answered, before the browser gets a response.
- Bodies are streamed, never collected. When the browser disconnects, the upstream's connection is closed.
- A stream ends soon after its session.
- No error quotes the upstream, or reveals its URL.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING

import aiohttp

from passwordless_async._common import clock as _clock
from passwordless_async.auth0.tokens import owner_of
from passwordless_async.errors import UseDPoPNonce
from passwordless_async.gateway.demands import demands_of, is_in_vain
from passwordless_async.gateway.proxy import fields
from passwordless_async.gateway.proxy.admission import Refusal, admit, is_navigation
from passwordless_async.gateway.proxy.failures import Failure
from passwordless_async.gateway.proxy.messages import ProxiedRequest, ProxiedResponse, UpstreamBroke
from passwordless_async.gateway.proxy.pool import UpstreamPool
from passwordless_async.gateway.proxy.session_watch import SessionWatch
from passwordless_async.gateway.proxy.uploads import Deadline, Upload
from passwordless_async.gateway.proxy.websockets import relay
from passwordless_async.gateway.user_address import user_address_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping

    from passwordless_async._common.secret import Secret
    from passwordless_async.client.api.user_session import UserSession
    from passwordless_async.client.client import PasswordlessClient
    from passwordless_async.gateway.cookies import Cookies
    from passwordless_async.gateway.framing import Framing
    from passwordless_async.gateway.proxy.messages import BrowserSocket
    from passwordless_async.gateway.proxy.upstream import Upstream
    from passwordless_async.gateway.settings import Settings

_HEARTBEAT_SECONDS = 30.0  # between two pings of a WebSocket; proxies between close a silent one after a minute
_CLOSE_SECONDS = 2.0  # that the other end may take to confirm the close of a WebSocket
_PROTOCOL = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,200}")  # RFC 6455 §4.1: a token
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
        self._pools = tuple(UpstreamPool(upstream) for upstream in upstreams)

    def serves(self, path: str) -> bool:
        """Return whether a path below the mount, as it came, goes to an upstream."""
        return any(pool.upstream.is_above(path) for pool in self._pools)

    def _pool_of(self, path: str) -> UpstreamPool:
        return next(pool for pool in self._pools if pool.upstream.is_above(path))

    async def forward(self, request: ProxiedRequest) -> ProxiedResponse:
        """Forward a call, and return the response when it begins.

        Raises:
            Refusal: Nothing was sent, or there was no response, or the upstream refuses a login that another could not
                improve.
            StepUpNeeded: The upstream demands a newer or a stronger login.
            PasswordlessError: The session has ended, or its tokens could not be read or renewed.
            BrowserGone: The browser closed its connection.
        """
        pool = self._pool_of(request.path)
        upstream = pool.upstream
        framing = admit(request, origin=self._origin, at_most=upstream.max_request_bytes, prefix=upstream.prefix)
        session = self._session_of(request)
        async with self._client.sessions.api(session, origins=[upstream.origin]) as api:
            pool.setup.require_scopes(api.tokens.scope or "", self._settings.scope)
            release = pool.traffic.enter(session, owner_of(api.tokens))
            try:
                response = await self._send(pool, request, framing, api)
                pool.setup.note_token(response.status, api.tokens.access_token, self._settings.audience)
                await self._look_at_demands(pool, request, response, session)
            except BaseException:
                release()
                raise
        headers = tuple(self._response_fields(upstream, request, response))
        whole = _whole(response, upstream)
        if whole is not None:
            response.release()
            release()
            return ProxiedResponse(response.status, headers, whole)
        watch = SessionWatch(self._client, session, response.close)
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
        pool = self._pool_of(request.path)
        upstream = pool.upstream
        admit(request, origin=self._origin, at_most=upstream.max_request_bytes, prefix=upstream.prefix)
        session = self._session_of(request)
        async with self._client.sessions.api(session, origins=[upstream.origin]) as api:
            pool.setup.require_scopes(api.tokens.scope or "", self._settings.scope)
            release = pool.socket_traffic.enter(session, owner_of(api.tokens))
            try:
                async with self._socket(pool, request, api.middleware) as socket:
                    await browser.accept(socket.protocol, upstream.max_message_bytes)
                    ended = asyncio.Event()
                    watch = SessionWatch(self._client, session, ended.set)
                    watch.begin()
                    try:
                        await relay(browser, socket, ended, upstream.max_message_bytes)
                    finally:
                        watch.end()
            finally:
                release()

    async def aclose(self) -> None:
        """Close the connections to all upstreams; the next call opens new ones."""
        await asyncio.gather(*(pool.aclose() for pool in self._pools))

    def _session_of(self, request: ProxiedRequest) -> Secret:
        session = self._cookies.session_of(request.headers)
        if session is None:
            raise Refusal("signed_out", HTTPStatus.UNAUTHORIZED)
        return session

    def _request_fields(self, pool: UpstreamPool, request: ProxiedRequest) -> list[tuple[str, str]]:
        """Return the header fields of a call, without token and proof."""
        upstream, base = pool.upstream, self._settings.base_url
        address = user_address_of(request, self._settings.trusted_proxies)
        return [
            *fields.of_request(request.headers, upstream.headers),
            *fields.forwarded(address, base.scheme, self._host, f"{request.mount}{upstream.prefix}".rstrip("/")),
        ]

    async def _send(
        self, pool: UpstreamPool, request: ProxiedRequest, framing: Framing, api: UserSession
    ) -> aiohttp.ClientResponse:
        upstream, upload = pool.upstream, None
        failure: Failure
        try:
            async with asyncio.timeout(upstream.timeout) as timeout:
                if framing.has_body and request.body is not None:
                    deadline, is_trusted = Deadline(timeout, upstream.timeout), pool.is_trusted
                    upload = Upload(request.body, framing.length, upstream, deadline, is_trusted=is_trusted)
                response = await pool.http(self._client).request(
                    request.method,
                    upstream.target(request.path, request.query),
                    headers=self._request_fields(pool, request),
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
                pool.note_status(response.status)
                return response
            response.close()
            failure = Failure.of_status(response.status)
        if upload is not None and upload.failure is not None:
            raise upload.failure
        pool.failures.report(failure)
        raise failure.refusal

    async def _look_at_demands(
        self, pool: UpstreamPool, request: ProxiedRequest, response: aiohttp.ClientResponse, session: Secret
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
        pool.setup.warn_in_vain(demands)
        raise Refusal("login_not_enough", HTTPStatus.FORBIDDEN)

    @asynccontextmanager
    async def _socket(
        self, pool: UpstreamPool, request: ProxiedRequest, middleware: aiohttp.ClientMiddlewareType
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse[bool]]:
        upstream, failure = pool.upstream, None
        async with pool.for_socket(self._client, middleware) as http:
            try:
                async with asyncio.timeout(upstream.timeout):
                    socket = await http.ws_connect(
                        upstream.target(request.path, request.query),
                        headers=self._request_fields(pool, request),
                        protocols=[name for name in request.protocols if _PROTOCOL.fullmatch(name)],
                        timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSE_SECONDS),
                        heartbeat=_HEARTBEAT_SECONDS,
                        max_msg_size=upstream.max_message_bytes + 1,  # aiohttp refuses a message of that size
                    )
            except _FAILURES as error:
                failure = Failure.of(error)
            if failure is not None:
                pool.failures.report(failure)
                raise failure.refusal
            try:
                yield socket
            finally:
                await socket.close()

    def _response_fields(
        self, upstream: Upstream, request: ProxiedRequest, response: aiohttp.ClientResponse
    ) -> Iterable[tuple[str, str]]:
        """Yield the header fields of a response, the length of a body among them."""
        for name, value in fields.of_response(response.headers, upstream.response_headers, cookies=self._own_cookies):
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
