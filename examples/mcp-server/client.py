"""A client of the MCP server: ``python client.py https://acme.eu.auth0.com CLIENT_ID ada@example.com``."""

import asyncio
import sys

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from passwordless_async import Email, PasswordlessClient, TokenSet
from passwordless_async.adapters.httpx2 import DPoPAuth


async def call(server: str, tokens: TokenSet, tool: str) -> str:
    """Call a tool of the MCP server at an origin; each request goes with the token and a proof of its own."""
    auth = DPoPAuth(tokens, origins=[server])
    async with (
        httpx2.AsyncClient(auth=auth, timeout=httpx2.Timeout(30, read=300)) as http,
        Client(streamable_http_client(f"{server}/mcp", http_client=http)) as client,
    ):
        (content,) = (await client.call_tool(tool)).content
        return content.text if content.type == "text" else ""


async def main(tenant: str, client_id: str, email: str) -> None:
    """Log a user in without a password, and ask the server who that is."""
    async with PasswordlessClient(tenant, client_id) as client:
        await client.start(Email(email))
        code = await asyncio.to_thread(input, f"The code sent to {email}: ")
        tokens = await client.exchange(Email(email), code, scope="openid", audience="https://api.example")
    print(await call("http://127.0.0.1:8000", tokens, "whoami"))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
