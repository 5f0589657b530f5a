"""Used proofs, on a server: a proof that one machine has accepted is refused by all others.

Invariants of the script:

- Expiry is relative: the server gets the seconds to keep a proof, and counts them by its own clock. Neither that clock
  nor this machine's need be right.
- Each key of a client has its own entry, so a client that floods the service fills only its own share.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from redis.asyncio import Redis, RedisCluster

from passwordless_async._common import arguments as _check
from passwordless_async._common import clock as _clock
from passwordless_async._common.base64url import encode_text
from passwordless_async._common.secret import conceal
from passwordless_async.dpop.server.replay import owner_of
from passwordless_async.errors import StoreError
from passwordless_async.stores.redis.connection import OnRedis, milliseconds, number

if TYPE_CHECKING:
    from collections.abc import Callable

_MEMBER = 22  # characters of base64url: 132 bits of the hash
_MARGIN = 1.0  # seconds that a proof is kept longer than asked for: two clocks do not run alike
_ADD = """
local proofs, proof, time, max_entries = KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZREMRANGEBYSCORE', proofs, '-inf', now - 1)
if redis.call('ZSCORE', proofs, proof) then return 0 end
if redis.call('ZCARD', proofs) >= max_entries then return -1 end
redis.call('ZADD', proofs, now + time, proof)
if redis.call('PTTL', proofs) < time then redis.call('PEXPIRE', proofs, time) end
return 1
"""


class RedisReplayStore(OnRedis):
    """Remembers used proofs for all machines that verify for one base URL (RFC 9449 §11.1).

    If the server is unreachable a replay cannot be detected, so the request is refused.

    Args:
        redis: As for :class:`RedisStore`.
        prefix: The prefix of all keys.
        timeout: Seconds for one call, after which the store counts as unavailable.
        replicas: As for :class:`RedisStore`. With 0, a proof may be accepted again after a fail-over.
        max_per_key: The maximum number of stored proofs of one client's key, about 100 bytes each. More are refused
            until some expire, after 70 seconds by the verifier's defaults. 100,000 allow 1,400 requests a second.

    Raises:
        UsageError: An argument is malformed.
    """

    def __init__(
        self,
        redis: str | Redis | RedisCluster,
        *,
        prefix: str = "pa",
        timeout: float = 1.0,
        replicas: int = 0,
        max_per_key: int = 100_000,
    ) -> None:
        redis = concealed = conceal(redis, Redis, RedisCluster)
        self._max_per_key = _check.positive("max_per_key", max_per_key)
        super().__init__(concealed, prefix=prefix, timeout=timeout, replicas=replicas)
        self.clock: Callable[[], float] = _clock.steady()

    async def add(self, key: str, expires_at: float, *, owner: str | None = None) -> bool:
        """Remember a proof until ``expires_at``, by this store's ``clock``; False if the store has it already.

        The share belongs to the key, whatever its ``owner``: there is no limit on all keys together.

        Raises:
            StoreError: ``expires_at`` is in the past, so it was computed by another clock; or the proof's key has used
                up its share; or the server is unreachable (:class:`StoreUnavailable`).
        """
        del owner
        seconds = expires_at - self.clock()
        if seconds < 0:
            raise StoreError("expires_at is in the past: two clocks differ")
        proofs = self._key.named("replay", _hash(owner_of(key)))
        arguments = _hash(key)[:_MEMBER], milliseconds(seconds + _MARGIN), self._max_per_key
        added = number(await self._run_durably(_ADD, [proofs], *arguments))
        if added < 0:
            raise StoreError(f"one key has used its share of the replay store: {self._max_per_key} proofs")
        return bool(added)


def _hash(text: str) -> str:
    # Each name has one length, whatever the client put into jti.
    return encode_text(hashlib.sha256(text.encode()).digest())
