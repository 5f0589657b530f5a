"""Real Redis servers, started once for all tests that ask for them; each test finds them running and empty."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from helpers import redis_servers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType
    from typing import NoReturn

REQUIRED = "PASSWORDLESS_ASYNC_REQUIRE_SERVERS"


def lacks(reason: str) -> NoReturn:
    """Skip the test for want of a program, or fail it where servers are required."""
    if os.environ.get(REQUIRED):
        pytest.fail(f"{reason}, and {REQUIRED} is set")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def redis_program() -> ModuleType:
    """Return what starts servers; without the program the test is skipped, or fails where servers are required."""
    if not redis_servers.installed():
        lacks(f"there is no {redis_servers.PROGRAM}; Debian: apt-get install redis-server, macOS: brew install redis")
    return redis_servers


@pytest.fixture(scope="session")
def shared_redis(redis_program: ModuleType) -> Iterator[Any]:
    """Run a server for the session."""
    with redis_program.RedisServer() as server:
        yield server


@pytest.fixture(scope="session")
def shared_cluster(redis_program: ModuleType) -> Iterator[Any]:
    """Run a cluster for the session."""
    with redis_program.RedisCluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def shared_sentinel(redis_program: ModuleType) -> Iterator[Any]:
    """Run a primary, its replica and their sentinels for the session."""
    with redis_program.RedisSentinel() as sentinel:
        yield sentinel


@pytest.fixture
def redis_server(shared_redis: Any) -> Any:
    """Return a server, running and empty: a ``RedisServer``."""
    shared_redis.refresh()
    return shared_redis


@pytest.fixture
def redis_url(redis_server: Any) -> str:
    """Return where that server listens."""
    url: str = redis_server.url
    return url


@pytest.fixture
def redis_cluster(shared_cluster: Any) -> Any:
    """Return a cluster of three nodes, running and empty: a ``RedisCluster``."""
    shared_cluster.refresh()
    return shared_cluster


@pytest.fixture
def redis_sentinel(shared_sentinel: Any) -> Any:
    """Return a primary with replica and sentinels, running and empty: a ``RedisSentinel``."""
    shared_sentinel.refresh()
    return shared_sentinel


@pytest.fixture
def start_redis(redis_program: ModuleType) -> Iterator[Callable[..., Any]]:
    """Return what starts a server for this test alone, with the lines of configuration that it is given."""
    running: list[Any] = []

    def start(*settings: str) -> Any:
        running.append(redis_program.RedisServer(*settings).__enter__())
        return running[-1]

    yield start
    for server in running:
        server.close()
