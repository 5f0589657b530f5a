"""Stores of each kind, for what they promise alike."""

from __future__ import annotations

import secrets
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest
from redis.asyncio import RedisCluster

from passwordless_async import (
    KeyRing,
    MemoryStore,
)
from passwordless_async.stores.redis import RedisStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


OLD, NEW, USERS = (secrets.token_bytes(32) for _ in range(3))


RING = KeyRing(OLD, users=USERS)


STORES = ["memory", "redis", pytest.param("cluster", marks=pytest.mark.slow)]


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    """Make each kind of store, empty."""
    if request.param == "memory":
        yield MemoryStore(keys=RING)
    elif request.param == "redis":
        async with RedisStore(request.getfixturevalue("redis_url"), keys=RING) as kept:
            yield kept
    else:
        async with RedisCluster.from_url(request.getfixturevalue("redis_cluster").url) as cluster:
            yield RedisStore(cluster, keys=RING)


@pytest.fixture(params=STORES)
async def stores(request: pytest.FixtureRequest) -> AsyncIterator[Callable[[], Any]]:
    """Return what gives each machine its own connection to one store, of each kind."""
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
