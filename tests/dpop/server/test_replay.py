"""The replay store, by its rules and against a model."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from passwordless_async.dpop.server.replay import MemoryReplayStore, owner_of
from passwordless_async.errors import StoreError, UsageError

# Two clients with four proofs each, and three with one.
KEYS = [f"{owner}.{jti}" for owner in "ab" for jti in range(4)] + ["c.1", "d.1.2", "e"]


def add(store: MemoryReplayStore, key: str, expires_at: float) -> bool:
    """Run ``add``, which waits for nothing, without a loop."""
    with pytest.raises(StopIteration) as stopped:
        store.add(key, expires_at).send(None)
    new: bool = stopped.value.value
    return new


class Replay(RuleBasedStateMachine):
    """Adds keys in any order of expiry while the clock goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.kept: dict[str, float] = {}
        self.store = MemoryReplayStore(max_entries=5, clock=lambda: self.now)

    @rule(key=st.sampled_from(KEYS), lifetime=st.integers(0, 8) | st.floats(0, 8))
    def add(self, key: str, lifetime: float) -> None:
        """A key that is kept is refused; a new one is kept, or refused because its owner has no room."""
        live = {key for key, until in self.kept.items() if until >= self.now}
        try:
            added = add(self.store, key, self.now + lifetime)
        except StoreError:
            # The store may keep a key to the end of its second, so it may be full a second longer.
            kept = [key for key, until in self.kept.items() if until > self.now - 1]
            assert sum(owner_of(other) == owner_of(key) for other in kept) >= 5 - len(kept)
            return
        if key in live:
            assert not added
        if added:
            self.kept[key] = self.now + lifetime
            assert len(live | {key}) <= 5
            assert sum(owner_of(other) == owner_of(key) for other in live) < 5 - len(live)

    @rule(seconds=st.integers(0, 5) | st.floats(0, 3) | st.just(1e6))
    def wait(self, seconds: float) -> None:
        """Time goes on."""
        self.now += seconds

    @invariant()
    def bounded(self) -> None:
        """The store never holds more than it may, and its parts agree."""
        assert len(self.store) <= 5
        assert len(self.store) == sum(len(slot) for slot in self.store._by_second.values())
        assert sorted(self.store._seconds) == sorted(self.store._by_second)
        assert self.store._held == Counter(owner_of(key) for key in self.store._keys)


TestReplay = pytest.mark.slow(Replay.TestCase)


def test_full_store_refuses_and_does_not_forget() -> None:
    """Rule 28: a full store refuses; what it holds stays refused, and room comes by expiry alone."""
    now = 0.0
    store = MemoryReplayStore(max_entries=2, clock=lambda: now)
    assert add(store, "a", 10)
    assert add(store, "b", 20)
    for _ in range(3):
        with pytest.raises(StoreError, match="full: 2 entries"):
            store.add("c", 10).send(None)
    assert not add(store, "a", 10)
    now = 10.5
    assert add(store, "c", 30)
    assert not add(store, "b", 20)
    assert repr(store) == "<MemoryReplayStore of 2 entries, at most 2>"


def test_one_key_has_as_many_entries_as_are_free() -> None:
    """A client that floods the store is refused at half of it, others pass, and its own proofs stay refused."""
    now = 0.0
    store = MemoryReplayStore(max_entries=100, clock=lambda: now)
    assert all(add(store, f"greedy.{number}", 10) for number in range(50))
    for number in (50, 51):
        with pytest.raises(StoreError, match="one key has 50 of the replay store's 100 entries; 50 are free"):
            store.add(f"greedy.{number}", 10).send(None)
    assert not add(store, "greedy.0", 10)
    assert all(add(store, f"modest{number}.1", 10) for number in range(50))
    with pytest.raises(StoreError, match="full"):
        store.add("late.1", 10).send(None)
    now = 10.001
    assert add(store, "greedy.50", 20)


async def test_one_client_does_not_close_the_api_for_others(server_with: Any) -> None:
    """A flood by one key is answered by 503 to that key alone; every other client's request passes."""
    server = server_with()
    server = server_with(clock=server.clock, options={"replay": MemoryReplayStore(max_entries=20, clock=server.clock)})
    for _ in range(10):
        await server.get(server.proof())
    for _ in range(30):
        assert await server.refusal(server.proof()) == "the proof cannot be remembered"
    for _ in range(10):
        other = server.Prover()
        await server.get(other.proof({}, server.claims()), confirmation={"jkt": other.thumbprint})


def test_kept_through_its_last_instant() -> None:
    """Rule 28: an entry is kept until its time and at it: with a skew of zero the proof is still good then."""
    now = 0.0
    store = MemoryReplayStore(clock=lambda: now)
    assert add(store, "a", 10)
    now = 10.0
    assert not add(store, "a", 10)
    now = 10.001
    assert add(store, "a", 20)


def test_expiry_is_by_time_not_by_order() -> None:
    """Rule 28: an entry that came later and expires sooner goes sooner."""
    now = 0.0
    store = MemoryReplayStore(clock=lambda: now)
    for key, until in (("late", 30), ("soon", 10), ("middle", 20)):
        assert add(store, key, until)
    now = 15.0
    assert add(store, "soon", 30)
    assert not add(store, "middle", 30)
    assert not add(store, "late", 30)


async def test_add_is_atomic(server: Any) -> None:
    """Rule 28: of fifty requests at once with one proof, one passes."""
    proof = server.proof()
    outcomes = await asyncio.gather(*(server.get(proof) for _ in range(50)), return_exceptions=True)
    assert sum(not isinstance(outcome, Exception) for outcome in outcomes) == 1


async def test_full_memory_store_refuses_requests(server_with: Any) -> None:
    """Rule 28: a full store refuses new proofs with 503 and still knows the old ones."""
    server = server_with()
    server = server_with(clock=server.clock, options={"replay": MemoryReplayStore(max_entries=1, clock=server.clock)})
    first = server.proof()
    await server.get(first)
    assert await server.refusal(server.proof()) == "the proof cannot be remembered"
    assert await server.refusal(first) == "the proof was used before"
    server.clock.now += 71
    await server.get(server.proof())


@pytest.mark.parametrize("size", [0, -1, 1.5, True, None])
def test_size_is_a_whole_number(size: Any) -> None:
    """The bound is a whole number of one or more."""
    with pytest.raises(UsageError, match="max_entries"):
        MemoryReplayStore(max_entries=size)
