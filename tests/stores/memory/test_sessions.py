"""Sessions in memory: the store's size, and what of ended sessions is left."""

from __future__ import annotations

from typing import Any

import pytest

from passwordless_async import MemoryStore, StoreError
from passwordless_async.stores import Place, RefreshEnd


def place(number: int, user: str = "user") -> Place:
    return Place("shard", f"session{number}", user)


async def test_a_full_store_refuses_a_session(clock: Any) -> None:
    """It raises StoreError, and takes one again once another has ended."""
    store = MemoryStore(max_sessions=2)
    for number in range(2):
        user = f"user{number}"
        await store.open(place(number, user), "sealed", login=f"login {number}", seconds=60.0, user_seconds=60.0)
    with pytest.raises(StoreError, match="full: 2 sessions"):
        await store.open(place(2), "sealed", login="login 2", seconds=60.0, user_seconds=60.0)
    clock.time += 60.0
    await store.open(place(2), "sealed", login="login 2", seconds=60.0, user_seconds=60.0)
    assert repr(store) == "<MemoryStore of 1 sessions>"


async def open_many(store: MemoryStore, *places: Place) -> None:
    """Open sessions for a minute, each of a login of its own."""
    for each in places:
        await store.open(each, "sealed", login=f"login {each.session}", seconds=60.0, user_seconds=60.0)


async def test_one_user_leaves_room_for_the_others(clock: Any) -> None:
    """It may have as many sessions as are free; then it alone is refused, until some have ended."""
    store = MemoryStore(max_sessions=20)
    await open_many(store, *(place(number) for number in range(10)))
    with pytest.raises(StoreError, match="one user has 10 of the store's 20 sessions; 10 are free"):
        await open_many(store, place(10))
    await open_many(store, *(place(number, f"user{number}") for number in range(10, 20)))
    clock.time += 60.0
    await open_many(store, place(20))
    await open_many(store, place(21))


async def test_a_full_store_refuses_at_once(clock: Any) -> None:
    """It drops no more than a thousand at once: all would hold up every caller. A few make room all the same."""
    store = MemoryStore(max_sessions=5000)
    await open_many(store, *(place(number, f"user{number}") for number in range(5000)))
    with pytest.raises(StoreError, match="full: 5000 sessions"):
        await open_many(store, place(5000, "late"))
    clock.time += 60.0
    await open_many(store, place(5000, "late"))
    assert repr(store) == "<MemoryStore of 4993 sessions>"


async def test_ended_sessions_of_one_user_make_room_for_it(clock: Any) -> None:
    """Where a few are not enough, a thousand are dropped."""
    store = MemoryStore(max_sessions=200)
    await open_many(store, *(place(number) for number in range(100)))
    clock.time += 30.0
    await open_many(store, *(place(number, f"user{number}") for number in range(100, 150)))
    clock.time += 30.0
    await open_many(store, place(150))
    assert await store.sessions_of("user") == ("session150",)
    assert repr(store) == "<MemoryStore of 51 sessions>"


async def test_a_session_that_is_opened_again_has_one_deadline(clock: Any) -> None:
    """The earlier one drops nothing."""
    store = MemoryStore()
    await open_many(store, place(0))
    clock.time += 30.0
    await open_many(store, place(0))
    clock.time += 30.0
    await open_many(store, place(1))
    assert set(await store.sessions_of("user")) == {"session0", "session1"}


async def test_ended_sessions_are_dropped_while_others_are_opened(clock: Any) -> None:
    """Neither the sessions nor their users' lists pile up, although none of them is read again.

    Living sessions are not looked at, however many there are: what has ended goes with the next ones.
    """
    store = MemoryStore()
    await store.open(place(-1, "other"), "sealed", login="other", seconds=3600.0, user_seconds=3600.0)
    for number in range(100):
        await store.open(
            place(number, f"user{number}"), "sealed", login=f"login {number}", seconds=60.0, user_seconds=60.0
        )
    clock.time += 60.0
    for number in range(100, 120):
        await store.open(
            place(number, f"user{number}"), "sealed", login=f"login {number}", seconds=60.0, user_seconds=60.0
        )
    assert (len(store._sessions), len(store._users), len(store._logins)) == (21, 21, 21)


async def test_a_session_that_is_used_survives_the_sweep(clock: Any) -> None:
    """Use renews it; the sweep looks at each session and drops only ended ones."""
    store = MemoryStore()
    await store.open(place(0), "sealed", login="login 0", seconds=60.0, user_seconds=60.0)
    for number in range(1, 100):
        clock.time += 30.0
        await store.open(place(number), "sealed", login=f"login {number}", seconds=10.0, user_seconds=60.0)
        assert await store.read(place(0), seconds=60.0) == "sealed"
    assert set(await store.sessions_of("user")) == {
        "session0",
        "session99",
    }


async def test_ended_sessions_are_dropped_while_others_are_read(clock: Any) -> None:
    """Where no session is opened any more, neither the ended ones nor the deadlines of the others pile up."""
    store = MemoryStore()
    await open_many(store, *(place(number, f"user{number}") for number in range(100)))
    for _ in range(5000):
        clock.time += 1.0
        assert await store.read(place(0, "user0"), seconds=60.0) == "sealed"
    assert (len(store._sessions), len(store._users), len(store._logins)) == (1, 1, 1)
    assert len(store._deadlines._steps) == len(store._deadlines._names) <= 61


async def test_an_expired_session_of_the_login_keeps_no_tokens(clock: Any) -> None:
    """The refreshed session was closed, the other one has expired: no caller would ever get the new tokens."""
    store = MemoryStore()
    for number, seconds in enumerate((3600.0, 10.0)):
        await store.open(place(number), "sealed", login="login", seconds=seconds, user_seconds=3600.0)
    await store.begin_refresh(
        place(0), login="login", sealed="sealed", spends="old", token="t", seconds=60.0, overlap=0.0, remember=3600.0
    )
    await store.close(place(0))
    clock.time += 11.0
    end = await store.end_refresh(
        place(0),
        login="login",
        token="t",
        texts=("sealed", "resealed"),
        replacement="new",
        tokens="tokens",
        seconds=60.0,
        remember=3600.0,
    )
    assert (end, len(store._newest)) == (RefreshEnd.VOID, 0)


async def refreshed(store: MemoryStore, number: int, *sessions: str) -> None:
    """Open sessions of one login, refresh the first, and close all."""
    login, places = f"login {number}", [Place("shard", f"{session}{number}", "user") for session in sessions]
    for each in places:
        await store.open(each, "sealed", login=login, seconds=3600.0, user_seconds=1e6)
    await store.begin_refresh(
        places[0], login=login, sealed="sealed", spends="old", token="t", seconds=60.0, overlap=0.0, remember=1e6
    )
    await store.end_refresh(
        places[0],
        login=login,
        token="t",
        texts=("sealed", "resealed"),
        replacement="new",
        tokens="tokens",
        seconds=3600.0,
        remember=1e6,
    )
    for each in places:
        await store.close(each)


async def test_tokens_of_ended_logins_do_not_pile_up(clock: Any) -> None:
    """They are kept for a minute, also behind those of a login whose sessions shared them."""
    store = MemoryStore()
    await refreshed(store, 0, "one", "two")
    for number in range(1, 200):
        clock.time += 1.0
        await refreshed(store, number, "one")
    assert (len(store._logins), len(store._newest)) == (0, 60)
