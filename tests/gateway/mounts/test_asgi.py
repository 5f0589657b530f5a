"""The gateway as an ASGI application: alone, and in Starlette and FastAPI."""

from __future__ import annotations

from typing import Any

import pytest

from helpers import sites
from passwordless_async.gateway import Request, Response
from passwordless_async.gateway.mounts.asgi import ASGIGateway


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
