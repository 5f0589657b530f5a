"""A tenant's quota, on a server: one line of places for the requests of all processes (GCRA)."""

from __future__ import annotations

from passwordless_async.stores.redis.connection import OnRedis, milliseconds

# By the server's own clock, in microseconds: the processes' need not agree.
_TAKE = """
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local first = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now)
local after = first + tonumber(ARGV[1])
redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', math.ceil((after - now) / 1000) + 1000)
return first - now
"""
_HOLD = """
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local after = now + tonumber(ARGV[1]) * 1000
if tonumber(redis.call('GET', KEYS[1]) or '0') < after then
  redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', ARGV[1] + 1000)
end
"""
_MICROSECONDS = 1_000_000


class RedisQuota(OnRedis):
    """See :class:`QuotaStore <passwordless_async.stores.QuotaStore>`."""

    async def reserve(self, quota: str, *, requests: int, interval: float) -> float:
        """See :meth:`QuotaStore.reserve <passwordless_async.stores.QuotaStore.reserve>`."""
        # Rounded once: a part of a microsecond for each request would make the line of a high quota too fast.
        wait = await self._run(_TAKE, [self._name("q", quota)], round(requests * interval * _MICROSECONDS))
        return int(wait) / _MICROSECONDS

    async def pause(self, quota: str, seconds: float) -> None:
        """See :meth:`QuotaStore.pause <passwordless_async.stores.QuotaStore.pause>`."""
        await self._run(_HOLD, [self._name("q", quota)], milliseconds(seconds))
