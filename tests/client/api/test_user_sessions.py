"""The objects that call APIs: for which tokens a client makes them, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import pytest

from passwordless_async import TESTING, DPoPKey, PasswordlessError, TokenSet, UsageError
from passwordless_async._common.secret import Secret
from passwordless_async.client.client import PasswordlessClient

if TYPE_CHECKING:
    from passwordless_async.client.api.user_session import UserSession
    from passwordless_async.client.api.user_sessions import UserSessions

TOKENS = TokenSet(Secret("access"), "DPoP", None, "", Secret("refresh"), None, None, DPoPKey.generate())
API = ["https://api.example"]


def made_client() -> PasswordlessClient:
    return PasswordlessClient("acme.eu.auth0.com", "client", profile=TESTING)


def of(sessions: UserSessions, tokens: TokenSet) -> UserSession:
    return sessions.of(tokens, API, None)


async def refresh(stale: TokenSet) -> TokenSet:
    return stale


def of_stored(sessions: UserSessions, tokens: TokenSet) -> UserSession:
    return sessions.of_stored(tokens, API, refresh)


@pytest.mark.parametrize("make", [of, of_stored])
@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"key": None}, "key_missing"),
        ({"key": DPoPKey.generate(), "jkt": "another"}, "key_mismatch"),
        ({"issuer": "https://other.example/"}, "usage_error"),
        ({"client_id": "other"}, "usage_error"),
        ({"token_type": "Bearer"}, "usage_error"),
    ],
)
async def test_tokens_that_are_not_ours_are_refused(changes: dict[str, Any], error: str, make: Any) -> None:
    """Before anything is sent: a stripped or exchanged key, another tenant's or application's tokens, unbound ones."""
    async with made_client() as client:
        with pytest.raises(PasswordlessError) as caught:
            make(client._user_sessions, attrs.evolve(TOKENS, **changes))
    assert caught.value.code == error


@pytest.mark.parametrize("make", [of, of_stored])
async def test_a_client_that_is_not_open_makes_none(make: Any) -> None:
    """Neither before it is opened nor after it was closed: its connections would belong to no event loop."""
    client = made_client()
    with pytest.raises(UsageError, match="is not open"):
        make(client._user_sessions, TOKENS)
    async with client:
        assert make(client._user_sessions, TOKENS).tokens is TOKENS
    with pytest.raises(UsageError, match="closed"):
        make(client._user_sessions, TOKENS)
