"""The decorator of Starlette: what it can stand on, and WebSockets. That it checks is in test_doors.py."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route, WebSocketRoute

from helpers.apis import BASE, ApiClient, make_server
from passwordless_async.adapters.starlette import AUTHORIZED, protect
from passwordless_async.errors import UsageError

if TYPE_CHECKING:
    from starlette.websockets import WebSocket


async def test_sync_endpoints_and_methods_are_protected() -> None:
    """A sync function runs in a thread, as without the decorator; a method's request is its second argument."""
    server, api = make_server(), ApiClient()

    @protect(server)
    def sync(request: Any) -> PlainTextResponse:
        return PlainTextResponse(request[AUTHORIZED].subject)

    class Things(HTTPEndpoint):
        @protect(server, scopes="read")
        async def get(self, request: Any) -> PlainTextResponse:
            return PlainTextResponse(request[AUTHORIZED].client_id)

    class Callable:
        async def __call__(self, request: Any) -> PlainTextResponse:
            return PlainTextResponse(request[AUTHORIZED].subject)

    routes = [Route("/sync", sync), Route("/things", Things), Route("/object", protect(server)(Callable()))]
    app = Starlette(routes=routes)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE) as client:
        for path, text in (("/sync", "ada"), ("/things", "client"), ("/object", "ada")):
            passed = await client.get(path, headers=api.headers(path))
            assert (passed.status_code, passed.text) == (200, text)
            assert (await client.get(path)).status_code == 401


async def test_an_error_keeps_its_header_fields() -> None:
    """A newer nonce comes to them."""
    api = ApiClient()
    nonces = api.nonces()
    nonce = nonces.issue()

    @protect(make_server(nonces=nonces, clock=api.clock))
    async def fails(_request: Any) -> JSONResponse:
        raise HTTPException(409, headers={"X-Own": "1"})

    api.now += 60
    app = Starlette(routes=[Route("/me", fails)])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE) as client:
        response = await client.get("/me", headers=api.headers(nonce=nonce))
    assert (response.status_code, response.headers["X-Own"]) == (409, "1")
    assert response.headers["DPoP-Nonce"] == nonces.issue() != nonce


@pytest.mark.parametrize("raises", [False, True])
async def test_what_the_endpoint_exposes_stays_exposed(raises: bool) -> None:  # noqa: FBT001 - a table
    """A newer nonce adds to the names that pages of other origins may read."""
    api = ApiClient()
    nonces = api.nonces()
    nonce, own = nonces.issue(), {"Access-Control-Expose-Headers": "X-Own"}

    @protect(make_server(nonces=nonces, clock=api.clock))
    async def endpoint(_request: Any) -> JSONResponse:
        if raises:
            raise HTTPException(409, headers=own)
        return JSONResponse({}, headers=own)

    api.now += 60
    app = Starlette(routes=[Route("/me", endpoint)])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE) as client:
        response = await client.get("/me", headers=api.headers(nonce=nonce))
    assert response.headers["DPoP-Nonce"] == nonces.issue()
    exposed = {name.strip() for name in response.headers["Access-Control-Expose-Headers"].split(",")}
    assert exposed == {"X-Own", "DPoP-Nonce", "WWW-Authenticate"}


async def talk(headers: dict[str, str], *, extensions: dict[str, Any]) -> list[dict[str, Any]]:
    """Connect to a protected WebSocket, and return what was sent."""

    @protect(make_server(), scopes={"read"})
    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_json(websocket[AUTHORIZED].subject)
        await websocket.close()

    sent: list[dict[str, Any]] = []
    pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "websocket", "path": "/talk", "raw_path": b"/talk", "headers": pairs, "extensions": extensions}

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    app = Starlette(routes=[WebSocketRoute("/talk", endpoint)])
    await app({**scope, "scheme": "wss", "query_string": b"", "subprotocols": []}, receive, send)
    return sent


async def test_websockets_are_protected() -> None:
    """The handshake is checked as the GET that it is; refused by a response, where the server can send one."""
    right, wrong = (ApiClient().headers("/talk", scope=scope) for scope in ("read", "write"))
    assert json.loads((await talk(right, extensions={}))[1]["text"]) == "ada"
    assert await talk(wrong, extensions={}) == [
        {"type": "websocket.close", "code": 1008, "reason": "insufficient_scope"}
    ]
    start = (await talk(wrong, extensions={"websocket.http.response": {}}))[0]
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 403)
    assert b"www-authenticate" in dict(start["headers"])


async def test_what_is_no_endpoint_is_refused() -> None:
    """A class is decorated method by method; a function must take the request."""
    decorate: Any = protect(make_server())
    for wrong in (HTTPEndpoint, None):
        with pytest.raises(UsageError, match="endpoint"):
            decorate(wrong)
    with pytest.raises(UsageError, match="endpoint"):
        await decorate(test_what_is_no_endpoint_is_refused)("no request")
