"""One rule for a refresh token: one that may be spent is sent again through no door."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from passwordless_async import TESTING, Email, OutcomeUnknown, PasswordlessClient, TokenSet
from passwordless_async.testing import Fault, LocalTenant

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Door = Callable[[PasswordlessClient, TokenSet, str], Awaitable[object]]

ADA = Email("ada@example.com")


async def by_refresh(client: PasswordlessClient, tokens: TokenSet, _identifier: str) -> object:
    return await client.refresh(tokens)


async def by_api_calls(client: PasswordlessClient, tokens: TokenSet, _identifier: str) -> object:
    async def keep(_tokens: TokenSet) -> None: ...

    api = client.session(tokens, origins=["https://api.example"], on_refresh=keep)
    return await api.renew(tokens)


async def by_stored_session(client: PasswordlessClient, _tokens: TokenSet, identifier: str) -> object:
    return await client.sessions.refresh(identifier)


DOORS = [by_refresh, by_api_calls, by_stored_session]


@pytest.mark.parametrize("second", DOORS)
@pytest.mark.parametrize("first", DOORS)
async def test_a_refresh_token_whose_answer_was_lost_is_not_sent_again(
    tenant: LocalTenant, first: Door, second: Door
) -> None:
    """The second call raises OutcomeUnknown and sends nothing, whichever call sent the token first."""
    async with PasswordlessClient(tenant.url, tenant.public_client_id, profile=TESTING) as client:
        await client.start(ADA)
        tokens = await client.exchange(ADA, tenant.outbox.code_for(ADA), scope="openid offline_access")
        identifier = await client.sessions.open(tokens)
        tenant.faults.add(Fault.DROP_AFTER_PROCESSING, path="/oauth/token", times=1)
        for door in (first, second):
            with pytest.raises(OutcomeUnknown):
                await door(client, tokens, identifier)
    assert tenant.stats.refresh_reuse_detected == 0
