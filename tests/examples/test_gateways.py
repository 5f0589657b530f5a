"""The applications with a gateway of the examples, on loopback: a user logs in, and calls the API behind them."""

from __future__ import annotations

import importlib.util
import socket
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import ClientSession, CookieJar, web

from helpers import sites
from passwordless_async import Email, MemoryReplayStore, ResourceServer
from passwordless_async.adapters.aiohttp_web import AUTHORIZED, dpop_middleware
from passwordless_async.testing import BOUND_API, LocalTenant

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ADA = Email("ada@example.com")
EXAMPLES = Path(__file__).parents[2] / "examples"
GATEWAYS = ("fastapi-gateway", "aiohttp-gateway")
OWN = {"Sec-Fetch-Site": "same-origin"}


def load(name: str) -> Any:
    """Import the application of an example, which is no package."""
    spec = importlib.util.spec_from_file_location(name.replace("-", "_"), EXAMPLES / name / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def listening() -> tuple[socket.socket, str]:
    """Listen on a port; return its origin as well."""
    taken = socket.create_server(("127.0.0.1", 0))
    return taken, f"http://127.0.0.1:{taken.getsockname()[1]}"


def api(issuer: str, origin: str) -> web.Application:
    """Return an API that accepts bound tokens alone, and tells whose they are."""

    async def me(request: web.Request) -> web.Response:
        return web.json_response({"subject": request[AUTHORIZED].subject})

    server = ResourceServer(issuer=issuer, audience=BOUND_API, base_url=origin, replay=MemoryReplayStore())
    app = web.Application(middlewares=[dpop_middleware(server)])
    app.add_routes([web.get("/me", me)])
    return app


@asynccontextmanager
async def served(name: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[str, LocalTenant]]:
    """Run an example with a tenant and an API; yield its origin and the tenant."""
    (site, origin), (behind, api_origin) = listening(), listening()
    with site, behind:
        async with LocalTenant() as tenant, sites.served(api(f"{tenant.url}/", api_origin), behind):
            settings = {"TENANT": tenant.url, "CLIENT_ID": tenant.public_client_id, "API": api_origin, "SITE": origin}
            for key, value in settings.items():
                monkeypatch.setenv(key, value)
            async with sites.served(load(name).app, site, lifespan="on"):
                yield origin, tenant


@pytest.mark.parametrize("name", GATEWAYS)
async def test_a_login_and_a_call(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user is sent to the login, logs in, returns, and calls the API; the browser sees no token."""
    async with served(name, monkeypatch) as (origin, tenant), ClientSession(cookie_jar=CookieJar(unsafe=True)) as user:
        async with user.get(origin) as asked:
            assert (asked.status, asked.url.path_qs) == (200, "/auth/login?return_to=/")
        async with user.post(f"{origin}/auth/login", data={"identifier": ADA.address}, headers=OWN) as sent:
            assert (sent.status, sent.url.path) == (200, "/auth/code")
        code = {"code": tenant.outbox.code_for(ADA)}
        async with user.post(f"{origin}/auth/code", data=code, headers=OWN) as home:
            assert (home.status, home.url.path, await home.json()) == (200, "/", {"hello": ADA.address})
        async with user.get(f"{origin}/auth/api/me", headers=OWN) as called:
            assert (called.status, list(await called.json())) == (200, ["subject"])
        assert tenant.disagreements == ()


@pytest.mark.parametrize("name", GATEWAYS)
def test_lines(name: str) -> None:
    """An application with a gateway is at most 25 lines; imports and docstrings count, blank lines do not."""
    text = (EXAMPLES / name / "app.py").read_text(encoding="utf-8")
    assert len([line for line in text.splitlines() if line.strip()]) <= 25
