"""The state of servers on Redis: a tenant's quota, and the nonces of origins."""

from __future__ import annotations

from passwordless_async.stores.protocols import NonceStore, QuotaStore
from passwordless_async.stores.redis.connection import OnRedis, milliseconds, number, text

# By the server's own clock, in microseconds: those of the processes need not agree. Beside the next place is when it
# was written: if the clock was set back since, or another server took over, the queue is moved back as far.
_QUEUE = """
local quota = KEYS[1]
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local place, written = string.match(redis.call('GET', quota) or '', '^(%d+) (%d+)$')
local first = now
if place then first = math.max(place - math.max(written - now, 0), now) end
local function keep(place)
  redis.call('SET', quota, string.format('%.0f %.0f', place, now), 'PX', math.ceil((place - now) / 1000) + 1000)
end
"""
_RESERVE = f"""{_QUEUE}
keep(first + tonumber(ARGV[1]))
return first - now
"""
_PAUSE = f"""{_QUEUE}
keep(math.max(first, now + ARGV[1] * 1000))
"""
_NONCE_OR_TURN = """
local nonce, turn, token, time = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
local known = redis.call('GET', nonce)
if known then return known end
local holder = redis.call('GET', turn)
if holder and holder ~= token then return 0 end
redis.call('SET', turn, token, 'PX', time)
return 1
"""
_RELEASE_TURN = """
local turn, token = KEYS[1], ARGV[1]
if redis.call('GET', turn) == token then redis.call('DEL', turn) end
"""
_PUT = """
local nonce, turn, value, time = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
redis.call('SET', nonce, value, 'PX', time)
redis.call('DEL', turn)
"""
_MICROSECONDS = 1_000_000  # in a second


class RedisServers(OnRedis, QuotaStore, NonceStore):
    """The :class:`QuotaStore <passwordless_async.stores.QuotaStore>` and ``NonceStore`` on a server."""

    async def reserve(self, quota: str, *, requests: int, interval: float) -> float:
        # Rounded once: a part of a microsecond lost for each request would make a high quota too fast.
        wait = await self._run(_RESERVE, [self._key.named("quota", quota)], round(requests * interval * _MICROSECONDS))
        return number(wait) / _MICROSECONDS

    async def pause(self, quota: str, seconds: float) -> None:
        await self._run(_PAUSE, [self._key.named("quota", quota)], milliseconds(seconds))

    async def nonce(self, origin: str) -> str | None:
        nonce = await self._ask("GET", self._key.named("nonce", origin))
        return None if nonce is None else text(nonce)

    async def nonce_or_turn(self, origin: str, *, token: str, seconds: float) -> str | bool:
        answer = await self._run(_NONCE_OR_TURN, self._origin(origin), token, milliseconds(seconds))
        return bool(answer) if isinstance(answer, int) else text(answer)

    async def release_turn(self, origin: str, *, token: str) -> None:
        await self._run(_RELEASE_TURN, self._origin(origin)[1:], token)

    async def put_nonce(self, origin: str, nonce: str, *, seconds: float) -> None:
        await self._run(_PUT, self._origin(origin), nonce, milliseconds(seconds))

    def _origin(self, origin: str) -> list[str]:
        return [self._key.named("nonce", origin), self._key.named("turn", origin)]
