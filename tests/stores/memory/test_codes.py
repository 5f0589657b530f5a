"""Users' codes in memory: they expire, and there are so many at most."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from passwordless_async import MemoryStore
from passwordless_async.stores.memory.codes import MemoryCodes

if TYPE_CHECKING:
    from collections.abc import Callable

    Stores = Callable[[], Any]


HOUR = 3600.0


USER, ADDRESS = "user-of-43-characters", "address-of-43-characters"


async def begin(store: Any, token: str, *, seconds: float = 60.0) -> float:
    """Begin a start, and return the seconds until that is allowed."""
    left, _ = await store.begin_start(USER, token=token, seconds=seconds, remember=HOUR)
    return float(left)


def attempt(store: Any, code: str, token: str, *, at_most: int = 3, different: int = 10) -> Any:
    return store.begin_attempt(USER, code, token=token, max_attempts=at_most, max_codes=different, remember=HOUR)


def count(store: Any, token: str, *, at_most: int | None = 3, window: float = HOUR) -> Any:
    return store.begin_address_start(ADDRESS, token=token, max_starts=at_most, window=window)


async def test_codes_expire(clock: Any) -> None:
    """What is known ends when it was said to, by a stopped clock."""
    store = MemoryStore()
    await begin(store, "start", seconds=30)
    await count(store, "one", at_most=1)
    await attempt(store, "code", "mine")
    clock.time += 29.5
    assert await begin(store, "other") == 0.5
    clock.time += 0.5
    assert await begin(store, "other") == 0.0
    assert await count(store, "two", at_most=1) == HOUR - 30
    await attempt(store, "code", "mine")
    clock.time += HOUR
    assert await count(store, "two", at_most=1) == 0.0
    assert await attempt(store, "code", "theirs") == 1


async def test_a_login_never_suspends() -> None:
    """Its calls to the store run to their end without a turn of the event loop."""
    store = MemoryStore()
    for call in (
        begin(store, "start"),
        store.end_start(USER, token="start", seconds=20.0, mark=0, remember=HOUR),
        count(store, "start"),
        attempt(store, "code", "mine"),
        store.undo_attempt(USER, "code", token="mine"),
        attempt(store, "code", "mine"),
        attempt(store, "wrong", "mine"),
        store.refuse_code(USER, "wrong", token="mine", is_last=False),
        store.retire_code(USER, "code", token="mine", correct=True),
        store.end_address_start(ADDRESS, token="start", blocked=1.0),
    ):
        with pytest.raises(StopIteration):
            call.send(None)


async def test_the_user_longest_unchanged_makes_room() -> None:
    """A memory of two users forgets the first when it takes the third."""
    codes = MemoryCodes(2)
    for user in ("first", "second", "third"):
        assert await codes.begin_start(user, token="token", seconds=60.0, remember=HOUR) == (0.0, 0)
    assert (await codes.begin_start("third", token="other", seconds=60.0, remember=HOUR))[0] > 0
    assert await codes.begin_start("first", token="other", seconds=60.0, remember=HOUR) == (0.0, 0)
