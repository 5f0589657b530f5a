"""The checker with histories that are right and wrong, stores that break promises, and a short run of each store."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from linearizability.checker import FAULT, UNKNOWN, Losses, Operation, is_linearizable
from linearizability.histories import Plan, record, violations
from linearizability.models import QuotaModel, ReplayModel
from linearizability.objects import KINDS
from linearizability.servers import CASES, NO_FILE, violations_of
from passwordless_async import MemoryReplayStore, MemoryStore
from passwordless_async.stores import RefreshLease, RefreshTurn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

ALL, LAST = Losses(everything=True), Losses()


def history(*calls: tuple[int, float, str, Any]) -> list[Operation]:
    """Return a history: begin and end, what was added, and the answer; a fault adds nothing."""
    return [
        Operation(FAULT if what == FAULT else "add", (what,), answer, begin, end) for begin, end, what, answer in calls
    ]


INF = float("inf")


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        ([], True),
        ([(1, 2, "a", True), (3, 4, "a", False)], True),
        ([(1, 2, "a", True), (3, 4, "a", True)], False),
        ([(1, 2, "a", False)], False),
        ([(1, 4, "a", False), (2, 3, "a", True)], True),  # one within the other: either may be the first
        ([(1, 2, "a", False), (3, 4, "a", True)], False),  # but not against their order in time
        ([(1, INF, "a", UNKNOWN), (3, 4, "a", True)], True),  # without an answer: later, or never
        ([(1, INF, "a", UNKNOWN), (3, 4, "a", False)], True),
        ([(3, 4, "a", False), (5, INF, "a", UNKNOWN)], False),  # but not before it began
        ([(1, INF, "a", UNKNOWN), (2, 3, "a", True), (4, 5, "a", True)], False),
    ],
)
def test_histories_are_explained_or_not(calls: list[Any], expected: bool) -> None:  # noqa: FBT001 - a row
    """By some order that keeps calls that follow one another in theirs."""
    assert is_linearizable(history(*calls), ReplayModel()) is expected


@pytest.mark.parametrize(
    ("losses", "second", "expected"),
    [(ALL, True, True), (ALL, False, False), (LAST, True, True), (LAST, False, True)],
)
def test_a_fault_loses_what_it_may(losses: Losses, second: bool, expected: bool) -> None:  # noqa: FBT001 - a row
    """Everything, or some of the last calls; what is lost is the end of an order, not its middle."""
    calls = history((1, 2, "a", True), (3, 4, FAULT, None), (5, 6, "a", second))
    assert is_linearizable(calls, ReplayModel(), losses) is expected
    middle = history((1, 2, "a", True), (3, 4, "b", True), (5, 6, FAULT, None), (7, 8, "a", True), (9, 10, "b", False))
    assert is_linearizable(middle, ReplayModel(), losses) is False


def test_what_was_promised_to_be_kept_is_not_lost() -> None:
    """Nor anything before it; but what came after it, and what had no answer."""
    durable = Losses(durable=frozenset({"add"}))
    lost = history((1, 2, "a", True), (3, 4, FAULT, None), (5, 6, "a", True))
    assert is_linearizable(lost, ReplayModel(), durable) is False
    unknown = history((1, INF, "a", UNKNOWN), (2, 3, "a", False), (4, 5, FAULT, None), (6, 7, "a", True))
    assert is_linearizable(unknown, ReplayModel(), durable) is True


def test_many_calls_at_once_are_explained_in_time() -> None:
    """Of twenty concurrent reservations each order is another; states that were seen are not visited again."""
    calls = [Operation("reserve", (1,), answer, 0, 100) for answer in reversed(range(20))]
    assert is_linearizable(calls, QuotaModel())
    assert not is_linearizable([*calls, Operation("reserve", (1,), 3, 101, 102)], QuotaModel())


class Slow:
    """A store in memory whose calls take some turns of the loop, before and after they take effect."""

    def __init__(self) -> None:
        self.inner: Any = MemoryStore()
        self.replay: Any = Slow.Replay()
        self.number = count(1)

    class Replay:
        """Used proofs, in the same way."""

        def __init__(self) -> None:
            self.inner = MemoryReplayStore()
            self.clock = self.inner.clock

        async def add(self, key: str, expires_at: float) -> bool:
            await asyncio.sleep(0)
            added = await self.inner.add(key, expires_at)
            await asyncio.sleep(0)
            return added

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def call(*args: Any, **more: Any) -> Any:
            for _ in range(next(self.number) % 3):
                await asyncio.sleep(0)
            answer = await self.answer(name, args, more)
            for _ in range(next(self.number) % 5):
                await asyncio.sleep(0)
            return answer

        return call

    async def answer(self, name: str, args: Any, more: Any) -> Any:
        return await getattr(self.inner, name)(*args, **more)


class Forgets(Slow):
    """Forgets all, once."""

    async def answer(self, name: str, args: Any, more: Any) -> Any:
        if next(self.number) > 300:
            self.inner, self.number = MemoryStore(), count(-10_000)
        return await super().answer(name, args, more)


class AllowsTwice(Slow):
    """Lets a code be presented again by another caller."""

    async def answer(self, name: str, args: Any, more: Any) -> Any:
        answer = await super().answer(name, args, more)
        return 1 if name == "begin_attempt" and answer is None else answer


class GivesPlacesTwice(Slow):
    """Reads the next place of a quota and writes it in two steps."""

    def __init__(self) -> None:
        super().__init__()
        self.places: dict[str, int] = {}

    async def answer(self, name: str, args: Any, more: Any) -> Any:
        if name != "reserve":
            return await super().answer(name, args, more)
        place = self.places.get(args[0], 0)
        await asyncio.sleep(0)
        self.places[args[0]] = place + more["requests"]
        return place * more["interval"]


class KeepsOldNonce(Slow):
    """Answers with the nonce before."""

    def __init__(self) -> None:
        super().__init__()
        self.before: dict[str, Any] = {}

    async def answer(self, name: str, args: Any, more: Any) -> Any:
        answer = await super().answer(name, args, more)
        if name != "nonce":
            return answer
        before, self.before[args[0]] = self.before.get(args[0], answer), answer
        return before


class GrantsTwice(Slow):
    """Grants the lease of a refresh to a second process while the first has it."""

    async def answer(self, name: str, args: Any, more: Any) -> Any:
        answer = await super().answer(name, args, more)
        is_busy = name == "begin_refresh" and answer.lease is RefreshLease.BUSY
        return RefreshTurn(RefreshLease.GRANTED) if is_busy else answer


async def recorded(store: Any, plan: Plan) -> list[str]:
    """Record a history with one store for all callers, and return its violations."""

    @asynccontextmanager
    async def connect() -> AsyncIterator[Any]:
        yield store

    return violations(plan, await record(plan, connect))


@pytest.mark.parametrize("seed", range(10))
async def test_a_store_in_memory_is_linearizable(seed: int) -> None:
    """Each of its parts."""
    assert await recorded(Slow(), Plan(seed=seed)) == []


@pytest.mark.parametrize(
    ("broken", "kind"),
    [
        (Forgets, "session"),
        (AllowsTwice, "codes"),
        (GrantsTwice, "session"),
        (GivesPlacesTwice, "quota"),
        (KeepsOldNonce, "nonce"),
        (Forgets, "codes"),
    ],
)
async def test_a_store_that_breaks_a_promise_is_found(broken: type[Slow], kind: str) -> None:
    """With the number of calls that the short run makes."""
    found = [await recorded(broken(), Plan(seed=seed, kinds=(kind,), calls=120)) for seed in range(3)]
    assert all(found)


CASE = {case.name: case for case in CASES}
SLOW = ("paused", "failed over", "failed over, replicas=1")


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in CASE])
async def test_redis_keeps_its_promises_under_faults(request: pytest.FixtureRequest, name: str) -> None:
    """Nothing is lost by a lost connection, a pause or a kill; by a fail-over what is documented, and no more."""
    fixture = {"killed, no file": "start_redis", **dict.fromkeys(SLOW[1:], "redis_sentinel")}.get(name, "redis_server")
    server = request.getfixturevalue(fixture)
    if name == "killed, no file":
        server = server(NO_FILE)
    assert await violations_of(CASE[name], server, 1) == []


@pytest.mark.slow
async def test_what_a_fail_over_loses_is_seen(redis_server: Any) -> None:
    """A server that forgets breaks the promise of one that does not."""
    forgetful = attrs.evolve(CASE["killed"], faults=lambda server: (partial(forget, server),))
    assert await violations_of(forgetful, redis_server, 1) != []


async def forget(server: Any) -> None:
    """Delete all, as a server without persistence does that is started again."""
    await asyncio.to_thread(server.flush)


def test_every_kind_has_its_model() -> None:
    """What the processes of an application share."""
    assert set(KINDS) == {"codes", "session", "quota", "nonce", "counters", "replay"}
