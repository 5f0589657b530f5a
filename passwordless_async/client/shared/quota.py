"""A tenant's quota that processes share: their requests wait in one queue."""

from __future__ import annotations

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
        self._store = availability.store
        self._name = availability.keys.pseudonym(f"quota {issuer}")

    async def reserve(self, requests: int, interval: float) -> float | None:
        """Reserve places in the queue, ``interval`` seconds apart.

        Returns:
            The seconds until the first; None if the store is unreachable: then this process has the quota alone.
        """
        return await self._availability.ask(
            Use.QUOTA, lambda: self._store.reserve(self._name, requests=requests, interval=interval), None
        )

    def pause(self, seconds: float) -> None:
        """Give no process a place for so many seconds."""
        self._availability.in_background(
            self._availability.ask(Use.QUOTA, lambda: self._store.pause(self._name, seconds), None)
        )
