"""Nonces and quotas on a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from passwordless_async import KeyRing
from passwordless_async.stores.redis import RedisStore

if TYPE_CHECKING:
    from collections.abc import Callable

    Stores = Callable[[], Any]


ORIGIN = "origin-of-43-characters"


async def test_a_nonce_is_text_however_the_client_decodes(redis_url: str) -> None:
    """The application's own client may decode answers, or not."""
    for options in ("", "?decode_responses=True", "?protocol=3"):
        async with RedisStore(redis_url + options, keys=KeyRing(b"k" * 32, users=b"u" * 32)) as store:
            assert await store.nonce_or_turn(f"origin{options}", seconds=60) is True
            await store.put_nonce(ORIGIN, "nonce", seconds=60)
            assert [await store.nonce(ORIGIN), await store.nonce_or_turn(ORIGIN, seconds=60)] == ["nonce", "nonce"]


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
