"""Batches: each answer to its caller, in time, whatever becomes of the server or of other callers."""

from __future__ import annotations

import asyncio
import gc
import os
import secrets
import socket
import ssl
from typing import TYPE_CHECKING, Any

import pytest
from redis.asyncio import Redis, RedisCluster
from redis.exceptions import ConnectionError as RedisConnectionError

from helpers.leaks import lines_with
from helpers.timing import ends_within
from passwordless_async import KeyRing, StoreUnavailable
from passwordless_async.stores.protocols import Place
from passwordless_async.stores.redis import RedisReplayStore, RedisStore
from passwordless_async.stores.redis.batches import Batches, ClusterBatches

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


async def own(store: Any, number: int) -> Any:
    """Tell whether an asker has the answer that is theirs."""
    return await store.nonce(f"origin{number}") == f"nonce{number}"


async def regained(store: Any) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await put(store, 0)
            except StoreUnavailable:
                await asyncio.sleep(0.02)


async def test_commands_run_in_the_order_in_which_they_were_asked(redis_server: Any) -> None:
    """Over many batches."""
    async with Redis.from_url(redis_server.url) as client:
        batches = Batches(client, timeout=PATIENCE)
        lengths = await asyncio.gather(*(batches.ask("RPUSH", "list", number) for number in range(1000)))
        assert lengths == list(range(1, 1001))
        assert redis_server.ask("LRANGE", "list", 0, -1) == [b"%d" % number for number in range(1000)]


@pytest.mark.slow
async def test_each_of_ten_thousand_concurrent_callers_gets_its_own_answer(redis_url: str) -> None:
    """However many ask at once."""
    async with RedisStore(redis_url, keys=RING, timeout=PATIENCE) as store:
        await asyncio.gather(*(put(store, number) for number in range(10_000)))
        assert all(await asyncio.gather(*(own(store, number) for number in range(10_000))))


@pytest.mark.parametrize("turns", range(0, 12, 2))
async def test_a_cancelled_caller_affects_no_other(store: RedisStore, turns: int) -> None:
    """Whenever half of them are cancelled, the others and later callers get their own answers."""
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


async def test_all_callers_of_a_hanging_server_fail_in_time(store: RedisStore, redis_server: Any) -> None:
    """Also those behind the first batch; afterwards each caller gets its own answer."""
    await asyncio.gather(*(put(store, number) for number in range(600)))
    redis_server.pause()
    asking = asyncio.gather(*(own(store, number) for number in range(600)), return_exceptions=True)
    assert await ends_within(0.5 + 0.4, asking)
    assert set(map(type, asking.result())) == {StoreUnavailable}
    redis_server.resume()
    await regained(store)
    assert all(await asyncio.gather(*(own(store, number) for number in range(600))))


@pytest.mark.slow
async def test_a_caller_that_comes_while_the_server_hangs_fails_in_time(store: RedisStore, redis_server: Any) -> None:
    """At whatever moment it comes."""
    await put(store, 0)
    redis_server.pause()
    asks = []
    for _ in range(60):
        asking = asyncio.gather(store.nonce("origin0"), return_exceptions=True)
        asks.append(asyncio.create_task(ends_within(0.5 + 0.4, asking)))
        await asyncio.wait(asks, timeout=0.02)
    assert await asyncio.gather(*asks) == [True] * 60


async def test_a_killed_server_is_found_again(store: RedisStore, redis_server: Any) -> None:
    """Callers fail at once until it runs again; nothing else needs a restart."""
    await put(store, 1)
    redis_server.kill()
    outcomes = await asyncio.gather(*(own(store, 1) for _ in range(600)), return_exceptions=True)
    assert set(map(type, outcomes)) == {StoreUnavailable}
    await asyncio.to_thread(redis_server.restart)
    await regained(store)
    await put(store, 1)
    assert all(await asyncio.gather(*(own(store, 1) for _ in range(600))))


async def test_a_connection_that_was_closed_while_idle_costs_no_call(store: RedisStore, redis_server: Any) -> None:
    """As a server closes them with its setting timeout, or a service does by itself: the next call takes another."""
    client: Any = store._connected.own[0]
    await put(store, 1)
    (connection,) = client.connection_pool._available_connections
    redis_server.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    assert await connection._reader.read() == b""  # the end has arrived
    assert await own(store, 1)


async def test_an_error_goes_to_its_own_caller(store: RedisStore, redis_server: Any) -> None:
    """A key that holds another type fails one caller, and no other."""
    await asyncio.gather(*(put(store, number) for number in range(100)))
    (name,) = redis_server.ask("KEYS", "*:nonce:origin50")
    redis_server.ask("DEL", name)
    redis_server.ask("RPUSH", name, "secret-item")
    outcomes = await asyncio.gather(*(own(store, number) for number in range(100)), return_exceptions=True)
    assert outcomes[:50] + outcomes[51:] == [True] * 50 + [True] * 49
    assert isinstance(outcomes[50], StoreUnavailable)
    assert lines_with(["secret-item", "origin50"], str(outcomes[50]) + repr(outcomes[50])) == []


@pytest.mark.parametrize("harm", ["pause", "kill", "fill"])
async def test_errors_hold_no_secret(redis_server: Any, harm: str) -> None:
    """Neither the command nor the server's message is in an error, or in its traceback with locals."""
    async with RedisStore(redis_server.url, keys=RING, timeout=0.2) as store:
        await regained(store)  # on a busy machine the first connection may take longer
        if harm == "fill":
            redis_server.ask("CONFIG", "SET", "maxmemory", "1")
        else:
            getattr(redis_server, harm)()
        try:
            with pytest.raises(StoreUnavailable) as refused:
                await store.open(
                    Place("shard", "session", "user"), "sealed-text", login="login", seconds=60, user_seconds=60
                )
        finally:
            if harm == "fill":
                redis_server.ask("CONFIG", "SET", "maxmemory", "0")
        assert lines_with(["sealed-text", "EVAL", "redis.call"], str(refused.value) + repr(refused.value)) == []
        assert refused.value.__cause__ is None


@pytest.mark.parametrize("turns", [0, 1, 20])
async def test_a_cancelled_batch_answers_all_callers(redis_server: Any, turns: int) -> None:
    """If the end of the loop cancels it, its callers get an error and wait no longer; also before its first step."""
    async with Redis.from_url(redis_server.url) as client:
        batches = Batches(client, timeout=PATIENCE)
        redis_server.pause()
        asks = [batches.ask("PING") for _ in range(600)]
        for _ in range(turns):
            await asyncio.sleep(0)
        assert batches._task is not None
        batches._task.cancel()
        async with asyncio.timeout(PATIENCE / 3):
            outcomes = await asyncio.gather(*asks, return_exceptions=True)
        assert {str(outcome) for outcome in outcomes} == {"the store was closed"}
        redis_server.resume()
        assert await batches.ask("PING")


class HeldRedis(Redis):
    """A server in this process that answers each command when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.connection_pool: Any = self
        self.sent: list[list[Any]] = []  # of each batch, the first arguments
        self.answers: list[asyncio.Future[Any]] = []
        self.was_cut_at_once: list[bool] = []  # for each connection that was given up

    async def get_connection(self) -> Any:
        return self

    async def release(self, _connection: Any) -> None: ...

    async def disconnect(self, nowait: bool = False) -> None:  # noqa: FBT001, FBT002 - as the client calls it
        self.was_cut_at_once.append(nowait)

    def pack_commands(self, commands: Any) -> Any:
        return commands

    async def send_packed_command(self, commands: Any) -> None:
        self.sent.append([first for _, first, *_ in commands])

    async def read_response(self) -> Any:
        self.answers.append(asyncio.get_running_loop().create_future())
        return await self.answers[-1]


async def test_closing_waits_for_the_answer_to_a_direct_command() -> None:
    """A command that is on the wire is not cut, whichever way it went."""
    server = HeldRedis()
    batches = Batches(server, timeout=PATIENCE)
    asking = asyncio.create_task(batches.ask_directly("SET", "key", "value"))
    while not server.answers:  # noqa: ASYNC110 - only polling tells
        await asyncio.sleep(0)
    closing = asyncio.create_task(batches.drain())
    for _ in range(10):
        await asyncio.sleep(0)
    assert not closing.done()
    server.answers[0].set_result(b"OK")
    assert await asking == b"OK"
    await closing


async def some_turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_direct_command_goes_with_those_that_wait() -> None:
    """They share the round trip."""
    server = HeldRedis()
    batches = Batches(server, timeout=PATIENCE)
    waiting = batches.ask_soon("GET", "waiting")
    direct = asyncio.create_task(batches.ask_directly("GET", "direct"))
    await some_turns()
    server.answers[0].set_result(b"1")
    await some_turns()
    server.answers[1].set_result(b"2")
    assert (server.sent, await waiting, await direct) == ([["waiting", "direct"]], b"1", b"2")


async def test_a_direct_command_waits_for_a_batch() -> None:
    """One batch is on the wire at a time."""
    server = HeldRedis()
    batches = Batches(server, timeout=PATIENCE)
    first = batches.ask("GET", "first")
    await some_turns()
    direct = asyncio.create_task(batches.ask_directly("GET", "direct"))
    await some_turns()
    assert server.sent == [["first"]]
    server.answers[0].set_result(b"1")
    await some_turns()
    server.answers[1].set_result(b"2")
    assert (server.sent, await first, await direct) == ([["first"], ["direct"]], b"1", b"2")


async def test_direct_commands_after_each_other_go_without_a_batch() -> None:
    """An answered one is in the way of none."""
    server = HeldRedis()
    batches = Batches(server, timeout=PATIENCE)
    for number in range(2):
        asking = asyncio.create_task(batches.ask_directly("GET", "key"))
        await some_turns()
        assert batches._task is None
        server.answers[number].set_result(b"value")
        assert await asking == b"value"


async def test_closing_waits_for_the_first_of_two_direct_commands() -> None:
    """Though the second one, which went by a batch, is answered before."""
    server = HeldRedis()
    batches = Batches(server, timeout=PATIENCE)
    asks = []
    for name in ("first", "second"):
        asks.append(asyncio.create_task(batches.ask_directly("GET", name)))
        await some_turns()
    closing = asyncio.create_task(batches.drain())
    server.answers[1].set_result(b"2")
    await some_turns()
    assert not closing.done()
    server.answers[0].set_result(b"1")
    await closing
    assert [await ask for ask in asks] == [b"1", b"2"]


async def test_the_answer_to_a_cancelled_direct_command_is_no_error_of_the_loop() -> None:
    """Its failure has no reader, and is not logged as one that was forgotten."""
    server, lost = HeldRedis(), list[str]()
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: lost.append(str(context["message"])))
    asking = asyncio.create_task(Batches(server, timeout=PATIENCE).ask_directly("GET", "key"))
    await some_turns()
    asking.cancel()
    await after([asking])
    del asking
    gc.collect()
    assert lost == []


async def test_a_refusal_names_its_type(redis_server: Any) -> None:
    """The server's message, which may hold what was sent, is not in it."""
    async with Redis.from_url(redis_server.url) as client:
        batches = Batches(client, timeout=PATIENCE)
        with pytest.raises(StoreUnavailable, match=r"^the store refuses \(ResponseError\)"):
            await batches.ask("NONSENSE", "key")


async def test_a_direct_command_that_is_late_fails_no_other() -> None:
    """Those that were asked meanwhile have their own time."""
    server = HeldRedis()
    batches = Batches(server, timeout=0.2)
    direct = asyncio.create_task(batches.ask_directly("SET", "key", "value"))
    while not server.answers:  # noqa: ASYNC110 - only polling tells
        await asyncio.sleep(0)
    later = batches.ask_soon("GET", "key")
    batches._timeout = PATIENCE
    with pytest.raises(StoreUnavailable, match="in time"):
        await direct
    assert server.was_cut_at_once == [True]  # a server that hangs would not say goodbye either
    async with asyncio.timeout(PATIENCE):
        while len(server.answers) < 2:  # noqa: ASYNC110 - only polling tells
            await asyncio.sleep(0)
    server.answers[1].set_result(b"value")
    assert await later == b"value"


@pytest.mark.parametrize(("acknowledged", "is_kept"), [(2, True), (1, False), (3, True), (b"2", False)])
async def test_so_many_replicas_must_have_a_write(acknowledged: object, *, is_kept: bool) -> None:
    """By the answer to WAIT, which goes behind the commands; otherwise the write may be lost at a fail-over."""
    server = HeldRedis()
    asking = Batches(server, timeout=PATIENCE, replicas=2).ask("SET", "key", "value")
    for answer in (b"OK", acknowledged):
        await some_turns()
        server.answers[-1].set_result(answer)
    await asyncio.wait([asking])
    assert server.sent == [["key", 2]]
    assert type(asking.exception()) is (type(None) if is_kept else StoreUnavailable)


async def test_closing_waits_for_answers(redis_url: str) -> None:
    """Earlier commands are answered; the application's own client stays open; closing twice does nothing."""
    async with Redis.from_url(redis_url) as client:
        store = RedisStore(client, keys=RING)
        asks = [asyncio.create_task(put(store, number)) for number in range(600)]
        await asyncio.sleep(0)
        await store.aclose()
        await store.aclose()
        assert await asyncio.gather(*asks) == [None] * 600
        assert await client.ping()


def by_sentinels(sentinel: Any, **options: Any) -> RedisStore:
    hosts = ",".join(f"{host}:{port}" for host, port in sentinel.addresses)
    return RedisStore(f"redis+sentinel://{hosts}/{sentinel.name}", keys=RING, **options)


@pytest.mark.slow
async def test_acknowledged_sessions_survive_a_fail_over(redis_sentinel: Any) -> None:
    """None of two hundred concurrent sessions is lost, however soon the primary is."""
    async with by_sentinels(redis_sentinel, timeout=5.0, replicas=1) as store:
        places = [Place(f"shard{number}", f"session{number}", f"user{number}") for number in range(200)]
        opens = [store.open(place, place.session, login="login", seconds=600, user_seconds=600) for place in places]
        await asyncio.gather(*opens)
        after = await asyncio.to_thread(redis_sentinel.fail_over)
        kept = after.dump()
        assert [place for place in places if place.session.encode() not in kept] == []


@pytest.mark.slow
async def test_without_its_replica_a_session_is_refused_in_time(redis_sentinel: Any) -> None:
    """What needs no replica goes on at once."""
    async with by_sentinels(redis_sentinel, timeout=1.0, replicas=1) as store:
        place = Place("shard", "session", "user")
        await store.open(place, "sealed", login="login", seconds=600, user_seconds=600)
        redis_sentinel.replica.kill()
        opening = asyncio.create_task(store.open(place, "sealed", login="login", seconds=600, user_seconds=600))
        await asyncio.sleep(0)
        assert await store.read(place, seconds=600) == "sealed"
        assert await store.reserve("quota", requests=1, interval=1.0) == 0.0
        assert not opening.done()
        with pytest.raises(StoreUnavailable, match="replicas"):
            async with asyncio.timeout(PATIENCE):
                await opening


@pytest.mark.slow
async def test_a_used_proof_survives_a_fail_over(redis_sentinel: Any) -> None:
    """It is refused after a fail-over too."""
    hosts = ",".join(f"{host}:{port}" for host, port in redis_sentinel.addresses)
    url, keys = f"redis+sentinel://{hosts}/{redis_sentinel.name}", [f"key{number}" for number in range(200)]
    async with RedisReplayStore(url, timeout=5.0, replicas=1) as store:
        assert all(await asyncio.gather(*(store.add(key, 2e9) for key in keys)))
        await asyncio.to_thread(redis_sentinel.fail_over)
    async with RedisReplayStore(url, timeout=5.0) as store:
        assert not any(await asyncio.gather(*(store.add(key, 2e9) for key in keys)))


@pytest.mark.slow
async def test_a_server_without_the_replicas_that_are_waited_for(redis_url: str) -> None:
    """The error names the argument, and how many replicas there were."""
    async with RedisReplayStore(redis_url, timeout=2.0, replicas=2) as store:
        with pytest.raises(StoreUnavailable) as caught:
            await store.add("proof", 2e9)
    assert str(caught.value).partition(" | ")[0] == (
        "replicas=2 was not reached: 0 of the store's replicas had the write in time"
    )
    assert "its replicas" in caught.value.advice


class HeldCluster(RedisCluster):
    """A cluster that is not known before it is told to be."""

    def __init__(self) -> None:
        self.is_known = asyncio.Event()
        self.is_asked_for = False

    def __del__(self, *_: Any) -> None: ...

    async def initialize(self, *_: Any, **__: Any) -> Any:
        self.is_asked_for = True
        await self.is_known.wait()


async def test_a_command_to_a_cluster_that_is_closed_meanwhile_is_not_sent() -> None:
    """Closing waits for the answers to what was sent: a command that comes later would have no reader."""
    cluster = HeldCluster()
    batches = ClusterBatches(cluster, timeout=PATIENCE)
    asking = asyncio.create_task(batches.ask("GET", "key"))
    await asyncio.sleep(0)
    await batches.drain()
    cluster.is_known.set()
    with pytest.raises(StoreUnavailable, match="the store was closed"):
        await asking
    assert batches._nodes == {}


async def test_a_cluster_that_was_closed_is_not_asked_for_its_nodes() -> None:
    """Its connections are gone."""
    cluster = HeldCluster()
    batches = ClusterBatches(cluster, timeout=PATIENCE)
    await batches.drain()
    cluster.is_known.set()
    with pytest.raises(StoreUnavailable, match="the store was closed"):
        await batches.ask("GET", "key")
    assert cluster.is_asked_for is False


async def test_a_command_to_a_cluster_waits_with_those_of_its_first_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A script's keys are behind its text and their number."""
    cluster, asked = HeldCluster(), list[str]()
    cluster.is_known.set()
    monkeypatch.setattr(cluster, "get_node_from_key", asked.append)
    batches = ClusterBatches(cluster, timeout=PATIENCE)
    for command in (("GETEX", "session", "PX", 1), ("EVAL", "return 1", 2, "login", "lock", "argument")):
        await batches._node(command)
    assert asked == ["session", "login"]


async def test_a_closed_store_opens_no_connection(redis_server: Any) -> None:
    """Each call says that the store was closed."""
    store = RedisStore(redis_server.url, keys=RING)
    await put(store, 0)
    await store.aclose()
    await store.aclose()
    for ask in (
        store.nonce("origin"),
        store.read(Place("shard", "session", "user"), seconds=1),
        store.end_start("u", token="t", seconds=0, mark=None, remember=1),
    ):
        with pytest.raises(StoreUnavailable, match="closed"):
            await ask


async def test_a_wrong_password_is_told_from_no_answer(redis_server: Any) -> None:
    """The error names the refusal."""
    redis_server.ask("ACL", "SETUSER", "guest", "on", ">right", "~*", "+@all")
    async with RedisStore(redis_server.url.replace("redis://", "redis://guest:wrong@"), keys=RING) as store:
        with pytest.raises(StoreUnavailable, match=r"refuses \(AuthenticationError\)"):
            await store.nonce("origin")


@pytest.mark.parametrize(
    ("scheme", "said"), [("rediss", r" \(no TLS connection was made: does its port use TLS\?\)$"), ("redis", "$")]
)
async def test_a_port_without_tls_is_told_from_a_slow_server(scheme: str, said: str) -> None:
    """A server that takes the TLS handshake for the beginning of a command answers nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"{scheme}://127.0.0.1:{silent.getsockname()[1]}"
        async with RedisStore(url, keys=RING, timeout=0.05) as store:
            with pytest.raises(StoreUnavailable, match=f"^the store does not answer in time{said}"):
                await store.nonce("origin")


@pytest.mark.parametrize(
    ("cause", "said"),
    [
        (ConnectionRefusedError(111, "Connect call failed"), "ConnectionError: Connection refused"),
        (socket.gaierror(-2, "Name or service not known"), "ConnectionError: the host is unknown"),
        (
            ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"),
            "ConnectionError: the TLS handshake failed",
        ),
        (
            OSError("Multiple exceptions: [Errno 111] Connect call failed ('::1', 6379, 0, 0), [Errno 111] Connect …"),
            "ConnectionError: Connection refused",
        ),
        (UnicodeError("label empty or too long"), "ConnectionError: the host is unknown"),
        (UnicodeEncodeError("idna", "a..example", 2, 3, "label empty"), "ConnectionError: the host is unknown"),
        (UnicodeEncodeError("utf-8", "what was sent", 0, 1, "surrogates not allowed"), "ConnectionError"),
        (OSError("what was sent"), "ConnectionError"),
        (ValueError("what was sent"), "ConnectionError"),
    ],
    ids=["refused", "unknown", "tls", "two addresses", "no name", "no name in 3.13", "text", "unnumbered", "other"],
)
async def test_no_connection_names_its_reason(monkeypatch: pytest.MonkeyPatch, cause: Exception, said: str) -> None:
    """The operator learns what to check. A text that may hold what was sent is left out."""

    async def fail() -> None:
        error = RedisConnectionError("what was sent")
        error.__context__ = cause  # redis-py raises it without "from"
        raise error

    client = Redis()
    monkeypatch.setattr(client.connection_pool, "get_connection", fail)
    with pytest.raises(StoreUnavailable, match=rf"^the store does not answer \({said}\)$"):
        await Batches(client, timeout=PATIENCE).ask("GET", "key")


async def test_a_cluster_that_is_not_there_names_the_reason() -> None:
    """Its client raises an error of its own, from that of a node."""
    async with RedisStore("redis+cluster://127.0.0.1:1", keys=RING) as store:
        with pytest.raises(StoreUnavailable, match=r"\(RedisClusterException: Connection refused\)$"):
            await store.nonce("origin")


@pytest.mark.parametrize(
    ("credentials", "said"),
    [("guest:wrong@", "AuthenticationError"), ("", "ResponseError")],
    ids=["wrong password", "no cluster"],
)
async def test_a_cluster_that_refuses_is_told_from_no_answer(redis_server: Any, credentials: str, said: str) -> None:
    """Its client raises an error of its own from the refusal: of the password, or of a command for clusters."""
    redis_server.ask("ACL", "SETUSER", "guest", "on", ">right", "~*", "+@all")
    async with RedisStore(redis_server.url.replace("redis://", f"redis+cluster://{credentials}"), keys=RING) as store:
        with pytest.raises(StoreUnavailable, match=rf"^the store refuses \({said}\)$"):
            await store.nonce("origin")


async def test_errors_that_name_each_other_have_no_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """The search for the reason ends."""

    async def fail() -> None:
        error, other = RedisConnectionError("what was sent"), ValueError("what was sent")
        error.__cause__, other.__cause__ = other, error
        raise error

    client = Redis()
    monkeypatch.setattr(client.connection_pool, "get_connection", fail)
    with pytest.raises(StoreUnavailable, match=r"^the store does not answer \(ConnectionError\)$"):
        await Batches(client, timeout=PATIENCE).ask("GET", "key")


async def test_what_the_caller_was_handling_is_no_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python gives it as a context to the error of a connection that the server has closed."""

    async def fail() -> None:
        raise RedisConnectionError("what was sent")

    client = Redis()
    monkeypatch.setattr(client.connection_pool, "get_connection", fail)
    try:
        os.close(-1)
    except OSError:
        with pytest.raises(StoreUnavailable, match=r"^the store does not answer \(ConnectionError\)$"):
            await Batches(client, timeout=PATIENCE).ask_directly("GET", "key")


@pytest.mark.slow
async def test_an_unreachable_node_affects_its_own_keys_only(redis_cluster: Any) -> None:
    """Keys on the other nodes of a cluster are read as fast as ever."""
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
        assert {answer for origin, answer in answers.items() if origin not in away} == {"nonce"}
        assert {type(answers[origin]) for origin in away} == {StoreUnavailable}
