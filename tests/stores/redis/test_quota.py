"""A quota on a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from passwordless_async import KeyRing
from passwordless_async.stores.redis import RedisStore

if TYPE_CHECKING:
    from collections.abc import Callable

    Stores = Callable[[], Any]


async def test_the_queue_expires(redis_server: Any) -> None:
    """An empty queue is forgotten soon after its last place."""
    async with RedisStore(redis_server.url, keys=KeyRing(b"k" * 32, users=b"u" * 32)) as store:
        await store.reserve("quota", requests=10, interval=1.0)
        await store.pause("held", 20)
        kept = {name.rsplit(b":", 1)[1]: redis_server.ask("PTTL", name) for name in redis_server.ask("KEYS", "*")}
        assert {
            b"quota": 9_000 < kept[b"quota"] <= 11_001,
            b"held": 19_000 < kept[b"held"] <= 21_000,
        } == {b"quota": True, b"held": True}
