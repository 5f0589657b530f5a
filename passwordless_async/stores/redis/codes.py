"""What is known of users' codes, on a server: how long there is no other one, and which were presented."""

from __future__ import annotations

from passwordless_async.stores.redis.connection import OnRedis, milliseconds

# What was known of the code before goes with it; "s" tells that a start was made here, so that attempts are those of
# its code. Whoever asks twice, because the answer was lost, is told the same. In its last millisecond a name has none
# left, and is still taken.
_BEGIN = """
local time = tonumber(ARGV[2])
if time > 0 then
  local holder = redis.call('GET', KEYS[1])
  if holder and holder ~= ARGV[1] then return math.max(1, redis.call('PTTL', KEYS[1])) end
  redis.call('SET', KEYS[1], ARGV[1], 'PX', time)
end
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[2], 's', 1)
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return 0
"""
_END = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return end
if tonumber(ARGV[2]) > 0 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) else redis.call('DEL', KEYS[1]) end
"""
_BEGIN_FOR = """
local blocked = redis.call('PTTL', KEYS[2])
if blocked > 0 then return blocked end
if tonumber(ARGV[2]) < 0 then return 0 end
local t = redis.call('TIME')
local now, window = t[1] * 1000 + math.floor(t[2] / 1000), tonumber(ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - window)
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) and not redis.call('ZSCORE', KEYS[1], ARGV[1]) then
  local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
  return math.max(1, tonumber(first[2]) + window - now)
end
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('PEXPIRE', KEYS[1], window)
return 0
"""
_END_FOR = """
if ARGV[1] ~= '' then redis.call('ZREM', KEYS[1], ARGV[1]) end
local time = tonumber(ARGV[2])
if time > 0 and time > redis.call('PTTL', KEYS[2]) then redis.call('SET', KEYS[2], '', 'PX', time) end
"""
# The bound on what is remembered holds for codes too that were started elsewhere, and of which nobody knows how many.
_PRESENT = """
local by = redis.call('HGET', KEYS[1], ARGV[1])
local made = tonumber(redis.call('HGET', KEYS[1], 'n') or '0')
if by == ARGV[2] then return made end
if by then return -1 end
if made >= tonumber(ARGV[3]) and redis.call('HEXISTS', KEYS[1], 's') == 1 then return 0 end
local others = redis.call('HEXISTS', KEYS[1], 's') + redis.call('HEXISTS', KEYS[1], 'n')
if redis.call('HLEN', KEYS[1]) - others >= tonumber(ARGV[5]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return redis.call('HINCRBY', KEYS[1], 'n', 1)
"""
_WITHDRAW = """
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return end
redis.call('HDEL', KEYS[1], ARGV[1])
if tonumber(redis.call('HGET', KEYS[1], 'n') or '0') > 0 then redis.call('HINCRBY', KEYS[1], 'n', -1) end
"""
_END_CODE = """
if redis.call('HGET', KEYS[2], ARGV[2]) ~= ARGV[3] then return end
redis.call('DEL', KEYS[1])
if ARGV[1] == '1' then redis.call('HDEL', KEYS[2], 'n', 's') end
"""


class RedisCodes(OnRedis):
    """See :class:`CodeStore <passwordless_async.stores.CodeStore>`."""

    async def begin_start(self, user: str, *, token: str, seconds: float, remember: float) -> float:
        """See :meth:`CodeStore.begin_start <passwordless_async.stores.CodeStore.begin_start>`."""
        left = await self._run(_BEGIN, self._user_keys(user), token, _or_none(seconds), milliseconds(remember))
        return int(left) / 1000

    async def end_start(self, user: str, *, token: str, seconds: float) -> None:
        """See :meth:`CodeStore.end_start <passwordless_async.stores.CodeStore.end_start>`."""
        await self._run(_END, self._user_keys(user)[:1], token, _or_none(seconds))

    async def begin_address_start(self, address: str, *, token: str, max_starts: int | None, window: float) -> float:
        """See :meth:`CodeStore.begin_address_start <passwordless_async.stores.CodeStore.begin_address_start>`."""
        number = -1 if max_starts is None else max_starts
        left = await self._run(_BEGIN_FOR, self._address_keys(address), token, number, milliseconds(window))
        return int(left) / 1000

    async def end_address_start(self, address: str, *, token: str | None, blocked: float) -> None:
        """See :meth:`CodeStore.end_address_start <passwordless_async.stores.CodeStore.end_address_start>`."""
        await self._run(_END_FOR, self._address_keys(address), token or "", _or_none(blocked))

    async def begin_attempt(
        self, user: str, code: str, *, token: str, max_attempts: int, max_codes: int, remember: float
    ) -> int | None:
        """See :meth:`CodeStore.begin_attempt <passwordless_async.stores.CodeStore.begin_attempt>`."""
        arguments = code, token, max_attempts, milliseconds(remember), max_codes
        made = int(await self._run(_PRESENT, self._user_keys(user)[1:], *arguments))
        return None if made < 0 else made

    async def undo_attempt(self, user: str, code: str, *, token: str) -> None:
        """See :meth:`CodeStore.undo_attempt <passwordless_async.stores.CodeStore.undo_attempt>`."""
        await self._run(_WITHDRAW, self._user_keys(user)[1:], code, token)

    async def retire_code(self, user: str, code: str, *, token: str, correct: bool) -> None:
        """See :meth:`CodeStore.retire_code <passwordless_async.stores.CodeStore.retire_code>`."""
        await self._run_in_time(_END_CODE, self._user_keys(user), int(correct), code, token)

    def _user_keys(self, user: str) -> list[str]:
        return [self._name("c", user), self._name("p", user)]

    def _address_keys(self, address: str) -> list[str]:
        return [self._name("a", address), self._name("b", address)]


def _or_none(seconds: float) -> int:
    return milliseconds(seconds) if seconds > 0 else 0
