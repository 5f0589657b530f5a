"""The state of users' codes on a Redis server: cool-downs, presented codes, and attempts.

Invariants of the scripts:

- A call that is repeated with the same token gets the same answer and changes nothing, except that a start restarts
  its time.
- Attempts are forgotten only once the service confirms that it sent a code, and only those from before that start:
  later ones may have been at the new code. A failed start changes nothing.
- Attempts are limited only if this application sent the newest code (``started``): otherwise they may be at another.
- Distinct codes are always limited, also if another application sent them. A right code is not a guess: it ends the
  count, and the codes before it are forgotten, because the service accepts only the newest.
- A code that no longer works ends the cool-down, but not a start in progress.
"""

from __future__ import annotations

from passwordless_async.stores.protocols import CodeStore, RefusedCode
from passwordless_async.stores.redis.connection import OnRedis, milliseconds, number, several

# A field for each code, with the number of its attempt and the token of the caller, which is empty once the code was
# refused as wrong; the other fields have no blank in the value.
_READ = """
local function presented(hash, code)
  local number, token = string.match(redis.call('HGET', hash, code) or '', '^(%d+) (.*)$')
  return tonumber(number), token
end
local function counted(hash)
  local codes = redis.call('HLEN', hash)
  for _, field in ipairs({'last', 'started', 'right'}) do codes = codes - redis.call('HEXISTS', hash, field) end
  local right = redis.call('HGET', hash, 'right')
  return codes, codes - (right and redis.call('HEXISTS', hash, right) or 0)
end
local function forget_before(hash, first)
  local fields = redis.call('HGETALL', hash)
  for i = 1, #fields, 2 do
    local number = string.match(fields[i + 1], '^(%d+) ')
    if number and tonumber(number) < first then redis.call('HDEL', hash, fields[i]) end
  end
end
local function forget_right(hash, code)
  if redis.call('HGET', hash, 'right') == code then redis.call('HDEL', hash, 'right') end
end
local function end_cool_down(cooldown)
  if string.sub(redis.call('GET', cooldown) or '', -1) == ' ' then redis.call('DEL', cooldown) end
end
"""
# In its last millisecond a key has no time left and still exists: at least 1 ms is returned.
_BEGIN_START = """
local cooldown, code = KEYS[1], KEYS[2]
local token, time, remember = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local last = tonumber(redis.call('HGET', code, 'last') or '0')
if time > 0 then
  local holder = redis.call('GET', cooldown)
  if holder and holder ~= token then return {math.max(1, redis.call('PTTL', cooldown)), last} end
  redis.call('SET', cooldown, token, 'PX', time)
end
redis.call('PEXPIRE', code, remember)
return {0, last}
"""
# Once the start has ended, a blank is behind the token.
_END_START = (
    _READ
    + """
local cooldown, hash, token, time, mark, remember = KEYS[1], KEYS[2], ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
if mark >= 0 then
  forget_before(hash, mark + 1)
  local right = redis.call('HGET', hash, 'right')
  if right and redis.call('HEXISTS', hash, right) == 0 then redis.call('HDEL', hash, 'right') end
  redis.call('HSET', hash, 'started', 1)
  redis.call('PEXPIRE', hash, remember)
end
local holder = redis.call('GET', cooldown)
if holder ~= token and holder ~= token .. ' ' then return end
if tonumber(time) > 0 then redis.call('SET', cooldown, token .. ' ', 'PX', time) else redis.call('DEL', cooldown) end
"""
)
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
_BEGIN_ATTEMPT = (
    _READ
    + """
local hash, code, token = KEYS[1], ARGV[1], ARGV[2]
local max_attempts, max_codes, remember = tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local _, presented_by = presented(hash, code)
local codes, attempts = counted(hash)
if presented_by == '' then return -1 - attempts end
if presented_by == token then return attempts end
if presented_by then return -1 end
if attempts >= max_attempts and redis.call('HEXISTS', hash, 'started') == 1 then return 0 end
if codes >= max_codes then return 0 end
redis.call('HSET', hash, code, redis.call('HINCRBY', hash, 'last', 1) .. ' ' .. token)
redis.call('PEXPIRE', hash, remember)
return attempts + 1
"""
)
_UNDO_ATTEMPT = (
    _READ
    + """
local hash, code, token = KEYS[1], ARGV[1], ARGV[2]
local _, presented_by = presented(hash, code)
if presented_by ~= token then return end
redis.call('HDEL', hash, code)
forget_right(hash, code)
"""
)
_REFUSE_CODE = (
    _READ
    + """
local cooldown, hash, code, token, is_last = KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3]
local number, presented_by = presented(hash, code)
if presented_by ~= token then return end
redis.call('HSET', hash, code, number .. ' ')
forget_right(hash, code)
if is_last == '1' then end_cool_down(cooldown) end
"""
)
_RETIRE_CODE = (
    _READ
    + """
local cooldown, hash, code, token, correct = KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3]
local number, presented_by = presented(hash, code)
if presented_by ~= token then return end
end_cool_down(cooldown)
if correct ~= '1' then return end
forget_before(hash, number)
redis.call('HDEL', hash, 'started')
redis.call('HSET', hash, 'right', code)
"""
)


class RedisCodes(OnRedis, CodeStore):
    """The :class:`CodeStore <passwordless_async.stores.CodeStore>` on a server."""

    async def begin_start(self, user: str, *, token: str, seconds: float, remember: float) -> tuple[float, int]:
        times = _or_zero(seconds), milliseconds(remember)
        left, last = several(await self._run(_BEGIN_START, self._user(user), token, *times), (2,))
        return number(left) / 1000, number(last)

    async def end_start(self, user: str, *, token: str, seconds: float, mark: int | None, remember: float) -> None:
        arguments = token, _or_zero(seconds), -1 if mark is None else mark, milliseconds(remember)
        await self._run(_END_START, self._user(user), *arguments)

    async def begin_address_start(self, address: str, *, token: str, max_starts: int | None, window: float) -> float:
        starts = -1 if max_starts is None else max_starts
        left = await self._run(_BEGIN_ADDRESS_START, self._address(address), token, starts, milliseconds(window))
        return number(left) / 1000

    async def end_address_start(self, address: str, *, token: str | None, blocked: float) -> None:
        await self._run(_END_ADDRESS_START, self._address(address), token or "", _or_zero(blocked))

    async def begin_attempt(
        self, user: str, code: str, *, token: str, max_attempts: int, max_codes: int, remember: float
    ) -> int | RefusedCode | None:
        arguments = code, token, max_attempts, max_codes, milliseconds(remember)
        attempts = number(await self._run(_BEGIN_ATTEMPT, self._user(user)[1:], *arguments))
        if attempts < -1:
            return RefusedCode(-1 - attempts)
        return None if attempts < 0 else attempts

    async def undo_attempt(self, user: str, code: str, *, token: str) -> None:
        await self._run(_UNDO_ATTEMPT, self._user(user)[1:], code, token)

    async def refuse_code(self, user: str, code: str, *, token: str, is_last: bool) -> None:
        await self._run_soon(_REFUSE_CODE, self._user(user), code, token, int(is_last))

    async def retire_code(self, user: str, code: str, *, token: str, correct: bool) -> None:
        await self._run_soon(_RETIRE_CODE, self._user(user), code, token, int(correct))

    def _user(self, user: str) -> list[str]:
        return [self._key.named("cooldown", user), self._key.named("code", user)]

    def _address(self, address: str) -> list[str]:
        return [self._key.named("starts", address), self._key.named("blocked", address)]


def _or_zero(seconds: float) -> int:
    return milliseconds(seconds) if seconds > 0 else 0
