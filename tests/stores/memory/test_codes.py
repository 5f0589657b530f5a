"""Users' codes in memory: they expire, and there are so many at most."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from passwordless_async import MemoryStore
from passwordless_async.stores.memory.codes import MemoryCodes
from passwordless_async.stores.protocols import RefusedCode

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


# What is remembered, and for how long


async def wrong(store: Any, code: str) -> None:
    """Present a code that the service refuses."""
    await attempt(store, code, code)
    await store.refuse_code(USER, code, token=code, is_last=False)


async def test_a_start_keeps_what_was_presented(clock: Any) -> None:
    """For its hour from then on: the code before it may be alive."""
    store = MemoryStore()
    assert await store.begin_start(USER, token="start", seconds=0.0, remember=HOUR) == (0.0, 0)
    await attempt(store, "code", "mine")
    clock.time += HOUR - 1
    assert await store.begin_start(USER, token="start", seconds=0.0, remember=HOUR) == (0.0, 1)
    clock.time += HOUR - 1
    assert await attempt(store, "code", "theirs") is None


@pytest.mark.usefixtures("clock")
async def test_a_short_hold_is_one() -> None:
    """Of less than a second, too; none of no time holds."""
    store = MemoryStore()
    assert await begin(store, "one", seconds=0.5) == 0.0
    assert await begin(store, "two", seconds=0.5) == 0.5
    assert await begin(store, "two", seconds=0.0) == 0.0
    await store.end_start(USER, token="one", seconds=0.25, mark=None, remember=HOUR)
    assert await begin(store, "two") == 0.25
    await store.end_start(USER, token="one", seconds=0.0, mark=None, remember=HOUR)
    assert await begin(store, "two") == 0.0


async def test_attempts_are_numbered_one_by_one() -> None:
    """A start that was begun between two of them forgets the first, and not the second."""
    store = MemoryStore()
    for number, code in enumerate(("first", "second", "third"), 1):
        await wrong(store, code)
        assert await store.begin_start(USER, token="start", seconds=0.0, remember=HOUR) == (0.0, number)
    await store.end_start(USER, token="start", seconds=0.0, mark=1, remember=HOUR)
    assert await attempt(store, "first", "again") == 3
    assert await attempt(store, "second", "again") == RefusedCode(3)


@pytest.mark.parametrize("others", [0, 1])
async def test_the_right_code_is_no_attempt_after_a_later_start(others: int) -> None:
    """As long as it is remembered, alone or before others: the start was begun before it was presented."""
    store = MemoryStore()
    await attempt(store, "right", "mine")
    await store.retire_code(USER, "right", token="mine", correct=True)
    for number in range(others):
        await wrong(store, f"wrong {number}")
    await store.end_start(USER, token="start", seconds=0.0, mark=0, remember=HOUR)
    assert await attempt(store, "new", "mine") == others + 1


async def test_a_code_that_was_right_ends_the_limit_of_a_start() -> None:
    """Attempts that follow are at another code, which was not sent from here."""
    store = MemoryStore()
    await store.end_start(USER, token="start", seconds=0.0, mark=0, remember=HOUR)
    await attempt(store, "right", "mine")
    await store.retire_code(USER, "right", token="mine", correct=True)
    assert await attempt(store, "right", "mine") == 0
    assert [await attempt(store, f"wrong {number}", "mine") for number in range(4)] == [1, 2, 3, 4]


@pytest.mark.parametrize("end", ["refuse", "undo"])
async def test_a_right_code_stays_right_when_another_ends(end: str) -> None:
    """It was the other that was refused, or not sent; one that is itself refused later counts as an attempt."""
    store = MemoryStore()
    await attempt(store, "right", "mine")
    await store.retire_code(USER, "right", token="mine", correct=True)
    await attempt(store, "other", "mine")
    if end == "refuse":
        await store.refuse_code(USER, "other", token="mine", is_last=False)
    else:
        await store.undo_attempt(USER, "other", token="mine")
    assert await attempt(store, "next", "mine") == (2 if end == "refuse" else 1)
    await store.refuse_code(USER, "right", token="mine", is_last=False)
    assert await attempt(store, "last", "mine") == (4 if end == "refuse" else 3)


async def test_a_report_about_an_unknown_user_changes_nothing() -> None:
    """It came too late: what was known has expired."""
    store = MemoryStore()
    await store.retire_code(USER, "code", token="mine", correct=True)
    await store.end_address_start(ADDRESS, token="start", blocked=0.0)
    assert await attempt(store, "code", "mine") == 1


async def test_a_start_counts_until_its_window_is_over(clock: Any) -> None:
    """To the second."""
    store = MemoryStore()
    assert await count(store, "one", at_most=1) == 0.0
    clock.time += 1.0
    assert await count(store, "two", at_most=1) == HOUR - 1
    clock.time += HOUR - 1
    assert await count(store, "two", at_most=1) == 0.0


async def test_the_starts_of_an_address_end_one_by_one(clock: Any) -> None:
    """The oldest first, although the address is remembered."""
    store = MemoryStore()
    for token in ("one", "two"):
        assert await count(store, token, at_most=2) == 0.0
        clock.time += 10.0
    clock.time += HOUR - 20
    assert await count(store, "three", at_most=2) == 0.0
    assert await count(store, "four", at_most=2) == 10.0


async def test_nothing_is_remembered_of_what_left_no_trace() -> None:
    """A start of no hold, one that came to nothing, and an address that is not blocked take no room."""
    codes = MemoryCodes()
    for seconds in (0.0, 60.0):
        assert await codes.begin_start(USER, token="start", seconds=seconds, remember=HOUR) == (0.0, 0)
    await codes.end_start(USER, token="start", seconds=0.0, mark=None, remember=HOUR)
    await codes.end_address_start(ADDRESS, token="start", blocked=0.0)
    assert (len(codes._codes), len(codes._cooling), len(codes._blocked)) == (0, 0, 0)
