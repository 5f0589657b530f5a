"""Sessions on a server: sealed texts, each user's list of them, and the leases of refreshes.

A lease is two keys. The lock says that a process refreshes the session at this moment, and expires by itself. The mark
says which refresh token that process was to spend, and stays as long as the session may be kept alive.

Invariants of the scripts:

- A mark without a lock means: the refresh token may be spent. It is never spent again.
- A lease is granted only to a caller that has read the text that is kept. One that read the session before another
  process refreshed it would spend the old refresh token again.
- Only the process named in the mark ends the lease. A report that comes after another process got the lease is void.
- A call that is repeated with the same token gets the same answer.
"""

from __future__ import annotations

from passwordless_async.stores.keyring import KeyRing
from passwordless_async.stores.protocols import Place, RefreshLease
from passwordless_async.stores.redis.connection import OnRedis, milliseconds, text

# From a long list some sessions that have ended are removed each time: more than one opening adds.
_OPEN = """
local key, list, sealed, time, session, user_time = KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
redis.call('SET', key, sealed, 'PX', time)
redis.call('SADD', list, session)
if redis.call('SCARD', list) > 64 then
  local prefix = string.sub(key, 1, -#session - 1)
  for _, other in ipairs(redis.call('SRANDMEMBER', list, 256)) do
    if redis.call('EXISTS', prefix .. other) == 0 then redis.call('SREM', list, other) end
  end
end
if redis.call('PTTL', list) < tonumber(user_time) then redis.call('PEXPIRE', list, user_time) end
"""
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
local key, lock, mark, list, session = KEYS[1], KEYS[2], KEYS[3], KEYS[4], ARGV[1]
redis.call('DEL', lock, mark)
redis.call('SREM', list, session)
return redis.call('DEL', key)
"""
_BEGIN_REFRESH = """
local key, lock, mark = KEYS[1], KEYS[2], KEYS[3]
local sealed, spends, token, time, remember = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local kept, marked = redis.call('GET', key), redis.call('GET', mark)
if not kept then return 'gone' end
local own = marked == spends .. ':' .. token
if kept ~= sealed and not own then return 'changed' end
if marked and not own and string.sub(marked, 1, #spends) == spends then
  if redis.call('EXISTS', lock) == 1 then return 'busy' end
  return 'doubtful'
end
redis.call('SET', lock, token, 'PX', time)
redis.call('SET', mark, spends .. ':' .. token, 'PX', remember)
return 'granted'
"""
_ABANDON_REFRESH = """
local lock, token = KEYS[1], ARGV[1]
if redis.call('GET', lock) == token then redis.call('DEL', lock) end
"""
_END_REFRESH = """
local key, lock, mark, token, sealed, time = KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[2], ARGV[3]
local kept, marked = redis.call('GET', key), redis.call('GET', mark)
if not kept then return 0 end
if kept == sealed then
  redis.call('PEXPIRE', key, time)
  return 1
end
if not marked or string.sub(marked, -#token) ~= token then return 0 end
redis.call('DEL', lock, mark)
if sealed ~= '' then redis.call('SET', key, sealed, 'PX', time) end
return 1
"""


class RedisSessions(OnRedis):
    """The :class:`SessionStore <passwordless_async.stores.SessionStore>` on a server."""

    async def open(self, place: Place, sealed: str, *, seconds: float, user_seconds: float) -> None:
        """Keep a new session."""
        keys = [self._key.session(place), self._key.sessions(place.shard, place.user)]
        arguments = sealed, milliseconds(seconds), place.session, milliseconds(user_seconds)
        await self._run_durably_directly(_OPEN, keys, *arguments)

    async def read(self, place: Place, *, seconds: float) -> str | None:
        """Return a session's text and keep it for ``seconds`` from now."""
        sealed = await self._ask_directly("GETEX", self._key.session(place), "PX", milliseconds(seconds))
        return None if sealed is None else text(sealed)

    async def peek(self, place: Place) -> tuple[str, float] | None:
        """Return a session's text and the seconds that it has left."""
        seen = await self._run(_PEEK, [self._key.session(place)])
        return None if seen is None else (text(seen[0]), int(seen[1]) / 1000)

    async def reseal(self, place: Place, before: str, sealed: str) -> bool:
        """Replace a session's text and keep its expiry."""
        return bool(await self._run_durably(_RESEAL, [self._key.session(place)], before, sealed))

    async def close(self, place: Place) -> bool:
        """Delete a session."""
        keys = [*self._lease(place), self._key.sessions(place.shard, place.user)]
        return bool(await self._run_durably(_CLOSE, keys, place.session))

    async def sessions_of(self, user: str) -> tuple[str, ...]:
        """Return the hashes of a user's sessions."""
        members = await self._ask("SMEMBERS", self._key.sessions(KeyRing.shard(user), user))
        return tuple(sorted(map(text, members)))

    async def begin_refresh(
        self, place: Place, *, sealed: str, spends: str, token: str, seconds: float, remember: float
    ) -> RefreshLease:
        """Ask for the lease to refresh a session."""
        arguments = sealed, spends, token, milliseconds(seconds), milliseconds(remember)
        return RefreshLease(text(await self._run_durably(_BEGIN_REFRESH, self._lease(place), *arguments)))

    async def abandon_refresh(self, place: Place, *, token: str) -> None:
        """End the lease with the outcome unknown."""
        await self._run(_ABANDON_REFRESH, [self._key.lock(place)], token)

    async def end_refresh(self, place: Place, *, token: str, sealed: str | None, seconds: float) -> bool:
        """Report how a refresh ended."""
        arguments = token, sealed or "", milliseconds(seconds)
        return bool(await self._run_durably(_END_REFRESH, self._lease(place), *arguments))

    def _lease(self, place: Place) -> list[str]:
        return [self._key.session(place), self._key.lock(place), self._key.mark(place)]
