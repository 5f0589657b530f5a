"""The state of servers in this process: a tenant's quota, and the nonces of origins."""

from __future__ import annotations

from passwordless_async._common import clock as _clock
from passwordless_async._common.expiring import Expiring
from passwordless_async.stores.protocols import NonceStore, QuotaStore


class MemoryServers(QuotaStore, NonceStore):
    """The :class:`QuotaStore <passwordless_async.stores.QuotaStore>` and ``NonceStore`` in memory, of ``size`` each."""

    def __init__(self, size: int) -> None:
        self._next_places: Expiring[str, float] = Expiring(size)
        self._nonces: Expiring[str, str] = Expiring(size)
        self._turns: Expiring[str, str] = Expiring(size)  # the token of the caller that has the turn

    async def reserve(self, quota: str, *, requests: int, interval: float) -> float:
        now = _clock.monotonic()
        first = max(self._next_places.get(quota) or now, now)
        self._keep_place(quota, first + requests * interval, now)
        return first - now

    async def pause(self, quota: str, seconds: float) -> None:
        now = _clock.monotonic()
        self._keep_place(quota, max(self._next_places.get(quota) or now, now + seconds), now)

    def _keep_place(self, quota: str, next_place: float, now: float) -> None:
        self._next_places.put(quota, next_place, next_place - now + 1.0)

    async def nonce(self, origin: str) -> str | None:
        return self._nonces.get(origin)

    async def nonce_or_turn(self, origin: str, *, token: str, seconds: float) -> str | bool:
        nonce = self._nonces.get(origin)
        if nonce is not None:
            return nonce
        if self._turns.get(origin) not in {None, token}:
            return False
        self._turns.put(origin, token, seconds)
        return True

    async def release_turn(self, origin: str, *, token: str) -> None:
        if self._turns.get(origin) == token:
            self._turns.discard(origin)

    async def put_nonce(self, origin: str, nonce: str, *, seconds: float) -> None:
        self._nonces.put(origin, nonce, seconds)
        self._turns.discard(origin)
