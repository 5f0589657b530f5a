"""Sessions on a server: sealed texts, each user's list of them, and each login's lease of refreshes.

A lease consists of a lock and the login's hash. The lock means that a process is refreshing now, and expires by itself.
The hash names the refresh token that this process was about to spend, and is kept as long as the session may last.

Invariants of the scripts:

- ``spends`` without a lock means: the refresh token may be spent. It is spent again only within the overlap that the
  service allows, counted from when it was first about to be sent.
- A lease is granted only to a caller that has read the stored text and has the login's newest refresh token.
- Only the process named as holder ends the lease. A report after the end of the lease stores nothing.
- A call that is repeated with the same token gets the same answer.
"""

from __future__ import annotations

from passwordless_async.stores.keyring import KeyRing
from passwordless_async.stores.protocols import Place, RefreshEnd, RefreshLease, RefreshTurn, SessionStore
from passwordless_async.stores.redis.connection import OnRedis, member, milliseconds, number, several, text

_SHARED_SECONDS = 60.0  # for which new tokens are kept for a session of the same login that is just being opened
_MAX_OVERLAP = 10 * 366 * 86_400.0  # seconds; what is endless has a number on the server

# From a long list some sessions that have ended are removed each time: more than one opening adds.
_OPEN = """
local key, list, login = KEYS[1], KEYS[2], KEYS[3]
local sealed, time, session, user_time, name = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
redis.call('SET', key, sealed, 'PX', time)
redis.call('HSET', list, session, name)
if redis.call('HLEN', list) > 64 then
  local prefix = string.sub(key, 1, -#session - 1)
  for _, other in ipairs(redis.call('HRANDFIELD', list, 256)) do
    if redis.call('EXISTS', prefix .. other) == 0 then redis.call('HDEL', list, other) end
  end
end
for _, shared in ipairs({list, login}) do
  local left = redis.call('PTTL', shared)
  if left ~= -2 and left < tonumber(user_time) then redis.call('PEXPIRE', shared, user_time) end
end
"""
_PING = "redis.call('SET', KEYS[1], '', 'PX', 1000)"
_PEEK = """
local sealed = redis.call('GET', KEYS[1])
if not sealed then return false end
return {sealed, redis.call('PTTL', KEYS[1])}
"""
_RESEAL = """
local key, before, sealed = KEYS[1], ARGV[1], ARGV[2]
if redis.call('GET', key) ~= before then return 0 end
redis.call('SET', key, sealed, 'KEEPTTL')
return 1
"""
_CLOSE = """
local key, list, session = KEYS[1], KEYS[2], ARGV[1]
redis.call('HDEL', list, session)
return redis.call('DEL', key)
"""
_BEGIN_REFRESH = """
local key, login, lock = KEYS[1], KEYS[2], KEYS[3]
local sealed, spends, token, time, overlap, remember = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local kept = redis.call('GET', key)
if not kept then return {'gone'} end
local fields = {'spends', 'holder', 'since', 'doubtful', 'newest', 'tokens', 'refused'}
local spent, holder, since, doubtful, newest, tokens, refused = unpack(redis.call('HMGET', login, unpack(fields)))
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
if spent ~= spends or holder ~= token then
  if kept ~= sealed then return {'changed'} end
  if newest and newest ~= spends then return {'replaced', false, tokens} end
  if refused == spends then return {'refused'} end
  doubtful = false
  if spent == spends then
    if redis.call('EXISTS', lock) == 1 then return {'busy'} end
    if now < tonumber(since) or now - since >= tonumber(overlap) then return {'doubtful'} end
    doubtful = '1'
  else
    since = now
  end
  redis.call('HSET', login, 'spends', spends, 'holder', token, 'since', since)
  redis.call('HDEL', login, 'doubtful')
  if doubtful then redis.call('HSET', login, 'doubtful', '1') end
  if redis.call('PTTL', login) < tonumber(remember) then redis.call('PEXPIRE', login, remember) end
end
redis.call('SET', lock, token, 'PX', time)
if doubtful then return {'granted', now - since} end
return {'granted'}
"""
_HOLD_REFRESH = """
local login, lock, token, time = KEYS[1], KEYS[2], ARGV[1], tonumber(ARGV[2])
if redis.call('HGET', login, 'holder') ~= token then return end
if time == 0 then redis.call('DEL', lock) else redis.call('SET', lock, token, 'PX', time) end
"""
_RELEASE_REFRESH = """
local login, lock, token, refused = KEYS[1], KEYS[2], ARGV[1], ARGV[2] == '1'
local spent, holder, doubtful = unpack(redis.call('HMGET', login, 'spends', 'holder', 'doubtful'))
if holder ~= token then return end
redis.call('DEL', lock)
redis.call('HDEL', login, 'holder', 'doubtful')
if refused then redis.call('HSET', login, 'refused', spent) end
if refused or not doubtful then redis.call('HDEL', login, 'spends', 'since') end
"""
# Of a user with very many sessions it is not asked which of them share a login.
_END_REFRESH = """
local key, login, lock, list = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local token, before, sealed, replacement, tokens = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local time, remember, short, session, name = ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10]
local kept = redis.call('GET', key)
local reported = kept and 'kept' or 'closed'
local changed = kept and kept ~= before and kept ~= sealed
if changed then reported = 'changed' end
local holder, known = unpack(redis.call('HMGET', login, 'holder', 'tokens'))
if known == tokens or kept == sealed then return reported end
local prefix, shared = string.sub(key, 1, -#session - 1), redis.call('HLEN', list) > 256
if not shared then
  local sessions = redis.call('HGETALL', list)
  for at = 1, #sessions, 2 do
    if sessions[at + 1] == name and sessions[at] ~= session then
      shared = shared or redis.call('EXISTS', prefix .. sessions[at]) == 1
    end
  end
end
if not kept and not shared then
  redis.call('DEL', lock, login)
  return 'void'
end
if holder ~= token then return 'passed' end
redis.call('DEL', lock)
redis.call('HDEL', login, 'spends', 'holder', 'since', 'doubtful', 'refused')
redis.call('HSET', login, 'newest', replacement, 'tokens', tokens)
redis.call('PEXPIRE', login, (shared or changed) and remember or short)
if kept and not changed then redis.call('SET', key, sealed, 'PX', time) end
return reported
"""


class RedisSessions(OnRedis, SessionStore):
    """The :class:`SessionStore <passwordless_async.stores.SessionStore>` on a server."""

    async def ping(self) -> None:
        """Write a key and return once the server has it."""
        await self._run_durably(_PING, [self._key.ping])

    async def open(self, place: Place, sealed: str, *, login: str, seconds: float, user_seconds: float) -> None:
        keys = [self._key.session(place), self._list(place), self._key.login(place, login)]
        arguments = sealed, milliseconds(seconds), place.session, milliseconds(user_seconds), login
        await self._run_durably_directly(_OPEN, keys, *arguments)

    async def read(self, place: Place, *, seconds: float) -> str | None:
        sealed = await self._ask_directly("GETEX", self._key.session(place), "PX", milliseconds(seconds))
        return None if sealed is None else text(sealed)

    async def peek(self, place: Place) -> tuple[str, float] | None:
        seen = await self._run(_PEEK, [self._key.session(place)])
        if seen is None:
            return None
        sealed, left = several(seen, (2,))
        return text(sealed), number(left) / 1000

    async def reseal(self, place: Place, before: str, sealed: str) -> bool:
        return bool(await self._run_durably(_RESEAL, [self._key.session(place)], before, sealed))

    async def close(self, place: Place) -> bool:
        return bool(await self._run_durably(_CLOSE, [self._key.session(place), self._list(place)], place.session))

    async def sessions_of(self, user: str) -> tuple[str, ...]:
        members = await self._ask("HKEYS", self._key.sessions(KeyRing.shard(user), user))
        return tuple(sorted(map(text, several(members))))

    async def begin_refresh(
        self,
        place: Place,
        *,
        login: str,
        sealed: str,
        spends: str,
        token: str,
        seconds: float,
        overlap: float,
        remember: float,
    ) -> RefreshTurn:
        times = milliseconds(seconds), int(min(overlap, _MAX_OVERLAP) * 1000), milliseconds(remember)
        keys = [self._key.session(place), *self._lease(place, login)]
        answer = several(await self._run_durably(_BEGIN_REFRESH, keys, sealed, spends, token, *times), (1, 2, 3))
        lease, elapsed, tokens = answer + [None] * (3 - len(answer))
        return RefreshTurn(
            member(RefreshLease, lease),
            None if elapsed is None else number(elapsed) / 1000,
            None if tokens is None else text(tokens),
        )

    async def hold_refresh(self, place: Place, *, login: str, token: str, seconds: float) -> None:
        time = milliseconds(seconds) if seconds else 0
        await self._run_durably(_HOLD_REFRESH, self._lease(place, login), token, time)

    async def release_refresh(self, place: Place, *, login: str, token: str, refused: bool) -> None:
        await self._run_durably(_RELEASE_REFRESH, self._lease(place, login), token, int(refused))

    async def end_refresh(
        self,
        place: Place,
        *,
        login: str,
        token: str,
        texts: tuple[str, str],
        replacement: str,
        tokens: str,
        seconds: float,
        remember: float,
    ) -> RefreshEnd:
        keys = [self._key.session(place), *self._lease(place, login), self._list(place)]
        times = milliseconds(seconds), milliseconds(remember), milliseconds(_SHARED_SECONDS)
        arguments = token, *texts, replacement, tokens, *times, place.session, login
        return member(RefreshEnd, await self._run_durably(_END_REFRESH, keys, *arguments))

    def _lease(self, place: Place, login: str) -> list[str]:
        return [self._key.login(place, login), self._key.lock(place, login)]

    def _list(self, place: Place) -> str:
        return self._key.sessions(place.shard, place.user)
