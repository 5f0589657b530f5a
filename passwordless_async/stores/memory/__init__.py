"""The embedded store: in this process, for this process."""

from __future__ import annotations

import secrets

from passwordless_async._common import arguments as _check
from passwordless_async.stores.keyring import KeyRing
from passwordless_async.stores.memory.codes import MemoryCodes
from passwordless_async.stores.memory.nonces import MemoryNonces
from passwordless_async.stores.memory.quota import MemoryQuota
from passwordless_async.stores.memory.sessions import MemorySessions

__all__ = ["MemoryStore"]

_REMEMBERED = 100_000  # users, and addresses; when there are more, the one longest untouched is forgotten
_SERVERS = 1000  # tenants and origins of them


class MemoryStore(MemorySessions, MemoryCodes, MemoryQuota, MemoryNonces):
    """Keeps what is shared in memory; lives as long as the process, and forgets with it.

    Args:
        keys: What values are sealed with; a ring of this store's own unless given.
        max_sessions: How many sessions are kept; when there are more, and none has ended, another one is refused.

    Raises:
        UsageError: ``max_sessions`` is not a whole number of one or more.
    """

    def __init__(self, *, keys: KeyRing | None = None, max_sessions: int = 1_000_000) -> None:
        self.keys = KeyRing(secrets.token_bytes(32), users=secrets.token_bytes(32)) if keys is None else keys
        MemorySessions.__init__(self, _check.positive("max_sessions", max_sessions))
        MemoryCodes.__init__(self, _REMEMBERED)
        MemoryQuota.__init__(self, _SERVERS)
        MemoryNonces.__init__(self, _SERVERS)

    def __repr__(self) -> str:
        return f"<MemoryStore of {len(self._sessions)} sessions>"
