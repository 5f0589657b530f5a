"""A tenant's quota, shared: all processes stand in one line."""

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

    async def take(self, requests: int, interval: float) -> float | None:
        """Take places in the line; see :meth:`QuotaStore.reserve <passwordless_async.stores.QuotaStore.reserve>`.

        Returns:
            The seconds until the first; None where nobody knows: then the quota is this process's alone.
        """
        take = partial(self._availability.store.reserve, self._name, requests=requests, interval=interval)
        return await self._availability.ask(Use.QUOTA, take, None)

    def hold(self, seconds: float) -> None:
        """Let no process have a place for so many seconds."""
        hold = partial(self._availability.store.pause, self._name, seconds)
        self._availability.in_background(self._availability.ask(Use.QUOTA, hold, None))
