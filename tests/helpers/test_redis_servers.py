"""The Redis servers that the tests start: what is tested with them can only be as good as they are."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from hashlib import sha1
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis
from redis.asyncio import from_url
from redis.asyncio.sentinel import Sentinel
from redis.cluster import RedisCluster

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from types import ModuleType

    from redis.asyncio import Redis

HERE = Path(__file__)
PATIENCE = 60  # seconds; nothing waits as long unless it is broken
# Starts a server, tells where, and waits for its end.
LEFT_ALONE = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("servers", sys.argv[1])
servers = importlib.util.module_from_spec(spec)
spec.loader.exec_module(servers)
with servers.RedisServer() as server:
    print(server.port, server.directory, flush=True)
    if sys.argv[2] == "paused":
        server.pause()
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_a_server_is_where_its_url_says(redis_url: str) -> None:
    """A client library finds the server by the URL."""
    with redis.from_url(redis_url) as client:
        assert client.ping()


@pytest.mark.parametrize("turn", [1, 2])
async def test_each_test_finds_an_empty_server(redis_url: str, turn: int) -> None:
    """What one test leaves is gone in the next, scripts included."""
    async with from_url(redis_url) as client:
        assert await client.keys() == []
        assert await client.script_exists(sha1(b"return 0", usedforsecurity=False).hexdigest()) == [False]
        await client.script_load("return 0")
        await client.set("left", turn)


@pytest.mark.parametrize("turn", [1, 2])
@pytest.mark.parametrize("harm", ["kill", "stop", "pause"])
def test_each_test_finds_a_server_that_runs(redis_server: Any, harm: str, turn: int) -> None:
    """A test may end or pause the server and leave it so; the next one has it on the same port."""
    assert redis_server.ask("SET", "turn", turn) == "OK"
    getattr(redis_server, harm)()


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_data_survive_the_end_of_a_server(start_redis: Callable[..., Any], end: str) -> None:
    """A server that was ended or killed comes back with its data on the same port."""
    server = start_redis()
    before = server.url
    server.ask("SET", "user", "ada")
    getattr(server, end)()
    assert not server.running
    with pytest.raises(ConnectionRefusedError):
        server.ask("PING")
    server.restart()
    assert (server.url, server.ask("GET", "user")) == (before, b"ada")


def test_a_paused_server_keeps_its_clients_waiting(redis_server: Any) -> None:
    """A paused server accepts connections and answers once it goes on."""
    redis_server.pause()
    with socket.create_connection(("127.0.0.1", redis_server.port), timeout=0.1) as client:
        client.sendall(b"PING\r\n")
        with pytest.raises(TimeoutError):
            client.recv(100)
        redis_server.resume()
        client.settimeout(PATIENCE)
        assert client.recv(100) == b"+PONG\r\n"


def test_a_dump_holds_keys_and_contents_of_every_type(redis_server: Any) -> None:
    """Every name and every value is in the dump, of whatever type and in whatever database."""
    commands = ["SET s1 s2", "HSET h1 h2 h3", "SADD e1 e2", "ZADD z1 7 z2", "RPUSH l1 l2", "XADD x1 * x2 x3"]
    for command in commands:
        redis_server.ask(*command.split())
    with redis.from_url(redis_server.url, db=3) as client:
        client.set("other1", b"\x00\xff123456" * 20)
    dump = redis_server.dump()
    for word in b"s1 s2 h1 h2 h3 e1 e2 z1 z2 l1 l2 x1 x2 x3 other1".split():
        assert word in dump
    assert b"\x00\xff123456" * 20 in dump


def test_what_was_written_holds_what_is_gone(redis_server: Any) -> None:
    """A value that was deleted is not in the dump but in what was written, until that is flushed."""
    redis_server.ask("SET", "code", "123456")
    redis_server.ask("DEL", "code")
    assert b"123456" not in redis_server.dump()
    assert b"123456" in redis_server.written()
    redis_server.stop()
    assert b"123456" in redis_server.written()
    redis_server.restart()
    redis_server.flush()
    assert redis_server.written() == b""


def test_a_port_that_is_taken_is_not_insisted_on(
    redis_program: ModuleType, start_redis: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that loses the race for its port takes another, also when another server answers on the first."""
    first = start_redis()
    ports = iter([first.port, first.port, free := redis_program._free_port()])
    monkeypatch.setattr(redis_program, "_free_port", lambda: next(ports))
    assert start_redis().port == free


def test_a_server_that_cannot_start_says_why(start_redis: Callable[..., Any]) -> None:
    """A setting that does not exist is named in the error."""
    with pytest.raises(RuntimeError, match="no-such-setting"):
        start_redis("no-such-setting yes")


@pytest.mark.slow
@pytest.mark.parametrize("how", ["running", "paused"])
def test_no_server_outlives_its_process(redis_program: ModuleType, how: str) -> None:
    """A process that is killed leaves neither a server nor its directory behind, even where that was paused."""
    arguments = [sys.executable, "-c", LEFT_ALONE, str(redis_program.__file__), how]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own arguments
        assert process.stdout is not None
        port, directory = process.stdout.readline().split()
        assert process.stdout.readline() == "ready\n"
        process.kill()
    redis_program.until(lambda: _refused(int(port)) and not Path(directory).exists(), "server and directory are gone")


def _refused(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.slow
@pytest.mark.parametrize("turn", [1, 2])
def test_three_nodes_form_a_cluster(redis_cluster: Any, turn: int) -> None:
    """A client that knows one node finds keys on all three; the next test finds none, though a node was killed."""
    assert redis_cluster.dump() == b"\n\n"
    with RedisCluster.from_url(redis_cluster.url) as client:
        keys = [f"user-{number}" for number in range(50)]
        for key in keys:
            client.set(key, turn)
        assert len(client.get_primaries()) == 3
    holders = {key: redis_cluster.node_of(key) for key in keys}
    assert set(holders.values()) == set(redis_cluster.nodes)
    assert all(key.encode() in holder.dump() for key, holder in holders.items())
    assert all(key.encode() in redis_cluster.written() for key in keys)
    redis_cluster.nodes[turn].kill()


@pytest.mark.slow
@pytest.mark.parametrize("turn", [1, 2])
async def test_the_replica_takes_over(redis_sentinel: Any, turn: int) -> None:
    """After the primary's end whoever asks the sentinels finds its data elsewhere; and in the next test again."""
    assert redis_sentinel.dump() == b"\n"
    before = redis_sentinel.primary
    async with _primary(redis_sentinel) as client:
        await client.set("turn", turn)
        assert await client.wait(1, 5000) == 1
    after = await asyncio.to_thread(redis_sentinel.fail_over)
    assert after is redis_sentinel.primary is not before
    async with _primary(redis_sentinel) as client:
        assert await client.get("turn") == b"%d" % turn
    assert b"turn" in redis_sentinel.written()


@asynccontextmanager
async def _primary(redis_sentinel: Any) -> AsyncIterator[Redis]:
    """Connect to whoever is announced as the primary."""
    asked = Sentinel(redis_sentinel.addresses)  # type: ignore[no-untyped-call]
    async with AsyncExitStack() as opened:
        for sentinel in asked.sentinels:
            await opened.enter_async_context(sentinel)
        yield await opened.enter_async_context(asked.master_for(redis_sentinel.name))


@pytest.mark.slow
def test_a_primary_that_hangs_is_replaced(redis_sentinel: Any) -> None:
    """A primary that does not answer loses its role, and has it no more when it goes on."""
    before = redis_sentinel.primary
    before.pause()
    after = redis_sentinel.successor(before)
    redis_sentinel.refresh()
    assert (redis_sentinel.primary, redis_sentinel.replica) == (after, before)


@pytest.mark.slow
@pytest.mark.parametrize(("required", "outcome"), [("", "1 skipped"), ("1", "1 error")])
def test_without_the_program_tests_are_skipped_or_fail(tmp_path: Path, required: str, outcome: str) -> None:
    """Where no server can be started, a test that needs one is skipped, or fails where it must not be."""
    ran = subprocess.run(  # noqa: S603 - our own arguments
        [
            sys.executable,
            "-m",
            "pytest",
            "-rsE",
            "-p",
            "no:cacheprovider",
            f"{HERE}::{test_a_paused_server_keeps_its_clients_waiting.__name__}",
        ],
        env={**os.environ, "PATH": str(tmp_path), "PASSWORDLESS_ASYNC_REQUIRE_SERVERS": required, "PYTEST_ADDOPTS": ""},
        cwd=HERE.parent.parent.parent,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert outcome in ran.stdout
    assert "apt-get install redis-server" in ran.stdout
