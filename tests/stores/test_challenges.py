"""What stores know of users' codes: the same on memory, on a server and on a cluster."""

from __future__ import annotations

import asyncio
import ipaddress
from collections import Counter
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from passwordless_async import INTERACTIVE, CodeSpent, Email, KeyRing, MemoryStore
from passwordless_async.client.codes import Codes
from passwordless_async.client.events import Emitter
from passwordless_async.client.shared.availability import Availability
from passwordless_async.stores.redis import RedisStore

if TYPE_CHECKING:
    from collections.abc import Callable

    Stores = Callable[[], Any]

HOUR = 3600.0
USER, ADDRESS = "user-of-43-characters", "address-of-43-characters"


def begin(store: Any, token: str, *, seconds: float = 60.0) -> Any:
    return store.begin_start(USER, token=token, seconds=seconds, remember=HOUR)


def present(store: Any, code: str, token: str, *, at_most: int = 3, different: int = 10) -> Any:
    return store.begin_attempt(USER, code, token=token, max_attempts=at_most, max_codes=different, remember=HOUR)


def count(store: Any, token: str, *, at_most: int | None = 3, window: float = HOUR) -> Any:
    return store.begin_address_start(ADDRESS, token=token, max_starts=at_most, window=window)


async def test_one_of_many_starts_has_leave(stores: Stores):
    """Of a hundred at once on four machines one may send a code; the others hear how long that lasts."""
    made = [stores() for _ in range(4)]
    left = await asyncio.gather(*(begin(made[n % 4], f"token{n}") for n in range(100)))
    assert 1 == left.count(0.0)
    assert all(55 < seconds <= 60 for seconds in left if seconds)


async def test_who_asks_twice_is_told_the_same(stores: Stores):
    """Whoever lost the answer has leave still; another one has not."""
    store, other = stores(), stores()
    assert [0.0, 0.0] == [await begin(store, "mine"), await begin(store, "mine")]
    assert 0 < await begin(other, "theirs")


async def test_without_a_cool_down_all_have_leave(stores: Stores):
    """Seconds of 0 keep nobody back."""
    store = stores()
    assert [0.0, 0.0] == [await begin(store, "one", seconds=0), await begin(store, "two", seconds=0)]


async def test_a_start_ends_by_who_began_it(stores: Stores):
    """Another one's word changes nothing; that of whoever began it sets or ends the cool-down."""
    store, other = stores(), stores()
    await begin(store, "mine")
    for seconds in (0.0, 1000.0):
        await other.end_start(USER, token="theirs", seconds=seconds)
        assert 55 < await begin(other, "theirs") <= 60
    await store.end_start(USER, token="mine", seconds=500)
    assert 495 < await begin(other, "theirs") <= 500
    await store.end_start(USER, token="mine", seconds=0)
    assert 0.0 == await begin(other, "theirs")


async def test_a_start_that_is_over_ends_nothing(stores: Stores):
    """Who was held back by nobody any more, and says so late, does not end what another one has begun since."""
    store, other = stores(), stores()
    await begin(store, "mine", seconds=0.02)
    async with asyncio.timeout(10):
        while await begin(other, "theirs"):  # noqa: ASYNC110 - the server's clock tells
            await asyncio.sleep(0.005)
    await store.end_start(USER, token="mine", seconds=0)
    assert 55 < await begin(store, "mine")


async def test_a_name_in_its_last_millisecond_is_taken(redis_url: str):
    """Whoever is told 0 seconds has leave: so nobody else is until those of the one before are over."""
    async with RedisStore(redis_url, keys=MemoryStore().keys, timeout=30.0) as store:
        loop = asyncio.get_running_loop()
        began = loop.time()
        left = await asyncio.gather(*(begin(store, f"token{n}", seconds=0.002) for n in range(3000)))
        assert 1 <= left.count(0.0) <= (loop.time() - began) / 0.002 + 1


async def test_a_code_is_presented_once(stores: Stores):
    """The first is told so, whoever lost the answer as well, and all others that it was presented."""
    store, other = stores(), stores()
    await begin(store, "start")
    assert [1, 1] == [await present(store, "code", "mine"), await present(store, "code", "mine")]
    assert None is await present(other, "code", "theirs")
    assert 2 == await present(other, "another", "theirs")


async def test_one_of_many_presents_a_code(stores: Stores):
    """Of a hundred at once on four machines one may."""
    made = [stores() for _ in range(4)]
    told = await asyncio.gather(*(present(made[n % 4], "code", f"token{n}") for n in range(100)))
    assert {1: 1, None: 99} == Counter(told)


async def test_attempts_at_a_code_that_was_sent_are_limited(stores: Stores):
    """Three at once out of a hundred different ones have leave, and none afterwards until another code is sent."""
    made = [stores() for _ in range(4)]
    await begin(made[0], "start")
    told = await asyncio.gather(*(present(made[n % 4], f"code{n}", f"token{n}") for n in range(100)))
    assert {0: 97, 1: 1, 2: 1, 3: 1} == Counter(told)
    await made[1].end_start(USER, token="start", seconds=0)
    await begin(made[1], "again")
    assert 1 == await present(made[2], "code0", "anew")


async def test_attempts_at_a_code_of_elsewhere_are_bound(stores: Stores):
    """Of a code that was not started here nobody knows the attempts; but so many different ones are too many."""
    store = stores()
    assert [1, 2, 3, 4, 5] == [await present(store, f"code{n}", f"{n}", different=5) for n in range(5)]
    assert 0 == await present(store, "code6", "6", different=5)
    assert None is await present(store, "code1", "other", different=5)


@pytest.mark.parametrize("right", [True, False])
@pytest.mark.parametrize("started", [True, False])
async def test_the_bound_counts_codes_alone(stores: Stores, started: bool, right: bool):  # noqa: FBT001 - parameters
    """As many different codes are remembered whatever else is known of them; a right one begins the count anew."""
    store = stores()
    if started:
        await begin(store, "start")
    for number in range(4):
        assert await present(store, f"code{number}", f"{number}", at_most=100, different=5)
    await store.retire_code(USER, "code3", token="3", correct=right)
    for number in range(4, 8 if right else 5):
        assert await present(store, f"code{number}", f"{number}", at_most=100, different=5)
    assert await present(store, "one more", "last", at_most=100, different=5) == 0


async def test_what_was_not_presented_is_given_back(stores: Stores):
    """A withdrawal gives back the attempt and the code, but only to whoever presented it, and once."""
    store, other = stores(), stores()
    await begin(store, "start")
    assert [1, 2] == [await present(store, "code", "mine"), await present(store, "tried", "mine")]
    await other.undo_attempt(USER, "code", token="theirs")
    assert None is await present(other, "code", "theirs")
    for _ in range(3):
        await store.undo_attempt(USER, "code", token="mine")
    assert 2 == await present(other, "code", "theirs")
    await other.undo_attempt("nobody", "code", token="theirs")


async def test_what_was_presented_of_the_code_before_is_no_concern_of_the_next(stores: Stores):
    """A start forgets it; a late withdrawal of the code before takes nothing from the next one."""
    store = stores()
    await begin(store, "start", seconds=0)
    assert [1, 2] == [await present(store, "old", "mine"), await present(store, "older", "mine")]
    await begin(store, "again", seconds=0)
    await store.undo_attempt(USER, "older", token="mine")
    assert 1 == await present(store, "old", "theirs")


async def test_after_a_right_code(stores: Stores):
    """The user may have another one at once, the same one is not presented again, and its attempts do not count."""
    store, other = stores(), stores()
    await begin(store, "start")
    for number in range(3):
        await present(store, f"code{number}", "mine")
    await other.retire_code(USER, "code2", token="mine", correct=True)
    assert None is await present(other, "code2", "theirs")
    assert 1 == await present(other, "code3", "theirs")
    assert 0.0 == await begin(other, "again")


async def test_right_codes_are_no_guesses(stores: Stores):
    """A user whose codes are started elsewhere logs in as often as they like; the newest is still presented once."""
    store, other = stores(), stores()
    for number in range(30):
        assert await present(store, f"code{number}", "mine") == 1
        await store.retire_code(USER, f"code{number}", token="mine", correct=True)
    assert await present(other, "code29", "theirs") is None


async def test_after_a_wrong_code(stores: Stores):
    """The user may have another one at once, and its attempts stay used up until then."""
    store, other = stores(), stores()
    await begin(store, "start")
    for number in range(3):
        await present(store, f"code{number}", "mine")
    await other.retire_code(USER, "code2", token="mine", correct=False)
    assert 0 == await present(other, "code3", "theirs")
    assert 0.0 == await begin(other, "again")
    assert 1 == await present(other, "code3", "theirs")


@pytest.mark.parametrize("right", [True, False])
async def test_the_end_of_the_code_before(stores: Stores, right: bool):  # noqa: FBT001 - a parameter
    """It is no concern of a code that was asked for since: that one is not killed, and has its own attempts."""
    store, other = stores(), stores()
    await begin(store, "start")
    assert 1 == await present(store, "old", "mine")
    await store.end_start(USER, token="start", seconds=0)
    assert 0.0 == await begin(other, "again")
    await store.retire_code(USER, "old", token="mine", correct=right)
    assert 0.0 < await begin(store, "third")
    assert [1, 2, 3, 0] == [await present(store, f"new{n}", "mine") for n in range(4)]


async def test_an_address_has_so_many_starts(stores: Stores):
    """Of a hundred at once three have room; the others hear when there is some."""
    made = [stores() for _ in range(4)]
    left = await asyncio.gather(*(count(made[n % 4], f"token{n}") for n in range(100)))
    assert 3 == left.count(0.0)
    assert all(HOUR - 5 < seconds <= HOUR for seconds in left if seconds)


async def test_what_is_taken_back_of_an_address_makes_room(stores: Stores):
    """Only what was counted, and once; whoever asks twice is counted once."""
    store, other = stores(), stores()
    assert [0.0] * 4 == [await count(store, token) for token in ("one", "two", "two", "three")]
    await other.end_address_start(ADDRESS, token="nobody", blocked=0)
    assert 0 < await count(other, "four")
    assert 0.0 == await count(store, "two")
    for _ in range(2):
        await other.end_address_start(ADDRESS, token="two", blocked=0)
    assert 0.0 == await count(other, "four")
    assert 0 < await count(other, "five")


async def test_a_window_slides(stores: Stores):
    """Where the first of those counted is out of the window there is room for one, and no more."""
    store = stores()
    assert 0.0 == await count(store, "one", at_most=2, window=0.3)
    await asyncio.sleep(0.15)
    assert 0.0 == await count(store, "two", at_most=2, window=0.3)
    left = await count(store, "three", at_most=2, window=0.3)
    assert 0 < left <= 0.16
    await asyncio.sleep(left + 0.005)
    assert 0.0 == await count(store, "three", at_most=2, window=0.3)
    assert 0 < await count(store, "four", at_most=2, window=0.3)


async def test_an_address_that_is_barred(stores: Stores):
    """It has no start, counted or not, for as long as the longest of what it was told, and others have."""
    store, other = stores(), stores()
    await store.end_address_start(ADDRESS, token=None, blocked=500)
    await store.end_address_start(ADDRESS, token=None, blocked=5)
    for at_most in (3, None):
        assert 495 < await count(other, "one", at_most=at_most) <= 500
    assert 0.0 == await other.begin_address_start("another", token="one", max_starts=1, window=HOUR)
    await store.end_address_start(ADDRESS, token=None, blocked=1000)
    assert 995 < await count(other, "one") <= 1000


async def test_without_a_number_nothing_is_counted(stores: Stores):
    """Where any number may be made, none of them takes from what a later number leaves."""
    store = stores()
    for number in range(10):
        assert 0.0 == await count(store, f"{number}", at_most=None)
    assert 0.0 == await count(store, "more", at_most=1)


async def test_memory_forgets_in_time(clock: Any):
    """What is known ends when it was said to, by the clock that is stopped here."""
    store = MemoryStore()
    await begin(store, "start", seconds=30)
    await count(store, "one", at_most=1)
    await present(store, "code", "mine")
    clock.time += 29.5
    assert 0.5 == await begin(store, "other")
    clock.time += 0.5
    assert 0.0 == await begin(store, "other")
    assert HOUR - 30 == await count(store, "two", at_most=1)
    await present(store, "code", "mine")
    clock.time += HOUR
    assert 0.0 == await count(store, "two", at_most=1)
    assert 1 == await present(store, "code", "theirs")


@pytest.mark.parametrize("kind", ["redis_server", "redis_cluster"])
async def test_names_tell_nothing_and_nothing_stays(request: pytest.FixtureRequest, kind: str):
    """After all kinds of outcomes no address, code or user is in the store, and no key without an end."""
    server = request.getfixturevalue(kind)
    url = server.url.replace("redis://", "redis+cluster://") if kind == "redis_cluster" else server.url
    who, here, codes = Email("ada@example.com"), ipaddress.ip_address("192.0.2.77"), ["493817", "258146", "730952"]
    profile = attrs.evolve(INTERACTIVE, cool_down=30.0, starts_per_hour=50)
    async with AsyncExitStack() as stack:
        keys = KeyRing(b"k" * 32, users=b"u" * 32)
        store = await stack.enter_async_context(RedisStore(url, keys=keys))
        availability = Availability(store, Emitter(None))
        shared = Codes(availability, issuer="https://tenant.example/", client_id="client", profile=profile)
        ticket = await shared.begin_start(who, here, patience=10.0)
        await shared.end_start(ticket, sent=True, counted=True)
        for code in codes:
            claim = shared.name(who, code)
            await shared.claim(claim)
            await shared.accepted(claim)
            with pytest.raises(CodeSpent):
                await shared.claim(shared.name(who, code))
        await shared.block(here, 60.0)
        await availability.aclose(grace=5.0)
        await begin(store, "of one who does nothing more")
        await store.begin_attempt("another", "code", token="mine", max_attempts=3, max_codes=10, remember=HOUR)
        await store.reserve("quota", requests=3, interval=1.0)
        await store.pause("held", 5.0)
        await store.nonce_or_turn("origin", seconds=5.0)
        await store.put_nonce("another", "nonce", seconds=5.0)
    nodes = server.nodes if kind == "redis_cluster" else [server]
    names = [(node, name) for node in nodes for name in node.ask("KEYS", "*")]
    assert {b"code", b"starts", b"blocked", b"quota", b"turn", b"nonce"} <= {name.split(b":")[2] for _, name in names}
    assert [] == [name for node, name in names if node.ask("PTTL", name) < 0]
    for word in ("ada", "example", "192.0.2.77", "tenant", *codes):
        assert word.encode() not in server.dump()
        assert word.encode() not in server.written()
