"""Users' codes on a server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from passwordless_async import MemoryStore
from passwordless_async.stores.redis import RedisStore

if TYPE_CHECKING:
    from collections.abc import Callable

    Stores = Callable[[], Any]


HOUR = 3600.0


USER, ADDRESS = "user-of-43-characters", "address-of-43-characters"


async def begin(store: Any, token: str, *, seconds: float = 60.0) -> float:
    """Begin a start, and return the seconds until that is allowed."""
    left, _ = await store.begin_start(USER, token=token, seconds=seconds, remember=HOUR)
    return float(left)


async def test_a_key_in_its_last_millisecond_still_counts(redis_url: str) -> None:
    """An answer of 0 seconds means leave: so no second caller gets it before the first one's time is over."""
    async with RedisStore(redis_url, keys=MemoryStore().keys, timeout=30.0) as store:
        loop = asyncio.get_running_loop()
        began = loop.time()
        left = await asyncio.gather(*(begin(store, f"token{n}", seconds=0.002) for n in range(3000)))
        assert 1 <= left.count(0.0) <= (loop.time() - began) / 0.002 + 1
