"""The gateway as an ASGI application: alone, and in Starlette and FastAPI."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from helpers import sites
from passwordless_async.gateway import Request, Response
from passwordless_async.gateway.mounts.asgi import ASGIGateway, _Body
from passwordless_async.gateway.proxy.messages import ProxiedRequest, ProxiedResponse


@pytest.mark.parametrize("kind", ["asgi", "starlette", "fastapi"])
async def test_a_login_wherever_it_is_mounted(kind: str) -> None:
    """At the root, or at a path: links and redirects stay below it, the cookies are the site's."""
    async with sites.opened(kind) as site:
        browser = await site.browser()
        home = await browser.log_in()
        assert (home.status, home.path) == (200, "/")
        assert f'action="{site.mount}/logout"' in home.text
        assert (await browser.post("/logout")).path == "/logged-out"


async def run(scope: dict[str, Any], *messages: dict[str, Any]) -> tuple[list[Request], list[Any]]:
    """Run the application with messages; return the requests that it handled and what it sent."""
    waiting, handled, sent = list(messages), [], []

    async def handle(request: Request) -> Response:
        handled.append(request)
        return Response(200, (("X-A", "é"),), b"body")

    async def receive() -> dict[str, Any]:
        return waiting.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    given = {"type": "http", "method": "GET", "path": "/login", "headers": [], "query_string": b"", **scope}
    await ASGIGateway(handle)(given, receive, send)
    return handled, sent


def part(body: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


@pytest.mark.parametrize(
    ("root", "path", "mount", "below"),
    [
        ("", "/login", "", "/login"),
        ("/auth", "/auth/login", "/auth", "/login"),
        ("/auth/", "/auth/login", "/auth", "/login"),
        ("/auth", "/login", "/auth", "/login"),
        ("/auth", "/auth", "/auth", "/"),
        ("/é\r\n", "/é\r\n/login", "/%C3%A9%0D%0A", "/login"),
    ],
)
async def test_paths(root: str, path: str, mount: str, below: str) -> None:
    """The mount is encoded, for it stands in ``Location``; the path is what is below it."""
    (request,), _ = await run({"root_path": root, "path": path}, part(b""))
    assert (request.mount, request.path) == (mount, below)


async def test_a_request_and_its_response() -> None:
    """As they are; a HEAD has no body, and the length of one."""
    scope = {"method": "HEAD", "client": ("203.0.113.7", 1), "headers": [(b"a", b"1"), (b"a", b"2")]}
    (request,), (start, body) = await run({**scope, "query_string": b"a=1"}, part(b"x", more=True), part(b"y"))
    assert (request.body, request.peer, request.headers.getall("A"), request.query) == (
        b"xy",
        "203.0.113.7",
        ["1", "2"],
        {"a": "1"},
    )
    assert start["headers"] == [(b"x-a", "é".encode("latin-1")), (b"content-length", b"4")]
    assert body["body"] == b""


async def test_a_large_body_is_not_read_to_its_end() -> None:
    """One byte more than is allowed tells."""
    (request,), _ = await run({}, part(b"a" * 70_000, more=True))
    assert len(request.body) == 70_000


async def test_a_browser_that_has_gone() -> None:
    """Its request is not handled."""
    assert await run({"method": "POST"}, part(b"code=1", more=True), {"type": "http.disconnect"}) == ([], [])


async def test_what_is_no_request() -> None:
    """A WebSocket is refused; a life of its own is confirmed, and nothing more."""
    _, refused = await run({"type": "websocket"}, {"type": "websocket.connect"})
    assert refused == [{"type": "websocket.close", "code": 1008}]
    _, confirmed = await run({"type": "lifespan"}, {"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
    assert [message["type"] for message in confirmed] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


AMBIGUOUS = [(b"content-length", b"1"), (b"transfer-encoding", b"chunked")]


async def test_a_request_whose_end_is_ambiguous() -> None:
    """It is refused (RFC 9112 §6.3), its connection closed, and the query not logged; nothing of its body is read."""
    scope: dict[str, Any] = {"headers": AMBIGUOUS, "query_string": b"code=1"}
    handled, (start, body) = await run(scope)
    assert (handled, start["status"], body["body"]) == ([], 400, b"")
    assert (b"connection", b"close") in start["headers"]
    _, refused = await run({"type": "websocket", "headers": AMBIGUOUS}, {"type": "websocket.connect"})
    assert refused == [{"type": "websocket.close", "code": 1008}]


class Upstream:
    """What stands behind a gateway's paths: it refuses each WebSocket, and answers no call whose browser has gone."""

    def serves(self, path: str) -> bool:
        return path.startswith("/api")

    async def forward(self, request: ProxiedRequest) -> None:
        del request

    async def connect(self, request: ProxiedRequest, socket: object) -> ProxiedResponse:
        del request, socket
        return ProxiedResponse(403, (("X-A", "b"),), b"no")


async def passed_on(scope: dict[str, Any], *messages: dict[str, Any]) -> list[Any]:
    """Run the application before an upstream; return what it sent."""
    waiting, sent = list(messages), []

    async def receive() -> dict[str, Any]:
        if not waiting:
            await asyncio.get_running_loop().create_future()
        return waiting.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    async def handle(_request: Request) -> Response:
        raise AssertionError

    upstream: Any = Upstream()
    given = {"path": "/api", "headers": [], "query_string": b"", **scope}
    await ASGIGateway(handle, upstream)(given, receive, send)
    return sent


async def test_a_refused_websocket() -> None:
    """By a whole response where the server can send one; by a close before the handshake where it cannot."""
    connect = {"type": "websocket.connect"}
    assert await passed_on({"type": "websocket"}, connect) == [{"type": "websocket.close", "code": 1008}]
    able = {"type": "websocket", "extensions": {"websocket.http.response": {}}}
    start, body = await passed_on(able, connect)
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 403)
    assert (body["type"], body["body"]) == ("websocket.http.response.body", b"no")


async def test_a_call_without_an_answer() -> None:
    """Its browser has gone: nothing is sent."""
    assert await passed_on({"type": "http", "method": "GET"}, part(b"")) == []


async def test_a_piece_that_arrives_while_the_connection_is_watched() -> None:
    """It is kept, in order, and nothing is read after it until it is taken."""
    waiting = [part(b"a", more=True), part(b"b"), {"type": "http.disconnect"}]

    async def receive() -> dict[str, Any]:
        return waiting.pop(0)

    body = _Body(receive)
    watch = asyncio.create_task(body.until_gone())
    for _ in range(10):
        await asyncio.sleep(0)
    assert (len(waiting), watch.done()) == (2, False)
    assert [await body.read(), await body.read(), await body.read()] == [b"a", b"b", b""]
    await watch
    assert waiting == []
