"""Used proofs, on a server: a proof that one machine has accepted is refused by all others."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from passwordless_async._common.secret import always_printable, conceal
from passwordless_async.stores.redis.connection import OnRedis

if TYPE_CHECKING:
    from redis.asyncio import Redis, RedisCluster


@always_printable
class RedisReplayStore(OnRedis):
    """Remembers used proofs for all machines that verify for one base URL (RFC 9449 §11.1).

    If the server is unreachable a replay cannot be detected, so the request is refused.

    Args:
        redis: As for :class:`RedisStore`.
        prefix: What all keys begin with.
        timeout: Seconds for one call, after which the store counts as unavailable.
        replicas: As for :class:`RedisStore`. Without any a proof may pass again after a fail-over.

    Raises:
        UsageError: An argument is not of its form.
    """

    def __init__(
        self, redis: str | Redis | RedisCluster, *, prefix: str = "pa", timeout: float = 1.0, replicas: int = 0
    ) -> None:
        redis = conceal(redis) if isinstance(redis, str) else redis
        super().__init__(redis, prefix=prefix, timeout=timeout, replicas=replicas)

    async def add(self, key: str, expires_at: float) -> bool:
        """Remember a proof until ``expires_at``, seconds since the UNIX epoch; False if it is known already."""
        # Hashed, so that each key has one length, whatever the client put into jti.
        name = self._key.replay(hashlib.sha256(key.encode()).hexdigest()[:43])
        # A second more than asked for: the server's clock may be behind ours.
        until = int((expires_at + 1) * 1000)
        return bool(await self._durable.ask("SET", name, b"", "NX", "PXAT", until))
