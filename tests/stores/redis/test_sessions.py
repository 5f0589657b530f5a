"""Sessions on a server: the user's list of them."""

from __future__ import annotations

import asyncio
from typing import Any

import attrs
import pytest

from helpers.session_clients import (
    log_in,
    opened,
    user_of,
)
from passwordless_async import (
    Lifetimes,
)


@pytest.mark.parametrize("store", ["redis", pytest.param("cluster", marks=pytest.mark.slow)], indirect=True)
async def test_names_of_ended_sessions_are_removed_from_the_list(store: Any) -> None:
    """The list of a user who logs in daily and never closes stays short, and loses no living session."""
    async with opened(store) as (tenant, (client,)):
        tokens = await log_in(tenant, client)
        user = user_of(tokens)
        living = [await client.sessions.open(tokens) for _ in range(4)]
        place, *_ = places = await client.sessions._records.places(user)
        client.sessions._records._lifetimes = Lifetimes(idle=0.05)
        for _ in range(60):
            await client.sessions.open(tokens)
        assert len(await store.sessions_of(place.user)) == 64
        every = [attrs.evolve(place, session=session) for session in await store.sessions_of(place.user)]
        async with asyncio.timeout(20):
            while sum([await store.peek(each) is not None for each in every]) > 4:  # noqa: ASYNC110 - the server's time has to pass
                await asyncio.sleep(0.005)
        client.sessions._records._lifetimes = Lifetimes()
        living.append(await client.sessions.open(tokens))
        left = await store.sessions_of(place.user)
        assert {each.session for each in places} < set(left)
        assert len(left) == 5
        assert all([await client.sessions.get(identifier) for identifier in living])
