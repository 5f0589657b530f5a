"""The applications with a gateway of the examples, on loopback: a user logs in, and calls the API behind them."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from aiohttp import ClientSession, CookieJar

from helpers import sites
from helpers.examples import ADA, EXAMPLES, OWN, api, load, log_in
from helpers.ports import listening
from passwordless_async.testing import LocalTenant

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from passwordless_async import Authorized

GATEWAYS = ("fastapi-gateway", "aiohttp-gateway")


def subject(authorized: Authorized) -> object:
    return {"subject": authorized.subject}


@asynccontextmanager
async def served(name: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[str, LocalTenant]]:
    """Run an example with a tenant and an API; yield its origin and the tenant."""
    (site, origin), (behind, api_origin) = listening(), listening()
    with site, behind:
        async with LocalTenant() as tenant, sites.served(api(f"{tenant.url}/", api_origin, subject), behind):
            settings = {
                "AUTH0_DOMAIN": tenant.url,
                "CLIENT_ID": tenant.public_client_id,
                "API": api_origin,
                "SITE": origin,
            }
            for key, value in settings.items():
                monkeypatch.setenv(key, value)
            async with sites.served(load(name).app, site, lifespan="on"):
                yield origin, tenant


@pytest.mark.parametrize("name", GATEWAYS)
async def test_a_login_and_a_call(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user is sent to the login, logs in, returns, and calls the API; the browser sees no token."""
    async with served(name, monkeypatch) as (origin, tenant), ClientSession(cookie_jar=CookieJar(unsafe=True)) as user:
        home, shown = await log_in(user, origin, tenant)
        assert (home.status, home.url.path, shown) == (200, "/", {"hello": ADA.address})
        async with user.get(f"{origin}/auth/api/me", headers=OWN) as called:
            assert (called.status, list(await called.json())) == (200, ["subject"])
        assert tenant.disagreements == ()


@pytest.mark.parametrize("name", GATEWAYS)
def test_lines(name: str) -> None:
    """An application with a gateway is at most 25 lines; imports and docstrings count, blank lines do not."""
    text = (EXAMPLES / name / "app.py").read_text(encoding="utf-8")
    assert len([line for line in text.splitlines() if line.strip()]) <= 25
