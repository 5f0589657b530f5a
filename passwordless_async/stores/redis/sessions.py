"""Sessions on a server: sealed texts, a user's list of them, and who refreshes one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from passwordless_async.stores.protocols import RefreshLease
from passwordless_async.stores.redis.connection import OnRedis, milliseconds, text

if TYPE_CHECKING:
    from passwordless_async.stores.protocols import Place

# Of a user with many sessions those that ended are looked for, a few each time: that is more than come by one opening.
_OPEN = """
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('SADD', KEYS[2], ARGV[3])
if redis.call('SCARD', KEYS[2]) > 64 then
  local before = string.sub(KEYS[1], 1, -#ARGV[3] - 1)
  for _, name in ipairs(redis.call('SRANDMEMBER', KEYS[2], 256)) do
    if redis.call('EXISTS', before .. name) == 0 then redis.call('SREM', KEYS[2], name) end
  end
end
if redis.call('PTTL', KEYS[2]) < tonumber(ARGV[4]) then redis.call('PEXPIRE', KEYS[2], ARGV[4]) end
"""
_PEEK = """
local sealed = redis.call('GET', KEYS[1])
if not sealed then return false end
return {sealed, redis.call('PTTL', KEYS[1])}
"""
_RESEAL = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
return 1
"""
_CLOSE = """
redis.call('DEL', KEYS[2], KEYS[3])
redis.call('SREM', KEYS[4], ARGV[1])
return redis.call('DEL', KEYS[1])
"""
# The lock tells that somebody is at it, and ends by itself. The mark tells which refresh token they were to spend, and
# stays for as long as the session may be kept alive: whoever finds it without a lock does not know whether that was
# spent. Whoever asks twice, because the answer was lost, is told the same. Whoever read the session before somebody
# else's refresh ended would spend a token again, so what they read must be what is there.
_BEGIN = """
local now = redis.call('GET', KEYS[1])
if not now then return 'gone' end
local mark = redis.call('GET', KEYS[3])
local own = mark == ARGV[1] .. ':' .. ARGV[2]
if now ~= ARGV[4] and not own then return 'changed' end
if mark and not own and string.sub(mark, 1, #ARGV[1]) == ARGV[1] then
  if redis.call('EXISTS', KEYS[2]) == 1 then return 'busy' end
  return 'doubtful'
end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
redis.call('SET', KEYS[3], ARGV[1] .. ':' .. ARGV[2], 'PX', ARGV[5])
return 'granted'
"""
_LEAVE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
"""
_END = """
local now = redis.call('GET', KEYS[1])
if not now then return 0 end
if now == ARGV[2] then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  return 1
end
local mark = redis.call('GET', KEYS[3])
if not mark or string.sub(mark, -#ARGV[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[2], KEYS[3])
if ARGV[2] ~= '' then redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
return 1
"""


class RedisSessions(OnRedis):
    """See :class:`SessionStore <passwordless_async.stores.SessionStore>`."""

    async def open(self, place: Place, sealed: str, *, seconds: float, user_seconds: float) -> None:
        """See :meth:`SessionStore.open <passwordless_async.stores.SessionStore.open>`."""
        keys = [self._session(place.shard, place.session), self._user(place.shard, place.user)]
        times = milliseconds(seconds), milliseconds(user_seconds)
        await self._run_durably_at_once(_OPEN, keys, sealed, times[0], place.session, times[1])

    async def read(self, shard: str, session: str, *, seconds: float) -> str | None:
        """See :meth:`SessionStore.read <passwordless_async.stores.SessionStore.read>`."""
        sealed = await self._ask_at_once("GETEX", self._session(shard, session), "PX", milliseconds(seconds))
        return None if sealed is None else text(sealed)

    async def peek(self, shard: str, session: str) -> tuple[str, float] | None:
        """See :meth:`SessionStore.peek <passwordless_async.stores.SessionStore.peek>`."""
        seen = await self._run(_PEEK, [self._session(shard, session)])
        return None if seen is None else (text(seen[0]), int(seen[1]) / 1000)

    async def reseal(self, place: Place, before: str, sealed: str) -> bool:
        """See :meth:`SessionStore.reseal <passwordless_async.stores.SessionStore.reseal>`."""
        return bool(await self._run_durably(_RESEAL, self._session_keys(place)[:1], before, sealed))

    async def close(self, place: Place) -> bool:
        """See :meth:`SessionStore.close <passwordless_async.stores.SessionStore.close>`."""
        keys = [*self._session_keys(place), self._user(place.shard, place.user)]
        return bool(await self._run_durably(_CLOSE, keys, place.session))

    async def sessions_of(self, shard: str, user: str) -> tuple[str, ...]:
        """See :meth:`SessionStore.sessions_of <passwordless_async.stores.SessionStore.sessions_of>`."""
        return tuple(sorted(map(text, await self._ask("SMEMBERS", self._user(shard, user)))))

    async def begin_refresh(
        self, place: Place, *, sealed: str, spends: str, token: str, seconds: float, remember: float
    ) -> RefreshLease:
        """See :meth:`SessionStore.begin_refresh <passwordless_async.stores.SessionStore.begin_refresh>`."""
        arguments = spends, token, milliseconds(seconds), sealed, milliseconds(remember)
        return RefreshLease(text(await self._run_durably(_BEGIN, self._session_keys(place), *arguments)))

    async def abandon_refresh(self, place: Place, *, token: str) -> None:
        """See :meth:`SessionStore.abandon_refresh <passwordless_async.stores.SessionStore.abandon_refresh>`."""
        await self._run(_LEAVE, self._session_keys(place)[1:2], token)

    async def end_refresh(self, place: Place, *, token: str, sealed: str | None, seconds: float) -> bool:
        """See :meth:`SessionStore.end_refresh <passwordless_async.stores.SessionStore.end_refresh>`."""
        arguments = token, sealed or "", milliseconds(seconds)
        return bool(await self._run_durably(_END, self._session_keys(place), *arguments))

    def _session_keys(self, place: Place) -> list[str]:
        session = self._session(place.shard, place.session)
        return [session, f"{session}:l", f"{session}:m"]

    def _session(self, shard: str, session: str) -> str:
        return self._name("s", session, shard)

    def _user(self, shard: str, user: str) -> str:
        return self._name("u", user, shard)
