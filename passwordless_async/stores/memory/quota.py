"""A tenant's quota, in this process: one line of places for the requests of all its clients (GCRA)."""

from __future__ import annotations

from passwordless_async._common import clock as _clock
from passwordless_async.stores.memory.expiring import Expiring


class MemoryQuota:
    """See :class:`QuotaStore <passwordless_async.stores.QuotaStore>`.

    Args:
        at_most: How many quotas are kept.
    """

    def __init__(self, at_most: int) -> None:
        self._next: Expiring[float] = Expiring(at_most)

    async def reserve(self, quota: str, *, requests: int, interval: float) -> float:
        """See :meth:`QuotaStore.reserve <passwordless_async.stores.QuotaStore.reserve>`."""
        now = _clock.monotonic()
        first = max(self._next.get(quota) or now, now)
        self._keep(quota, first + requests * interval, now)
        return first - now

    async def pause(self, quota: str, seconds: float) -> None:
        """See :meth:`QuotaStore.pause <passwordless_async.stores.QuotaStore.pause>`."""
        now = _clock.monotonic()
        self._keep(quota, max(self._next.get(quota) or now, now + seconds), now)

    def _keep(self, quota: str, after: float, now: float) -> None:
        self._next.put(quota, after, after - now + 1.0)
