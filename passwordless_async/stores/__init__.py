"""Where users' shared state is kept: in this process, or sealed on Redis or Valkey (``stores.redis``)."""

from passwordless_async.stores.keyring import KeyRing
from passwordless_async.stores.memory import MemoryStore
from passwordless_async.stores.protocols import (
    CodeStore,
    NonceStore,
    Place,
    QuotaStore,
    RefreshLease,
    SessionStore,
    Store,
)

__all__ = [
    "CodeStore",
    "KeyRing",
    "MemoryStore",
    "NonceStore",
    "Place",
    "QuotaStore",
    "RefreshLease",
    "SessionStore",
    "Store",
]
