"""A tenant's quota, on a server: one queue of evenly spaced requests of all processes (GCRA)."""

from __future__ import annotations

from passwordless_async.stores.redis.connection import OnRedis, milliseconds

# By the server's own clock, in microseconds: those of the processes need not agree.
_RESERVE = """
local quota, duration = KEYS[1], tonumber(ARGV[1])
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local first = math.max(tonumber(redis.call('GET', quota) or '0'), now)
local after = first + duration
redis.call('SET', quota, string.format('%.0f', after), 'PX', math.ceil((after - now) / 1000) + 1000)
return first - now
"""
_PAUSE = """
local quota, time = KEYS[1], tonumber(ARGV[1])
local t = redis.call('TIME')
local after = t[1] * 1000000 + t[2] + time * 1000
if tonumber(redis.call('GET', quota) or '0') < after then
  redis.call('SET', quota, string.format('%.0f', after), 'PX', time + 1000)
end
"""
_MICROSECONDS = 1_000_000  # in a second


class RedisQuota(OnRedis):
    """The :class:`QuotaStore <passwordless_async.stores.QuotaStore>` on a server."""

    async def reserve(self, quota: str, *, requests: int, interval: float) -> float:
        """Reserve the next places in the queue, and return the seconds until the first."""
        # Rounded once: a part of a microsecond lost for each request would make a high quota too fast.
        wait = await self._run(_RESERVE, [self._key.named("quota", quota)], round(requests * interval * _MICROSECONDS))
        return int(wait) / _MICROSECONDS

    async def pause(self, quota: str, seconds: float) -> None:
        """Give no process a place for so many seconds."""
        await self._run(_PAUSE, [self._key.named("quota", quota)], milliseconds(seconds))
