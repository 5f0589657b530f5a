"""What every store promises: the same in memory, on a server and on a cluster."""

from __future__ import annotations

import asyncio
import collections
from typing import TYPE_CHECKING, Any

import pytest

from passwordless_async.stores import Counter, Place, RefreshEnd, RefreshLease, RefreshTurn, RefusedCode

if TYPE_CHECKING:
    from collections.abc import Callable

    Stores = Callable[[], Any]


HOUR = 3600.0
USER, ADDRESS = "user-of-43-characters", "address-of-43-characters"
ORIGIN = "origin-of-43-characters"


async def begin(store: Any, token: str, *, seconds: float = 60.0) -> float:
    """Begin a start, and return the seconds until that is allowed."""
    left, _ = await store.begin_start(USER, token=token, seconds=seconds, remember=HOUR)
    return float(left)


async def end(store: Any, token: str, *, seconds: float = 60.0, mark: int | None = None) -> None:
    """End a start; with a mark, a code was sent."""
    await store.end_start(USER, token=token, seconds=seconds, mark=mark, remember=HOUR)


async def send(store: Any, token: str, *, seconds: float = 60.0) -> None:
    """Send the user a code, and begin a cool-down."""
    left, mark = await store.begin_start(USER, token=token, seconds=seconds, remember=HOUR)
    assert left == 0.0
    await end(store, token, seconds=seconds, mark=mark)


def attempt(store: Any, code: str, token: str, *, at_most: int = 3, different: int = 10) -> Any:
    return store.begin_attempt(USER, code, token=token, max_attempts=at_most, max_codes=different, remember=HOUR)


def count(store: Any, token: str, *, at_most: int | None = 3, window: float = HOUR) -> Any:
    return store.begin_address_start(ADDRESS, token=token, max_starts=at_most, window=window)


def turn(store: Any, token: str, *, seconds: float = 60.0) -> Any:
    return store.nonce_or_turn(ORIGIN, token=token, seconds=seconds)


async def test_one_of_many_concurrent_starts_is_allowed(stores: Stores) -> None:
    """Of a hundred on four machines one may send a code; the others get the seconds until they may."""
    made = [stores() for _ in range(4)]
    left = await asyncio.gather(*(begin(made[n % 4], f"token{n}") for n in range(100)))
    assert left.count(0.0) == 1
    assert all(55 < seconds <= 60 for seconds in left if seconds)


async def test_a_repeated_start_gets_the_same_answer(stores: Stores) -> None:
    """A caller that lost the answer is still allowed; another caller is not."""
    store, other = stores(), stores()
    assert [await begin(store, "mine"), await begin(store, "mine")] == [0.0, 0.0]
    assert await begin(other, "theirs") > 0


async def test_without_a_cool_down_every_start_is_allowed(stores: Stores) -> None:
    """Seconds of 0 hold no start back."""
    store = stores()
    assert [await begin(store, "one", seconds=0), await begin(store, "two", seconds=0)] == [0.0, 0.0]


async def test_a_start_is_ended_by_its_own_token(stores: Stores) -> None:
    """Another token changes nothing; its own sets or ends the cool-down."""
    store, other = stores(), stores()
    await begin(store, "mine")
    for seconds in (0.0, 1000.0):
        await end(other, "theirs", seconds=seconds)
        assert 55 < await begin(other, "theirs") <= 60
    await end(store, "mine", seconds=500)
    assert 495 < await begin(other, "theirs") <= 500
    await end(store, "mine", seconds=0)
    assert await begin(other, "theirs") == 0.0


async def test_a_late_report_does_not_end_a_newer_start(stores: Stores) -> None:
    """A start whose time is over has no say about the one that began since."""
    store, other = stores(), stores()
    await begin(store, "mine", seconds=0.02)
    async with asyncio.timeout(10):
        while await begin(other, "theirs"):  # noqa: ASYNC110 - only polling tells
            await asyncio.sleep(0.005)
    await end(store, "mine", seconds=0)
    assert await begin(store, "mine") > 55


async def test_a_code_is_presented_once(stores: Stores) -> None:
    """The first caller may, also if it lost the answer; all others get None."""
    store, other = stores(), stores()
    await send(store, "start")
    assert [await attempt(store, "code", "mine"), await attempt(store, "code", "mine")] == [1, 1]
    assert await attempt(other, "code", "theirs") is None
    assert await attempt(other, "another", "theirs") == 2


async def test_one_of_many_concurrent_attempts_at_a_code_is_allowed(stores: Stores) -> None:
    """Of a hundred on four machines."""
    made = [stores() for _ in range(4)]
    told = await asyncio.gather(*(attempt(made[n % 4], "code", f"token{n}") for n in range(100)))
    assert collections.Counter(told) == {1: 1, None: 99}


async def test_attempts_at_a_started_code_are_limited(stores: Stores) -> None:
    """Three of a hundred concurrent codes are allowed, and none afterwards until another code is started."""
    made = [stores() for _ in range(4)]
    await send(made[0], "start")
    told = await asyncio.gather(*(attempt(made[n % 4], f"code{n}", f"token{n}") for n in range(100)))
    assert collections.Counter(told) == {0: 97, 1: 1, 2: 1, 3: 1}
    await end(made[1], "start", seconds=0)
    await send(made[1], "again")
    assert await attempt(made[2], "code0", "anew") == 1


async def test_distinct_codes_are_limited_without_a_start(stores: Stores) -> None:
    """The attempts at a code started elsewhere are unknown, but that many distinct codes are a guess."""
    store = stores()
    assert [await attempt(store, f"code{n}", f"{n}", different=5) for n in range(5)] == [1, 2, 3, 4, 5]
    assert await attempt(store, "code6", "6", different=5) == 0
    assert await attempt(store, "code1", "other", different=5) is None


@pytest.mark.parametrize("right", [True, False])
@pytest.mark.parametrize("started", [True, False])
async def test_the_limit_counts_distinct_codes_only(stores: Stores, started: bool, right: bool) -> None:  # noqa: FBT001 - a parameter
    """Whatever else is known of the user's code."""
    store = stores()
    if started:
        await send(store, "start")
    for number in range(4):
        assert await attempt(store, f"code{number}", f"{number}", at_most=100, different=5)
    await store.retire_code(USER, "code3", token="3", correct=right)
    for number in range(4, 8 if right else 5):
        assert await attempt(store, f"code{number}", f"{number}", at_most=100, different=5)
    assert await attempt(store, "one more", "last", at_most=100, different=5) == 0


async def test_an_undone_attempt_gives_code_and_attempt_back(stores: Stores) -> None:
    """Only its own token undoes it, and only once."""
    store, other = stores(), stores()
    await send(store, "start")
    assert [await attempt(store, "code", "mine"), await attempt(store, "tried", "mine")] == [1, 2]
    await other.undo_attempt(USER, "code", token="theirs")
    assert await attempt(other, "code", "theirs") is None
    for _ in range(3):
        await store.undo_attempt(USER, "code", token="mine")
    assert await attempt(other, "code", "theirs") == 2
    await other.undo_attempt("nobody", "code", token="theirs")


async def test_an_attempt_that_is_undone_was_not_right(stores: Stores) -> None:
    """Another attempt at the code counts as the first, also if its answer was lost and it is repeated."""
    store = stores()
    assert await attempt(store, "code", "mine") == 1
    await store.retire_code(USER, "code", token="mine", correct=True)
    await store.undo_attempt(USER, "code", token="mine")
    assert [await attempt(store, "code", "theirs") for _ in range(2)] == [1, 1]


async def test_a_code_that_was_wrong_is_known_to_be(stores: Stores) -> None:
    """Every caller hears so, with the attempts that were made, until a new code is sent; it is no new attempt."""
    store, other = stores(), stores()
    await send(store, "start", seconds=0)
    assert await attempt(store, "code", "mine") == 1
    await other.refuse_code(USER, "code", token="theirs", is_last=False)
    assert await attempt(other, "code", "theirs") is None
    await store.refuse_code(USER, "code", token="mine", is_last=False)
    assert [await attempt(each, "code", token) for each, token in ((store, "mine"), (other, "theirs"))] == [
        RefusedCode(1)
    ] * 2
    await store.undo_attempt(USER, "code", token="mine")
    assert await attempt(other, "second", "theirs") == 2
    assert await attempt(store, "code", "again") == RefusedCode(2)
    await send(other, "again", seconds=0)
    assert await attempt(store, "code", "mine") == 1
    await other.refuse_code("stranger", "code", token="theirs", is_last=True)


async def test_a_wrong_code_ends_the_cool_down_if_it_was_the_last(stores: Stores) -> None:
    """A start that is under way is left alone."""
    store, other = stores(), stores()
    await send(store, "start")
    for number in range(2):
        await attempt(store, f"code{number}", "mine")
    await store.refuse_code(USER, "code0", token="mine", is_last=False)
    assert await begin(other, "other") > 0
    await store.refuse_code(USER, "code1", token="mine", is_last=True)
    assert await begin(other, "other") == 0.0
    await attempt(store, "code2", "mine")
    await store.refuse_code(USER, "code2", token="mine", is_last=True)
    assert await begin(store, "third") > 0


async def test_a_code_that_was_sent_ends_the_attempts_at_the_one_before(stores: Stores) -> None:
    """A late undo of the old code takes nothing from the new one."""
    store = stores()
    await send(store, "start", seconds=0)
    assert [await attempt(store, "old", "mine"), await attempt(store, "older", "mine")] == [1, 2]
    await send(store, "again", seconds=0)
    await store.undo_attempt(USER, "older", token="mine")
    assert await attempt(store, "old", "theirs") == 1


@pytest.mark.parametrize("seconds", [0.0, 60.0])
async def test_a_start_that_came_to_nothing_forgets_nothing(stores: Stores, seconds: float) -> None:
    """Neither what was presented nor how often: the newest code is still the old one."""
    store, other = stores(), stores()
    await send(store, "start", seconds=0)
    assert [await attempt(store, "lost", "mine"), await attempt(store, "wrong", "mine")] == [1, 2]
    assert await begin(other, "refused", seconds=seconds) == 0.0
    assert await attempt(store, "lost", "theirs") is None
    await end(other, "refused", seconds=0)
    assert await attempt(other, "lost", "theirs") is None
    assert [await attempt(other, "third", "theirs"), await attempt(store, "fourth", "mine")] == [3, 0]


async def test_a_code_that_was_right_is_an_attempt_at_a_later_one(stores: Stores) -> None:
    """The digits are the same, the code is not."""
    store = stores()
    await send(store, "start", seconds=0)
    assert await attempt(store, "code", "mine") == 1
    await store.retire_code(USER, "code", token="mine", correct=True)
    assert await attempt(store, "other", "mine") == 1
    await send(store, "again", seconds=0)
    assert [await attempt(store, code, "anew") for code in ("code", "other", "third", "fourth")] == [1, 2, 3, 0]


async def test_attempts_while_a_code_is_sent_are_not_forgotten(stores: Stores) -> None:
    """They may have been at the new code: it can arrive before the answer does."""
    store, other = stores(), stores()
    await send(store, "start", seconds=0)
    assert await attempt(store, "old", "mine") == 1
    _, mark = await store.begin_start(USER, token="again", seconds=60.0, remember=HOUR)
    assert await attempt(other, "new", "mine") == 2
    await end(store, "again", mark=mark)
    assert await attempt(other, "new", "theirs") is None
    assert [await attempt(other, f"wrong{n}", "mine") for n in range(3)] == [2, 3, 0]
    assert await attempt(store, "old", "theirs") == 0


async def test_a_late_report_of_an_earlier_start_forgets_nothing_of_a_later_one(stores: Stores) -> None:
    """Two starts at once, without a cool-down: what was presented since both began stays."""
    store, other = stores(), stores()
    _, early = await store.begin_start(USER, token="early", seconds=0, remember=HOUR)
    await send(other, "late", seconds=0)
    assert await attempt(other, "code", "mine") == 1
    await end(store, "early", seconds=0, mark=early)
    assert await attempt(store, "code", "theirs") is None


async def test_a_start_that_asks_again_is_held_longer(stores: Stores) -> None:
    """So it is renewed while it lasts; once it has ended it is not."""
    store, other = stores(), stores()
    assert [await begin(store, "mine", seconds=30), await begin(store, "mine", seconds=90)] == [0.0, 0.0]
    assert 85 < await begin(other, "theirs") <= 90
    await end(store, "mine", seconds=20)
    assert 15 < await begin(store, "mine", seconds=90) <= 20


@pytest.mark.parametrize("right", [True, False])
async def test_a_dead_code_leaves_a_start_under_way_alone(stores: Stores, right: bool) -> None:  # noqa: FBT001 - a parameter
    """Another start would kill the code that is being sent."""
    store, other = stores(), stores()
    await send(store, "start", seconds=0)
    await attempt(store, "old", "mine")
    assert await begin(other, "again") == 0.0
    await store.retire_code(USER, "old", token="mine", correct=right)
    assert await begin(store, "third") > 0


async def test_a_right_code_takes_no_later_one_with_it(stores: Stores) -> None:
    """A report that is late forgets the codes before it alone."""
    store, other = stores(), stores()
    for number in range(3):
        await attempt(store, f"code{number}", "mine")
    await other.retire_code(USER, "code1", token="mine", correct=True)
    assert [await attempt(other, f"code{number}", "theirs") for number in (1, 2, 0)] == [None, None, 2]


async def test_a_correct_code_ends_the_cool_down_and_its_attempts(stores: Stores) -> None:
    """The user may be sent another code at once; the same code is not presented again."""
    store, other = stores(), stores()
    await send(store, "start")
    for number in range(3):
        await attempt(store, f"code{number}", "mine")
    await other.retire_code(USER, "code2", token="mine", correct=True)
    assert await attempt(other, "code2", "theirs") is None
    assert await attempt(other, "code3", "theirs") == 1
    assert await begin(other, "again") == 0.0


async def test_right_codes_are_no_guesses(stores: Stores) -> None:
    """A user whose codes are started elsewhere logs in any number of times; the newest code is still presented once."""
    store, other = stores(), stores()
    for number in range(30):
        assert await attempt(store, f"code{number}", "mine") == 1
        await store.retire_code(USER, f"code{number}", token="mine", correct=True)
    assert await attempt(other, "code29", "theirs") is None


async def test_an_expired_code_ends_the_cool_down_and_keeps_its_attempts(stores: Stores) -> None:
    """The user may be sent another code at once; the attempts stay used until then."""
    store, other = stores(), stores()
    await send(store, "start")
    for number in range(3):
        await attempt(store, f"code{number}", "mine")
    await other.retire_code(USER, "code2", token="mine", correct=False)
    assert await attempt(other, "code3", "theirs") == 0
    await send(other, "again")
    assert await attempt(other, "code3", "theirs") == 1


@pytest.mark.parametrize("right", [True, False])
async def test_a_late_report_about_the_code_before_changes_nothing(stores: Stores, right: bool) -> None:  # noqa: FBT001 - a parameter
    """The newer code is not killed, and has its own attempts."""
    store, other = stores(), stores()
    await send(store, "start")
    assert await attempt(store, "old", "mine") == 1
    await end(store, "start", seconds=0)
    await send(other, "again")
    await store.retire_code(USER, "old", token="mine", correct=right)
    assert await begin(store, "third") > 0.0
    assert [await attempt(store, f"new{n}", "mine") for n in range(4)] == [1, 2, 3, 0]


async def test_the_starts_of_an_address_are_limited(stores: Stores) -> None:
    """Of a hundred concurrent starts three are allowed; the others get the seconds until there is room."""
    made = [stores() for _ in range(4)]
    left = await asyncio.gather(*(count(made[n % 4], f"token{n}") for n in range(100)))
    assert left.count(0.0) == 3
    assert all(HOUR - 5 < seconds <= HOUR for seconds in left if seconds)


async def test_an_undone_start_of_an_address_makes_room(stores: Stores) -> None:
    """A repeated start is counted once, and undone once."""
    store, other = stores(), stores()
    assert [await count(store, token) for token in ("one", "two", "two", "three")] == [0.0] * 4
    await other.end_address_start(ADDRESS, token="nobody", blocked=0)
    assert await count(other, "four") > 0
    assert await count(store, "two") == 0.0
    for _ in range(2):
        await other.end_address_start(ADDRESS, token="two", blocked=0)
    assert await count(other, "four") == 0.0
    assert await count(other, "five") > 0


async def passes(store: Any, seconds: float) -> None:
    """Let so many seconds pass on the store's own clock: a nonce is kept for as long."""
    await store.put_nonce("until then", "nonce", seconds=seconds)
    async with asyncio.timeout(10):
        while await store.nonce("until then"):  # noqa: ASYNC110 - only polling tells
            await asyncio.sleep(0.005)


async def test_the_window_of_an_address_slides(stores: Stores) -> None:
    """When the first start leaves the window there is room for one, and no more."""
    store = stores()
    assert await count(store, "one", at_most=2, window=1.0) == 0.0
    await passes(store, 0.5)
    assert await count(store, "two", at_most=2, window=1.0) == 0.0
    async with asyncio.timeout(10):
        while left := await count(store, "three", at_most=2, window=1.0):
            assert 0 < left <= 0.5
            await asyncio.sleep(0.005)
    assert await count(store, "four", at_most=2, window=1.0) > 0


async def test_a_blocked_address_has_no_starts(stores: Stores) -> None:
    """Counted or not, for the longest block that was set; other addresses have theirs."""
    store, other = stores(), stores()
    await store.end_address_start(ADDRESS, token=None, blocked=500)
    await store.end_address_start(ADDRESS, token=None, blocked=5)
    for at_most in (3, None):
        assert 495 < await count(other, "one", at_most=at_most) <= 500
    assert await other.begin_address_start("another", token="one", max_starts=1, window=HOUR) == 0.0
    await store.end_address_start(ADDRESS, token=None, blocked=1000)
    assert 995 < await count(other, "one") <= 1000


async def test_without_a_limit_no_start_is_counted(stores: Stores) -> None:
    """None of them takes from what a later limit allows."""
    store = stores()
    for number in range(10):
        assert await count(store, f"{number}", at_most=None) == 0.0
    assert await count(store, "more", at_most=1) == 0.0


async def test_places_of_all_machines_are_spaced(stores: Stores) -> None:
    """Each reservation begins where the one before ends; another quota has its own queue."""
    store, other = stores(), stores()
    waits = [await each.reserve("quota", requests=2, interval=100.0) for each in (store, other, store)]
    assert waits[0] == 0.0
    assert pytest.approx(waits[1:], abs=2.0) == [200, 400]
    assert await other.reserve("another", requests=1, interval=1.0) == 0.0


async def test_concurrent_reservations_have_their_own_places(stores: Stores) -> None:
    """A hundred on four machines form one queue without gaps; the last waits for all before it."""
    made = [stores() for _ in range(4)]
    takes = [made[n % 4].reserve("quota", requests=1 + n % 3, interval=1000.0) for n in range(100)]
    waits = await asyncio.gather(*takes)
    lengths = {wait: 1000.0 * (1 + n % 3) for n, wait in enumerate(waits)}
    line = sorted(lengths)
    assert len(line) == 100
    # What passes between two takes is real time; it is nothing beside the places.
    ends = [wait + lengths[wait] for wait in line]
    assert line[1:] == pytest.approx(ends[:-1], abs=30.0)
    assert 1000.0 * (100 + 99) - 30.0 - lengths[line[-1]] <= line[-1] <= 1000.0 * (100 + 99) - lengths[line[-1]]


async def test_idle_time_is_not_saved_up(stores: Stores) -> None:
    """After a while without requests one place is free at once, and the next an interval later."""
    store = stores()
    await store.reserve("quota", requests=1, interval=0.01)
    await passes(store, 0.05)
    assert await store.reserve("quota", requests=1, interval=10.0) == 0.0
    assert 8.0 < await store.reserve("quota", requests=1, interval=10.0) <= 10.0


async def test_a_pause_stops_all_machines(stores: Stores) -> None:
    """No place comes before its end, and afterwards places are spaced; a shorter pause ends no longer one."""
    store, other = stores(), stores()
    await store.pause("quota", 500)
    await other.pause("quota", 5)
    assert 495 < await other.reserve("quota", requests=1, interval=100.0) <= 500
    assert 595 < await store.reserve("quota", requests=1, interval=100.0) <= 600
    await store.pause("quota", 5)
    assert 695 < await store.reserve("quota", requests=1, interval=100.0) <= 700


async def test_a_high_quota_is_not_exceeded(stores: Stores) -> None:
    """Fractions of a microsecond count: a million places of 7.5 µs take no less than that."""
    store = stores()
    await store.pause("quota", 1000)
    first = await store.reserve("quota", requests=1_000_000, interval=0.0000075)
    assert pytest.approx(await store.reserve("quota", requests=1, interval=1.0) - first, abs=0.4) == 7.5


async def test_a_nonce_is_known_once_it_was_put(stores: Stores) -> None:
    """Other machines get it, for that origin alone."""
    store, other = stores(), stores()
    assert await store.nonce(ORIGIN) is None
    await store.put_nonce(ORIGIN, "first", seconds=60)
    await store.put_nonce(ORIGIN, "second", seconds=60)
    assert [
        await other.nonce(ORIGIN),
        await turn(other, "theirs"),
        await other.nonce("another"),
    ] == ["second", "second", None]


async def test_one_of_many_concurrent_callers_gets_the_turn(stores: Stores) -> None:
    """Of a hundred on four machines one fetches the first nonce."""
    made = [stores() for _ in range(4)]
    answers = await asyncio.gather(*(turn(made[n % 4], f"token{n}") for n in range(100)))
    assert collections.Counter(answers) == {True: 1, False: 99}
    another = await made[0].nonce_or_turn("another", token="mine", seconds=60)
    assert [another, await made[1].nonce(ORIGIN)] == [True, None]


async def test_a_nonce_ends_the_turn(stores: Stores) -> None:
    """Whichever process put it. When it expires the next caller gets the turn, and not the one before."""
    store, other = stores(), stores()
    assert await turn(store, "mine")
    await other.put_nonce(ORIGIN, "nonce", seconds=0.03)
    assert await turn(store, "mine") == "nonce"
    async with asyncio.timeout(10):
        while await store.nonce(ORIGIN) is not None:  # noqa: ASYNC110 - only polling tells
            await asyncio.sleep(0.005)
    assert [await turn(other, "theirs"), await turn(store, "mine")] == [True, False]


async def test_an_empty_nonce_is_an_answer(stores: Stores) -> None:
    """No caller gets the turn: the origin demands no nonce."""
    store, other = stores(), stores()
    await store.put_nonce(ORIGIN, "", seconds=60)
    assert [await other.nonce(ORIGIN), await turn(other, "theirs")] == ["", ""]


async def turn_expires(store: Any, other: Any) -> None:
    """Let one caller's turn expire, and another have the next."""
    assert await turn(store, "mine", seconds=0.03)
    async with asyncio.timeout(10):
        while not await turn(other, "theirs"):  # noqa: ASYNC110 - only polling tells
            await asyncio.sleep(0.005)


async def test_a_released_turn_passes_on_at_once(stores: Stores) -> None:
    """The next caller fetches the nonce."""
    store, other = stores(), stores()
    assert [await turn(store, "mine"), await turn(other, "theirs")] == [True, False]
    await store.release_turn(ORIGIN, token="mine")
    assert [await turn(other, "theirs"), await turn(store, "mine")] == [True, False]


async def test_a_turn_is_released_by_its_own_token(stores: Stores) -> None:
    """A caller that was slower than its turn does not end that of the next."""
    store, other = stores(), stores()
    await turn_expires(store, other)
    await store.release_turn(ORIGIN, token="mine")
    assert [await turn(store, "third"), await turn(other, "theirs")] == [False, True]
    await other.release_turn(ORIGIN, token="theirs")
    assert await turn(store, "third")


async def test_a_caller_that_lost_the_answer_still_has_the_turn(stores: Stores) -> None:
    """By its token; and its time begins anew."""
    store, other = stores(), stores()
    assert [await turn(store, "mine"), await turn(other, "theirs"), await turn(store, "mine")] == [True, False, True]


async def test_a_turn_expires(stores: Stores) -> None:
    """Another caller gets it if the process that had it has died."""
    store, other = stores(), stores()
    await turn_expires(store, other)
    assert not await turn(store, "mine")


# Sessions and the leases of their logins

ONE, TWO = (Place("shard", f"session{number}", "user") for number in (1, 2))


async def open_sessions(store: Any, *places: Place) -> None:
    for place in places:
        await store.open(place, "sealed", login="login", seconds=HOUR, user_seconds=HOUR)


def lease(store: Any, token: str, *, place: Place = ONE, overlap: float = 0.0, spends: str = "old") -> Any:
    return store.begin_refresh(
        place,
        login="login",
        sealed="sealed",
        spends=spends,
        token=token,
        seconds=60.0,
        overlap=overlap,
        remember=HOUR,
    )


def end_lease(store: Any, token: str, *, place: Place = ONE) -> Any:
    return store.end_refresh(
        place,
        login="login",
        token=token,
        texts=("sealed", "resealed"),
        replacement="new",
        tokens="sealed tokens",
        seconds=HOUR,
        remember=HOUR,
    )


def hold(store: Any, token: str, seconds: float) -> Any:
    return store.hold_refresh(ONE, login="login", token=token, seconds=seconds)


def release(store: Any, token: str, *, refused: bool = False) -> Any:
    return store.release_refresh(ONE, login="login", token=token, refused=refused)


GRANTED, BUSY = RefreshTurn(RefreshLease.GRANTED), RefreshTurn(RefreshLease.BUSY)
DOUBTFUL, REFUSED = RefreshTurn(RefreshLease.DOUBTFUL), RefreshTurn(RefreshLease.REFUSED)


async def test_a_ready_store_answers_a_ping(stores: Stores) -> None:
    """It returns nothing."""
    assert await stores().ping() is None


async def test_a_text_that_was_changed_during_a_refresh_stays(stores: Stores) -> None:
    """The login has the new tokens, for longer than a moment, and the report may be repeated."""
    store = stores()
    await open_sessions(store, ONE)
    assert await lease(store, "t") == GRANTED
    assert await store.reseal(ONE, "sealed", "changed") is True
    assert [await end_lease(store, "t") for _ in range(2)] == [RefreshEnd.CHANGED] * 2
    assert await store.read(ONE, seconds=HOUR) == "changed"
    replaced = await store.begin_refresh(
        ONE,
        login="login",
        sealed="changed",
        spends="old",
        token="other",
        seconds=60.0,
        overlap=0.0,
        remember=HOUR,
    )
    assert replaced == RefreshTurn(RefreshLease.REPLACED, tokens="sealed tokens")


async def test_the_sessions_of_a_login_share_its_lease(stores: Stores) -> None:
    """One caller gets it, and gets it again when it repeats the call; another one, with another session, does not."""
    store, other = stores(), stores()
    await open_sessions(store, ONE, TWO)
    assert [await lease(store, "mine") for _ in range(2)] == [GRANTED] * 2
    assert await lease(other, "theirs", place=TWO) == BUSY
    await release(store, "theirs")
    assert await lease(other, "theirs", place=TWO) == BUSY
    await release(store, "mine")
    assert await lease(other, "theirs", place=TWO) == GRANTED


async def test_the_sessions_of_a_login_share_new_tokens(stores: Stores) -> None:
    """The report may be repeated; the other session learns what replaced its refresh token."""
    store, other = stores(), stores()
    await open_sessions(store, ONE, TWO)
    await lease(store, "mine")
    assert [await end_lease(store, "mine") for _ in range(2)] == [RefreshEnd.KEPT] * 2
    assert await store.read(ONE, seconds=HOUR) == "resealed"
    assert await lease(other, "theirs", place=TWO) == RefreshTurn(RefreshLease.REPLACED, tokens="sealed tokens")
    assert (await lease(store, "mine")).lease is RefreshLease.CHANGED


async def test_new_tokens_of_a_closed_session_go_to_the_others_of_its_login(stores: Stores) -> None:
    """Without others the report is void."""
    store = stores()
    await open_sessions(store, ONE, TWO)
    await lease(store, "mine")
    await store.close(ONE)
    assert [await end_lease(store, "mine") for _ in range(2)] == [RefreshEnd.CLOSED] * 2
    assert (await lease(store, "theirs", place=TWO)).tokens == "sealed tokens"
    assert await lease(store, "mine") == RefreshTurn(RefreshLease.GONE)


async def test_new_tokens_of_a_closed_session_without_others_are_void(stores: Stores) -> None:
    """No caller would ever get them."""
    store = stores()
    await open_sessions(store, ONE)
    await lease(store, "mine")
    await store.close(ONE)
    assert [await end_lease(store, "mine") for _ in range(2)] == [RefreshEnd.VOID] * 2


async def test_a_report_after_the_lease_has_passed_on_keeps_nothing(stores: Stores) -> None:
    """It is told apart from one of a closed session: a session of the login lives, this one or another."""
    store, other = stores(), stores()
    await open_sessions(store, ONE, TWO)
    await lease(store, "late")
    await hold(store, "late", 0.0)
    await lease(other, "theirs", place=TWO, overlap=HOUR)
    assert [await end_lease(store, "late") for _ in range(2)] == [RefreshEnd.PASSED] * 2
    assert await store.read(ONE, seconds=HOUR) == "sealed"
    await store.close(ONE)
    assert await end_lease(store, "late") is RefreshEnd.PASSED
    assert await end_lease(other, "theirs", place=TWO) is RefreshEnd.KEPT


async def test_a_late_report_of_a_closed_session_without_others_is_void(stores: Stores) -> None:
    """Also if another process had got the lease before the session was closed."""
    store, other = stores(), stores()
    await open_sessions(store, ONE)
    await lease(store, "late")
    await hold(store, "late", 0.0)
    await lease(other, "theirs", overlap=HOUR)
    await store.close(ONE)
    assert [await end_lease(store, token) for token in ("late", "theirs")] == [RefreshEnd.VOID] * 2


async def test_a_refresh_of_unknown_outcome_is_doubtful_but_within_the_overlap(stores: Stores) -> None:
    """The overlap is counted from the first use, and a later try that was not sent leaves the doubt."""
    store, other = stores(), stores()
    await open_sessions(store, ONE)
    await lease(store, "mine")
    await hold(store, "theirs", 0.0)
    assert await lease(other, "theirs") == BUSY
    await hold(store, "mine", 0.0)
    assert await lease(other, "theirs") == DOUBTFUL
    turn = await lease(other, "theirs", overlap=HOUR)
    assert (turn.lease, turn.elapsed is not None and 0.0 <= turn.elapsed < HOUR) == (RefreshLease.GRANTED, True)
    await release(other, "theirs")
    assert await lease(store, "mine") == DOUBTFUL
    assert (await lease(store, "third", overlap=HOUR)).lease is RefreshLease.GRANTED
    assert await end_lease(store, "third") is RefreshEnd.KEPT


async def test_a_refused_refresh_token_is_remembered(stores: Stores) -> None:
    """No overlap helps it."""
    store, other = stores(), stores()
    await open_sessions(store, ONE, TWO)
    await lease(store, "mine")
    await release(store, "mine", refused=True)
    assert await lease(other, "theirs", place=TWO, overlap=HOUR) == REFUSED


GROUP = "group-of-43-characters"


def limit(kind: str, at_most: int, *, name: str = "name", window: float = HOUR) -> Counter:
    return Counter(kind, name, at_most, window)


def count_one(store: Any, token: str, *counters: Counter, group: str = GROUP, remember: float = 60.0) -> Any:
    return store.count(group, counters, token=token, remember=remember)


async def test_a_counter_counts_up_to_its_limit(stores: Stores) -> None:
    """Of a hundred at once on four machines as many count as there is room; the others get the window's seconds."""
    made = [stores() for _ in range(4)]
    told = await asyncio.gather(*(count_one(made[n % 4], f"token{n}", limit("address", 7)) for n in range(100)))
    assert told.count((0.0,)) == 7
    assert all(HOUR - 30 < left <= HOUR for (left,) in told if left)


async def test_several_counters_count_together_or_not_at_all(stores: Stores) -> None:
    """Where one is full the others stay as they were, and the answer names the full one."""
    store, other = stores(), stores()
    both = limit("address", 3), limit("user", 1, window=600.0)
    assert await count_one(store, "one", *both) == (0.0, 0.0)
    for n in range(5):
        address, user = await count_one(other, f"more{n}", *both)
        assert (address, 570 < user <= 600) == (0.0, True)
    another = limit("address", 3), limit("user", 1, name="another")
    assert await count_one(store, "two", *another) == (0.0, 0.0)
    assert await count_one(other, "three", limit("address", 3)) == (0.0,)
    (left,) = await count_one(other, "four", limit("address", 3))
    assert left > 0


@pytest.mark.parametrize("run", range(3))
async def test_counters_that_are_shared_in_different_pairs_race(stores: Stores, run: int) -> None:
    """A hundred calls at once on four machines, ten users from one address: neither limit is passed, nor missed."""
    del run
    made = [stores() for _ in range(4)]

    def one(n: int) -> Any:
        return count_one(made[n % 4], f"token{n}", limit("address", 25), limit("user", 4, name=f"user{n % 10}"))

    told = await asyncio.gather(*(one(n) for n in range(100)))
    counted = [n for n, left in enumerate(told) if not any(left)]
    users = collections.Counter(n % 10 for n in counted)
    assert len(counted) == 25
    assert max(users.values()) <= 4


async def test_a_repeated_count_gets_the_same_answer_and_counts_once(stores: Stores) -> None:
    """A caller that lost the answer asks again by the same token, also where the counter is full by now."""
    store, other = stores(), stores()
    assert [await count_one(store, "mine", limit("user", 2)) for _ in range(3)] == [(0.0,)] * 3
    assert await count_one(other, "theirs", limit("user", 2)) == (0.0,)
    assert await count_one(other, "mine", limit("user", 2)) == (0.0,)
    assert (await count_one(other, "third", limit("user", 2)))[0] > 0


async def test_what_is_undone_makes_room_once(stores: Stores) -> None:
    """By its own token, in each of its counters, once; another token undoes nothing."""
    store, other = stores(), stores()
    both = limit("address", 3), limit("user", 2)
    for token in ("one", "two"):
        assert await count_one(store, token, *both) == (0.0, 0.0)
    await other.undo_count(GROUP, both, token="three")
    assert any(await count_one(other, "three", *both))
    for _ in range(2):
        await other.undo_count(GROUP, both, token="one")
    assert await count_one(other, "three", *both) == (0.0, 0.0)
    assert any(await count_one(other, "four", *both))
    assert await count_one(other, "four", limit("address", 3)) == (0.0,)
    assert any(await count_one(other, "five", limit("address", 3)))


async def test_one_call_of_many_at_once_is_undone_once(stores: Stores) -> None:
    """Counts and undos of the same token race: in the end there is room for exactly one less than the limit."""
    made = [stores() for _ in range(4)]
    only = (limit("user", 3),)
    await count_one(made[0], "kept", *only)
    await count_one(made[0], "undone", *only)
    await asyncio.gather(*(made[n % 4].undo_count(GROUP, only, token="undone") for n in range(20)))
    told = await asyncio.gather(*(count_one(made[n % 4], f"{n}", *only) for n in range(20)))
    assert told.count((0.0,)) == 2


async def test_a_window_ends_and_is_not_undone_in_the_next(stores: Stores) -> None:
    """After its time all are forgotten; an undo that comes late leaves the next window alone."""
    store = stores()
    assert await count_one(store, "one", limit("user", 1, window=0.05)) == (0.0,)
    async with asyncio.timeout(10):
        while any(await count_one(store, "two", limit("user", 1))):  # noqa: ASYNC110 - only polling tells
            await asyncio.sleep(0.005)
    await store.undo_count(GROUP, (limit("user", 1),), token="one")
    assert any(await count_one(store, "three", limit("user", 1)))


async def test_a_limit_of_nothing_refuses_always(stores: Stores) -> None:
    """It has room after a window, which never comes: the caller is told the window."""
    store = stores()
    left = await count_one(store, "one", limit("sms", 0), limit("user", 5))
    assert left == (pytest.approx(HOUR, abs=1e-6), 0.0)  # a time of the clock and an hour, less that time: it rounds
    assert await count_one(store, "one") == ()


async def test_groups_kinds_and_names_are_counted_apart(stores: Stores) -> None:
    """The same name of another kind, or in another group, is another counter."""
    store = stores()
    assert await count_one(store, "one", limit("user", 1)) == (0.0,)
    assert await count_one(store, "two", limit("address", 1)) == (0.0,)
    assert await count_one(store, "three", limit("user", 1, name="else")) == (0.0,)
    assert await count_one(store, "one", limit("user", 1), group="another-group") == (0.0,)
    assert any(await count_one(store, "four", limit("user", 1)))
