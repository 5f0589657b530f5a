"""What all that is kept on a server shares: its client, its names and its time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redis.asyncio import Redis, RedisCluster

from passwordless_async._common import arguments as _check
from passwordless_async._common.secret import conceal
from passwordless_async.errors import UsageError
from passwordless_async.stores.keyring import KeyRing
from passwordless_async.stores.redis.address import connect
from passwordless_async.stores.redis.batches import Batches, ClusterBatches

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence
    from typing import Self


class OnRedis:
    """A part of a store; the arguments are those of :class:`RedisStore`."""

    def __init__(self, redis: str | Redis | RedisCluster, *, prefix: str, timeout: float, replicas: int = 0) -> None:
        redis = conceal(redis) if isinstance(redis, str) else redis
        self._prefix = _check.text("prefix", prefix, at_most=64)
        timeout = _check.seconds("timeout", timeout)
        self._own: Sequence[Any] = ()
        if isinstance(redis, str):
            redis, self._own = connect(redis)
        if not isinstance(redis, Redis | RedisCluster):
            raise UsageError("redis", "must be a URL, or a Redis or RedisCluster of redis.asyncio")
        if type(replicas) is not int or replicas < 0:
            raise UsageError("replicas", "must be a whole number, 0 or more")
        if replicas and isinstance(redis, RedisCluster):
            raise UsageError("replicas", "cannot be waited for in a cluster: set its min-replicas-to-write")
        self._batches: Batches | ClusterBatches
        if isinstance(redis, RedisCluster):
            self._batches = ClusterBatches(redis, timeout=timeout)
        else:
            self._batches = Batches(redis, timeout=timeout)
        self._durable = self._batches
        if replicas and isinstance(redis, Redis):
            # Apart: what waits for replicas keeps nothing else waiting.
            self._durable = Batches(redis, timeout=timeout, replicas=replicas)

    async def aclose(self) -> None:
        """Close the connections, unless they are the caller's; closing twice does nothing."""
        await self._batches.drain()
        await self._durable.drain()
        for client in self._own:
            await client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def _ask(self, *command: str | bytes | float) -> Awaitable[Any]:
        return self._batches.ask(*command)

    def _ask_at_once(self, *command: str | bytes | float) -> Awaitable[Any]:
        return self._batches.ask_at_once(*command)

    # Whole, and not by its digest: a server that does not know that one would be asked again, after what came later.
    def _run(self, script: str, keys: Sequence[str], *arguments: str | float) -> Awaitable[Any]:
        return self._batches.ask("EVAL", script, len(keys), *keys, *arguments)

    def _run_in_time(self, script: str, keys: Sequence[str], *arguments: str | float) -> Awaitable[Any]:
        return self._batches.ask_in_time("EVAL", script, len(keys), *keys, *arguments)

    def _run_durably_at_once(self, script: str, keys: Sequence[str], *arguments: str | float) -> Awaitable[Any]:
        return self._durable.ask_at_once("EVAL", script, len(keys), *keys, *arguments)

    def _run_durably(self, script: str, keys: Sequence[str], *arguments: str | float) -> Awaitable[Any]:
        return self._durable.ask("EVAL", script, len(keys), *keys, *arguments)

    def _name(self, kind: str, pseudonym: str, shard: str | None = None) -> str:
        # In braces is what a cluster places by: what is used together lies on one node.
        return f"{self._prefix}:{{{shard or KeyRing.shard(pseudonym)}}}:{kind}:{pseudonym}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._prefix}>"


def milliseconds(seconds: float) -> int:
    """Return a time as the server counts it; none is nothing at all, which it does not know."""
    return max(1, int(seconds * 1000))


def text(value: str | bytes) -> str:
    """Return an answer as text, whatever the client was told to make of it."""
    return value.decode() if isinstance(value, bytes) else value
