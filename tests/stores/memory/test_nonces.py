"""Nonces in memory: nonces and turns expire."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from passwordless_async import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable

    Stores = Callable[[], Any]


ORIGIN = "origin-of-43-characters"


async def test_nonces_and_turns_expire(clock: Any) -> None:
    """They end when they were said to, by a stopped clock."""
    store = MemoryStore()
    await store.put_nonce(ORIGIN, "nonce", seconds=60)
    clock.time += 59.5
    assert await store.nonce(ORIGIN) == "nonce"
    clock.time += 0.5
    assert [
        await store.nonce(ORIGIN),
        await store.nonce_or_turn(ORIGIN, seconds=3),
        await store.nonce_or_turn(ORIGIN, seconds=3),
    ] == [None, True, False]
    clock.time += 3
    assert await store.nonce_or_turn(ORIGIN, seconds=3) is True
