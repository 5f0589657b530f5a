"""A gateway on a real socket with a tenant of its own, and browsers that use it."""

from __future__ import annotations

import asyncio
import html
import re
import socket
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal

import attrs
import uvicorn
from aiohttp import ClientSession, CookieJar, web
from fastapi import FastAPI
from multidict import CIMultiDict, CIMultiDictProxy
from starlette.applications import Starlette
from starlette.routing import Mount
from yarl import URL

from helpers.remote_store import RemoteStore
from passwordless_async import TESTING, Email, PasswordlessClient
from passwordless_async._common import clock as _clock
from passwordless_async.gateway import Gateway, Request
from passwordless_async.testing import LocalTenant, TenantSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

ADA, BOB = Email("ada@example.com"), Email("bob@example.com")
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
JSON = {"Accept": "application/json", "X-CSRF": "1"}

MOUNTS = {"asgi": "", "starlette": "/auth", "fastapi": "/auth", "aiohttp": "/auth", "aiohttp-alone": ""}
"""What a gateway is mounted in, and at which path."""
SUITE = ("asgi", "aiohttp")
"""The mounts that the whole suite runs on."""


@attrs.frozen
class Seen:
    """What a browser shows after a request and the redirects that follow it."""

    status: int
    path: str
    text: str = attrs.field(repr=False)
    headers: Any = attrs.field(repr=False)
    json: Any = attrs.field(repr=False, default=None)

    @property
    def title(self) -> str:
        return self._inside("h1")

    @property
    def alert(self) -> str | None:
        """The text of the page's problem."""
        match = re.search(r'role="alert">(.*?)<', self.text)
        return None if match is None else html.unescape(match[1])

    @property
    def csrf(self) -> str:
        match = re.search(r'name="csrf" value="([^"]*)"', self.text)
        return "" if match is None else html.unescape(match[1])

    @property
    def set_cookies(self) -> dict[str, str]:
        """The names of the cookies that the response sets, each with its field."""
        fields = self.headers.getall("Set-Cookie", [])
        return {field.partition("=")[0]: field for field in fields}

    def _inside(self, tag: str) -> str:
        match = re.search(rf"<{tag}>(.*?)</{tag}>", self.text, re.DOTALL)
        return "" if match is None else html.unescape(match[1])


class Browser:
    """A browser at a site: it keeps cookies, follows redirects, and sends what browsers send."""

    def __init__(self, site: Site, session: ClientSession) -> None:
        self._site = site
        self._session = session

    async def get(self, path: str, headers: dict[str, str] | None = None, *, follow: bool = True) -> Seen:
        return await self.request("GET", path, headers=headers, follow=follow)

    async def post(
        self, path: str, fields: dict[str, str] | None = None, *, headers: dict[str, str] | None = None, **more: Any
    ) -> Seen:
        """Send a form as a page of the site does."""
        given = {"Sec-Fetch-Site": "same-origin", **(headers or {})}
        return await self.request("POST", path, headers=given, data=fields or {}, **more)

    async def call(self, path: str, members: dict[str, Any] | None = None, **more: Any) -> Seen:
        """Post JSON as a script of the site does."""
        return await self.request("POST", path, headers={**JSON, **more}, json={} if members is None else members)

    async def request(
        self, method: str, path: str, *, headers: dict[str, str] | None = None, follow: bool = True, **more: Any
    ) -> Seen:
        url = self._site.origin + self._site.mount + path
        async with self._session.request(method, url, headers=headers, allow_redirects=follow, **more) as response:
            text = await response.text()
            is_json = response.content_type == "application/json" and text
            return Seen(
                response.status,
                response.url.path.removeprefix(self._site.mount),
                text,
                response.headers,
                await response.json() if is_json else None,
            )

    def cookie(self, name: str) -> str | None:
        return next((cookie.value for cookie in self._session.cookie_jar if cookie.key == name), None)

    def set_cookie(self, name: str, value: str) -> None:
        self._session.cookie_jar.update_cookies({name: value}, URL(self._site.origin))

    async def start(self, who: Email = ADA) -> Seen:
        return await self.post("/login", {"identifier": who.address})

    async def log_in(self, who: Email = ADA) -> Seen:
        """Log in: from the login page to where the login ends."""
        await self.get("/login")
        await self.start(who)
        return await self.post("/code", {"code": self._site.code(who)})


@attrs.define
class Clock:
    """The machine's clock, and how many seconds it is ahead of that."""

    ahead: float = 0.0

    def __call__(self) -> float:
        return _clock.now() + self.ahead


@attrs.define
class Site:
    """A site that is served.

    Attributes:
        origin: Its origin.
        mount: The path that the gateway is mounted at.
        tenant: Its tenant.
        client: The gateway's client.
        gateway: The gateway.
        store: The client's store.
        clock: The gateway's wall clock.
    """

    origin: str
    mount: str
    tenant: LocalTenant
    client: PasswordlessClient
    gateway: Gateway
    store: RemoteStore
    clock: Clock
    _stack: AsyncExitStack

    async def browser(self, **headers: str) -> Browser:
        """Open another browser."""
        session = ClientSession(cookie_jar=CookieJar(unsafe=True), headers={"User-Agent": FIREFOX, **headers})
        return Browser(self, await self._stack.enter_async_context(session))

    def code(self, who: Email = ADA) -> str:
        return str(self.tenant.outbox.code_for(who))


def application(gateway: Gateway, kind: str) -> Any:
    """Return the application that a gateway is mounted in."""
    if kind == "starlette":
        return Starlette(routes=[Mount("/auth", gateway.asgi())])
    if kind == "fastapi":
        app = FastAPI()
        app.mount("/auth", gateway.asgi())
        return app
    if kind == "aiohttp":
        web_app = web.Application()
        web_app.add_subapp("/auth", gateway.aiohttp())
        return web_app
    return gateway.aiohttp() if kind == "aiohttp-alone" else gateway.asgi()


@asynccontextmanager
async def served(
    application: Any, listening: socket.socket, *, lifespan: Literal["on", "off"] = "off"
) -> AsyncIterator[None]:
    """Serve an application, of ASGI or aiohttp.web."""
    if isinstance(application, web.Application):
        runner = web.AppRunner(application)
        await runner.setup()
        await web.SockSite(runner, listening).start()
        yield
        await runner.cleanup()
        return
    config = uvicorn.Config(application, log_level="error", lifespan=lifespan, timeout_graceful_shutdown=5)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield
    finally:
        server.should_exit = True
        await task


@asynccontextmanager
async def opened(
    kind: str = "asgi", settings: TenantSettings | None = None, *, profile: Any = TESTING, **options: Any
) -> AsyncIterator[Site]:
    """Serve a gateway, with a tenant of its own."""
    store: Any = RemoteStore()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        origin = f"http://127.0.0.1:{listening.getsockname()[1]}"
        settings = attrs.evolve(settings or TenantSettings(), callback_urls=[f"{origin}{MOUNTS[kind]}/link"])
        async with (
            LocalTenant(settings) as tenant,
            PasswordlessClient(tenant.url, tenant.public_client_id, profile=profile, store=store) as client,
        ):
            clock = Clock()
            gateway = Gateway(client, base_url=origin, clock=clock, **options)
            async with served(application(gateway, kind), listening), AsyncExitStack() as stack:
                yield Site(origin, MOUNTS[kind], tenant, client, gateway, store, clock, stack)
            assert (tenant.stats.presented_again, tenant.disagreements) == (0, ())


def request(
    method: str = "GET",
    path: str = "/login",
    *,
    headers: Sequence[tuple[str, str]] = (),
    query: dict[str, str] | None = None,
    body: bytes = b"",
    mount: str = "",
    peer: str | None = "203.0.113.7",
) -> Request:
    """Return a request value, as a mount makes it."""
    fields = CIMultiDictProxy(CIMultiDict(headers))
    return Request(method=method, mount=mount, path=path, query=query or {}, headers=fields, body=body, peer=peer)
