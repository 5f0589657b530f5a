"""The base class for the parts of a store on a server: its client, its keys and its units."""

from __future__ import annotations

import asyncio
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar

import attrs
from redis.asyncio import Redis, RedisCluster

from passwordless_async._common import arguments as _check
from passwordless_async._common.secret import Secret, always_printable
from passwordless_async.errors import StoreUnavailable, UsageError
from passwordless_async.stores.redis.address import connect
from passwordless_async.stores.redis.batches import Batches, ClusterBatches
from passwordless_async.stores.redis.keys import Keys

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

E = TypeVar("E", bound=Enum)
_MAX_PREFIX = 64  # characters
_TOO_LARGE = 2**63
_NONSENSE = "the store answers with something else than its commands do"


@always_printable
class OnRedis:
    """A part of a store; the arguments are those of :class:`RedisStore`."""

    def __init__(self, redis: Secret | Redis | RedisCluster, *, prefix: str, timeout: float, replicas: int = 0) -> None:
        self._key = Keys(_check.text("prefix", prefix, at_most=_MAX_PREFIX))
        timeout = _check.seconds("timeout", timeout)
        self._make = partial(_connected, redis, timeout, replicas)
        self._connected = self._make()
        self._is_closed = False
        self._loop: asyncio.AbstractEventLoop | None = None  # in which it is in use

    async def aclose(self) -> None:
        """Close the connections, unless they are the caller's; closing twice does nothing."""
        if self._is_closed:
            return
        self._require_own_loop()
        self._is_closed = True
        connected = self._connected
        try:
            await connected.batches.drain()
            await connected.durable.drain()
        finally:
            # If this call is cancelled, no other will close them.
            for client in connected.own:
                await client.aclose()

    async def __aenter__(self) -> Self:
        """Open a store that was closed again, in this or another event loop."""
        if self._is_closed:
            self._connected, self._is_closed, self._loop = self._make(), False, None
        return self

    def _require_own_loop(self) -> None:
        # Connections belong to the event loop in which they were made: in another one, a command would never end.
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise UsageError("store", "is in use in another event loop: close it there, or make one for each loop")

    @property
    def _batches(self) -> Batches | ClusterBatches:
        self._require_own_loop()
        return self._connected.batches

    @property
    def _durable(self) -> Batches | ClusterBatches:
        self._require_own_loop()
        return self._connected.durable

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def _ask(self, *command: str | bytes | float) -> Awaitable[Any]:
        return self._batches.ask(*command)

    def _ask_directly(self, *command: str | bytes | float) -> Awaitable[Any]:
        return self._batches.ask_directly(*command)

    # Scripts go as a whole, not by their digest. A server that does not know a digest would have to be asked again, and
    # the script would then run after commands that were asked later.
    def _run(self, script: str, keys: Sequence[str], *arguments: str | float) -> Awaitable[Any]:
        return self._batches.ask("EVAL", script, len(keys), *keys, *arguments)

    def _run_soon(self, script: str, keys: Sequence[str], *arguments: str | float) -> Awaitable[Any]:
        return self._batches.ask_soon("EVAL", script, len(keys), *keys, *arguments)

    def _run_durably(self, script: str, keys: Sequence[str], *arguments: str | float) -> Awaitable[Any]:
        return self._durable.ask("EVAL", script, len(keys), *keys, *arguments)

    def _run_durably_directly(self, script: str, keys: Sequence[str], *arguments: str | float) -> Awaitable[Any]:
        return self._durable.ask_directly("EVAL", script, len(keys), *keys, *arguments)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._key.prefix}>"


@attrs.frozen(repr=False)
class _Connected:
    """The connections of a store that is open."""

    batches: Batches | ClusterBatches
    durable: Batches | ClusterBatches  # for commands that must survive a fail-over
    own: tuple[Any, ...]  # the clients to close


def _connected(redis: Secret | Redis | RedisCluster, timeout: float, replicas: int) -> _Connected:
    client, own = connect(redis) if isinstance(redis, Secret) else (redis, ())
    return _Connected(*_batches(client, timeout, replicas), tuple(own))


def _batches(
    client: object, timeout: float, replicas: int
) -> tuple[Batches | ClusterBatches, Batches | ClusterBatches]:
    """Return what sends commands, and what sends those that must survive a fail-over."""
    if not isinstance(client, Redis | RedisCluster):
        raise UsageError("redis", "must be a URL, or a Redis or RedisCluster of redis.asyncio")
    if type(replicas) is not int or replicas < 0:
        raise UsageError("replicas", "must be a whole number, 0 or more")
    if isinstance(client, RedisCluster):
        if replicas:
            raise UsageError("replicas", "cannot be waited for in a cluster: set its min-replicas-to-write")
        lanes = ClusterBatches(client, timeout=timeout)
        return lanes, lanes
    batches = Batches(client, timeout=timeout)
    # On their own: a command that waits for replicas delays no other.
    return batches, Batches(client, timeout=timeout, replicas=replicas) if replicas else batches


def milliseconds(seconds: float) -> int:
    """Return a duration as the server counts it; at least 1, because the server refuses 0."""
    return max(1, int(seconds * 1000))


def text(answer: object) -> str:
    """Return an answer as text, whether or not the client decodes answers.

    Raises:
        StoreUnavailable: It is another type, so the peer is not a server of this store.
    """
    if isinstance(answer, bytes) and answer.isascii():  # as are sealed texts, hashes and nonces
        answer = answer.decode()
    if isinstance(answer, str):
        return answer
    raise StoreUnavailable(_NONSENSE)


def number(answer: object) -> int:
    """Return an answer that is a whole number of 64 bits; any other raises ``StoreUnavailable``."""
    if isinstance(answer, int) and -_TOO_LARGE <= answer < _TOO_LARGE:
        return answer
    raise StoreUnavailable(_NONSENSE)


def member(kind: type[E], answer: object) -> E:
    """Return an answer as a member of an enumeration; any other raises ``StoreUnavailable``."""
    value = text(answer)
    for each in kind:
        if each.value == value:
            return each
    raise StoreUnavailable(_NONSENSE)


def several(answer: object, lengths: tuple[int, ...] = ()) -> list[Any]:
    """Return an answer that is a list of one of some lengths, or of any; another raises ``StoreUnavailable``."""
    if isinstance(answer, list) and (not lengths or len(answer) in lengths):
        return answer
    raise StoreUnavailable(_NONSENSE)
