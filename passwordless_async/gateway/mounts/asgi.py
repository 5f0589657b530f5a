"""The gateway as an ASGI application: for Starlette, FastAPI, Quart, Django and others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from multidict import CIMultiDict, CIMultiDictProxy

from passwordless_async.gateway.messages import MAX_BODY_BYTES, Request
from passwordless_async.gateway.queries import read_query

if TYPE_CHECKING:
    from passwordless_async.gateway.messages import Handle

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class ASGIGateway:
    """An ASGI application (ASGI 3)."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await _refuse(scope, receive, send)
            return
        body = await _body(receive)
        if body is None:
            return
        response = await self._handle(_request(scope, body))
        headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in response.headers]
        headers.append((b"content-length", str(len(response.body)).encode()))
        await send({"type": "http.response.start", "status": int(response.status), "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else response.body})


def _request(scope: Scope, body: bytes) -> Request:
    mount, path = scope.get("root_path", "").rstrip("/"), scope["path"]
    client = scope.get("client")
    pairs = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])
    return Request(
        method=scope["method"],
        mount=quote(mount),
        # ASGI: the path has the mount in it; servers and frameworks before that did not agree.
        path=path.removeprefix(mount) or "/",
        query=read_query(scope.get("query_string", b"")),
        headers=CIMultiDictProxy(CIMultiDict(pairs)),
        body=body,
        peer=client[0] if client else None,
    )


async def _body(receive: Receive) -> bytes | None:
    """Return the body, of one that is too large the beginning; None if the browser has gone."""
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


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008})
    elif scope["type"] == "lifespan":
        # A mounted application has no life of its own.
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
