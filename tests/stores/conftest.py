"""Stores of each kind, for tests of what they promise alike."""

from __future__ import annotations

import secrets
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest
from redis.asyncio import RedisCluster

from passwordless_async import KeyRing, MemoryStore
from passwordless_async.stores.redis import RedisStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

RING = KeyRing(secrets.token_bytes(32), users=secrets.token_bytes(32))


@pytest.fixture(params=["memory", "redis", "cluster"])
async def stores(request: pytest.FixtureRequest) -> AsyncIterator[Callable[[], Any]]:
    """Return what gives each machine its way to one store, of each kind."""
    if request.param == "memory":
        kept = MemoryStore(keys=RING)
        yield lambda: kept
        return
    server = request.getfixturevalue("redis_url" if request.param == "redis" else "redis_cluster")
    async with AsyncExitStack() as stack:

        def make() -> Any:
            client = RedisCluster.from_url(server.url) if request.param == "cluster" else server
            if request.param == "cluster":
                stack.push_async_callback(client.aclose)
            store = RedisStore(client, keys=RING)
            stack.push_async_callback(store.aclose)
            return store

        yield make
