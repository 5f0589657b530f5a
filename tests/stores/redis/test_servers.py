"""Nonces and quotas on a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

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
            assert await store.nonce_or_turn(f"origin{options}", token="mine", seconds=60) is True
            await store.put_nonce(ORIGIN, "nonce", seconds=60)
            turn = await store.nonce_or_turn(ORIGIN, token="mine", seconds=60)
            assert [await store.nonce(ORIGIN), turn] == ["nonce", "nonce"]


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


@pytest.mark.parametrize("step", [-3600.0, -60.0, -1.0])
async def test_a_clock_that_is_set_back_moves_the_queue(redis_server: Any, step: float) -> None:
    """No request waits for the time by which it was set back: the queue and its pause are as long as before."""
    async with RedisStore(redis_server.url, keys=KeyRing(b"k" * 32, users=b"u" * 32)) as store:
        await store.pause("quota", 5.0)
        (name,) = redis_server.ask("KEYS", "*")
        # What the server would have written by a clock that was ahead by so much.
        ahead = " ".join(str(int(number) - int(step * 1_000_000)) for number in redis_server.ask("GET", name).split())
        redis_server.ask("SET", name, ahead)
        wait = await store.reserve("quota", requests=2, interval=1.0)
        assert 4.0 < wait <= 5.0
        assert wait + 1.0 < await store.reserve("quota", requests=1, interval=1.0) <= wait + 2.0
