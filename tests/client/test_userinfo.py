"""The claims of a user, through a client."""

from __future__ import annotations

import pytest

from helpers.clients import opened
from passwordless_async import Email, InvalidToken

ADA = Email("ada@example.com")


async def test_an_access_token_that_ended() -> None:
    """Userinfo tells an access token that is no longer good from other refusals."""
    async with opened() as (tenant, client):
        await client.start(ADA)
        tokens = await client.exchange(ADA, tenant.outbox.code_for(ADA), scope="openid")
        assert (await client.userinfo(tokens))["email"] == "ada@example.com"
        tenant.revoke_access_tokens(ADA)
        with pytest.raises(InvalidToken):
            await client.userinfo(tokens)
