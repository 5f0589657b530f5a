"""``/healthz`` and ``/readyz``: what they say, and how often they ask."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from helpers.remote_store import RemoteStore
from passwordless_async import TESTING, PasswordlessClient
from passwordless_async.cli.gateway import health
from passwordless_async.testing import Fault, LocalTenant

if TYPE_CHECKING:
    import pytest

    from conftest import Clock

STORE = "The store is unreachable: no user can log in, and no session can be read."
KEYS = "The tenant's signing keys could not be fetched: no user can log in."


async def below(_request: web.Request) -> web.Response:
    return web.Response(text="below", status=404)


async def seen(client: PasswordlessClient, method: str, path: str) -> tuple[int, str]:
    """Return what an application with health answers."""
    app = web.Application(middlewares=[health.Health(client).middleware()])
    app.router.add_route("*", "/{path:.*}", below)
    async with TestClient(TestServer(app)) as http, http.request(method, path) as response:
        return response.status, await response.text()


async def test_ready() -> None:
    """Both say so; other paths and methods are the application's."""
    async with LocalTenant() as tenant, PasswordlessClient(tenant.url, tenant.public_client_id) as client:
        assert await seen(client, "GET", "/healthz") == (200, "Ready.\n")
        assert await seen(client, "GET", "/readyz") == (200, "Ready.\n")
        assert await seen(client, "HEAD", "/readyz") == (200, "")
        assert await seen(client, "POST", "/readyz") == (404, "below")
        assert await seen(client, "GET", "/readyz/") == (404, "below")


async def test_store_and_keys(clock: Clock) -> None:
    """A sentence for each that is missing; the process is alive all the same. Keys that are known serve on."""
    store: Any = RemoteStore()
    store.is_unreachable = True
    async with (
        LocalTenant() as tenant,
        PasswordlessClient(tenant.url, tenant.public_client_id, store=store, profile=TESTING) as client,
    ):
        tenant.faults.add(Fault.SERVICE_UNAVAILABLE, path="/.well-known/jwks.json")
        checked = health.Health(client)
        assert await checked.problems() == (STORE, KEYS)
        assert (await seen(client, "GET", "/healthz"))[0] == 200
        assert await seen(client, "GET", "/readyz") == (503, f"{STORE}\n{KEYS}\n")
        tenant.faults.clear()
        store.is_unreachable = False
        assert await checked.problems() == (STORE, KEYS)  # found a moment ago
        clock.time += 1.0
        assert await checked.problems() == ()
        tenant.faults.add(Fault.SERVICE_UNAVAILABLE, path="/.well-known/jwks.json")
        clock.time += 1.0
        assert await checked.problems() == ()


async def test_a_crowd_asks_once() -> None:
    """However many probes there are, the store is asked once."""
    store: Any = RemoteStore()
    async with (
        LocalTenant() as tenant,
        PasswordlessClient(tenant.url, tenant.public_client_id, store=store) as client,
    ):
        checked = health.Health(client)
        assert await asyncio.gather(*(checked.problems() for _ in range(50))) == [()] * 50
        assert store.asked.count("ping") == 1


async def test_a_store_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer comes all the same."""
    monkeypatch.setattr(health, "_PATIENCE_SECONDS", 0.01)
    store: Any = RemoteStore()
    async with (
        LocalTenant() as tenant,
        PasswordlessClient(tenant.url, tenant.public_client_id, store=store) as client,
    ):
        await client.fetch_signing_keys()
        store.hold("ping")
        assert await health.Health(client).problems() == (STORE,)
