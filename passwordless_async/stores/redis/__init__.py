"""State on Redis or Valkey: a single server, Sentinel or Cluster (extra ``redis``).

The promises: what is kept is sealed, under names that mean nothing without the key ring; a call is one round trip and
one step, which no other process can come between; and it ends in time, whatever becomes of the server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from passwordless_async._common.secret import always_printable, conceal
from passwordless_async.errors import UsageError
from passwordless_async.stores.keyring import KeyRing
from passwordless_async.stores.redis.codes import RedisCodes
from passwordless_async.stores.redis.nonces import RedisNonces
from passwordless_async.stores.redis.quota import RedisQuota
from passwordless_async.stores.redis.replay import RedisReplayStore
from passwordless_async.stores.redis.sessions import RedisSessions

if TYPE_CHECKING:
    from redis.asyncio import Redis, RedisCluster

__all__ = ["RedisReplayStore", "RedisStore"]


@always_printable
class RedisStore(RedisSessions, RedisCodes, RedisQuota, RedisNonces):
    """Keeps on Redis or Valkey what the processes of an application share; lives as long as the application.

    Use it as ``async with``, around the clients, or close it by :meth:`aclose` when they are closed. What is asked of
    it raises :class:`~passwordless_async.StoreUnavailable` where the server cannot be reached, refuses, or is late.

    Args:
        redis: Where the server is: ``redis://host:port/db``, ``rediss://`` for TLS,
            ``redis+sentinel://host:port,host:port/name`` for a primary that sentinels know,
            ``redis+cluster://host:port,host:port`` for a cluster; or a client of ``redis.asyncio``, a ``Redis`` or a
            ``RedisCluster``, which is not closed.
        keys: What values are sealed with.
        prefix: What all names in the store begin with.
        timeout: Seconds for one call, after which the store counts as unavailable.
        replicas: How many replicas must have a session, and that its refresh token is about to be spent, before either
            counts (``WAIT``). With none a fail-over may lose what the primary alone had: sessions, and the knowledge
            that a refresh token was spent, which the service answers by ending the login.

    Raises:
        UsageError: An argument is not of its form; without keys nothing is kept.
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
        redis = conceal(redis) if isinstance(redis, str) else redis
        super().__init__(redis, prefix=prefix, timeout=timeout, replicas=replicas)
        if not isinstance(keys, KeyRing):
            raise UsageError("keys", "must be a KeyRing: nothing is kept that is not sealed")
        self.keys = keys
