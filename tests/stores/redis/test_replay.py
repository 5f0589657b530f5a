"""Used proofs: remembered for all machines, and refused if the server is unreachable."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from passwordless_async import (
    DPoPKey,
    DPoPVerifier,
    InvalidDPoPProof,
    MemoryReplayStore,
    ProofGenerator,
    StoreError,
    StoreUnavailable,
    UsageError,
)
from passwordless_async._common import clock as _clock
from passwordless_async.stores.redis import RedisReplayStore

URL = "https://api.example/me"


@pytest.fixture(params=["memory", "redis"])
async def stores(request: pytest.FixtureRequest) -> Any:
    """Make the stores of four machines, which share what they know."""
    if request.param == "memory":
        yield [MemoryReplayStore()] * 4
    else:
        url = request.getfixturevalue("redis_url")
        made = [RedisReplayStore(url) for _ in range(4)]
        yield made
        for store in made:
            await store.aclose()


async def test_one_of_many_concurrent_adds_is_the_first(stores: Any) -> None:
    """Of a hundred adds of one key on four machines one is new; another key is new as well."""
    until = time.time() + 60
    added = await asyncio.gather(*(stores[n % 4].add("key", until) for n in range(100)))
    assert sum(added) == 1
    assert await stores[0].add("another", until)


async def test_a_proof_is_accepted_by_one_machine(stores: Any) -> None:
    """All others refuse it."""
    verifiers = [DPoPVerifier(replay=store, base_url="https://api.example") for store in stores]
    key = DPoPKey.generate()
    for first in range(4):
        proof = ProofGenerator(key).proof("GET", URL, access_token="token")
        checked: dict[str, Any] = {
            "headers": {"DPoP": proof},
            "confirmation": {"jkt": key.thumbprint},
            "access_token": "token",
        }
        await verifiers[first].verify("GET", URL, **checked)
        for verifier in verifiers:
            with pytest.raises(InvalidDPoPProof):
                await verifier.verify("GET", URL, **checked)


async def test_a_used_proof_is_kept_until_it_expires(redis_server: Any) -> None:
    """And about a second more."""
    async with RedisReplayStore(redis_server.url) as store:
        assert await store.add("key", time.time() + 60)
        (name,) = redis_server.ask("KEYS", "pa:*:replay:*")
        assert 59_000 < redis_server.ask("PTTL", name) <= 61_100
        assert b"key" not in name


@pytest.mark.parametrize("days", [-3, 3])
async def test_expiry_is_relative(redis_server: Any, monkeypatch: pytest.MonkeyPatch, days: int) -> None:
    """A machine whose clock is days behind or ahead of the server's keeps a proof for as long as another."""
    wrong = time.time() + days * 86400
    monkeypatch.setattr(_clock, "now", lambda: wrong)
    async with RedisReplayStore(redis_server.url) as store:
        assert await store.add("key", wrong + 60)
        assert not await store.add("key", wrong + 60)
        (name,) = redis_server.ask("KEYS", "pa:*:replay:*")
        assert 59_000 < redis_server.ask("PTTL", name) <= 61_100


async def test_a_clock_that_is_set_back_lets_no_used_proof_pass(redis_server: Any, clock: Any) -> None:
    """The server has dropped the proof, and by the verifier's clock it is good again."""
    wall, key = time.time(), DPoPKey.generate()
    proof = ProofGenerator(key, clock=lambda: wall).proof("GET", URL)
    now = wall
    async with RedisReplayStore(redis_server.url) as store:
        verifier = DPoPVerifier(replay=store, base_url="https://api.example", clock=lambda: now)
        await verifier.verify("GET", URL, {"DPoP": proof})
        redis_server.ask("FLUSHALL")  # as if its time were over
        clock.time += 72.0
        now += 72.0 - 60.0
        with pytest.raises(InvalidDPoPProof, match="set back: the proof may have been used before"):
            await verifier.verify("GET", URL, {"DPoP": proof})
        fresh = ProofGenerator(key, clock=lambda: now).proof("GET", URL)
        assert await verifier.verify("GET", URL, {"DPoP": fresh})


async def test_a_time_that_is_over_is_refused(redis_server: Any) -> None:
    """It is by another clock: the store cannot tell how long the proof would pass."""
    async with RedisReplayStore(redis_server.url) as store:
        with pytest.raises(StoreError, match="two clocks differ"):
            await store.add("key", time.time() - 1)
        assert redis_server.ask("KEYS", "*") == []


async def test_a_proof_is_kept_for_its_own_time(redis_server: Any) -> None:
    """Not for that of a later proof of the same key, and not less; what has expired makes room."""
    async with RedisReplayStore(redis_server.url, max_per_key=2) as store:
        now = time.time()
        assert await store.add("mine.long", now + 60)
        assert await store.add("mine.short", now + 30)
        (name,) = redis_server.ask("KEYS", "pa:*:replay:*")
        assert 59_000 < redis_server.ask("PTTL", name) <= 61_100
        (short, _) = redis_server.ask("ZRANGE", name, 0, 0, "WITHSCORES")
        redis_server.ask("ZADD", name, 1, short)  # as if it had expired
        assert not await store.add("mine.long", now + 60)
        assert await store.add("mine.short", now + 30)
        assert redis_server.ask("ZCARD", name) == 2


async def test_one_key_has_a_share(redis_server: Any) -> None:
    """Beyond it that key is refused, its used proofs stay refused, and all other keys pass."""
    async with RedisReplayStore(redis_server.url, max_per_key=5) as store:
        until = time.time() + 60
        results = await asyncio.gather(
            *(store.add(f"greedy.{number}", until) for number in range(8)), return_exceptions=True
        )
        assert results[:5] == [True] * 5
        assert [str(error) for error in results[5:]] == ["one key has used its share of the replay store: 5 proofs"] * 3
        assert not await store.add("greedy.0", until)
        assert all(await asyncio.gather(*(store.add(f"modest{number}.1", until) for number in range(20))))


@pytest.mark.parametrize("number", [0, -1, 1.5, True, None])
def test_the_share_is_a_whole_number(number: Any) -> None:
    """Of one or more."""
    with pytest.raises(UsageError, match="max_per_key"):
        RedisReplayStore("redis://127.0.0.1:1", max_per_key=number)


async def test_without_the_server_every_proof_is_refused(redis_server: Any) -> None:
    """No request passes, until the server is back."""
    key = DPoPKey.generate()
    async with RedisReplayStore(redis_server.url, timeout=0.3) as store:
        verifier = DPoPVerifier(replay=store, base_url="https://api.example")
        redis_server.kill()
        proof = ProofGenerator(key).proof("GET", URL, access_token="token")
        checked: dict[str, Any] = {
            "headers": {"DPoP": proof},
            "confirmation": {"jkt": key.thumbprint},
            "access_token": "token",
        }
        with pytest.raises(InvalidDPoPProof, match="cannot be remembered"):
            await verifier.verify("GET", URL, **checked)
        with pytest.raises(StoreUnavailable):
            await store.add("key", time.time() + 60)
        redis_server.restart()
        await verifier.verify("GET", URL, **checked)
