"""A tenant's quota, shared: all processes stand in one line."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from passwordless_async.client.events import Use

if TYPE_CHECKING:
    from passwordless_async.client.shared.availability import Reach


class SharedQuota:
    """A tenant's quota; lives as long as its client.

    Args:
        reach: The store.
        issuer: The tenant.
    """

    def __init__(self, reach: Reach, issuer: str) -> None:
        self._reach = reach
        self._name = reach.keys.pseudonym(f"quota {issuer}")

    async def take(self, requests: int, interval: float) -> float | None:
        """Take places in the line; see :meth:`QuotaStore.take <passwordless_async.stores.QuotaStore.take>`.

        Returns:
            The seconds until the first; None where nobody knows: then the quota is this process's alone.
        """
        take = partial(self._reach.store.take, self._name, requests=requests, interval=interval)
        return await self._reach.ask(Use.QUOTA, take, None)

    def hold(self, seconds: float) -> None:
        """Let no process have a place for so many seconds."""
        hold = partial(self._reach.store.hold, self._name, seconds)
        self._reach.soon(self._reach.ask(Use.QUOTA, hold, None))
