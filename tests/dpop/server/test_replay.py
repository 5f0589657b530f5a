"""The replay store, by its rules and against a model."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from passwordless_async._common import clock as _clock
from passwordless_async.dpop.server.replay import Dropped, MemoryReplayStore, owner_of, user_of
from passwordless_async.errors import StoreError, UsageError

# Two clients with four proofs each, and three with one.
KEYS = [f"{owner}.{jti}" for owner in "ab" for jti in range(4)] + ["c.1", "d.1.2", "e"]
OWNERS = [None, "ada", "bob"]


def add(store: MemoryReplayStore, key: str, expires_at: float, owner: str | None = None) -> bool:
    """Run ``add``, which waits for nothing, without a loop."""
    with pytest.raises(StopIteration) as stopped:
        store.add(key, expires_at, owner=owner).send(None)
    new: bool = stopped.value.value
    return new


class Replay(RuleBasedStateMachine):
    """Adds keys in any order of expiry while the clock goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.kept: dict[str, float] = {}
        self.names: dict[str, str] = {}
        self.store = MemoryReplayStore(max_entries=5, clock=lambda: self.now)

    @rule(key=st.sampled_from(KEYS), lifetime=st.integers(0, 8) | st.floats(0, 8), owner=st.sampled_from(OWNERS))
    def add(self, key: str, lifetime: float, owner: str | None) -> None:
        """A key that is kept is refused, for any owner; a new one is kept, or refused because its owner has no room."""
        live = {key for key, until in self.kept.items() if until >= self.now}
        name = owner or owner_of(key)
        try:
            added = add(self.store, key, self.now + lifetime, owner)
        except StoreError:
            # The store may keep a key to the end of its second, so it may be full a second longer.
            kept = [key for key, until in self.kept.items() if until > self.now - 1]
            assert sum(self.names[other] == name for other in kept) >= 5 - len(kept)
            return
        if key in live:
            assert not added
        if added:
            assert len(live | {key}) <= 5
            assert sum(self.names[other] == name for other in live) < 5 - len(live)
            self.kept[key], self.names[key] = self.now + lifetime, name

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
        counted = Counter(share.owner for share in self.store._keys.values())
        assert {name: share.entries for name, share in self.store._shares.items()} == counted


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
        with pytest.raises(StoreError, match="one client has 50 of the replay store's 100 entries; 50 are free"):
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


def test_one_owner_has_a_share_whatever_its_keys() -> None:
    """A user with a key for each of many logins is refused at half of the store, and all others pass."""
    now = 0.0
    store = MemoryReplayStore(max_entries=100, clock=lambda: now)
    assert all(add(store, f"key{number}.1", 10, "greedy") for number in range(50))
    with pytest.raises(StoreError, match="one client has 50 of the replay store's 100 entries; 50 are free"):
        store.add("key50.1", 10, owner="greedy").send(None)
    assert not add(store, "key0.1", 10, "another")
    assert all(add(store, f"greedy.{number}", 10) for number in range(25))
    assert all(add(store, f"modest{number}.1", 10, f"user{number}") for number in range(25))
    now = 10.001
    assert add(store, "key0.1", 20, "greedy")
    assert list(store._shares) == ["owner greedy"]


async def test_one_user_with_many_keys_does_not_close_the_api_for_others(server_with: Any) -> None:
    """Its requests are answered by 503 from some number on, whatever their key; every other user's request passes."""
    server = server_with()
    server = server_with(clock=server.clock, options={"replay": MemoryReplayStore(max_entries=20, clock=server.clock)})

    async def request(owner: str) -> Any:
        prover = server.Prover()
        proof = prover.proof({}, server.claims())
        return await server.get(proof, confirmation={"jkt": prover.thumbprint}, owner=owner)

    outcomes = await asyncio.gather(*(request("greedy") for _ in range(30)), return_exceptions=True)
    assert [getattr(outcome, "status", 200) for outcome in outcomes] == [200] * 10 + [503] * 20
    for number in range(10):
        await request(f"modest{number}")


async def test_a_proof_is_used_for_every_owner(server: Any) -> None:
    """Rule 28: the owner is no part of what is remembered: a proof does not pass for another one."""
    proof = server.proof()
    await server.get(proof, owner="ada")
    assert [await server.refusal(proof, owner=owner) for owner in ("bob", None)] == ["the proof was used before"] * 2


def test_no_proof_is_dropped_by_a_clock_that_is_set(monkeypatch: pytest.MonkeyPatch, clock: Any) -> None:
    """Rule 28: this machine's clock is set ahead, and back again: an entry is kept for its seconds, and no longer."""
    wall = 1_700_000_000.0
    monkeypatch.setattr(_clock, "now", lambda: wall)
    store = MemoryReplayStore()
    assert add(store, "a.1", store.clock() + 70)
    for step in (3600.0, -7200.0, 3600.0):
        wall += step
        clock.time += 20
        assert not add(store, "a.1", store.clock() + 70)
    clock.time += 11.001
    assert add(store, "a.1", store.clock() + 70)


def test_dropped_proofs_end_with_the_latest() -> None:
    """What a store has not dropped yet does not count, whatever the order."""
    dropped = Dropped()
    assert dropped.latest(1e9) == -math.inf
    for ends, expires_at in ((1060.0, 70.0), (1090.0, 69.5), (1010.0, 20.0), (1000.0, 80.0)):
        dropped.expect(ends, expires_at)
    # A store may keep a proof to the end of its second.
    assert [dropped.latest(now) for now in (20.0, 20.1, 70.0, 70.1, 0.0, 80.1)] == [
        -math.inf, 1010.0, 1010.0, 1090.0, 1090.0, 1090.0,
    ]  # fmt: skip


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


@pytest.mark.parametrize(
    ("claims", "user"),
    [
        ({"iss": "https://a.example/", "sub": "ada"}, "https://a.example/ ada"),
        ({"sub": "ada"}, "None ada"),
        ({"sub": ""}, None),
        ({"sub": 7}, None),
        ({}, None),
    ],
)
def test_a_user_is_known_by_issuer_and_subject(claims: dict[str, Any], user: str | None) -> None:
    """Two issuers may name their users alike; a token without a user leaves the proof to its key."""
    assert user_of(claims) == user
