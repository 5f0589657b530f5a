"""Tenants with settings of the test's own, and a bare client for them."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from helpers.tenant_wire import ABSENT, Wire
from passwordless_async.testing import LocalTenant, TenantSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from ssl import SSLContext

    from helpers.tenant_wire import Opener

pytest_plugins = ["passwordless_async.testing.plugin"]


@pytest.fixture
async def wire_for() -> AsyncIterator[Opener]:
    """Open tenants with settings of the test's own."""
    async with contextlib.AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())

        async def open_tenant(*, ssl: SSLContext | None = None, **settings: Any) -> Wire:
            tenant = await stack.enter_async_context(LocalTenant(TenantSettings(**settings), ssl=ssl))
            return Wire(tenant, session)

        yield open_tenant


@pytest.fixture
def absent() -> Any:
    """Stand for a member that a test takes away."""
    return ABSENT


@pytest.fixture
async def wire(wire_for: Opener) -> Wire:
    """Open a tenant with the default settings."""
    return await wire_for()


@pytest.fixture
async def warm(wire: Wire) -> Wire:
    """Open a tenant, have a code sent to Ada and learn a nonce."""
    await wire.start()
    await wire.exchange(otp="000")
    wire.tenant.requests.clear()
    return wire
