"""State on Redis or Valkey: a single server, Sentinel or Cluster (extra ``redis``).

Invariants:

- Tokens are sealed and users are pseudonyms: without the key ring, the server's data reveals neither.
- A call is one round trip, and atomic.
- A call ends within the store's ``timeout``, whatever happens to the server.
"""

from __future__ import annotations

from passwordless_async._common.extras import missing_extra
from passwordless_async._common.secret import conceal, hide
from passwordless_async.errors import UsageError
from passwordless_async.stores.keyring import KeyRing

try:
    from redis.asyncio import Redis, RedisCluster

    from passwordless_async.stores.redis.codes import RedisCodes
    from passwordless_async.stores.redis.counters import RedisCounters
    from passwordless_async.stores.redis.replay import RedisReplayStore
    from passwordless_async.stores.redis.servers import RedisServers
    from passwordless_async.stores.redis.sessions import RedisSessions
except ModuleNotFoundError as _missing:
    raise missing_extra("redis", _missing, library="redis") from None

__all__ = ["RedisReplayStore", "RedisStore"]


class RedisStore(RedisSessions, RedisCodes, RedisServers, RedisCounters):
    """Keeps shared state on Redis or Valkey, for all processes of an application. Create one per process.

    Use it as ``async with`` around the clients, or call :meth:`aclose` after they are closed. Every call raises
    :class:`~passwordless_async.StoreUnavailable` if the server is unreachable, refuses, or does not answer in time.

    Args:
        redis: Where the server is: ``redis://host:port/db``, ``rediss://`` for TLS,
            ``redis+sentinel://host:port,host:port/name`` for the primary that the sentinels call ``name``,
            ``redis+cluster://host:port,host:port`` for a cluster. Or a client of ``redis.asyncio``, a ``Redis`` or a
            ``RedisCluster``, which you must close.
        keys: The key ring that seals the values.
        prefix: The prefix of all keys.
        timeout: Seconds for one call, after which the store counts as unavailable.
        replicas: How many replicas must have a session, and the mark that its refresh token is about to be spent,
            before the call succeeds (``WAIT``). With 0, a fail-over may lose what only the primary had: sessions, and
            marks of spent refresh tokens. The service ends the login if a refresh token is used twice.

    Raises:
        UsageError: An argument is malformed, or there is no key ring.
    """

    def __init__(
        self,
        redis: str | Redis | RedisCluster,
        *,
        keys: KeyRing,
        prefix: str = "pa",
        timeout: float = 2.0,
        replicas: int = 0,
    ) -> None:
        redis = concealed = conceal(redis, Redis, RedisCluster)
        keys = hide(keys)
        super().__init__(concealed, prefix=prefix, timeout=timeout, replicas=replicas)
        if not isinstance(keys, KeyRing):
            raise UsageError("keys", "must be a KeyRing: nothing is kept that is not sealed")
        self.keys = keys
