"""The gateway as an ASGI application: for Starlette, FastAPI, Quart, Django and others."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import attrs
from multidict import CIMultiDict, CIMultiDictProxy

from passwordless_async._common.asgi import Message, Receive, Scope, Send, mount_of, raw_path, root_path
from passwordless_async.gateway.framing import framing_of
from passwordless_async.gateway.messages import MAX_BODY_BYTES, Request
from passwordless_async.gateway.mounts.disconnects import DisconnectWatch
from passwordless_async.gateway.proxy.messages import (
    NO_CODE,
    POLICY,
    BrowserGone,
    ProxiedRequest,
    SocketClosed,
    target_of,
)
from passwordless_async.gateway.queries import read_query

if TYPE_CHECKING:
    from collections.abc import Iterable

    from passwordless_async.gateway.messages import Handle
    from passwordless_async.gateway.proxy.messages import ProxiedResponse
    from passwordless_async.gateway.proxy_handling import ProxyHandler


class ASGIGateway:
    """An ASGI application (ASGI 3)."""

    def __init__(self, handle: Handle, proxy: ProxyHandler | None = None) -> None:
        self._handle = handle
        self._proxy = proxy
        self._disconnects = DisconnectWatch()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] == "lifespan":
            await _confirm(receive, send)
            return
        headers = _headers(scope)
        if framing_of(headers) is None:
            await _refuse_framing(scope, receive, send)
            return
        target = None if self._proxy is None else _target(scope)
        if self._proxy is not None and target is not None and self._proxy.serves(target[0]):
            await self._pass_on(self._proxy, _proxied_request(scope, target, headers, receive), scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, headers, receive, send)
        else:
            await _refuse_handshake(receive, send)

    async def _answer(self, scope: Scope, headers: CIMultiDictProxy[str], receive: Receive, send: Send) -> None:
        body = await _body(receive)
        if body is None:
            return
        request = _request(scope, headers, body)
        _hide_query(scope)
        response = await self._handle(request)
        fields = _encode(response.headers, "latin-1")
        fields.append((b"content-length", str(len(response.body)).encode()))
        await send({"type": "http.response.start", "status": int(response.status), "headers": fields})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else response.body})

    async def _pass_on(
        self, proxy: ProxyHandler, request: ProxiedRequest, scope: Scope, receive: Receive, send: Send
    ) -> None:
        if isinstance(request.body, _Body) and not request.socket:
            with self._disconnects.of(request.body.until_gone):
                await _exchange(proxy, request, send)
            return
        await receive()  # websocket.connect: nothing may be sent before it
        refusal = await proxy.connect(request, _Socket(receive, send))
        if refusal is not None:
            await _refuse(refusal, scope, send)


def _request(scope: Scope, headers: CIMultiDictProxy[str], body: bytes) -> Request:
    return Request(
        method=scope["method"],
        mount=mount_of(scope),
        # By the ASGI specification, the path includes the mount; older servers and frameworks differ.
        path=scope["path"].removeprefix(root_path(scope)) or "/",
        query=read_query(scope.get("query_string", b"")),
        headers=headers,
        body=body,
        peer=_peer(scope),
    )


def _hide_query(scope: Scope) -> None:
    """Remove the query after it has been read: it may contain a code, and servers log it after the response."""
    scope["query_string"] = b""


def _peer(scope: Scope) -> str | None:
    client = scope.get("client")
    return client[0] if client else None


def _headers(scope: Scope) -> CIMultiDictProxy[str]:
    pairs = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])
    return CIMultiDictProxy(CIMultiDict(pairs))


def _encode(headers: Iterable[tuple[str, str]], encoding: str = "utf-8") -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(encoding), value.encode(encoding)) for name, value in headers]


async def _body(receive: Receive) -> bytes | None:
    """Return the body, or the beginning of one that is too large; None if the browser has gone."""
    parts, size = [], 0
    while size <= MAX_BODY_BYTES:
        message = await receive()
        if message["type"] != "http.request":
            return None
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if not message.get("more_body"):
            break
    return b"".join(parts)


async def _confirm(receive: Receive, send: Send) -> None:
    """Confirm the lifespan events, without doing anything: the parent application opens the client."""
    while (await receive())["type"] != "lifespan.shutdown":
        await send({"type": "lifespan.startup.complete"})
    await send({"type": "lifespan.shutdown.complete"})


def _target(scope: Scope) -> tuple[str, str] | None:
    """Return the path below the mount and the query, as they came; None if the path is not below it."""
    root, query = root_path(scope), scope.get("query_string", b"").decode("latin-1")
    path = raw_path(scope).partition("?")[0]
    return target_of(f"{path}?{query}", mount_of(scope) if scope["path"].startswith(root) else "")


def _proxied_request(
    scope: Scope, target: tuple[str, str], headers: CIMultiDictProxy[str], receive: Receive
) -> ProxiedRequest:
    is_socket = scope["type"] == "websocket"
    return ProxiedRequest(
        method="GET" if is_socket else scope["method"],
        mount=mount_of(scope),
        path=target[0],
        query=target[1],
        headers=headers,
        peer=_peer(scope),
        body=_Body(receive),
        unframed=str(scope.get("http_version", "1.1")).startswith(("2", "3")),
        socket=is_socket,
        protocols=tuple(scope.get("subprotocols") or ()),
    )


async def _exchange(proxy: ProxyHandler, request: ProxiedRequest, send: Send) -> None:
    response = await proxy.forward(request)
    if response is None:
        return
    try:
        await _send(response, "http.response", send)
    finally:
        await response.aclose()


async def _send(response: ProxiedResponse, kind: str, send: Send) -> None:
    await send({"type": f"{kind}.start", "status": response.status, "headers": _encode(response.headers)})
    last = b""
    if isinstance(response.body, bytes):
        last = response.body
    else:
        async for piece in response.body:
            await send({"type": f"{kind}.body", "body": piece, "more_body": True})
    await send({"type": f"{kind}.body", "body": last})


async def _refuse_framing(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await _refuse_handshake(receive, send)
        return
    _hide_query(scope)
    # Closed: the next bytes on the connection may be a part of this request.
    headers = [(b"connection", b"close"), (b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 400, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


async def _refuse_handshake(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.close", "code": POLICY})


async def _refuse(response: ProxiedResponse, scope: Scope, send: Send) -> None:
    if "websocket.http.response" not in (scope.get("extensions") or ()):
        # Before the handshake is accepted, a server turns this into a 403.
        await send({"type": "websocket.close", "code": POLICY})
        return
    await _send(response, "websocket.http.response", send)


class _Body:
    """A request's body as a server delivers it; a piece that arrives while the connection is watched is kept."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._lock = asyncio.Lock()
        self._ahead: Message | None = None
        self._is_free = asyncio.Event()  # nothing is kept
        self._is_free.set()
        self._ended = False

    async def read(self) -> bytes:
        while not self._ended:
            async with self._lock:
                message = await self._receive() if self._ahead is None else self._ahead
                self._ahead = None
                self._is_free.set()
            if message["type"] != "http.request":
                raise BrowserGone
            self._ended = not message.get("more_body")
            piece: bytes = message.get("body", b"")
            if piece:
                return piece
        return b""

    async def until_gone(self) -> None:
        while True:
            await self._is_free.wait()
            async with self._lock:
                message = await self._receive()
                if message["type"] == "http.disconnect":
                    return
                if not self._ended:
                    self._ahead = message
                    self._is_free.clear()


@attrs.frozen
class _Socket:
    """The browser's end of a WebSocket."""

    _receive: Receive
    _send: Send

    async def accept(self, protocol: str | None, at_most: int) -> None:
        del at_most  # only a server's own setting bounds what it collects
        await self._send({"type": "websocket.accept", "subprotocol": protocol})

    async def until_ending(self) -> None:
        # Servers of ASGI close WebSockets by themselves.
        await asyncio.get_running_loop().create_future()

    async def receive(self) -> str | bytes:
        message = await self._receive()
        if message["type"] != "websocket.receive":
            raise SocketClosed(message.get("code") or NO_CODE, message.get("reason") or "")
        text: str | None = message.get("text")
        data: bytes = message.get("bytes") or b""
        return data if text is None else text

    async def send(self, message: str | bytes) -> None:
        await self._send({"type": "websocket.send", ("text" if isinstance(message, str) else "bytes"): message})

    async def close(self, code: int, reason: str) -> None:
        await self._send({"type": "websocket.close", "code": code, "reason": reason})
