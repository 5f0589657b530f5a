"""The nonces of origins, on a server, and who fetches the first."""

from __future__ import annotations

from passwordless_async.stores.redis.connection import OnRedis, milliseconds, text

_NONCE_OR_TURN = """
local nonce = redis.call('GET', KEYS[1])
if nonce then return nonce end
if redis.call('SET', KEYS[2], '', 'NX', 'PX', ARGV[1]) then return 1 end
return 0
"""
_PUT = """
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('DEL', KEYS[2])
"""


class RedisNonces(OnRedis):
    """See :class:`NonceStore <passwordless_async.stores.NonceStore>`."""

    async def nonce(self, origin: str) -> str | None:
        """See :meth:`NonceStore.nonce <passwordless_async.stores.NonceStore.nonce>`."""
        nonce = await self._ask("GET", self._name("n", origin))
        return None if nonce is None else text(nonce)

    async def nonce_or_turn(self, origin: str, *, seconds: float) -> str | bool:
        """See :meth:`NonceStore.nonce_or_turn <passwordless_async.stores.NonceStore.nonce_or_turn>`."""
        answer = await self._run(_NONCE_OR_TURN, self._nonce_keys(origin), milliseconds(seconds))
        return bool(answer) if isinstance(answer, int) else text(answer)

    async def release_turn(self, origin: str) -> None:
        """See :meth:`NonceStore.release_turn <passwordless_async.stores.NonceStore.release_turn>`."""
        await self._ask("DEL", self._name("t", origin))

    async def put_nonce(self, origin: str, nonce: str, *, seconds: float) -> None:
        """See :meth:`NonceStore.put_nonce <passwordless_async.stores.NonceStore.put_nonce>`."""
        await self._run(_PUT, self._nonce_keys(origin), nonce, milliseconds(seconds))

    def _nonce_keys(self, origin: str) -> list[str]:
        return [self._name("n", origin), self._name("t", origin)]
