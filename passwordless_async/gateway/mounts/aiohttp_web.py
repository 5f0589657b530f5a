"""The gateway as an application of aiohttp.web: ``app.add_subapp("/auth", gateway.aiohttp())``, or run alone."""

from __future__ import annotations

import asyncio
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import unquote

import attrs
from aiohttp import ClientError, HttpVersion11, WSMsgType, web
from multidict import CIMultiDict, CIMultiDictProxy

from passwordless_async.gateway.framing import framing_of
from passwordless_async.gateway.messages import MAX_BODY_BYTES, Request
from passwordless_async.gateway.mounts.disconnects import DisconnectWatch
from passwordless_async.gateway.mounts.server_log import filter_server_log, hide_query
from passwordless_async.gateway.mounts.shutdown import Shutdown
from passwordless_async.gateway.proxy.messages import (
    NO_CODE,
    BrowserGone,
    ProxiedRequest,
    SocketClosed,
    UpstreamBroke,
    target_of,
)
from passwordless_async.gateway.queries import read_query

if TYPE_CHECKING:
    from passwordless_async.gateway.messages import Handle
    from passwordless_async.gateway.proxy.messages import ProxiedResponse
    from passwordless_async.gateway.proxy_handling import ProxyHandler

_BELOW = "/{below}"
_POLL_SECONDS = 0.5  # between two checks whether the browser is connected
_HEARTBEAT_SECONDS = 30.0  # between two pings of a WebSocket
_ANYTHING = r"/{below:[\s\S]*}"


def application(handle: Handle, proxy: ProxyHandler | None = None) -> web.Application:
    """Return the application."""
    disconnects, shutdown = DisconnectWatch(), Shutdown()

    async def answer(request: web.Request) -> web.StreamResponse:
        if framing_of(request.headers) is None:
            return _refusal(request)
        mount = _mount(request)
        target = None if proxy is None else target_of(request.raw_path, mount)
        if proxy is not None and target is not None and proxy.serves(target[0]):
            proxied = _proxied_request(request, mount, target)
            if proxied.socket:
                return await _connect(proxy, shutdown, request, proxied)
            with disconnects.of(partial(_until_gone, request)):
                return await _exchange(proxy, shutdown, request, proxied)
            return web.Response()  # is not sent: the browser has gone
        body = await _body(request)
        if body is None:
            return _refusal(request)
        asked = _request(request, mount, body)
        hide_query(request)
        response = await handle(asked)
        return web.Response(status=int(response.status), headers=CIMultiDict(response.headers), body=response.body)

    app = web.Application()
    app.cleanup_ctx.append(filter_server_log)
    app.on_startup.append(shutdown.reset)
    app.on_shutdown.append(shutdown.begin)
    app.router.add_route("*", _ANYTHING, answer, expect_handler=_meet)
    # The path that it is mounted at, without a slash: nothing is below it.
    app.router.add_route("*", "", answer, expect_handler=_meet)
    return app


async def _meet(request: web.Request) -> None:
    """Ask for the body if the browser waits for that (RFC 9110 §10.1.1).

    aiohttp's own handler quotes any other expectation in its response, and fails if it cannot be encoded.
    """
    if request.headers.get("Expect", "").lower() != "100-continue":
        raise web.HTTPExpectationFailed
    if request.version == HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # of the response, which comes after it


def _refusal(request: web.Request) -> web.Response:
    """Return the response to a request that cannot be read."""
    hide_query(request)
    refusal = web.Response(status=HTTPStatus.BAD_REQUEST)
    # Closed: the next bytes on the connection may be a part of this request.
    refusal.force_close()
    return refusal


def _mount(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return "" if resource is None else resource.canonical.removesuffix(_BELOW).rstrip("/")


def _request(request: web.Request, mount: str, body: bytes) -> Request:
    return Request(
        method=request.method,
        mount=mount,
        path=request.path.removeprefix(unquote(mount)) or "/",
        query=read_query(request.rel_url.raw_query_string.encode("utf-8", "surrogateescape")),
        headers=request.headers,
        body=body,
        peer=request.remote,
    )


async def _body(request: web.Request) -> bytes | None:
    """Return the body, or the beginning of one that is too large; None if its encoding is wrong."""
    parts, size = [], 0
    if not request.body_exists:
        return b""
    try:
        # Not request.read(): the application decides its bound, and the response to a larger body.
        async for part in request.content.iter_any():
            parts.append(part)
            size += len(part)
            if size > MAX_BODY_BYTES:
                break
    except web.RequestPayloadError:
        return None
    return b"".join(parts)


def _proxied_request(request: web.Request, mount: str, target: tuple[str, str]) -> ProxiedRequest:
    is_socket = request.method == "GET" and request.headers.get("Upgrade", "").lower() == "websocket"
    return ProxiedRequest(
        method=request.method,
        mount=mount,
        path=target[0],
        query=target[1],
        headers=_headers(request),
        peer=request.remote,
        body=_Body(request),
        socket=is_socket,
        protocols=_protocols(request) if is_socket else (),
    )


async def _connect(
    proxy: ProxyHandler, shutdown: Shutdown, request: web.Request, proxied: ProxiedRequest
) -> web.StreamResponse:
    # With the protocols, or aiohttp logs that it would choose none.
    if not web.WebSocketResponse(protocols=proxied.protocols).can_prepare(request):
        return _refusal(request)
    socket = _Socket(request, shutdown.begun)
    refusal = await proxy.connect(proxied, socket)
    return socket.response if refusal is None else await _write(request, refusal)


async def _exchange(
    proxy: ProxyHandler, shutdown: Shutdown, request: web.Request, proxied: ProxiedRequest
) -> web.StreamResponse:
    response = await proxy.forward(proxied)
    if response is None:
        return web.Response()
    if isinstance(response.body, bytes):
        return await _write(request, response)
    with shutdown.of_stream(response.headers, request.transport):
        return await _write(request, response)


async def _write(request: web.Request, response: ProxiedResponse) -> web.StreamResponse:
    if isinstance(response.body, bytes):
        # Header fields and body are sent at once, by the server.
        return web.Response(status=response.status, headers=response.headers, body=response.body)
    answer = web.StreamResponse(status=response.status, headers=CIMultiDict(response.headers))
    try:
        await answer.prepare(request)
        async for piece in response.body:
            await answer.write(piece)
        await answer.write_eof()
    except ConnectionError:
        pass  # the browser has gone
    except UpstreamBroke:
        # The browser must not treat the partial response as complete.
        if request.transport is not None:
            request.transport.abort()
    finally:
        await response.aclose()
    return answer


def _headers(request: web.Request) -> CIMultiDictProxy[str]:
    """Return the header fields; the server has decoded a body that was encoded."""
    coding = vars(request)["_message"].compression  # no public name says what was decoded
    if coding is None:
        return request.headers
    headers = CIMultiDict(request.headers)
    headers.popall("Content-Encoding", None)
    if headers.popall("Content-Length", None):
        headers["Transfer-Encoding"] = "chunked"
    return CIMultiDictProxy(headers)


def _protocols(request: web.Request) -> tuple[str, ...]:
    offered = ",".join(request.headers.getall("Sec-WebSocket-Protocol", []))
    return tuple(name.strip() for name in offered.split(",") if name.strip())


async def _until_gone(request: web.Request) -> None:
    # By default, aiohttp does not tell a handler that the browser has gone, and it has no event for it.
    while True:
        if request.transport is None or request.transport.is_closing():
            return
        await asyncio.sleep(_POLL_SECONDS)


@attrs.frozen
class _Body:
    """A request's body."""

    _request: web.Request

    async def read(self) -> bytes:
        try:
            return await self._request.content.readany()
        except (ConnectionError, ClientError, web.RequestPayloadError):
            raise BrowserGone from None


class _Socket:
    """The browser's end of a WebSocket."""

    def __init__(self, request: web.Request, shutdown: asyncio.Event) -> None:
        self._request = request
        self._shutdown = shutdown
        self.response = web.WebSocketResponse()

    async def accept(self, protocol: str | None, at_most: int) -> None:
        self.response = web.WebSocketResponse(
            protocols=() if protocol is None else (protocol,),
            heartbeat=_HEARTBEAT_SECONDS,
            max_msg_size=at_most + 1,  # aiohttp refuses a message of that size
        )
        await self.response.prepare(self._request)

    async def until_ending(self) -> None:
        await self._shutdown.wait()

    async def receive(self) -> str | bytes:
        message = await self.response.receive()
        if message.type in {WSMsgType.TEXT, WSMsgType.BINARY}:
            data: str | bytes = message.data
            return data
        reason = message.extra if message.type is WSMsgType.CLOSE and isinstance(message.extra, str) else ""
        raise SocketClosed(self.response.close_code or NO_CODE, reason)

    async def send(self, message: str | bytes) -> None:
        await (self.response.send_str(message) if isinstance(message, str) else self.response.send_bytes(message))

    async def close(self, code: int, reason: str) -> None:
        await self.response.close(code=code, message=reason.encode())
