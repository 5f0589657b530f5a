"""The MCP server of the examples, called on loopback with tokens of a local tenant."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
import pytest
import uvicorn

from helpers.examples import load
from passwordless_async import DPoPMiddleware, Email, PasswordlessClient, TokenSet
from passwordless_async.testing import LocalTenant

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ADA = Email("ada@example.com")
METADATA = "/.well-known/oauth-protected-resource"
CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "whoami", "arguments": {}}}
ACCEPT = {"Accept": "application/json, text/event-stream"}


@asynccontextmanager
async def served(issuer: str) -> AsyncIterator[str]:
    """Run the example; yield its origin."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        origin = f"http://127.0.0.1:{listening.getsockname()[1]}"
        app = load("mcp-server", "server").make_app(issuer, base_url=origin, audience="https://api.example")
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none"))
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        yield origin
        server.should_exit = True
        await serving


async def log_in(tenant: LocalTenant, audience: str = "https://api.example") -> TokenSet:
    async with PasswordlessClient(tenant.url, tenant.public_client_id, dpop="preferred") as client:
        await client.start(ADA)
        return await client.exchange(ADA, tenant.outbox.code_for(ADA), scope="openid", audience=audience)


@pytest.mark.slow
async def test_the_example() -> None:
    """A bound token calls a tool; without its key, for another API, or without any, there is no way in."""
    async with LocalTenant() as tenant, served(f"{tenant.url}/") as origin, aiohttp.ClientSession() as http:
        tokens = await log_in(tenant)
        assert tokens.bound
        assert (await load("mcp-server", "client").call(origin, tokens, "whoami")).endswith(", openid")
        # Again, by aiohttp.
        async with aiohttp.ClientSession(middlewares=[DPoPMiddleware(tokens, origins=[origin])]) as bound:
            async with bound.post(f"{origin}/mcp", json=CALL, headers=ACCEPT) as response:
                assert response.status == 200
                assert "openid" in await response.text()

        challenge = f'DPoP resource_metadata="{origin}{METADATA}", algs="ES256"'
        async with http.post(f"{origin}/mcp", json=CALL, headers=ACCEPT) as response:
            assert (response.status, response.headers["WWW-Authenticate"]) == (401, challenge)
        async with http.get(f"{origin}{METADATA}") as response:
            document = await response.json()
        assert document["resource"] == origin
        assert document["authorization_servers"] == [f"{tenant.url}/"]
        assert document["dpop_bound_access_tokens_required"]

        # A thief without the key, and a token for another API.
        headers = {**ACCEPT, "Authorization": f"Bearer {tokens.access_token}"}
        async with http.post(f"{origin}/mcp", json=CALL, headers=headers) as response:
            assert (response.status, response.headers["WWW-Authenticate"]) == (401, challenge)
        others = await log_in(tenant, "https://strict.example")
        async with aiohttp.ClientSession(middlewares=[DPoPMiddleware(others, origins=[origin])]) as other:
            async with other.post(f"{origin}/mcp", json=CALL, headers=ACCEPT) as response:
                assert response.status == 401
                assert "the access token is for another audience" in response.headers["WWW-Authenticate"]
