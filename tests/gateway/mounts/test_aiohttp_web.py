"""The gateway as an application of aiohttp.web: alone, and below a path."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web

from helpers import sites
from passwordless_async.gateway import Response
from passwordless_async.gateway.messages import MAX_BODY_BYTES
from passwordless_async.gateway.mounts.aiohttp_web import application

if TYPE_CHECKING:
    from passwordless_async.gateway import Request


@pytest.mark.parametrize("kind", ["aiohttp", "aiohttp-alone"])
async def test_a_login_wherever_it_is_mounted(kind: str) -> None:
    """At the root, or at a path: links and redirects stay below it, the cookies are the site's."""
    async with sites.opened(kind) as site:
        browser = await site.browser()
        home = await browser.log_in()
        assert (home.status, home.path) == (200, "/")
        assert f'action="{site.mount}/logout"' in home.text
        assert (await browser.post("/logout")).path == "/logged-out"


async def handled(prefix: str, method: str, path: str, **more: Any) -> tuple[Request, Any, bytes]:
    """Return the request value that an application makes of a request, and the response."""
    seen: list[Request] = []

    async def handle(request: Request) -> Response:
        seen.append(request)
        return Response(201, (("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("Content-Type", "text/x")), b"body")

    outer = app = application(handle)
    for part in reversed(prefix.split("/")[1:]):
        outer = web.Application(client_max_size=10)
        outer.add_subapp(f"/{part}", app)
        app = outer
    with socket.create_server(("127.0.0.1", 0)) as listening:
        async with sites.served(outer, listening), aiohttp.ClientSession() as session:
            url = f"http://127.0.0.1:{listening.getsockname()[1]}{path}"
            async with session.request(method, url, **more) as response:
                return seen[0], response, await response.read()


@pytest.mark.parametrize(
    ("prefix", "path", "mount", "below"),
    [
        ("", "/login", "", "/login"),
        ("", "/", "", "/"),
        ("/auth", "/auth/login", "/auth", "/login"),
        ("/auth", "/auth/", "/auth", "/"),
        ("/auth", "/auth", "/auth", "/"),
        ("/a/b", "/a/b/login", "/a/b", "/login"),
        ("/auth", "/auth/a%0d%0ab", "/auth", "/a\r\nb"),
    ],
)
async def test_paths(prefix: str, path: str, mount: str, below: str) -> None:
    """The path is what is below the mount, decoded."""
    request, _, _ = await handled(prefix, "GET", path)
    assert (request.mount, request.path) == (mount, below)


async def test_a_request_and_its_response() -> None:
    """As they are; a bound of the application around it does not count."""
    request, response, body = await handled("/auth", "POST", "/auth/code?a=1&b=2&b=3", data=b"x" * 100)
    assert (request.method, request.body, request.peer, request.query) == ("POST", b"x" * 100, "127.0.0.1", {"a": "1"})
    assert (response.status, response.headers.getall("Set-Cookie"), body) == (201, ["a=1", "b=2"], b"body")
    assert response.headers["Content-Type"] == "text/x"


async def test_head() -> None:
    """No body, and the length of one."""
    _, response, body = await handled("", "HEAD", "/login")
    assert (response.headers["Content-Length"], body) == ("4", b"")


async def test_a_large_body_is_not_read_to_its_end() -> None:
    """A response comes although the request goes on."""
    end = asyncio.Event()

    async def endless() -> Any:
        yield b"a" * (MAX_BODY_BYTES + 1)
        await end.wait()

    async with asyncio.timeout(10):
        request, response, _ = await handled("", "POST", "/login", data=endless())
    end.set()
    assert (len(request.body) > MAX_BODY_BYTES, response.status) == (True, 201)


async def test_a_body_that_waits_for_leave_is_asked_for() -> None:
    """RFC 9110 §10.1.1: 100, and the response after it."""
    request, response, _ = await handled("", "POST", "/login", data=b"a=1", expect100=True)
    assert (request.body, response.status) == (b"a=1", 201)


@pytest.mark.parametrize("expectation", [b"x", b"\xff", b"100-c\xed\xa0\x80ntinue"])
async def test_another_expectation_is_refused(expectation: bytes) -> None:
    """RFC 9110 §10.1.1: by 417, without its text, which need not be any that a response can have."""

    async def handle(_request: Request) -> Response:
        raise AssertionError

    with socket.create_server(("127.0.0.1", 0)) as listening:
        async with sites.served(application(handle), listening):
            reader, writer = await asyncio.open_connection(*listening.getsockname())
            writer.write(b"GET /login HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: " + expectation + b"\r\n\r\n")
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            writer.close()
    assert head.startswith(b"HTTP/1.1 417 ")
    assert body == b"417: Expectation Failed"
