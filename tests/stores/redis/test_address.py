"""Where a server is: each form of its URL finds it, and no error about a wrong one holds the password."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
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


def options_of(url: str) -> dict[str, Any]:
    client: Any = connect(Secret(url))[0]
    options: dict[str, Any] = client.connection_pool.connection_kwargs
    return options


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://host", {"host": "host", "protocol": 2}),
        ("redis://host?protocol=3", {"protocol": 3}),
        ("redis://host:7000/3", {"host": "host", "port": 7000, "db": 3}),
        ("redis://ada:a%2Fb@[::1]:7000", {"host": "::1", "port": 7000, "username": "ada", "password": "a/b"}),
        ("rediss://:secret@host", {"host": "host", "password": "secret"}),
        ("unix:///run/redis.sock?db=2", {"path": "/run/redis.sock", "db": 2}),
        ("redis+sentinel://a:1,b:2/main/4", {"db": 4, "username": None, "password": None, "protocol": 2}),
        ("redis+sentinel://ada:a%40b@a:1/main", {"db": 0, "username": "ada", "password": "a@b"}),
    ],
)
def test_a_url_sets_the_clients_options(url: str, expected: dict[str, Any]) -> None:
    """Host, port, database and credentials arrive at the client."""
    assert {name: value for name, value in options_of(url).items() if name in expected} == expected


def test_sentinels_are_those_of_the_url() -> None:
    """Each is asked at its own port for the name; the credentials are not the sentinels'."""
    client: Any
    client, owned = connect(Secret("redis+sentinel://ada:secret@a:1,[::1]:26379/my%2Dmain"))
    assert client.connection_pool.service_name == "my-main"
    asked = [sentinel.connection_pool.connection_kwargs for sentinel in owned[1:]]
    assert [(each["host"], each["port"]) for each in asked] == [("a", 1), ("::1", 26379)]


@pytest.mark.parametrize(("scheme", "tls"), [("redis", False), ("rediss", True)])
def test_a_cluster_is_found_by_some_of_its_nodes(scheme: str, tls: bool) -> None:  # noqa: FBT001 - a parameter
    """Nodes, credentials and TLS are those of the URL."""
    client, owned = connect(Secret(f"{scheme}+cluster://ada:a%3Ab@a:1,b:2"))
    assert isinstance(client, RedisCluster)
    assert list(owned) == [client]
    assert set(client.nodes_manager.startup_nodes) == {"a:1", "b:2"}
    kept = client.connection_kwargs
    assert (kept["username"], kept["password"], "ssl_cert_reqs" in kept) == ("ada", "a:b", tls)


@pytest.mark.parametrize("kind", ["", "+sentinel"])
def test_the_scheme_decides_about_tls(kind: str) -> None:
    """The scheme with two s means TLS, for every kind of server."""
    rest = f"{kind}://a:1/main" if kind else "://a:1"
    clients: list[Any] = [connect(Secret(f"{scheme}{rest}"))[0] for scheme in ("redis", "rediss")]
    classes = [client.connection_pool.connection_class for client in clients]
    assert ["SSL" in each.__name__ for each in classes] == [False, True]


def test_the_scheme_decides_about_tls_to_the_sentinels_too() -> None:
    """Over an open connection an attacker could name another primary."""
    for scheme, tls in (("redis", False), ("rediss", True)):
        sentinels: Any = connect(Secret(f"{scheme}+sentinel://a:1,b:2/main"))[1][1:]
        classes = [sentinel.connection_pool.connection_class.__name__ for sentinel in sentinels]
        assert ["SSL" in name for name in classes] == [tls, tls]


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
        "redis+cluster://{}@:1",
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
def test_a_wrong_url_is_refused_and_not_quoted(url: str) -> None:
    """The error names the argument; neither its text nor a traceback with locals holds the password."""
    with pytest.raises(UsageError) as refused:
        RedisReplayStore(url.format(f"ada:{PASSWORD}"))
    assert refused.value.argument == "redis"
    assert lines_with([PASSWORD], shown(refused.value)) == []


PIECES = st.sampled_from(
    ["@", ":", "/", ",", "//", "://", "[", "]", "?", "#", "%", "%2", "=", "&", "a", "1", "db", " "]
)


@example(scheme="redis+sentinel", between="://", rest=":1", before=True)
@given(
    scheme=st.one_of(st.sampled_from(SCHEMES), st.text(max_size=10)),
    between=st.sampled_from(["://", "://ada:", "://:", ":", ""]),
    rest=st.one_of(st.text(), st.lists(st.one_of(PIECES, st.text(max_size=3)), max_size=15).map("".join)),
    before=st.booleans(),
)
def test_any_text_is_a_client_or_a_usage_error(scheme: str, between: str, rest: str, before: bool) -> None:  # noqa: FBT001 - a parameter
    """An error never holds the password."""
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
        assert lines_with([PASSWORD], shown(error) if error else "") == []


@pytest.mark.slow
async def test_a_cluster_by_its_url(redis_cluster: Any) -> None:
    """A value put through one node is read through another, on all nodes."""
    ports = [node.port for node in redis_cluster.nodes]
    async with (
        RedisStore(f"redis+cluster://127.0.0.1:{ports[0]}", keys=RING) as here,
        RedisStore(f"redis+cluster://127.0.0.1:1,127.0.0.1:{ports[1]}", keys=RING) as there,
    ):
        origins = [f"{number:08}-origin" for number in range(100)]
        await asyncio.gather(*(here.put_nonce(origin, origin, seconds=60) for origin in origins))
        assert origins == await asyncio.gather(*map(there.nonce, origins))
    assert all(b"origin" in node.dump() for node in redis_cluster.nodes)


@pytest.mark.slow
async def test_a_primary_by_its_sentinels(redis_sentinel: Any) -> None:
    """It is found also if the first sentinel is unreachable."""
    redis_sentinel.sentinels[0].kill()
    hosts = ",".join(f"{host}:{port}" for host, port in redis_sentinel.addresses)
    async with RedisStore(f"redis+sentinel://{hosts}/{redis_sentinel.name}", keys=RING, timeout=5.0) as store:
        await store.put_nonce("origin", "before", seconds=60)
        assert b"before" in redis_sentinel.dump()


async def test_a_database_by_its_number(redis_server: Any) -> None:
    """A value put there is in no other database."""
    async with (
        RedisStore(f"{redis_server.url}/3", keys=RING) as store,
        RedisStore(redis_server.url, keys=RING) as other,
    ):
        await store.put_nonce("origin", "nonce", seconds=60)
        assert [await store.nonce("origin"), await other.nonce("origin")] == ["nonce", None]


async def test_a_password_is_used_and_not_shown(start_redis: Callable[..., Any]) -> None:
    """With it the server is reached; without it, or with a wrong one, the error holds neither."""
    server = start_redis()
    server.ask("CONFIG", "SET", "requirepass", PASSWORD)
    async with RedisStore(f"redis://:{PASSWORD}@127.0.0.1:{server.port}", keys=RING) as store:
        assert await store.nonce("origin") is None
        assert PASSWORD not in repr(store)
    for wrong in ("", f"ada:{PASSWORD}@", ":wrong-word@"):
        async with RedisStore(f"redis://{wrong}127.0.0.1:{server.port}", keys=RING) as store:
            with pytest.raises(StoreUnavailable) as refused:
                await store.nonce("origin")
            assert lines_with([PASSWORD, "wrong-word"], shown(refused.value)) == []
