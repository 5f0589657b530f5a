"""A client of the API: ``python client.py https://acme.eu.auth0.com CLIENT_ID ada@example.com http://127.0.0.1:8000``."""

import asyncio
import sys

from passwordless_async import Email, PasswordlessClient, TokenSet

SCOPE = "openid read:notes write:notes"


async def write_and_read(client: PasswordlessClient, tokens: TokenSet, api: str, note: str) -> list[str]:
    """Write a note, and return all of them; each request goes with the token and a proof of its own."""
    async with client.request(tokens, "POST", f"{api}/notes", json=note) as response:
        response.raise_for_status()
    async with client.request(tokens, "GET", f"{api}/notes") as response:
        notes: list[str] = await response.json()
    return notes


async def main(tenant: str, client_id: str, email: str, api: str) -> None:
    """Log a user in without a password, and use the API."""
    async with PasswordlessClient(tenant, client_id) as client:
        await client.start(Email(email))
        code = await asyncio.to_thread(input, f"The code sent to {email}: ")
        tokens = await client.exchange(Email(email), code, scope=SCOPE, audience="https://api.example")
        print(await write_and_read(client, tokens, api, "Water the plants."))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
