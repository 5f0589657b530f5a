"""The applications of ``examples/``, as a test runs them: they are no packages."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web

from passwordless_async import Email, MemoryReplayStore, ResourceServer
from passwordless_async.adapters.aiohttp_web import AUTHORIZED, dpop_middleware
from passwordless_async.testing import BOUND_API

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import ClientResponse, ClientSession

    from passwordless_async import Authorized
    from passwordless_async.testing import LocalTenant

EXAMPLES = Path(__file__).parents[2] / "examples"
ADA = Email("ada@example.com")
OWN = {"Sec-Fetch-Site": "same-origin"}


def load(example: str, module: str = "app") -> Any:
    """Import a module of an example, anew."""
    name = f"{example}_{module}".replace("-", "_")
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / example / f"{module}.py")
    assert spec is not None
    assert spec.loader is not None
    sys.modules[name] = loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def api(issuer: str, origin: str, shown: Callable[[Authorized], object]) -> web.Application:
    """Return an API that accepts bound tokens alone, and shows something of the one that it was called with."""

    async def me(request: web.Request) -> web.Response:
        return web.json_response(shown(request[AUTHORIZED]))

    server = ResourceServer(issuer=issuer, audience=BOUND_API, base_url=origin, replay=MemoryReplayStore())
    app = web.Application(middlewares=[dpop_middleware(server)])
    app.add_routes([web.get("/me", me)])
    return app


async def log_in(user: ClientSession, origin: str, tenant: LocalTenant) -> tuple[ClientResponse, Any]:
    """Open a site's page, which asks for a login, log in, and return to it; return its response and its JSON."""
    async with user.get(origin) as asked:
        assert (asked.status, asked.url.path_qs) == (200, "/auth/login?return_to=/")
    async with user.post(f"{origin}/auth/login", data={"identifier": ADA.address}, headers=OWN) as sent:
        assert (sent.status, sent.url.path) == (200, "/auth/code")
    code = {"code": tenant.outbox.code_for(ADA)}
    async with user.post(f"{origin}/auth/code", data=code, headers=OWN) as home:
        return home, await home.json()
