"""The Django project of the examples, in a process of its own: a user logs in, and its view calls an API for them."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest
from aiohttp import ClientSession, CookieJar

from helpers import sites
from helpers.examples import ADA, EXAMPLES, api, log_in
from helpers.ports import listening
from passwordless_async.testing import LocalTenant

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator

    from passwordless_async import Authorized

FOLDER = EXAMPLES / "django-view"

if find_spec("django") is None and "PASSWORDLESS_ASYNC_REQUIRE_SERVERS" not in os.environ:
    pytest.skip("needs Django: pip install django", allow_module_level=True)


def scopes(authorized: Authorized) -> object:
    return {"scopes": sorted(authorized.scopes)}


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
        async with LocalTenant() as tenant, sites.served(api(f"{tenant.url}/", api_origin, scopes), behind):
            settings = {"AUTH0_DOMAIN": tenant.url, "CLIENT_ID": tenant.public_client_id, "SECRET_KEY": "made up"}
            async with (
                project(site, {**settings, "API": api_origin, "SITE": origin}),
                ClientSession(cookie_jar=CookieJar(unsafe=True)) as user,
            ):
                home, shown = await log_in(user, origin, tenant)
                assert (home.status, home.url.path) == (200, "/")
                assert shown == {
                    "hello": ADA.address,
                    "api": {"scopes": ["email", "offline_access", "openid", "profile"]},
                }
            assert tenant.disagreements == ()
