"""A server's newest nonce, and whose turn it is to fetch the first."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

from passwordless_async import KeyRing, MemoryStore
from passwordless_async.stores.redis import RedisStore

if TYPE_CHECKING:
    from collections.abc import Callable

    Stores = Callable[[], Any]

ORIGIN = "origin-of-43-characters"


async def test_nobody_knows_at_first(stores: Stores):
    """Where nobody has put a nonce there is none; what one puts the others have, of that origin alone."""
    store, other = stores(), stores()
    assert None is await store.nonce(ORIGIN)
    await store.put_nonce(ORIGIN, "first", seconds=60)
    await store.put_nonce(ORIGIN, "second", seconds=60)
    assert ["second", "second", None] == [
        await other.nonce(ORIGIN),
        await other.nonce_or_turn(ORIGIN, seconds=60),
        await other.nonce("another"),
    ]


async def test_one_of_many_has_the_turn(stores: Stores):
    """Of a hundred at once on four machines one fetches the first nonce."""
    made = [stores() for _ in range(4)]
    answers = await asyncio.gather(*(made[n % 4].nonce_or_turn(ORIGIN, seconds=60) for n in range(100)))
    assert {True: 1, False: 99} == Counter(answers)
    assert [True, None] == [await made[0].nonce_or_turn("another", seconds=60), await made[1].nonce(ORIGIN)]


async def test_a_nonce_ends_the_turn(stores: Stores):
    """Whoever put it, those who wait have it; when it is over the next has the turn, and not the one before still."""
    store, other = stores(), stores()
    assert await store.nonce_or_turn(ORIGIN, seconds=60)
    await other.put_nonce(ORIGIN, "nonce", seconds=0.03)
    assert "nonce" == await store.nonce_or_turn(ORIGIN, seconds=60)
    async with asyncio.timeout(10):
        while await store.nonce(ORIGIN) is not None:  # noqa: ASYNC110 - the server's clock tells
            await asyncio.sleep(0.005)
    assert [True, False] == [await each.nonce_or_turn(ORIGIN, seconds=60) for each in (other, store)]


async def test_none_demanded_is_known_too(stores: Stores):
    """An empty nonce is an answer, and nobody's turn."""
    store, other = stores(), stores()
    await store.put_nonce(ORIGIN, "", seconds=60)
    assert ["", ""] == [await other.nonce(ORIGIN), await other.nonce_or_turn(ORIGIN, seconds=60)]


async def test_a_turn_is_left(stores: Stores):
    """Where the nonce could not be fetched it is the next one's turn at once."""
    store, other = stores(), stores()
    assert [True, False] == [await each.nonce_or_turn(ORIGIN, seconds=60) for each in (store, other)]
    await store.release_turn(ORIGIN)
    assert [True, False] == [await each.nonce_or_turn(ORIGIN, seconds=60) for each in (other, store)]


async def test_a_turn_ends_by_itself(stores: Stores):
    """Where whoever had it is gone another one has it."""
    store, other = stores(), stores()
    assert await store.nonce_or_turn(ORIGIN, seconds=0.03)
    async with asyncio.timeout(10):
        while not await other.nonce_or_turn(ORIGIN, seconds=60):  # noqa: ASYNC110 - the server's clock tells
            await asyncio.sleep(0.005)
    assert not await store.nonce_or_turn(ORIGIN, seconds=60)


async def test_memory_forgets_in_time(clock: Any):
    """Nonce and turn end when they were said to."""
    store = MemoryStore()
    await store.put_nonce(ORIGIN, "nonce", seconds=60)
    clock.time += 59.5
    assert "nonce" == await store.nonce(ORIGIN)
    clock.time += 0.5
    assert [None, True, False] == [
        await store.nonce(ORIGIN),
        await store.nonce_or_turn(ORIGIN, seconds=3),
        await store.nonce_or_turn(ORIGIN, seconds=3),
    ]
    clock.time += 3
    assert True is await store.nonce_or_turn(ORIGIN, seconds=3)


async def test_a_nonce_is_text_whatever_the_client_makes_of_it(redis_url: str):
    """A client of the application's own may decode answers, or not."""
    for options in ("", "?decode_responses=True", "?protocol=3"):
        async with RedisStore(redis_url + options, keys=KeyRing(b"k" * 32, users=b"u" * 32)) as store:
            assert True is await store.nonce_or_turn(f"origin{options}", seconds=60)
            await store.put_nonce(ORIGIN, "nonce", seconds=60)
            assert ["nonce", "nonce"] == [await store.nonce(ORIGIN), await store.nonce_or_turn(ORIGIN, seconds=60)]
