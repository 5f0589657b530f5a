"""A protected API behind a gateway, on a socket of its own: what it saw, and what it does is up to the test."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import attrs
from aiohttp import WSMsgType, web

from helpers import sites
from passwordless_async import MemoryReplayStore, NonceIssuer, ResourceServer
from passwordless_async._common import clock as _clock
from passwordless_async.adapters.aiohttp_web import AUTHORIZED, dpop_middleware, protect
from passwordless_async.gateway import Upstream
from passwordless_async.testing import BOUND_API, MULTI_FACTOR

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import aiohttp

    from helpers.sites import Browser, Site
    from passwordless_async.gateway.proxy.pool import UpstreamPool
    from passwordless_async.testing import TenantSettings

READ = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}
"""What a browser says of a script's call."""


@attrs.define(eq=False)
class Api:
    """The API.

    Attributes:
        seen: The requests that were let through: method, target as it came, header fields.
        bodies: Their bodies.
        left: Released by each call of ``/wait`` and ``/halves`` that was cancelled.
        ahead: Seconds that the clock of its nonces is ahead.
        reached: Set when a call of ``/wait`` has begun.
        go: Lets ``/wait`` and ``/halves`` go on.
        answer: What ``/answer`` returns, if the test says.
    """

    ahead: float = 0.0
    nonces: NonceIssuer = attrs.field(init=False)
    seen: list[tuple[str, str, Any]] = attrs.field(factory=list)
    bodies: list[bytes] = attrs.field(factory=list)
    subjects: list[str] = attrs.field(factory=list)
    left: asyncio.Semaphore = attrs.field(factory=lambda: asyncio.Semaphore(0))
    reached: asyncio.Event = attrs.field(factory=asyncio.Event)
    go: asyncio.Event = attrs.field(factory=asyncio.Event)
    answer: Callable[[web.Request], web.StreamResponse] = attrs.field(default=lambda _request: web.Response())
    statuses: list[int] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.nonces = NonceIssuer(clock=lambda: _clock.now() + self.ahead)

    def application(self, server: ResourceServer) -> web.Application:
        @web.middleware
        async def counting(request: web.Request, handler: Any) -> web.StreamResponse:
            response: web.StreamResponse = await handler(request)
            self.statuses.append(response.status)
            return response

        app = web.Application(middlewares=[counting, dpop_middleware(server)], client_max_size=1 << 30)
        for path in ("wait", "halves", "large", "socket", "answer", "count"):
            app.router.add_route("*", f"/{path}", getattr(self, f"_{path}"))
        app.router.add_route("*", "/fresh", protect(server, max_age=300)(self._echo))
        app.router.add_route("*", "/strong", protect(server, acr_values=MULTI_FACTOR)(self._echo))
        app.router.add_route("*", "/{rest:.*}", self._echo)
        return app

    def _note(self, request: web.Request) -> None:
        self.seen.append((request.method, request.raw_path, request.headers))
        self.subjects.append(request[AUTHORIZED].subject)

    async def _echo(self, request: web.Request) -> web.StreamResponse:
        self._note(request)
        body = await request.read()
        self.bodies.append(body)
        return web.json_response({"sub": request[AUTHORIZED].subject, "target": request.raw_path, "size": len(body)})

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self._note(request)
        return self.answer(request)

    async def _wait(self, request: web.Request) -> web.StreamResponse:
        self._note(request)
        self.reached.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.left.release()
            raise
        return web.Response(text="waited")

    async def _halves(self, request: web.Request) -> web.StreamResponse:
        """Send a first half, and the second when it may go on."""
        self._note(request)
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first,")
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.left.release()
            raise
        await response.write(b"second")
        return response

    async def _count(self, request: web.Request) -> web.StreamResponse:
        """Read a body piece by piece; tell when the first has come."""
        self._note(request)
        size = 0
        async for piece in request.content.iter_any():
            self.reached.set()
            size += len(piece)
        return web.json_response({"size": size})

    async def _large(self, request: web.Request) -> web.StreamResponse:
        self._note(request)
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(int(request.query["pieces"])):
            await response.write(b"x" * 65_536)
        return response

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        """Echo; ``close`` closes with a code of its own."""
        self._note(request)
        ws = web.WebSocketResponse(protocols=("chat",))
        await ws.prepare(request)
        async for message in ws:
            if message.type is WSMsgType.TEXT and message.data == "close":
                await ws.close(code=4001, message=b"done")
            elif message.type is WSMsgType.TEXT:
                await ws.send_str(f"{request[AUTHORIZED].subject}: {message.data}")
            else:
                await ws.send_bytes(message.data)
        self.statuses.append(ws.close_code or 0)
        self.reached.set()
        return ws


@attrs.define
class Front:
    """A site with a gateway before an API."""

    site: Site
    api: Api
    server: ResourceServer

    @property
    def pool(self) -> UpstreamPool:
        """The gateway's connections to the API."""
        proxy = self.site.gateway._proxy
        assert proxy is not None
        return proxy._forwarding._pools[0]

    def url(self, path: str) -> str:
        """Return the URL of a path of the API, as a browser calls it."""
        return f"{self.site.origin}{self.site.mount}/api{path}"

    async def logged_in(self, who: Any = sites.ADA) -> Browser:
        browser = await self.site.browser()
        await browser.log_in(who)
        return browser


@asynccontextmanager
async def opened(
    kind: str = "asgi",
    settings: TenantSettings | None = None,
    *,
    upstream: dict[str, Any] | None = None,
    server: dict[str, Any] | None = None,
    **options: Any,
) -> AsyncIterator[Front]:
    """Serve an API, and a gateway before it with the prefix ``/api/``; ``server`` says more about the API's tokens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        origin = f"http://127.0.0.1:{listening.getsockname()[1]}"
        # Browsers, gateway and API share a loop: on a busy machine it may need seconds to see that it is connected.
        given = {"connect_timeout": 60.0, **(upstream or {})}
        upstreams = [Upstream("/api/", origin, **given), *options.pop("more", ())]
        async with AsyncExitStack() as stack:
            site = await stack.enter_async_context(
                sites.opened(kind, settings, upstreams=upstreams, **{"audience": BOUND_API, **options})
            )
            api = Api()
            checks = ResourceServer(
                issuer=site.client.issuer,
                audience=BOUND_API,
                base_url=origin,
                replay=MemoryReplayStore(),
                nonces=api.nonces,
                **(server or {}),
            )
            runner = web.AppRunner(api.application(checks), handler_cancellation=True, shutdown_timeout=1)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.SockSite(runner, listening).start()
            yield Front(site, api, checks)


def http_of(browser: Browser) -> aiohttp.ClientSession:
    """Return the session of a browser, for what it has no method for: streams and WebSockets."""
    return browser._session


def problem(seen: Any) -> tuple[int, str]:
    """Return the status of a refusal, and its key."""
    return seen.status, json.loads(seen.text)["problem"]["key"]
