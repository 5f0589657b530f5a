"""The store in the memory of one process."""

from __future__ import annotations

import secrets

from passwordless_async._common import arguments as _check
from passwordless_async._common.secret import always_printable, hide
from passwordless_async.stores.keyring import KeyRing
from passwordless_async.stores.memory.codes import MemoryCodes
from passwordless_async.stores.memory.counters import MemoryCounters
from passwordless_async.stores.memory.servers import MemoryServers
from passwordless_async.stores.memory.sessions import MemorySessions

__all__ = ["MemoryStore"]

_MAX_SERVERS = 1000  # tenants and their origins


@always_printable
class MemoryStore(MemorySessions, MemoryCodes, MemoryServers, MemoryCounters):
    """Keeps shared state in the memory of this process; all of it is lost when the process ends.

    Args:
        keys: The key ring that seals the values; by default, a new random one.
        max_sessions: The maximum number of sessions. If the store is full, a new session is refused until others end.
            One user may have at most as many sessions as there are free places.

    Raises:
        UsageError: ``keys`` is not a :class:`KeyRing`, or ``max_sessions`` is not a whole number of one or more.
    """

    def __init__(self, *, keys: KeyRing | None = None, max_sessions: int = 1_000_000) -> None:
        keys = KeyRing(secrets.token_bytes(32), users=secrets.token_bytes(32)) if keys is None else hide(keys)
        self.keys: KeyRing = _check.instance("keys", keys, KeyRing, named="a KeyRing")
        MemorySessions.__init__(self, _check.positive("max_sessions", max_sessions))
        MemoryCodes.__init__(self)
        MemoryServers.__init__(self, _MAX_SERVERS)
        MemoryCounters.__init__(self)

    def __repr__(self) -> str:
        return f"<MemoryStore of {len(self._sessions)} sessions>"
