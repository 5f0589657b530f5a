"""The nonces of origins, on a server, and which process fetches the first."""

from __future__ import annotations

from passwordless_async.stores.redis.connection import OnRedis, milliseconds, text

_NONCE_OR_TURN = """
local nonce, turn, time = KEYS[1], KEYS[2], ARGV[1]
local known = redis.call('GET', nonce)
if known then return known end
if redis.call('SET', turn, '', 'NX', 'PX', time) then return 1 end
return 0
"""
_PUT = """
local nonce, turn, value, time = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
redis.call('SET', nonce, value, 'PX', time)
redis.call('DEL', turn)
"""


class RedisNonces(OnRedis):
    """The :class:`NonceStore <passwordless_async.stores.NonceStore>` on a server."""

    async def nonce(self, origin: str) -> str | None:
        """Return the newest nonce of an origin."""
        nonce = await self._ask("GET", self._key.named("nonce", origin))
        return None if nonce is None else text(nonce)

    async def nonce_or_turn(self, origin: str, *, seconds: float) -> str | bool:
        """Return the newest nonce, or whether it is the caller's turn to fetch it."""
        answer = await self._run(_NONCE_OR_TURN, self._origin(origin), milliseconds(seconds))
        return bool(answer) if isinstance(answer, int) else text(answer)

    async def release_turn(self, origin: str) -> None:
        """Pass the turn on."""
        await self._ask("DEL", self._key.named("turn", origin))

    async def put_nonce(self, origin: str, nonce: str, *, seconds: float) -> None:
        """Keep a nonce, and end the turn."""
        await self._run(_PUT, self._origin(origin), nonce, milliseconds(seconds))

    def _origin(self, origin: str) -> list[str]:
        return [self._key.named("nonce", origin), self._key.named("turn", origin)]
