"""Clients with stored sessions, and stores that fail at a chosen call."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from passwordless_async import (
    TESTING,
    Email,
    OutcomeUnknown,
    PasswordlessClient,
    StoreUnavailable,
    TokenSet,
)
from passwordless_async.testing import LocalTenant, TenantSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


ADA, BOB = Email("ada@example.com"), Email("bob@example.com")


SCOPE = "openid email offline_access"


TOKEN = "/oauth/token"


@asynccontextmanager
async def opened(
    store: Any, clients: int = 1, *, settings: TenantSettings | None = None, **options: Any
) -> AsyncIterator[tuple[LocalTenant, list[PasswordlessClient]]]:
    """Run a tenant and several clients of one store, as several processes have."""
    async with LocalTenant(settings) as tenant, AsyncExitStack() as stack:
        yield (
            tenant,
            [
                await stack.enter_async_context(
                    PasswordlessClient(tenant.url, tenant.public_client_id, profile=TESTING, store=store, **options)
                )
                for _ in range(clients)
            ],
        )
        assert (tenant.stats.refresh_reuse_detected, tenant.disagreements) == (0, ())


def user_of(tokens: TokenSet) -> str:
    """Return the ``sub`` of the ID token."""
    assert tokens.claims is not None
    return str(tokens.claims["sub"])


def with_claims(tokens: TokenSet, **claims: object) -> TokenSet:
    """Return tokens as if their ID token had other claims."""
    return attrs.evolve(tokens, claims={**(tokens.claims or {}), **claims})


async def log_in(tenant: LocalTenant, client: PasswordlessClient, who: Email = ADA) -> TokenSet:
    await client.start(who)
    return await client.exchange(who, tenant.outbox.code_for(who), scope=SCOPE)


def fail_call(
    monkeypatch: pytest.MonkeyPatch, store: Any, call: str, *, lost: bool = False, times: int = 1
) -> list[str]:
    """Let a call of the store fail so many times: before it runs, or after it, so that only the answer is lost."""
    done, ask = list[str](), getattr(store, call)

    async def struck(*arguments: Any, **named: Any) -> Any:
        if len(done) >= times:
            return await ask(*arguments, **named)
        done.append(call)
        if lost:
            await ask(*arguments, **named)
        raise StoreUnavailable("struck")

    monkeypatch.setattr(store, call, struck)
    return done


def before_call(monkeypatch: pytest.MonkeyPatch, store: Any, call: str, do: Callable[[], Any]) -> None:
    """Run something once, right before a call of the store."""
    waiting, ask = [do], getattr(store, call)

    async def after(*arguments: Any, **named: Any) -> Any:
        if waiting:
            await waiting.pop()()
        return await ask(*arguments, **named)

    monkeypatch.setattr(store, call, after)


async def outcome_unknown(awaitable: Any) -> OutcomeUnknown:
    with pytest.raises(OutcomeUnknown) as told:
        await awaitable
    return told.value


async def names_of(client: PasswordlessClient, user: str) -> list[str]:
    return [info.name for info in await client.sessions.list(user)]
