"""Redis servers to record histories with, and what is done to them meanwhile."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs

from helpers.redis_servers import RedisSentinel, RedisServer
from linearizability.histories import Loss, Plan, record, violations
from passwordless_async import KeyRing, StoreUnavailable
from passwordless_async.stores.redis import RedisReplayStore, RedisStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

RING = KeyRing(b"k" * 32, users=b"u" * 32)
_TIMEOUT = 0.3  # seconds for a call: what a server that is paused costs each caller
NO_FILE = "appendonly no"


@asynccontextmanager
async def connected(url: str, **options: Any) -> AsyncIterator[Any]:
    """Open a store, and its replay store as an attribute of it, with connections of their own."""
    async with RedisStore(url, keys=RING, timeout=_TIMEOUT, **options) as store:
        async with RedisReplayStore(url, timeout=_TIMEOUT, **options) as replay:
            store.replay = replay  # type: ignore[attr-defined]
            yield store


@attrs.frozen
class Case:
    """A setting: a server, what is done to it, and what that may lose."""

    name: str
    open: Callable[[], Any]  # a context with what has a url
    faults: Callable[[Any], tuple[Callable[[], Awaitable[None]], ...]]
    loses: Loss = attrs.field(default="nothing", kw_only=True)
    options: dict[str, Any] = attrs.field(factory=dict, kw_only=True)


async def _killed(server: RedisServer) -> None:
    await asyncio.to_thread(server.kill)
    await asyncio.to_thread(server.restart)


async def _paused(server: RedisServer) -> None:
    """Have a server do nothing for longer than a call may take, with what was sent in its buffers."""
    server.pause()
    async with connected(server.url) as store:
        for _ in range(2):
            with suppress(StoreUnavailable):
                await store.ping()
    server.resume()


async def _disconnected(server: RedisServer) -> None:
    await asyncio.to_thread(server.ask, "CLIENT", "KILL", "TYPE", "normal")


async def _failed_over(sentinel: RedisSentinel) -> None:
    await asyncio.to_thread(sentinel.fail_over)


def url_of(server: Any) -> str:
    """Return where a store is told that a server is."""
    if isinstance(server, RedisServer):
        return server.url
    hosts = ",".join(f"{host}:{port}" for host, port in server.addresses)
    return f"redis+sentinel://{hosts}/{server.name}"


CASES = (
    Case("alone", RedisServer, lambda _: ()),
    Case("disconnected", RedisServer, lambda server: (partial(_disconnected, server),) * 3),
    Case("paused", RedisServer, lambda server: (partial(_paused, server),) * 2),
    Case("killed", RedisServer, lambda server: (partial(_killed, server),) * 2),
    Case(
        "killed, no file", partial(RedisServer, NO_FILE), lambda server: (partial(_killed, server),), loses="everything"
    ),
    Case("failed over", RedisSentinel, lambda servers: (partial(_failed_over, servers),), loses="last"),
    Case(
        "failed over, replicas=1",
        RedisSentinel,
        lambda servers: (partial(_failed_over, servers),),
        loses="unreplicated",
        options={"replicas": 1},
    ),
)
"""Settings, each with what a store promises in it: see ``docs/explanation/code-spent-once.md`` about fail-overs."""


async def violations_of(case: Case, server: Any, seed: int, *, calls: int = 60) -> list[str]:
    """Record one history of each object, and return what no order of the calls explains."""
    plan = Plan(seed=seed, faults=case.faults(server), loses=case.loses, calls=calls)
    recorder = await record(plan, lambda: connected(url_of(server), **case.options))
    if isinstance(server, RedisSentinel):  # ready for the next fail-over
        await asyncio.to_thread(server.refresh)
    return violations(plan, recorder)
