"""State on Redis or Valkey: a single server, Sentinel or Cluster (extra ``redis``).

The promises: what is kept is sealed, under names that mean nothing without the key ring; a call is one round trip and
one step, which no other process can come between; and it ends in time, whatever becomes of the server.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Any

from redis.asyncio import Redis, RedisCluster
from redis.exceptions import RedisError

from passwordless_async import _check
from passwordless_async._secret import always_printable, conceal
from passwordless_async.errors import StoreUnavailable, UsageError
from passwordless_async.stores.keyring import KeyRing
from passwordless_async.stores.protocols import Begin

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from typing import Self

    from passwordless_async.stores.protocols import Place

_OPEN = """
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('SADD', KEYS[2], ARGV[3])
if redis.call('PTTL', KEYS[2]) < tonumber(ARGV[4]) then redis.call('PEXPIRE', KEYS[2], ARGV[4]) end
"""
_RESEAL = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
return 1
"""
_CLOSE = """
redis.call('DEL', KEYS[2], KEYS[3])
redis.call('SREM', KEYS[4], ARGV[1])
return redis.call('DEL', KEYS[1])
"""
# The lock tells that somebody is at it, and ends by itself. The mark tells which refresh token they were to spend, and
# stays: whoever finds it without a lock does not know whether that was spent.
_BEGIN = """
local left = redis.call('PTTL', KEYS[1])
if left == -2 then return 'gone' end
local mark = redis.call('GET', KEYS[3])
if mark and string.sub(mark, 1, #ARGV[1]) == ARGV[1] then
  if redis.call('EXISTS', KEYS[2]) == 1 then return 'busy' end
  return 'doubtful'
end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
redis.call('SET', KEYS[3], ARGV[1] .. ':' .. ARGV[2], 'PX', left)
return 'begun'
"""
_LEAVE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
"""
_END = """
local mark = redis.call('GET', KEYS[3])
if redis.call('EXISTS', KEYS[1]) == 0 or not mark or string.sub(mark, -#ARGV[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[2], KEYS[3])
if ARGV[2] ~= '' then redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
return 1
"""


class _OnRedis:
    """What all that is kept on a server shares: its client, names and time."""

    def __init__(self, redis: str | Redis | RedisCluster, *, prefix: str, timeout: float) -> None:
        redis = conceal(redis) if isinstance(redis, str) else redis
        self._own = isinstance(redis, str)
        self._redis: Any = _connected(redis) if isinstance(redis, str) else redis
        if not isinstance(self._redis, Redis | RedisCluster):
            raise UsageError("redis", "must be a URL, or a Redis or RedisCluster of redis.asyncio")
        self._prefix = _check.text("prefix", prefix, at_most=64)
        self._timeout = _check.seconds("timeout", timeout)

    async def aclose(self) -> None:
        """Close the connections, unless they are the caller's; closing twice does nothing."""
        if self._own:
            await self._redis.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _answer(self, asked: Awaitable[Any]) -> Any:  # noqa: ANN401 - whatever the server says
        try:
            async with asyncio.timeout(self._timeout):
                return await asked
        except (RedisError, OSError, TimeoutError) as error:
            # Its words may hold what was sent: only the kind of failure goes on.
            problem = type(error).__name__
        raise StoreUnavailable(f"the store does not answer ({problem})")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._prefix}>"


@always_printable
class RedisReplayStore(_OnRedis):
    """Remembers used proofs for all machines that verify for one base URL (RFC 9449 §11.1).

    Where the server cannot be reached nobody can tell a replay, so the request is refused.

    Args:
        redis: As for :class:`RedisStore`.
        prefix: What all names in the store begin with.
        timeout: Seconds for one call, after which the store counts as unavailable.

    Raises:
        UsageError: An argument is not of its form.
    """

    def __init__(self, redis: str | Redis | RedisCluster, *, prefix: str = "pa", timeout: float = 1.0) -> None:
        super().__init__(redis, prefix=prefix, timeout=timeout)

    async def add(self, key: str, expires_at: float) -> bool:
        """See :meth:`ReplayStore.add <passwordless_async.ReplayStore.add>`."""
        # Hashed: of one length, whatever the client put into jti.
        name = f"{self._prefix}:r:{hashlib.sha256(key.encode()).hexdigest()[:43]}"
        # A second more than asked for: the server's clock need not be ours.
        until = int((expires_at + 1) * 1000)
        return bool(await self._answer(self._redis.set(name, b"", nx=True, pxat=until)))


@always_printable
class RedisStore(_OnRedis):
    """Keeps sessions on Redis or Valkey; lives as long as the application.

    Args:
        redis: The server's URL (``redis://``, ``rediss://``), or a client of ``redis.asyncio``: a ``Redis``, which may
            be that of a Sentinel (``Sentinel(...).master_for(name)``), or a ``RedisCluster``. A client that is given is
            not closed.
        keys: What values are sealed with.
        prefix: What all names in the store begin with.
        timeout: Seconds for one call, after which the store counts as unavailable.

    Raises:
        UsageError: An argument is not of its form; without keys nothing is kept.
    """

    def __init__(
        self, redis: str | Redis | RedisCluster, *, keys: KeyRing, prefix: str = "pa", timeout: float = 2.0
    ) -> None:
        super().__init__(redis, prefix=prefix, timeout=timeout)
        if not isinstance(keys, KeyRing):
            raise UsageError("keys", "must be a KeyRing: nothing is kept that is not sealed")
        self.keys = keys
        scripts = {
            "open": _OPEN,
            "reseal": _RESEAL,
            "close": _CLOSE,
            "begin": _BEGIN,
            "leave": _LEAVE,
            "end": _END,
        }
        self._scripts = {name: self._redis.register_script(script) for name, script in scripts.items()}

    async def open(self, place: Place, sealed: str, *, seconds: float, user_seconds: float) -> None:
        """See :meth:`SessionStore.open <passwordless_async.stores.SessionStore.open>`."""
        keys = [self._session(place.shard, place.session), self._user(place.shard, place.user)]
        await self._run("open", keys, [sealed, _ms(seconds), place.session, _ms(user_seconds)])

    async def read(self, shard: str, session: str, *, seconds: float) -> str | None:
        """See :meth:`SessionStore.read <passwordless_async.stores.SessionStore.read>`."""
        sealed = await self._answer(self._redis.getex(self._session(shard, session), px=_ms(seconds)))
        return None if sealed is None else _text(sealed)

    async def reseal(self, place: Place, before: str, sealed: str) -> bool:
        """See :meth:`SessionStore.reseal <passwordless_async.stores.SessionStore.reseal>`."""
        return bool(await self._run("reseal", [self._session(place.shard, place.session)], [before, sealed]))

    async def close(self, place: Place) -> bool:
        """See :meth:`SessionStore.close <passwordless_async.stores.SessionStore.close>`."""
        keys = [*self._keys_of(place), self._user(place.shard, place.user)]
        return bool(await self._run("close", keys, [place.session]))

    async def sessions_of(self, shard: str, user: str) -> tuple[str, ...]:
        """See :meth:`SessionStore.sessions_of <passwordless_async.stores.SessionStore.sessions_of>`."""
        sessions = await self._answer(self._redis.smembers(self._user(shard, user)))
        return tuple(sorted(map(_text, sessions)))

    async def begin_refresh(self, place: Place, *, spends: str, token: str, seconds: float) -> Begin:
        """See :meth:`SessionStore.begin_refresh <passwordless_async.stores.SessionStore.begin_refresh>`."""
        return Begin(_text(await self._run("begin", self._keys_of(place), [spends, token, _ms(seconds)])))

    async def leave_refresh(self, place: Place, *, token: str) -> None:
        """See :meth:`SessionStore.leave_refresh <passwordless_async.stores.SessionStore.leave_refresh>`."""
        await self._run("leave", self._keys_of(place)[1:2], [token])

    async def end_refresh(self, place: Place, *, token: str, sealed: str | None, seconds: float) -> bool:
        """See :meth:`SessionStore.end_refresh <passwordless_async.stores.SessionStore.end_refresh>`."""
        return bool(await self._run("end", self._keys_of(place), [token, sealed or "", _ms(seconds)]))

    async def _run(self, script: str, keys: list[str], arguments: list[str | int]) -> Any:  # noqa: ANN401 - its answer
        return await self._answer(self._scripts[script](keys=keys, args=arguments))

    def _keys_of(self, place: Place) -> list[str]:
        session = self._session(place.shard, place.session)
        return [session, f"{session}:l", f"{session}:m"]

    def _session(self, shard: str, session: str) -> str:
        # In braces is what the cluster places by: all of a user's names lie on one node.
        return f"{self._prefix}:{{{shard}}}:s:{session}"

    def _user(self, shard: str, user: str) -> str:
        return f"{self._prefix}:{{{shard}}}:u:{user}"


def _connected(url: str) -> Redis:
    try:
        # A command that is repeated might be done twice: what failed is the caller's to repeat.
        return Redis.from_url(url, retry=None, retry_on_error=[])
    except ValueError:
        problem = "must be redis://, rediss:// or unix://"
    raise UsageError("redis", problem)


def _ms(seconds: float) -> int:
    return max(1, int(seconds * 1000))


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
