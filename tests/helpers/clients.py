"""A client with a tenant of its own, and what tests of several calls at once wait for."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import attrs

from passwordless_async import (
    TESTING,
    ClientSecretPost,
    Email,
    PasswordlessClient,
    Policy,
)
from passwordless_async.testing import Fault, LocalTenant, TenantSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

ADA, BOB = Email("ada@example.com"), Email("bob@example.com")
START, TOKEN = "/passwordless/start", "/oauth/token"
SCOPE = "openid offline_access"
PATIENT = Policy(tries=3, patience=10.0, backoff=0.0, backoff_at_most=0.0, outlasts_outages=True)


@asynccontextmanager
async def opened(
    settings: TenantSettings | None = None, *, confidential: bool = False, **options: Any
) -> AsyncIterator[tuple[LocalTenant, PasswordlessClient]]:
    """Run a tenant, and a client that knows its nonce and its keys; options are the profile's, or the client's."""
    given: dict[str, Any] = {
        name: options.pop(name) for name in ("on_event", "on_orphan", "store", "nonces") if name in options
    }
    async with LocalTenant(settings) as tenant:
        client_id = tenant.public_client_id
        if confidential:
            client_id, secret = tenant.confidential_client
            given["client_auth"] = ClientSecretPost(secret)
        profile = attrs.evolve(TESTING, **options)
        async with PasswordlessClient(tenant.url, client_id, profile=profile, **given) as client:
            warm = Email("warm@example.com")
            await client.start(warm)
            await client.exchange(warm, tenant.outbox.code_for(warm), scope="openid")
            tenant.requests.clear()
            yield tenant, client
        assert (tenant.stats.presented_again, tenant.disagreements) == (0, ())


async def until(condition: Callable[[], object]) -> None:
    """Give the loop turns until something is so; bounded, so that a defect fails instead of hanging."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - tenant and client say it by nothing else
            await asyncio.sleep(0.001)


def arrived(tenant: LocalTenant, path: str) -> int:
    return sum(request.path == path for request in tenant.requests)


async def kept_waiting(
    tenant: LocalTenant, call: Coroutine[Any, Any, Any], path: str = TOKEN
) -> tuple[asyncio.Task[Any], asyncio.Event]:
    """Begin a call and let its request be processed; the answer waits for the event."""
    answer = asyncio.Event()
    tenant.faults.add(Fault.SLOW, path=path, until=answer, times=1)
    task = asyncio.create_task(call)
    await until(lambda: arrived(tenant, path))
    return task, answer


async def cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
