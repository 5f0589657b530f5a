"""What is known of users' codes, on a server: who cools down, which codes were presented, and how often.

Invariants of the scripts:

- A call that is repeated with the same token gets the same answer and changes nothing.
- A start deletes the hash of the code before, and so its attempts and the codes that were presented.
- Attempts are limited only if the start was made here (``started``): only then are they known to be those at one code.
- Distinct codes are limited in any case, also for codes that were started elsewhere. A right code is no guess: it ends
  the count, and the codes before it are forgotten, for the service takes only the newest.
"""

from __future__ import annotations

from passwordless_async.stores.redis.connection import OnRedis, milliseconds

# In its last millisecond a key has no time left and still exists: at least 1 ms is returned.
_BEGIN_START = """
local cooldown, code = KEYS[1], KEYS[2]
local token, time, remember = ARGV[1], tonumber(ARGV[2]), ARGV[3]
if time > 0 then
  local holder = redis.call('GET', cooldown)
  if holder and holder ~= token then return math.max(1, redis.call('PTTL', cooldown)) end
  redis.call('SET', cooldown, token, 'PX', time)
end
redis.call('DEL', code)
redis.call('HSET', code, 'started', 1)
redis.call('PEXPIRE', code, remember)
return 0
"""
_END_START = """
local cooldown, token, time = KEYS[1], ARGV[1], ARGV[2]
if redis.call('GET', cooldown) ~= token then return end
if tonumber(time) > 0 then redis.call('PEXPIRE', cooldown, time) else redis.call('DEL', cooldown) end
"""
# By the server's own clock: those of the processes need not agree.
_BEGIN_ADDRESS_START = """
local starts, blocked = KEYS[1], redis.call('PTTL', KEYS[2])
local token, max_starts, window = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
if blocked > 0 then return blocked end
if max_starts < 0 then return 0 end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZREMRANGEBYSCORE', starts, '-inf', now - window)
if redis.call('ZCARD', starts) >= max_starts and not redis.call('ZSCORE', starts, token) then
  local first = redis.call('ZRANGE', starts, 0, 0, 'WITHSCORES')
  return math.max(1, tonumber(first[2]) + window - now)
end
redis.call('ZADD', starts, now, token)
redis.call('PEXPIRE', starts, window)
return 0
"""
_END_ADDRESS_START = """
local starts, blocked, token, time = KEYS[1], KEYS[2], ARGV[1], tonumber(ARGV[2])
if token ~= '' then redis.call('ZREM', starts, token) end
if time > 0 and time > redis.call('PTTL', blocked) then redis.call('SET', blocked, '', 'PX', time) end
"""
_BEGIN_ATTEMPT = """
local hash, code, token = KEYS[1], ARGV[1], ARGV[2]
local max_attempts, max_codes, remember = tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local presented_by = redis.call('HGET', hash, code)
local attempts = tonumber(redis.call('HGET', hash, 'attempts') or '0')
if presented_by == token then return attempts end
if presented_by then return -1 end
local started = redis.call('HEXISTS', hash, 'started')
if attempts >= max_attempts and started == 1 then return 0 end
local codes = redis.call('HLEN', hash) - started - redis.call('HEXISTS', hash, 'attempts')
if codes >= max_codes then return 0 end
redis.call('HSET', hash, code, token)
redis.call('PEXPIRE', hash, remember)
return redis.call('HINCRBY', hash, 'attempts', 1)
"""
_UNDO_ATTEMPT = """
local hash, code, token = KEYS[1], ARGV[1], ARGV[2]
if redis.call('HGET', hash, code) ~= token then return end
redis.call('HDEL', hash, code)
if tonumber(redis.call('HGET', hash, 'attempts') or '0') > 0 then redis.call('HINCRBY', hash, 'attempts', -1) end
"""
_RETIRE_CODE = """
local cooldown, hash, code, token, correct = KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3]
if redis.call('HGET', hash, code) ~= token then return end
redis.call('DEL', cooldown)
if correct ~= '1' then return end
local left = redis.call('PTTL', hash)
redis.call('DEL', hash)
redis.call('HSET', hash, code, token)
redis.call('PEXPIRE', hash, left)
"""


class RedisCodes(OnRedis):
    """The :class:`CodeStore <passwordless_async.stores.CodeStore>` on a server."""

    async def begin_start(self, user: str, *, token: str, seconds: float, remember: float) -> float:
        """Return 0.0 if a user may be sent a code, else the seconds until they may."""
        left = await self._run(_BEGIN_START, self._user(user), token, _or_zero(seconds), milliseconds(remember))
        return int(left) / 1000

    async def end_start(self, user: str, *, token: str, seconds: float) -> None:
        """Set how long the user is sent no other code."""
        await self._run(_END_START, self._user(user)[:1], token, _or_zero(seconds))

    async def begin_address_start(self, address: str, *, token: str, max_starts: int | None, window: float) -> float:
        """Count a start of an address and return 0.0, or the seconds until there is room."""
        number = -1 if max_starts is None else max_starts
        left = await self._run(_BEGIN_ADDRESS_START, self._address(address), token, number, milliseconds(window))
        return int(left) / 1000

    async def end_address_start(self, address: str, *, token: str | None, blocked: float) -> None:
        """Undo the count of a start, or block an address."""
        await self._run(_END_ADDRESS_START, self._address(address), token or "", _or_zero(blocked))

    async def begin_attempt(
        self, user: str, code: str, *, token: str, max_attempts: int, max_codes: int, remember: float
    ) -> int | None:
        """Count an attempt at a code; 0 if there are none left, None if the code was presented before."""
        arguments = code, token, max_attempts, max_codes, milliseconds(remember)
        attempts = int(await self._run(_BEGIN_ATTEMPT, self._user(user)[1:], *arguments))
        return None if attempts < 0 else attempts

    async def undo_attempt(self, user: str, code: str, *, token: str) -> None:
        """Forget an attempt."""
        await self._run(_UNDO_ATTEMPT, self._user(user)[1:], code, token)

    async def retire_code(self, user: str, code: str, *, token: str, correct: bool) -> None:
        """Report that a code is spent or has expired: the user may be sent another one at once."""
        await self._run_soon(_RETIRE_CODE, self._user(user), code, token, int(correct))

    def _user(self, user: str) -> list[str]:
        return [self._key.named("cooldown", user), self._key.named("code", user)]

    def _address(self, address: str) -> list[str]:
        return [self._key.named("starts", address), self._key.named("blocked", address)]


def _or_zero(seconds: float) -> int:
    return milliseconds(seconds) if seconds > 0 else 0
