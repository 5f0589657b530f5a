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
    StoreUnavailable,
)
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
        (name,) = redis_server.ask("KEYS", "pa:replay:*")
        assert 59_000 < redis_server.ask("PTTL", name) <= 61_100
        assert b"key" not in name


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
