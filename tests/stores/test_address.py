"""Where a server is: each form of its URL finds it, and none that is wrong tells the password."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis, RedisCluster

from helpers.leaks import lines_with, shown
from passwordless_async import KeyRing, StoreUnavailable, UsageError
from passwordless_async._common.secret import Secret
from passwordless_async.stores.redis import RedisReplayStore, RedisStore
from passwordless_async.stores.redis.address import connect

if TYPE_CHECKING:
    from collections.abc import Callable

PASSWORD = "pass-word-of-nobody-else"
RING = KeyRing(secrets.token_bytes(32), users=secrets.token_bytes(32))
SCHEMES = ["redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster"]


def options(url: str) -> dict[str, Any]:
    client, _ = connect(Secret(url))
    return client.connection_pool.connection_kwargs


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://host", {"host": "host"}),
        ("redis://host:7000/3", {"host": "host", "port": 7000, "db": 3}),
        ("redis://ada:a%2Fb@[::1]:7000", {"host": "::1", "port": 7000, "username": "ada", "password": "a/b"}),
        ("rediss://:secret@host", {"host": "host", "password": "secret"}),
        ("unix:///run/redis.sock?db=2", {"path": "/run/redis.sock", "db": 2}),
        ("redis+sentinel://a:1,b:2/main/4", {"db": 4, "username": None, "password": None}),
        ("redis+sentinel://ada:a%40b@a:1/main", {"db": 0, "username": "ada", "password": "a@b"}),
    ],
)
def test_what_a_url_says(url: str, expected: dict[str, Any]):
    """Host, port, database and credentials are where the client has them."""
    assert expected == {name: value for name, value in options(url).items() if name in expected}


def test_sentinels_are_those_of_the_url():
    """Each is asked, at its own port, for the name; where they live has nothing to do with who may log in."""
    client, owned = connect(Secret("redis+sentinel://ada:secret@a:1,[::1]:26379/my%2Dmain"))
    assert "my-main" == client.connection_pool.service_name
    asked = [sentinel.connection_pool.connection_kwargs for sentinel in owned[1:]]
    assert [("a", 1), ("::1", 26379)] == [(each["host"], each["port"]) for each in asked]


@pytest.mark.parametrize(("scheme", "tls"), [("redis", False), ("rediss", True)])
def test_a_cluster_is_found_by_some_of_its_nodes(scheme: str, tls: bool):  # noqa: FBT001 - a parameter
    """Nodes, credentials and TLS are those of the URL."""
    client, owned = connect(Secret(f"{scheme}+cluster://ada:a%3Ab@a:1,b:2"))
    assert isinstance(client, RedisCluster)
    assert [client] == list(owned)
    assert {"a:1", "b:2"} == set(client.nodes_manager.startup_nodes)
    kept = client.connection_kwargs
    assert ("ada", "a:b", tls) == (kept["username"], kept["password"], "ssl_cert_reqs" in kept)


@pytest.mark.parametrize("kind", ["", "+sentinel"])
def test_tls_is_as_the_scheme_says(kind: str):
    """The scheme with two s is for TLS, of whatever kind the server is."""
    rest = f"{kind}://a:1/main" if kind else "://a:1"
    classes = [connect(Secret(f"{scheme}{rest}"))[0].connection_pool.connection_class for scheme in ("redis", "rediss")]
    assert [False, True] == ["SSL" in each.__name__ for each in classes]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "host",
        "http://{}@host",
        "redis://{}@host:port",
        "redis://{}@host:99999",
        "redis://{}@[host",
        "redis://{}@host?max_connections=many",
        "redis://{}@host?unknown=option",
        "redis://{}@host?retry=1",
        "+cluster://{}@a:1",
        "redissredis+cluster://{}@a:1",
        "REDIS+cluster://{}@a:1",
        "redis+other://{}@a:1",
        "redis+cluster://{}",
        "redis+cluster://{}@",
        "redis+cluster://{}@a",
        "redis+cluster://{}@a:1,",
        "redis+cluster://{}@a:0",
        "redis+cluster://{}@a:65536",
        "redis+cluster://{}@a:000001234567",
        "redis+cluster://{}@a:1" + "0" * 5000,
        "redis+cluster://{}@a:²",
        "redis+cluster://{}@a:1/0",
        "redis+sentinel://{}@a:1",
        "redis+sentinel://{}@a:1/",
        "redis+sentinel://{}@a:1//0",
        "redis+sentinel://{}@a:1/main/one",
        "redis+sentinel://{}@a:1/main/²",
        "redis+sentinel://{}@a:1/main/" + "1" * 5000,
        "redis+sentinel://{}@a:1/main?db=1/",
        "redis+sentinel://a:{}/main",
    ],
)
def test_a_wrong_url_is_refused_without_a_word_of_it(url: str):
    """Its error names the argument; neither its text nor a traceback with locals holds the password."""
    with pytest.raises(UsageError) as refused:
        RedisReplayStore(url.format(f"ada:{PASSWORD}"))
    assert "redis" == refused.value.argument
    assert [] == lines_with([PASSWORD], shown(refused.value))


PIECES = st.sampled_from(
    ["@", ":", "/", ",", "//", "://", "[", "]", "?", "#", "%", "%2", "=", "&", "a", "1", "db", " "]
)


@given(
    scheme=st.one_of(st.sampled_from(SCHEMES), st.text(max_size=10)),
    between=st.sampled_from(["://", "://ada:", "://:", ":", ""]),
    rest=st.one_of(st.text(), st.lists(st.one_of(PIECES, st.text(max_size=3)), max_size=15).map("".join)),
    before=st.booleans(),
)
def test_whatever_is_said_of_a_server(scheme: str, between: str, rest: str, before: bool):  # noqa: FBT001 - drawn
    """Any text is a client or a UsageError, and an error never holds the password."""
    url = f"{scheme}{between}{PASSWORD}{rest}" if before else f"{scheme}{between}{rest}{PASSWORD}"
    made = error = None
    try:
        made = connect(Secret(url))
    except UsageError as refused:
        error = refused
    if made is not None:
        assert isinstance(made[0], Redis | RedisCluster)
        assert made[0] is made[1][0]
    else:
        assert [] == lines_with([PASSWORD], shown(error))


@pytest.mark.parametrize("wrong", [{"prefix": "two words"}, {"prefix": ""}, {"timeout": 0}, {"replicas": -1}])
def test_other_arguments_are_checked(wrong: dict[str, Any]):
    """They are named, and the URL is not told."""
    with pytest.raises(UsageError) as refused:
        RedisReplayStore(f"redis://:{PASSWORD}@host", **wrong)
    assert next(iter(wrong)) == refused.value.argument
    assert [] == lines_with([PASSWORD], shown(refused.value))


def test_a_cluster_has_no_replicas_to_wait_for():
    """Its nodes each have their own: it is told by the server's settings."""
    with pytest.raises(UsageError, match="min-replicas-to-write"):
        RedisStore(f"redis+cluster://:{PASSWORD}@a:1", keys=RING, replicas=1)


async def test_a_cluster_by_its_url(redis_cluster: Any):
    """What is put by one way in is found by another, on all nodes."""
    ports = [node.port for node in redis_cluster.nodes]
    async with (
        RedisStore(f"redis+cluster://127.0.0.1:{ports[0]}", keys=RING) as here,
        RedisStore(f"redis+cluster://127.0.0.1:1,127.0.0.1:{ports[1]}", keys=RING) as there,
    ):
        origins = [f"{number:08}-origin" for number in range(100)]
        await asyncio.gather(*(here.put_nonce(origin, origin, seconds=60) for origin in origins))
        assert origins == await asyncio.gather(*map(there.nonce, origins))
    assert all(b"origin" in node.dump() for node in redis_cluster.nodes)


async def test_a_primary_by_its_sentinels(redis_sentinel: Any):
    """It is found also where the first sentinel is away, and after the roles have changed."""
    redis_sentinel.sentinels[0].kill()
    hosts = ",".join(f"{host}:{port}" for host, port in redis_sentinel.addresses)
    async with RedisStore(f"redis+sentinel://{hosts}/{redis_sentinel.name}", keys=RING, timeout=5.0) as store:
        await store.put_nonce("origin", "before", seconds=60)
        assert b"before" in redis_sentinel.dump()


async def test_a_database_by_its_number(redis_server: Any):
    """What is put there is nowhere else."""
    async with (
        RedisStore(f"{redis_server.url}/3", keys=RING) as store,
        RedisStore(redis_server.url, keys=RING) as other,
    ):
        await store.put_nonce("origin", "nonce", seconds=60)
        assert ["nonce", None] == [await store.nonce("origin"), await other.nonce("origin")]


async def test_a_password_is_used_and_not_told(start_redis: Callable[..., Any]):
    """A server that demands it is reached with it; without it, or a wrong one, the error holds neither."""
    server = start_redis()
    server.ask("CONFIG", "SET", "requirepass", PASSWORD)
    async with RedisStore(f"redis://:{PASSWORD}@127.0.0.1:{server.port}", keys=RING) as store:
        assert None is await store.nonce("origin")
        assert PASSWORD not in repr(store)
    for wrong in ("", f"ada:{PASSWORD}@", ":wrong-word@"):
        async with RedisStore(f"redis://{wrong}127.0.0.1:{server.port}", keys=RING) as store:
            with pytest.raises(StoreUnavailable) as refused:
                await store.nonce("origin")
            assert [] == lines_with([PASSWORD, "wrong-word"], shown(refused.value))
