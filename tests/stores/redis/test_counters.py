"""Counters on a server: what they cost there, and where they lie."""

from __future__ import annotations

from typing import Any

import pytest

from passwordless_async import MemoryStore
from passwordless_async.stores import Counter
from passwordless_async.stores.redis import RedisStore

HOUR = 3600.0
GROUP = "group-of-43-characters"


async def test_an_address_over_its_budget_writes_nothing(redis_server: Any) -> None:
    """Its requests cost the server no memory, however many users they name."""
    async with RedisStore(redis_server.url, keys=MemoryStore().keys) as store:
        for n in range(50):
            counters = Counter("address", "one", 3, HOUR), Counter("user", f"user{n}", 5, HOUR)
            await store.count(GROUP, counters, token=f"{n}", remember=60.0)
    kinds = sorted(name.split(b":")[2:4] for name in redis_server.ask("KEYS", "*"))
    assert [kind[0] for kind in kinds].count(b"counted") == 3
    assert [kind[1] for kind in kinds if kind[0] == b"count"] == [b"address", b"user", b"user", b"user"]


async def test_every_key_expires_and_an_undo_deletes(redis_server: Any) -> None:
    """A counter at the end of its window, what can be undone after its time; a count of 0 is no key."""
    counters = Counter("address", "one", 3, HOUR), Counter("user", "ada", 5, 60.0)
    async with RedisStore(redis_server.url, keys=MemoryStore().keys) as store:
        for token in ("one", "two"):
            await store.count(GROUP, counters, token=token, remember=30.0)
        times = sorted(redis_server.ask("PTTL", name) for name in redis_server.ask("KEYS", "*"))
        assert all(0 < time <= most for time, most in zip(times, (30_000, 30_000, 60_000, 3_600_000), strict=True))
        for token in ("one", "two"):
            await store.undo_count(GROUP, counters, token=token)
    assert redis_server.ask("KEYS", "*") == []


@pytest.mark.slow
async def test_the_counters_of_a_group_lie_on_one_node(redis_cluster: Any) -> None:
    """So they are counted at once also in a cluster, whatever their names."""
    url = redis_cluster.url.replace("redis://", "redis+cluster://")
    async with RedisStore(url, keys=MemoryStore().keys) as store:
        counters = [Counter("user", f"user{n}", 1, HOUR) for n in range(20)]
        assert not any(await store.count(GROUP, counters, token="one", remember=60.0))
        assert all(await store.count(GROUP, counters, token="two", remember=60.0))
    assert sorted(len(node.ask("KEYS", "*")) for node in redis_cluster.nodes) == [0, 0, 21]
