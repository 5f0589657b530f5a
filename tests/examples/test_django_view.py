"""The Django project of the examples, in a process of its own: a user logs in, and its view calls an API for them."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from aiohttp import ClientSession, CookieJar, web

from helpers import sites
from passwordless_async import Email, MemoryReplayStore, ResourceServer
from passwordless_async.adapters.aiohttp_web import AUTHORIZED, dpop_middleware
from passwordless_async.testing import BOUND_API, LocalTenant

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ADA = Email("ada@example.com")
FOLDER = Path(__file__).parents[2] / "examples" / "django-view"
OWN = {"Sec-Fetch-Site": "same-origin"}

if find_spec("django") is None and "PASSWORDLESS_ASYNC_REQUIRE_SERVERS" not in os.environ:
    pytest.skip("needs Django: pip install django", allow_module_level=True)


def listening() -> tuple[socket.socket, str]:
    """Listen on a port; return its origin as well."""
    taken = socket.create_server(("127.0.0.1", 0))
    return taken, f"http://127.0.0.1:{taken.getsockname()[1]}"


def api(issuer: str, origin: str) -> web.Application:
    """Return an API that accepts bound tokens alone, and tells what they may."""

    async def me(request: web.Request) -> web.Response:
        return web.json_response({"scopes": sorted(request[AUTHORIZED].scopes)})

    server = ResourceServer(issuer=issuer, audience=BOUND_API, base_url=origin, replay=MemoryReplayStore())
    app = web.Application(middlewares=[dpop_middleware(server)])
    app.add_routes([web.get("/me", me)])
    return app


@asynccontextmanager
async def project(site: socket.socket, settings: dict[str, str]) -> AsyncIterator[None]:
    """Run the example: a process has one Django, so it gets its own."""
    options = ["--fd", str(site.fileno()), "--log-level", "warning", "--ws", "none"]
    command = [sys.executable, "-m", "uvicorn", "app:app", "--app-dir", str(FOLDER), *options]
    process = await asyncio.create_subprocess_exec(
        *command, pass_fds=[site.fileno()], env={**os.environ, **settings}, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield
    finally:
        process.terminate()
        _, said = await process.communicate()
    assert said == b""


@pytest.mark.slow
async def test_the_example() -> None:
    """A browser is sent to the login, logs in, returns, and sees what the API says; it gets no token."""
    (site, origin), (behind, api_origin) = listening(), listening()
    with site, behind:
        async with LocalTenant() as tenant, sites.served(api(f"{tenant.url}/", api_origin), behind):
            settings = {"TENANT": tenant.url, "CLIENT_ID": tenant.public_client_id, "SECRET_KEY": "made up"}
            async with (
                project(site, {**settings, "API": api_origin, "SITE": origin}),
                ClientSession(cookie_jar=CookieJar(unsafe=True)) as user,
            ):
                async with user.get(origin) as asked:
                    assert (asked.status, asked.url.path_qs) == (200, "/auth/login?return_to=/")
                async with user.post(f"{origin}/auth/login", data={"identifier": ADA.address}, headers=OWN) as sent:
                    assert (sent.status, sent.url.path) == (200, "/auth/code")
                code = {"code": tenant.outbox.code_for(ADA)}
                async with user.post(f"{origin}/auth/code", data=code, headers=OWN) as home:
                    assert (home.status, home.url.path) == (200, "/")
                    shown = await home.json()
                assert shown == {
                    "hello": ADA.address,
                    "api": {"scopes": ["email", "offline_access", "openid", "profile"]},
                }
            assert tenant.disagreements == ()
