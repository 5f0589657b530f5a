"""Sessions in memory: the store's size, and what of ended sessions is left."""

from __future__ import annotations

from typing import Any

import pytest

from passwordless_async import MemoryStore, StoreError
from passwordless_async.stores import Place, RefreshEnd, RefreshLease, RefreshTurn


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


@pytest.mark.parametrize(("room", "own", "all_users", "left"), [(200, 100, 150, 51), (3000, 1500, 3000, 1993)])
async def test_ended_sessions_of_one_user_make_room_for_it(
    clock: Any, room: int, own: int, all_users: int, left: int
) -> None:
    """Where a few are not enough, a thousand are dropped at most."""
    store = MemoryStore(max_sessions=room)
    await open_many(store, *(place(number) for number in range(own)))
    clock.time += 30.0
    await open_many(store, *(place(number, f"user{number}") for number in range(own, all_users)))
    clock.time += 30.0
    await open_many(store, place(all_users))
    assert repr(store) == f"<MemoryStore of {left} sessions>"
    assert await store.sessions_of("user") == (f"session{all_users}",)


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


# What a session, and a login, is worth at each moment


async def begun(
    store: MemoryStore, each: Place, spends: str = "old", *, sealed: str = "sealed", by: str = "t", **times: float
) -> RefreshTurn:
    """Ask for the lease of a login's refresh token: for ten seconds, with an overlap of a hundred."""
    given = {"seconds": 10.0, "overlap": 100.0} | times
    return await store.begin_refresh(
        each, login="login", sealed=sealed, spends=spends, token=by, remember=3600.0, **given
    )


async def ended(store: MemoryStore, each: Place, *, by: str = "t", seconds: float = 3600.0) -> RefreshEnd:
    """Report the new tokens of a login."""
    return await store.end_refresh(
        each,
        login="login",
        token=by,
        texts=("sealed", "resealed"),
        replacement="new",
        tokens="tokens",
        seconds=seconds,
        remember=3600.0,
    )


async def of_one_login(store: MemoryStore, *numbers: int, seconds: float = 3600.0) -> list[Place]:
    """Open sessions of one login."""
    places = [place(number) for number in numbers]
    for each in places:
        await store.open(each, "sealed", login="login", seconds=seconds, user_seconds=3600.0)
    return places


REPLACED = RefreshTurn(RefreshLease.REPLACED, tokens="tokens")


async def test_a_session_lives_until_its_last_second(clock: Any) -> None:
    """Then it is neither read nor listed, resealed or closed."""
    store = MemoryStore()
    await open_many(store, place(0))
    clock.time += 45.0
    assert await store.peek(place(0)) == ("sealed", 15.0)
    assert await store.reseal(place(0), "other", "newer") is False
    assert await store.reseal(place(0), "sealed", "newer") is True
    assert await store.peek(place(0)) == ("newer", 15.0)
    clock.time += 15.0
    assert await store.sessions_of("user") == ()
    assert (await store.peek(place(0)), await store.read(place(0), seconds=60.0)) == (None, None)
    assert (await store.reseal(place(0), "newer", "newest"), await store.close(place(0))) == (False, False)


async def test_a_session_is_closed_once() -> None:
    """The second caller hears that it did not exist."""
    store = MemoryStore()
    await open_many(store, place(0))
    assert [await store.close(place(0)) for _ in range(2)] == [True, False]


async def test_ended_sessions_are_not_listed(clock: Any) -> None:
    """Although they have not been dropped yet."""
    store = MemoryStore()
    await of_one_login(store, 0, seconds=10.0)
    await of_one_login(store, 1)
    clock.time += 10.0
    assert await store.sessions_of("user") == ("session1",)


async def test_a_refresh_of_a_session_that_is_unknown_is_refused() -> None:
    """Or of a login that is; reports about it change nothing."""
    store = MemoryStore()
    await open_many(store, place(0))
    assert await begun(store, place(0)) == RefreshTurn(RefreshLease.GONE)
    assert await begun(store, place(1)) == RefreshTurn(RefreshLease.GONE)
    await store.hold_refresh(place(0), login="login", token="t", seconds=60.0)
    await store.release_refresh(place(0), login="login", token="t", refused=True)
    assert await ended(store, place(1)) is RefreshEnd.VOID


async def test_a_lease_ends_to_the_second(clock: Any) -> None:
    """Another holder may have it then, and hears since when the outcome is unknown; after the overlap none may."""
    store = MemoryStore()
    (one,) = await of_one_login(store, 0)
    assert await begun(store, one, by="a") == RefreshTurn(RefreshLease.GRANTED)
    clock.time += 9.0
    assert await begun(store, one, by="b") == RefreshTurn(RefreshLease.BUSY)
    clock.time += 1.0
    assert await begun(store, one, by="b") == RefreshTurn(RefreshLease.GRANTED, 10.0)
    clock.time += 30.0
    assert await begun(store, one, by="c") == RefreshTurn(RefreshLease.GRANTED, 40.0)
    clock.time += 59.0
    assert await begun(store, one, by="d") == RefreshTurn(RefreshLease.GRANTED, 99.0)
    clock.time += 1.0
    assert await begun(store, one, by="d", seconds=0.0) == RefreshTurn(RefreshLease.GRANTED, 100.0)
    assert await begun(store, one, by="e") == RefreshTurn(RefreshLease.DOUBTFUL)


async def test_a_lease_is_held_longer_by_its_holder(clock: Any) -> None:
    """Another token changes nothing."""
    store = MemoryStore()
    (one,) = await of_one_login(store, 0)
    await begun(store, one, by="a")
    await store.hold_refresh(one, login="login", token="a", seconds=30.0)
    await store.hold_refresh(one, login="login", token="b", seconds=5.0)
    clock.time += 29.0
    assert await begun(store, one, by="b") == RefreshTurn(RefreshLease.BUSY)
    clock.time += 1.0
    assert await begun(store, one, by="b") == RefreshTurn(RefreshLease.GRANTED, 30.0)


async def test_new_tokens_keep_their_session(clock: Any) -> None:
    """For its time from now on. A report that is repeated later gets the same answer, although it is forgotten."""
    store = MemoryStore()
    (one,) = await of_one_login(store, 0, seconds=100.0)
    await begun(store, one)
    assert await ended(store, one, seconds=200.0) is RefreshEnd.KEPT
    assert await store.peek(one) == ("resealed", 200.0)
    clock.time += 61.0
    assert await ended(store, one) is RefreshEnd.KEPT
    assert await store.peek(one) == ("resealed", 139.0)


async def test_the_other_session_of_a_login_has_new_tokens_for_as_long_as_it_lives(clock: Any) -> None:
    """It is given them for the old refresh token, and may spend the new one."""
    store = MemoryStore()
    one, two = await of_one_login(store, 0, 1)
    await begun(store, one)
    assert await ended(store, one) is RefreshEnd.KEPT
    clock.time += 61.0
    assert await begun(store, two) == REPLACED
    assert await begun(store, two, "new") == RefreshTurn(RefreshLease.GRANTED)


async def test_a_session_that_is_just_being_opened_has_new_tokens_for_a_minute(clock: Any) -> None:
    """They are kept for its login although no session shared them; with it, they last."""
    store = MemoryStore()
    (one,) = await of_one_login(store, 0)
    await begun(store, one)
    await ended(store, one)
    clock.time += 59.0
    assert await begun(store, one, sealed="resealed") == REPLACED
    (two,) = await of_one_login(store, 1)
    assert len(store._newest) == 0
    clock.time += 60.0
    assert await begun(store, two) == REPLACED


async def test_new_tokens_without_another_session_are_forgotten_after_a_minute(clock: Any) -> None:
    """Then none could ask for them."""
    store = MemoryStore()
    (one,) = await of_one_login(store, 0)
    await begun(store, one)
    await ended(store, one)
    clock.time += 60.0
    assert await begun(store, one, sealed="resealed") == RefreshTurn(RefreshLease.GRANTED)


async def test_a_session_whose_text_was_changed_meanwhile_has_the_new_tokens(clock: Any) -> None:
    """They are not in its text, so they are kept for it, for longer than a minute."""
    store = MemoryStore()
    (one,) = await of_one_login(store, 0)
    await begun(store, one)
    assert await store.reseal(one, "sealed", "changed") is True
    assert await ended(store, one) is RefreshEnd.CHANGED
    clock.time += 61.0
    assert await begun(store, one, sealed="changed") == REPLACED


async def test_new_tokens_outlive_the_last_session_for_a_minute(clock: Any) -> None:
    """For one that is just being opened."""
    store = MemoryStore()
    one, two = await of_one_login(store, 0, 1)
    await begun(store, one)
    await ended(store, one)
    for each in (one, two):
        assert await store.close(each) is True
    clock.time += 59.0
    (three,) = await of_one_login(store, 2)
    assert await begun(store, three) == REPLACED


async def test_a_store_with_one_free_session_is_not_full() -> None:
    """It is for another user."""
    store = MemoryStore(max_sessions=4)
    await open_many(store, place(0), place(1), place(2, "other"))
    with pytest.raises(StoreError, match="one user has 2 of the store's 4 sessions; 1 are free"):
        await open_many(store, place(3))
    await open_many(store, place(3, "third"))
