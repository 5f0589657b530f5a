"""Stored sessions, the same on memory, a server and a cluster: opening, reading, listing and closing."""

from __future__ import annotations

import asyncio
from typing import Any

import attrs
import pytest

from helpers.session_clients import (
    ADA,
    BOB,
    log_in,
    names_of,
    opened,
    user_of,
)
from helpers.store_fixtures import NEW, RING, USERS
from passwordless_async import (
    InvalidSession,
    KeyRing,
    Lifetimes,
    StoreUnavailable,
    UsageError,
)
from passwordless_async._common import clock as _clock
from passwordless_async.stores.redis import RedisStore


async def test_a_session_opened_on_one_machine_is_read_on_another(store: Any) -> None:
    """Tokens, key, claims and user come back on another machine as they were, and work there."""
    async with opened(store, clients=2) as (tenant, (here, there)):
        tokens = await log_in(tenant, here)
        found = await there.sessions.get(await here.sessions.open(tokens))
        assert (tokens, dict(tokens.claims or {}), user_of(tokens)) == (
            found.tokens,
            dict(found.tokens.claims or {}),
            found.user,
        )
        assert (await there.userinfo(found.tokens))["sub"] == found.user


async def test_only_the_identifier_opens_a_session(store: Any) -> None:
    """It holds 256 random bits, new ones each time; nothing else opens the session."""
    async with opened(store) as (tenant, (client,)):
        tokens = await log_in(tenant, client)
        first, second = [await client.sessions.open(tokens) for _ in range(2)]
        assert first != second
        assert {len(first), len(second)} == {51}
        wrong: Any
        for wrong in ("", "x", first[:-1], first[:43], second[:43] + "AAAAAAAA", "é" * 51, None, 5, b"x" * 51):
            with pytest.raises(InvalidSession):
                await client.sessions.get(wrong)
        assert repr(first) == "<redacted>"
        assert first not in repr(await client.sessions.get(first))


async def test_sessions_end_when_closed_and_with_age(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A closed session ends at once, with its tokens at the service; an old one after its absolute lifetime."""
    async with opened(store, lifetimes=Lifetimes(idle=3600, absolute=7200)) as (tenant, (client,)):
        closed, old = [await client.sessions.open(await log_in(tenant, client, who)) for who in (ADA, BOB)]
        await client.sessions.close(closed)
        await client.sessions.close(closed)
        with pytest.raises(InvalidSession):
            await client.sessions.get(closed)
        assert [family.revoked for family in tenant.refresh_families] == [True, False]
        now = _clock.now()
        monkeypatch.setattr(_clock, "now", lambda: now + 7201)
        with pytest.raises(InvalidSession):
            await client.sessions.get(old)


async def test_the_sessions_of_one_user_are_listed_and_closed(store: Any) -> None:
    """Listing and closing all touch no other user's sessions."""
    async with opened(store) as (tenant, (client,)):
        ada, bob = await log_in(tenant, client), await log_in(tenant, client, BOB)
        mine = [await client.sessions.open(ada) for _ in range(3)]
        his = await client.sessions.open(bob)
        user = user_of(ada)
        assert (
            len(await client.sessions.list(user)),
            len(await client.sessions.list(user_of(bob))),
        ) == (3, 1)
        assert await client.sessions.close_all(user) == 3
        assert await client.sessions.list(user) == ()
        for identifier in mine:
            with pytest.raises(InvalidSession):
                await client.sessions.get(identifier)
        assert (await client.sessions.get(his)).user == user_of(bob)


async def test_tokens_without_an_id_token_need_a_user(store: Any) -> None:
    """Without an ID token the caller names the user."""
    async with opened(store) as (tenant, (client,)):
        tokens = attrs.evolve(await log_in(tenant, client), claims=None, id_token=None)
        with pytest.raises(UsageError, match="user: must be given"):
            await client.sessions.open(tokens)
        assert (await client.sessions.get(await client.sessions.open(tokens, user="ada"))).user == "ada"


async def test_one_session_is_closed_by_its_public_name(store: Any) -> None:
    """The named session is closed, once, and only if it is that user's."""
    async with opened(store) as (tenant, (client,)):
        ada, bob = await log_in(tenant, client), await log_in(tenant, client, BOB)
        user, his = user_of(ada), user_of(bob)
        for tokens in (ada, ada, bob):
            await client.sessions.open(tokens)
        name, other = await names_of(client, user)
        assert [await client.sessions.close_named(his, wrong) for wrong in (name, "", f"{name}:mark")] == [False] * 3
        assert [await client.sessions.close_named(user, name) for _ in range(2)] == [True, False]
        assert await names_of(client, user) == [other]
        assert len(await client.sessions.list(his)) == 1


async def test_an_unreachable_store_fails_each_call_in_time(redis_server: Any) -> None:
    """Each call raises StoreUnavailable in time and works again when the store is back; nothing kept is lost."""
    store = RedisStore(redis_server.url, keys=RING, timeout=0.3)
    async with store, opened(store) as (tenant, (client,)):
        identifier = await client.sessions.open(await log_in(tenant, client))
        redis_server.kill()
        for call in (client.sessions.get(identifier), client.sessions.refresh(identifier)):
            with pytest.raises(StoreUnavailable):
                await call
        redis_server.restart()
        assert (await client.sessions.get(identifier)).user
        redis_server.pause()
        with pytest.raises(StoreUnavailable, match="does not answer in time"):
            await client.sessions.get(identifier)
        redis_server.resume()
        assert (await client.sessions.get(identifier)).user
        assert tenant.stats.refresh_rotations == 0


async def test_a_session_that_cannot_be_unsealed_is_closed(store: Any) -> None:
    """A logout on a machine without the newest key is a logout on all machines."""
    async with opened(store, clients=2) as (tenant, (here, there)):
        identifier = await here.sessions.open(await log_in(tenant, here))
        there.sessions._records.keys = KeyRing(NEW, users=USERS)
        await there.sessions.close(identifier)
        with pytest.raises(InvalidSession):
            await here.sessions.get(identifier)


async def test_tokens_are_revoked_although_the_closing_caller_is_cancelled(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the session was closed no other caller could revoke its tokens."""
    async with opened(store) as (tenant, (client,)):
        identifier = await client.sessions.open(await log_in(tenant, client))
        closed, ask = asyncio.Event(), store.close

        async def close(*arguments: Any) -> Any:
            done = await ask(*arguments)
            closed.set()
            await asyncio.sleep(0.01)
            return done

        monkeypatch.setattr(store, "close", close)
        closing = asyncio.create_task(client.sessions.close(identifier))
        await closed.wait()
        closing.cancel()
        await asyncio.wait([closing])
        async with asyncio.timeout(10):
            while not tenant.refresh_families[0].revoked:  # noqa: ASYNC110 - only polling tells
                await asyncio.sleep(0.001)
