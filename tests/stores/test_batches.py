"""Commands that go together: each answer to whoever asked, in time, whatever becomes of the server or of the askers."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Any

import pytest
from redis.asyncio import Redis

from helpers.leaks import lines_with
from passwordless_async import KeyRing, StoreUnavailable, UsageError
from passwordless_async.stores.protocols import Place
from passwordless_async.stores.redis import RedisReplayStore, RedisStore
from passwordless_async.stores.redis.batches import Batches

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

RING = KeyRing(secrets.token_bytes(32), users=secrets.token_bytes(32))
PATIENCE = 30.0  # seconds; nothing waits as long unless it is broken


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[RedisStore]:
    """Connect to a server, and end that."""
    async with RedisStore(redis_url, keys=RING, timeout=0.5) as running:
        yield running


async def put(store: Any, number: int) -> None:
    await store.put_nonce(f"origin{number}", f"nonce{number}", seconds=600)


async def own(store: Any, number: int) -> bool:
    """Tell whether an asker has the answer that is theirs."""
    return await store.nonce(f"origin{number}") == f"nonce{number}"


async def regained(store: Any) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await put(store, 0)
            except StoreUnavailable:
                await asyncio.sleep(0.02)


async def test_first_come_first_served(redis_server: Any):
    """What one process asks goes in its order, over many batches."""
    async with Redis.from_url(redis_server.url) as client:
        batches = Batches(client, timeout=PATIENCE)
        lengths = await asyncio.gather(*(batches.ask("RPUSH", "list", number) for number in range(1000)))
        assert list(range(1, 1001)) == lengths
        assert [b"%d" % number for number in range(1000)] == redis_server.ask("LRANGE", "list", 0, -1)


async def test_each_has_their_own_of_ten_thousand_answers(redis_url: str):
    """However many ask at once."""
    async with RedisStore(redis_url, keys=RING, timeout=PATIENCE) as store:
        await asyncio.gather(*(put(store, number) for number in range(10_000)))
        assert all(await asyncio.gather(*(own(store, number) for number in range(10_000))))


@pytest.mark.parametrize("turns", range(0, 12, 2))
async def test_who_stops_waiting_disturbs_nobody(store: RedisStore, turns: int):
    """Whenever half of them are cancelled the others have their own answers, and those who come later as well."""
    await asyncio.gather(*(put(store, number) for number in range(600)))
    asks = [asyncio.create_task(own(store, number)) for number in range(600)]
    for _ in range(turns):
        await asyncio.sleep(0)
    for ask in asks[::2]:
        ask.cancel()
    assert all(await asyncio.gather(*asks[1::2]))
    assert all(ask.cancelled() or ask.result() for ask in await after(asks[::2]))
    assert all(await asyncio.gather(*(own(store, number) for number in range(600))))


async def after(tasks: list[asyncio.Task[Any]]) -> list[asyncio.Task[Any]]:
    await asyncio.wait(tasks)
    return tasks


async def test_a_server_that_hangs(store: RedisStore, redis_server: Any):
    """All have an error within the time of one batch, those behind it too; afterwards answers are their askers'."""
    await asyncio.gather(*(put(store, number) for number in range(600)))
    redis_server.pause()
    loop = asyncio.get_running_loop()
    began = loop.time()
    outcomes = await asyncio.gather(*(own(store, number) for number in range(600)), return_exceptions=True)
    assert {StoreUnavailable} == set(map(type, outcomes))
    assert 0.4 < loop.time() - began < 0.5 + 0.4
    redis_server.resume()
    await regained(store)
    assert all(await asyncio.gather(*(own(store, number) for number in range(600))))


async def test_who_comes_while_a_server_hangs(store: RedisStore, redis_server: Any):
    """Whoever asks at whatever moment has an error within the store's time."""
    await put(store, 0)
    redis_server.pause()
    loop = asyncio.get_running_loop()

    async def ask(later: float) -> float:
        await asyncio.sleep(later)
        began = loop.time()
        with pytest.raises(StoreUnavailable):
            await store.nonce("origin0")
        return loop.time() - began

    assert max(await asyncio.gather(*(ask(number / 50) for number in range(60)))) < 0.5 + 0.4


async def test_a_server_that_was_killed(store: RedisStore, redis_server: Any):
    """Askers have errors, at once, until it runs again; then it is found without a restart of anything else."""
    await put(store, 1)
    redis_server.kill()
    outcomes = await asyncio.gather(*(own(store, 1) for _ in range(600)), return_exceptions=True)
    assert {StoreUnavailable} == set(map(type, outcomes))
    await asyncio.to_thread(redis_server.restart)
    await regained(store)
    await put(store, 1)
    assert all(await asyncio.gather(*(own(store, 1) for _ in range(600))))


async def test_an_error_is_its_askers_alone(store: RedisStore, redis_server: Any):
    """Where something else lies under one name those who ask for that have an error, and nobody else."""
    await asyncio.gather(*(put(store, number) for number in range(100)))
    (name,) = redis_server.ask("KEYS", "*:nonce:origin50")
    redis_server.ask("DEL", name)
    redis_server.ask("RPUSH", name, "secret-item")
    outcomes = await asyncio.gather(*(own(store, number) for number in range(100)), return_exceptions=True)
    assert [True] * 50 + [True] * 49 == outcomes[:50] + outcomes[51:]
    assert isinstance(outcomes[50], StoreUnavailable)
    assert [] == lines_with(["secret-item", "origin50"], str(outcomes[50]) + repr(outcomes[50]))


@pytest.mark.parametrize("harm", ["pause", "kill", "fill"])
async def test_errors_tell_no_secret(redis_server: Any, harm: str):
    """Neither what was asked nor the server's own words are in an error, or in a traceback with locals of it."""
    async with RedisStore(redis_server.url, keys=RING, timeout=0.2) as store:
        await store.nonce("origin")
        if harm == "fill":
            redis_server.ask("CONFIG", "SET", "maxmemory", "1")
        else:
            getattr(redis_server, harm)()
        try:
            with pytest.raises(StoreUnavailable) as refused:
                await store.open(Place("shard", "session", "user"), "sealed-text", seconds=60, user_seconds=60)
        finally:
            if harm == "fill":
                redis_server.ask("CONFIG", "SET", "maxmemory", "0")
        assert [] == lines_with(["sealed-text", "EVAL", "redis.call"], str(refused.value) + repr(refused.value))
        assert None is refused.value.__cause__


async def test_what_is_ended_answers_all(redis_server: Any):
    """Where the loop's end takes the batch that is under way, those behind it hear so and wait no more."""
    async with Redis.from_url(redis_server.url) as client:
        batches = Batches(client, timeout=PATIENCE)
        redis_server.pause()
        asks = [batches.ask("PING") for _ in range(600)]
        await asyncio.sleep(0.01)
        batches._task.cancel()
        async with asyncio.timeout(PATIENCE / 3):
            outcomes = await asyncio.gather(*asks, return_exceptions=True)
        assert {"the store was closed"} == {str(outcome) for outcome in outcomes}
        redis_server.resume()
        assert await batches.ask("PING")


async def test_closing_waits_for_answers(redis_url: str):
    """What was asked before is answered; the application's own client is left open; closing twice does nothing."""
    async with Redis.from_url(redis_url) as client:
        store = RedisStore(client, keys=RING)
        asks = [asyncio.create_task(put(store, number)) for number in range(600)]
        await asyncio.sleep(0)
        await store.aclose()
        await store.aclose()
        assert [None] * 600 == await asyncio.gather(*asks)
        assert await client.ping()


def by_sentinels(sentinel: Any, **options: Any) -> RedisStore:
    hosts = ",".join(f"{host}:{port}" for host, port in sentinel.addresses)
    return RedisStore(f"redis+sentinel://{hosts}/{sentinel.name}", keys=RING, **options)


async def test_what_counts_survives_a_fail_over(redis_sentinel: Any):
    """Of two hundred sessions at once that were acknowledged none is lost, however soon the primary is."""
    async with by_sentinels(redis_sentinel, timeout=5.0, replicas=1) as store:
        places = [Place(f"shard{number}", f"session{number}", f"user{number}") for number in range(200)]
        opens = [store.open(place, place.session, seconds=600, user_seconds=600) for place in places]
        await asyncio.gather(*opens)
        after = await asyncio.to_thread(redis_sentinel.fail_over)
        kept = after.dump()
        assert [] == [place for place in places if place.session.encode() not in kept]


async def test_what_no_replica_has_does_not_count(redis_sentinel: Any):
    """Without its replica a session is refused, in time; what need not be kept goes on at once."""
    async with by_sentinels(redis_sentinel, timeout=1.0, replicas=1) as store:
        place = Place("shard", "session", "user")
        await store.open(place, "sealed", seconds=600, user_seconds=600)
        redis_sentinel.replica.kill()
        loop = asyncio.get_running_loop()
        began = loop.time()
        opening = asyncio.create_task(store.open(place, "sealed", seconds=600, user_seconds=600))
        await asyncio.sleep(0)
        assert "sealed" == await store.read(place, seconds=600)
        assert 0.0 == await store.reserve("quota", requests=1, interval=1.0)
        assert not opening.done()
        with pytest.raises(StoreUnavailable, match="replicas"):
            await opening
        assert loop.time() - began < 1.0 + 0.5


async def test_a_proof_that_a_replica_knows_is_used(redis_sentinel: Any):
    """It is refused after a fail-over too."""
    hosts = ",".join(f"{host}:{port}" for host, port in redis_sentinel.addresses)
    url, keys = f"redis+sentinel://{hosts}/{redis_sentinel.name}", [f"key{number}" for number in range(200)]
    async with RedisReplayStore(url, timeout=5.0, replicas=1) as store:
        assert all(await asyncio.gather(*(store.add(key, 2e9) for key in keys)))
        await asyncio.to_thread(redis_sentinel.fail_over)
    async with RedisReplayStore(url, timeout=5.0) as store:
        assert not any(await asyncio.gather(*(store.add(key, 2e9) for key in keys)))


async def test_a_closed_store_opens_no_connection(redis_server: Any):
    """It says that it was closed, in whatever way it is asked."""
    store = RedisStore(redis_server.url, keys=RING)
    await put(store, 0)
    await store.aclose()
    await store.aclose()
    for ask in (
        store.nonce("origin"),
        store.read(Place("shard", "session", "user"), seconds=1),
        store.end_start("u", token="t", seconds=0),
    ):
        with pytest.raises(StoreUnavailable, match="closed"):
            await ask


async def test_a_server_that_refuses_to_be_asked(redis_server: Any):
    """A wrong password is told from a server that does not answer."""
    redis_server.ask("ACL", "SETUSER", "guest", "on", ">right", "~*", "+@all")
    async with RedisStore(redis_server.url.replace("redis://", "redis://guest:wrong@"), keys=RING) as store:
        with pytest.raises(StoreUnavailable, match=r"refuses \(AuthenticationError\)"):
            await store.nonce("origin")


@pytest.mark.parametrize("replicas", [-1, True, 1.5, None])
def test_what_is_no_number_of_replicas(replicas: Any):
    """It is refused."""
    with pytest.raises(UsageError, match="whole number, 0 or more"):
        RedisStore("redis://localhost", keys=RING, replicas=replicas)


async def test_a_node_that_is_away_is_missed_by_its_users_alone(redis_cluster: Any):
    """What lies on the other nodes of a cluster is had as fast as ever, by those who ask at the same moment too."""
    async with RedisStore(redis_cluster.url.replace("redis://", "redis+cluster://"), keys=RING, timeout=2.0) as store:
        origins = [f"origin{number}" for number in range(60)]
        for origin in origins:
            await store.put_nonce(origin, "nonce", seconds=60)
        lost = redis_cluster.nodes[1]
        away = [origin for origin in origins if redis_cluster.node_of(store._key.named("nonce", origin)) is lost]
        lost.pause()
        answers = dict(
            zip(origins, await asyncio.gather(*map(store.nonce, origins), return_exceptions=True), strict=True)
        )
        lost.resume()
        assert {"nonce"} == {answer for origin, answer in answers.items() if origin not in away}
        assert {StoreUnavailable} == {type(answers[origin]) for origin in away}
