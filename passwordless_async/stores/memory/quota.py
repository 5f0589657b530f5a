"""A tenant's quota, in this process: one queue of evenly spaced requests of all its clients (GCRA)."""

from __future__ import annotations

from passwordless_async._common import clock as _clock
from passwordless_async.stores.memory.expiring import Expiring


class MemoryQuota:
    """The :class:`QuotaStore <passwordless_async.stores.QuotaStore>` in memory.

    Args:
        size: How many quotas are kept.
    """

    def __init__(self, size: int) -> None:
        self._next: Expiring[float] = Expiring(size)

    async def reserve(self, quota: str, *, requests: int, interval: float) -> float:
        """Reserve the next places in the queue, and return the seconds until the first."""
        now = _clock.monotonic()
        first = max(self._next.get(quota) or now, now)
        self._keep(quota, first + requests * interval, now)
        return first - now

    async def pause(self, quota: str, seconds: float) -> None:
        """Give no caller a place for so many seconds."""
        now = _clock.monotonic()
        self._keep(quota, max(self._next.get(quota) or now, now + seconds), now)

    def _keep(self, quota: str, next_place: float, now: float) -> None:
        self._next.put(quota, next_place, next_place - now + 1.0)
