"""The API with scopes of the examples, on loopback: each operation needs its scope, each user has their own notes."""

from __future__ import annotations

import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp

from helpers import sites
from helpers.examples import load
from passwordless_async import Email, PasswordlessClient, TokenSet
from passwordless_async.testing import BOUND_API, LocalTenant

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest

ADA, BOB = Email("ada@example.com"), Email("bob@example.com")


@asynccontextmanager
async def served(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[str, LocalTenant]]:
    """Run the API; yield its origin and the tenant."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        origin = f"http://127.0.0.1:{listening.getsockname()[1]}"
        async with LocalTenant() as tenant:
            monkeypatch.setenv("ISSUER", tenant.issuer)
            monkeypatch.setenv("API", origin)
            async with sites.served(load("api-with-scopes").app, listening):
                yield origin, tenant


async def log_in(client: PasswordlessClient, tenant: LocalTenant, who: Email, scope: str) -> TokenSet:
    await client.start(who)
    return await client.exchange(who, tenant.outbox.code_for(who), scope=scope, audience=BOUND_API)


async def test_the_example(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user writes and reads their notes; a token that lacks a scope, or is stolen, gets nowhere."""
    async with served(monkeypatch) as (api, tenant):
        async with PasswordlessClient(tenant.url, tenant.public_client_id) as client, aiohttp.ClientSession() as http:
            example = load("api-with-scopes", "client")
            tokens = await log_in(client, tenant, ADA, example.SCOPE)
            assert await example.write_and_read(client, tokens, api, "Water the plants.") == ["Water the plants."]

            reader = await log_in(client, tenant, BOB, "openid read:notes")
            async with client.request(reader, "GET", f"{api}/notes") as response:
                assert (response.status, await response.json()) == (200, [])
            async with client.request(reader, "POST", f"{api}/notes", json="Mine.") as response:
                assert (response.status, (await response.json())["error"]) == (403, "insufficient_scope")
                assert 'scope="write:notes"' in response.headers["WWW-Authenticate"]

            async with http.get(f"{api}/notes", headers={"Authorization": f"DPoP {tokens.access_token}"}) as response:
                assert response.status == 401
            metadata = "/.well-known/oauth-protected-resource"
            async with http.get(f"{api}{metadata}") as response:
                document = await response.json()
            assert document["scopes_supported"] == ["read:notes", "write:notes"]
            assert document["authorization_servers"] == [f"{tenant.url}/"]
        assert tenant.disagreements == ()
