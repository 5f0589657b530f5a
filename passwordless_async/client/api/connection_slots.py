"""One slot for each connection of a pool: a request's proof is signed only when the request can be sent.

Invariants:

- A proof never ages in the pool's own queue: a request takes its slots before its proof is signed.
- The slots belong to the pool, so all middlewares that use it share them.
- A request waits for a slot of its origin before one of the pool: a busy origin blocks no other.
- A slot is released when the response releases its connection, when it is dropped unread, or when the request fails.
"""

from __future__ import annotations

import asyncio
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiohttp import BaseConnector, ClientResponse

_POOL = "*"  # no origin has this name
_ATTRIBUTE = "_passwordless_async_slots"


class ConnectionSlots:
    """The slots of one connection pool; kept for the pool's lifetime."""

    def __init__(self) -> None:
        self._semaphores: dict[str, asyncio.Semaphore] = {}
        self._leases: set[Lease] = set()

    @classmethod
    async def take(cls, connector: BaseConnector | None, origin: str) -> Lease:
        """Wait for a slot of the origin and one of its pool; a limit of 0 means no limit."""
        if connector is None:
            return Lease(set())
        # On the pool itself, which the middlewares share: a dictionary of all pools would be global state.
        slots: ConnectionSlots | None = vars(connector).get(_ATTRIBUTE)
        if slots is None:
            slots = vars(connector)[_ATTRIBUTE] = cls()
        lease = Lease(slots._leases)
        try:
            for name, limit in ((origin, connector.limit_per_host), (_POOL, connector.limit)):
                if limit:
                    if name not in slots._semaphores:
                        slots._semaphores[name] = asyncio.Semaphore(limit)
                    await lease.add(slots._semaphores[name])
        except BaseException:
            lease.release()
            raise
        return lease


class Lease:
    """The slots of one request."""

    def __init__(self, leases: set[Lease]) -> None:
        self._held: list[asyncio.Semaphore] = []
        self._leases = leases
        self._connection: weakref.ref[object] | None = None
        leases.add(self)

    async def add(self, semaphore: asyncio.Semaphore) -> None:
        """Wait for one more slot."""
        await semaphore.acquire()
        self._held.append(semaphore)

    def release(self) -> None:
        """Release the slots; has no effect the second time."""
        self._leases.discard(self)
        while self._held:
            self._held.pop().release()

    def release_with(self, response: ClientResponse) -> None:
        """Release the slots when the response releases its connection."""
        connection = response.connection
        if connection is None:
            self.release()
            return
        connection.add_callback(self.release)
        # A response that is dropped unread closes its connection without a callback. The pool's set keeps this object,
        # and so the reference, alive until then.
        self._connection = weakref.ref(connection, lambda _connection: self.release())
