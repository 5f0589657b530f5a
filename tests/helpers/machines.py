"""Several machines of one application, each with its own client and its own connection to one store."""

from __future__ import annotations

import ipaddress
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import attrs

from passwordless_async import (
    TESTING,
    ClientSecretPost,
    Email,
    PasswordlessClient,
)
from passwordless_async.client.events import Sent
from passwordless_async.testing import LocalTenant, TenantSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


ADA, BOB = Email("ada@example.com"), Email("bob@example.com")


HERE = ipaddress.ip_address("192.0.2.1")


START, TOKEN = "/passwordless/start", "/oauth/token"


COOL = attrs.evolve(TESTING, cool_down=30.0)


@asynccontextmanager
async def machines(
    stores: Any,
    number: int = 2,
    *,
    profile: Any = TESTING,
    settings: TenantSettings | None = None,
    confidential: bool = False,
    **options: Any,
) -> AsyncIterator[tuple[LocalTenant, list[PasswordlessClient], list[Any]]]:
    """Run a tenant and some machines: each with a client and a connection to the store of its own."""
    events: list[Any] = []
    async with LocalTenant(settings or TenantSettings()) as tenant, AsyncExitStack() as stack:
        client_id, secret = tenant.confidential_client
        if confidential:
            options["client_auth"] = ClientSecretPost(secret)
        clients = [
            await stack.enter_async_context(
                PasswordlessClient(
                    tenant.url,
                    client_id if confidential else tenant.public_client_id,
                    profile=profile,
                    store=stores(),
                    on_event=events.append,
                    **options,
                )
            )
            for _ in range(number)
        ]
        yield tenant, clients, events
        assert tenant.disagreements == ()


def too_many_requests(events: list[Any]) -> int:
    return sum(isinstance(event, Sent) and event.status == 429 for event in events)


def wrong_code(code: str) -> str:
    return f"{(int(code) + 1) % 10 ** len(code):0{len(code)}}"
