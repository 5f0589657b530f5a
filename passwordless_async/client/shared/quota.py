"""A tenant's quota that processes share: their requests wait in one queue."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from passwordless_async.client.events import Use

if TYPE_CHECKING:
    from passwordless_async.client.shared.availability import Availability


class SharedQuota:
    """A tenant's quota; lives as long as its client.

    Args:
        availability: The store.
        issuer: The tenant.
    """

    def __init__(self, availability: Availability, issuer: str) -> None:
        self._availability = availability
        self._name = availability.keys.pseudonym(f"quota {issuer}")

    async def reserve(self, requests: int, interval: float) -> float | None:
        """Reserve places in the queue; see :meth:`QuotaStore.reserve <passwordless_async.stores.QuotaStore.reserve>`.

        Returns:
            The seconds until the first; None: the store is unreachable, and this process is on its own.
        """
        reserve = partial(self._availability.store.reserve, self._name, requests=requests, interval=interval)
        return await self._availability.ask(Use.QUOTA, reserve, None)

    def pause(self, seconds: float) -> None:
        """Give no process a place for so many seconds."""
        pause = partial(self._availability.store.pause, self._name, seconds)
        self._availability.in_background(self._availability.ask(Use.QUOTA, pause, None))
