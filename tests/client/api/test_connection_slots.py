"""As many requests at once as a pool has connections."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any, cast

import aiohttp
import pytest

from passwordless_async.client.api.connection_slots import ConnectionSlots

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from passwordless_async.client.api.connection_slots import Lease

ONE, OTHER = "https://one.example", "https://other.example"


class Connection:
    """A connection that forgets its callbacks, as one does that is dropped unread."""

    def __init__(self) -> None:
        self.callbacks: list[Any] = []

    def add_callback(self, callback: Any) -> None:
        self.callbacks.append(callback)


class Response:
    """A response with a connection, or without one when its body has been read."""

    def __init__(self, connection: Connection | None) -> None:
        self.connection = connection


@pytest.fixture
async def pool() -> AsyncIterator[aiohttp.BaseConnector]:
    """Make a pool of two connections, one for each host."""
    async with aiohttp.TCPConnector(limit=2, limit_per_host=1) as connector:
        yield connector


async def taken(pool: aiohttp.BaseConnector, origin: str) -> Lease | None:
    """Take slots; None if there are none now."""
    task = asyncio.create_task(ConnectionSlots.take(pool, origin))
    await asyncio.sleep(0)
    if task.done():
        return task.result()
    task.cancel()
    await asyncio.wait([task])
    return None


async def test_limits_are_those_of_the_pool(pool: aiohttp.BaseConnector) -> None:
    """One request for each host and two in all; a released lease makes room."""
    first = await taken(pool, ONE)
    assert first is not None
    assert await taken(pool, ONE) is None
    assert await taken(pool, OTHER) is not None
    assert await taken(pool, "https://third.example") is None
    first.release()
    assert await taken(pool, "https://third.example") is not None


async def test_cancelled_request_keeps_no_slot(pool: aiohttp.BaseConnector) -> None:
    """A request that is cancelled while it waits for the pool releases the slot of its origin."""
    leases = [await taken(pool, ONE), await taken(pool, OTHER)]
    assert await taken(pool, "https://third.example") is None
    for lease in leases:
        assert lease is not None
        lease.release()
    assert await taken(pool, "https://third.example") is not None


async def test_unlimited_pool_delays_no_request() -> None:
    """A limit of 0 means no limit, and so does a session without a pool."""
    async with aiohttp.TCPConnector(limit=0) as pool:
        for _ in range(300):
            assert await taken(pool, ONE) is not None
    (await ConnectionSlots.take(None, ONE)).release()


async def test_second_release_has_no_effect(pool: aiohttp.BaseConnector) -> None:
    """The callback of a connection and the end of the connection may both release."""
    lease = await taken(pool, ONE)
    assert lease is not None
    lease.release()
    lease.release()
    assert await taken(pool, ONE) is not None
    assert await taken(pool, ONE) is None


@pytest.mark.parametrize("how", ["read before", "callback", "dropped"])
async def test_slots_are_released_with_the_connection(pool: aiohttp.BaseConnector, how: str) -> None:
    """However the response gives up its connection, the next request gets the slot."""
    lease = await taken(pool, ONE)
    assert lease is not None
    connection = None if how == "read before" else Connection()
    lease.release_with(cast("aiohttp.ClientResponse", Response(connection)))
    if connection is not None:
        assert await taken(pool, ONE) is None
        if how == "callback":
            (callback,) = connection.callbacks
            callback()
        connection.callbacks.clear()
    del lease, connection
    gc.collect()
    assert await taken(pool, ONE) is not None
