"""The gateway as a process, with a tenant and a service, and browsers at it."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from aiohttp import ClientSession, CookieJar, web

from helpers.pipes import piped
from helpers.sites import FIREFOX, Browser, served
from passwordless_async.cli.app import run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path
    from subprocess import Popen

    from passwordless_async.testing import LocalTenant


@attrs.define
class Program:
    """A gateway that runs as a process."""

    process: Popen[str]
    url: str
    said: str = ""

    def until(self, text: str, *, out: bool = False) -> str:
        """Read lines of standard error, or of standard output, until one has a text; return that line."""
        return line_with(self.process, text, out=out)

    @asynccontextmanager
    async def browser(self, tenant: LocalTenant | None = None) -> AsyncIterator[Browser]:
        """Open a browser."""
        async with browser_at(self.url, tenant) as opened:
            yield opened


def line_with(process: Popen[str], text: str, *, out: bool = False) -> str:
    """Read lines until one has a text; return it."""
    stream = piped(process.stdout if out else process.stderr)
    while text not in (line := stream.readline()):
        assert line, f"ended without {text!r}, {process.poll()}"
    return line.rstrip("\n")


@asynccontextmanager
async def browser_at(url: str, tenant: LocalTenant | None = None) -> AsyncIterator[Browser]:
    """Open a browser at a site; its codes are the tenant's."""
    site: Any = SimpleNamespace(
        origin=url, mount="", code=lambda who: None if tenant is None else tenant.outbox.code_for(who)
    )
    async with ClientSession(cookie_jar=CookieJar(unsafe=True), headers={"User-Agent": FIREFOX}) as session:
        yield Browser(site, session)


@pytest.fixture
def gateway(started: Callable[..., Popen[str]], tenant: LocalTenant) -> Callable[..., Program]:
    """Return a function that starts a gateway of the tenant, with further flags."""

    def start(*flags: str, first: str = "", script: str | None = None) -> Program:
        required = ("--domain", tenant.url, "--client-id", tenant.public_client_id, "--base-url", "http://127.0.0.1")
        process = started("gateway", *required, "--port", "0", *flags, script=script)
        said = line_with(process, first) if first else ""
        return Program(process, line_with(process, "Listening on ").removeprefix("Listening on "), said)

    return start


@pytest.fixture
def two_workers(gateway: Callable[..., Program], redis_url: str, tmp_path: Path) -> Callable[..., Program]:
    """Return what starts a gateway of two workers on one store; their numbers are read from what it says."""
    keys = tmp_path / "keys.json"
    assert run(["sessions", "keys", str(keys)]) == 0

    def start(*flags: str, **more: str) -> Program:
        shared = ("--workers", "2", "--store", redis_url, "--keys", str(keys), "--access-log", "off")
        return gateway(*shared, *flags, **more)

    return start


@attrs.define
class Service:
    """A service behind the gateway: it answers ``/slow`` when it is released.

    ``/events`` is a stream of events that does not end, ``/socket`` a WebSocket; ``closed`` has the codes of its ends.
    """

    url: str
    arrived: asyncio.Event = attrs.field(factory=asyncio.Event)
    released: asyncio.Event = attrs.field(factory=asyncio.Event)
    closed: asyncio.Queue[int | None] = attrs.field(factory=asyncio.Queue)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Say who asks."""
        if request.path == "/socket":
            return await self._talk(request)
        if request.path == "/events":
            return await self._tell(request)
        if request.path == "/slow":
            self.arrived.set()
            await self.released.wait()
        scheme = request.headers.get("Authorization", "none").partition(" ")[0]
        return web.json_response({"path": request.path, "scheme": scheme, "proof": "DPoP" in request.headers})

    async def _talk(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data)
        self.closed.put_nowait(socket.close_code)
        return socket

    async def _tell(self, request: web.Request) -> web.StreamResponse:
        events = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await events.prepare(request)
        await events.write(b"data: 1\n\n")
        await self.released.wait()
        return events


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    """Serve a service."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        made = Service(f"http://127.0.0.1:{bound.getsockname()[1]}")
        app = web.Application()
        app.router.add_get("/{path:.*}", made.answer)
        async with served(app, bound):
            yield made
            made.released.set()


@pytest.fixture(autouse=True)
def environment_without_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave no setting in the environment."""
    for name in [name for name in os.environ if name.startswith("PASSWORDLESS_ASYNC_")]:
        if name != "PASSWORDLESS_ASYNC_REQUIRE_SERVERS":
            monkeypatch.delenv(name)
