"""The configuration of nginx on the page about deployment, tried: a login, calls, streams, and a gateway that goes."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
from contextlib import AsyncExitStack, asynccontextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import aiohttp
import attrs
import pytest
from aiohttp.abc import AbstractResolver
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from helpers import sites
from helpers.pages import DOCS, blocks_of
from helpers.ports import is_open
from helpers.redis_fixtures import lacks
from helpers.upstreams import READ, Api
from passwordless_async import MemoryReplayStore, PasswordlessClient, ResourceServer
from passwordless_async.gateway import Gateway, Upstream
from passwordless_async.testing import BOUND_API, LocalTenant
from passwordless_async.testing.certificates import ThrowAwayCa

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from passwordless_async.gateway import AuditEvent

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/bin")
PAGE = DOCS / "how-to" / "gateway-deploy.md"
NAME = "app.example"
MAIN = """\
daemon off;
master_process off;
pid {folder}/pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    {temporary}
    include {folder}/site.conf;
}}
"""

pytestmark = pytest.mark.slow


class Here(AbstractResolver):
    """Every name is this machine."""

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[Any]:
        facts = {"family": family, "proto": 0, "flags": socket.AI_NUMERICHOST}
        return [{"hostname": host, "host": "127.0.0.1", "port": port, **facts}]

    async def close(self) -> None:
        """Do nothing."""


@attrs.define
class Front:
    """A site behind nginx: two gateways, and an API behind them.

    Attributes:
        origin: The site.
        plain: The same without TLS.
        browser: A browser that trusts the site's certificate.
        http: Its connections.
        api: The API.
        told: What the gateways told their audit log.
        gateways: What closes each gateway.
    """

    origin: str
    plain: str
    browser: sites.Browser
    http: aiohttp.ClientSession
    api: Api
    told: list[AuditEvent]
    gateways: list[AsyncExitStack]


def _listening() -> tuple[socket.socket, int]:
    made = socket.create_server(("127.0.0.1", 0))
    return made, int(made.getsockname()[1])


def _free_port() -> int:
    made, port = _listening()
    made.close()
    return port


def _write(folder: Path, ca: ThrowAwayCa, places: dict[str, str]) -> Path:
    """Write the page's configuration; nothing but its places is another."""
    (text,) = [block.text for block in blocks_of(PAGE) if block.language == "nginx"]
    for place, here in {**places, "/etc/nginx/app.": f"{folder}/app."}.items():
        assert place in text
        text = text.replace(place, here)
    certificate = ca.issue(NAME, hosts=[NAME])
    (folder / "app.crt").write_bytes(certificate.pem)
    (folder / "app.key").write_bytes(bytes(certificate.key_pem))
    (folder / "site.conf").write_text(text, encoding="utf-8")
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "\n".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    main = folder / "nginx.conf"
    main.write_text(MAIN.format(folder=folder, temporary=temporary), encoding="utf-8")
    return main


@asynccontextmanager
async def _nginx(main: Path, port: int) -> AsyncIterator[None]:
    command = [str(NGINX), "-p", str(main.parent), "-e", "stderr", "-c", str(main)]
    checked = await asyncio.to_thread(subprocess.run, [*command, "-t"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
    try:
        while not await is_open(port):
            assert process.returncode is None
        yield
    finally:
        process.terminate()
        await process.wait()


def _with_health(gateway: Gateway) -> Starlette:
    """Answer health checks, as the command does."""

    async def healthy(_request: Any) -> PlainTextResponse:
        return PlainTextResponse("ok")

    checks = [Route(path, healthy) for path in ("/healthz", "/readyz")]
    return Starlette(routes=[*checks, Mount("/", gateway.asgi())])


@pytest.fixture(autouse=True)
def program() -> None:
    """Skip the tests for want of nginx, or fail them where servers are required."""
    if NGINX is None:
        lacks("there is no nginx; Debian: apt-get install nginx")


@pytest.fixture
async def front(tmp_path: Path) -> AsyncIterator[Front]:
    """Serve a site behind nginx, with the page's configuration."""
    (api_socket, api_port), (first, first_port), (second, second_port) = (_listening() for _ in range(3))
    port, plain_port, ca, told = _free_port(), _free_port(), ThrowAwayCa(), list[Any]()
    origin, behind = f"https://{NAME}:{port}", f"http://127.0.0.1:{api_port}"
    places = {"listen 443 ssl": f"listen 127.0.0.1:{port} ssl", "listen 80;": f"listen 127.0.0.1:{plain_port};"}
    places |= {"127.0.0.1:8001": f"127.0.0.1:{first_port}", "127.0.0.1:8002": f"127.0.0.1:{second_port}"}
    async with AsyncExitStack() as stack:
        tenant = await stack.enter_async_context(LocalTenant())
        client = await stack.enter_async_context(PasswordlessClient(tenant.url, tenant.public_client_id))
        api = Api()
        server = ResourceServer(
            issuer=client.issuer, audience=BOUND_API, base_url=behind, replay=MemoryReplayStore(), nonces=api.nonces
        )
        await stack.enter_async_context(sites.served(api.application(server), api_socket))
        gateways = []
        for listening in (first, second):
            gateway = Gateway(
                client,
                base_url=origin,
                audience=BOUND_API,
                upstreams=[Upstream("/api/", behind)],
                trusted_proxies=1,
                on_audit=told.append,
            )
            own = await stack.enter_async_context(AsyncExitStack())
            await own.enter_async_context(sites.served(_with_health(gateway), listening))
            gateways.append(own)
        await stack.enter_async_context(_nginx(_write(tmp_path, ca, places), port))
        connector = aiohttp.TCPConnector(resolver=Here(), ssl=ca.client_context())
        http = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        site: Any = SimpleNamespace(origin=origin, mount="", code=tenant.outbox.code_for)
        yield Front(origin, f"http://{NAME}:{plain_port}", sites.Browser(site, http), http, api, told, gateways)


async def test_a_login_and_calls(front: Front) -> None:
    """Cookies are those of https, paths go on as they came, and an address that a browser claims counts nothing."""
    browser, api = front.browser, front.api
    spoofed = {"X-Forwarded-For": "203.0.113.9"}
    await browser.get("/login")
    await browser.post("/login", {"identifier": sites.ADA.address}, headers=spoofed)
    home = await browser.log_in()
    assert (home.status, home.title) == (200, "You are signed in")
    assert browser.cookie("__Host-session") is not None
    called = await browser.get("/api/a%20b?x=%C3%A4&y", {**READ, **spoofed})
    assert (called.status, called.json["target"]) == (200, "/a%20b?x=%C3%A4&y")
    assert (await browser.get("/api/a%2Fb", READ)).status == 400
    headers = api.seen[0][2]
    assert f"{headers['X-Forwarded-Proto']}://{headers['X-Forwarded-Host']}" == front.origin
    assert "203.0.113.9" not in f"{headers} {front.told}"
    assert len(front.told) > 1


async def test_streams(front: Front) -> None:
    """A response arrives before its end, and WebSockets work."""
    await front.browser.log_in()
    async with front.http.get(f"{front.origin}/api/halves", headers=READ) as response:
        assert await response.content.readexactly(6) == b"first,"
        front.api.go.set()
        assert await response.content.read() == b"second"
    async with front.http.ws_connect(f"{front.origin}/api/socket", origin=front.origin) as ws:
        await ws.send_str("hello")
        assert (await ws.receive_str()).endswith(": hello")


async def test_what_is_not_for_the_internet(front: Front) -> None:
    """Health checks are not there, and plain http leads to https."""
    for path in ("/healthz", "/readyz"):
        assert (await front.browser.get(path)).status == 404
    async with front.http.get(f"{front.plain}/login?return_to=/a", allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (308, f"https://{NAME}/login?return_to=/a")


async def test_a_gateway_that_goes(front: Front) -> None:
    """Sessions and calls go on at the other one."""
    await front.browser.log_in()
    await front.gateways[0].aclose()
    seen = [(await front.browser.get(f"/api/{number}", READ)).status for number in range(4)]
    assert seen == [200] * 4
