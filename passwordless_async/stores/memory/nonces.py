"""The nonces of origins, in this process, and which caller fetches the first."""

from __future__ import annotations

from passwordless_async.stores.memory.expiring import Expiring


class MemoryNonces:
    """The :class:`NonceStore <passwordless_async.stores.NonceStore>` in memory.

    Args:
        size: How many origins are kept.
    """

    def __init__(self, size: int) -> None:
        self._nonces: Expiring[str] = Expiring(size)
        self._turns: Expiring[str] = Expiring(size)

    async def nonce(self, origin: str) -> str | None:
        """Return the newest nonce of an origin."""
        return self._nonces.get(origin)

    async def nonce_or_turn(self, origin: str, *, seconds: float) -> str | bool:
        """Return the newest nonce, or whether it is the caller's turn to fetch it."""
        nonce = self._nonces.get(origin)
        if nonce is not None:
            return nonce
        if self._turns.get(origin):
            return False
        self._turns.put(origin, "taken", seconds)
        return True

    async def release_turn(self, origin: str) -> None:
        """Pass the turn on."""
        self._turns.discard(origin)

    async def put_nonce(self, origin: str, nonce: str, *, seconds: float) -> None:
        """Keep a nonce, and end the turn."""
        self._nonces.put(origin, nonce, seconds)
        self._turns.discard(origin)
