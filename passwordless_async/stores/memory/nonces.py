"""The nonces of origins, in this process, and who fetches the first."""

from __future__ import annotations

from passwordless_async.stores.memory.expiring import Expiring


class MemoryNonces:
    """See :class:`NonceStore <passwordless_async.stores.NonceStore>`.

    Args:
        at_most: How many origins are kept.
    """

    def __init__(self, at_most: int) -> None:
        self._nonces: Expiring[str] = Expiring(at_most)
        self._turns: Expiring[str] = Expiring(at_most)

    async def nonce(self, origin: str) -> str | None:
        """See :meth:`NonceStore.nonce <passwordless_async.stores.NonceStore.nonce>`."""
        return self._nonces.get(origin)

    async def nonce_or_turn(self, origin: str, *, seconds: float) -> str | bool:
        """See :meth:`NonceStore.nonce_or_turn <passwordless_async.stores.NonceStore.nonce_or_turn>`."""
        nonce = self._nonces.get(origin)
        if nonce is not None:
            return nonce
        if self._turns.get(origin):
            return False
        self._turns.put(origin, "taken", seconds)
        return True

    async def release_turn(self, origin: str) -> None:
        """See :meth:`NonceStore.release_turn <passwordless_async.stores.NonceStore.release_turn>`."""
        self._turns.forget(origin)

    async def put_nonce(self, origin: str, nonce: str, *, seconds: float) -> None:
        """See :meth:`NonceStore.put_nonce <passwordless_async.stores.NonceStore.put_nonce>`."""
        self._nonces.put(origin, nonce, seconds)
        self._turns.forget(origin)
