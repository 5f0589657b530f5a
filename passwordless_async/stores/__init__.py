"""Where state that users share is kept: in this process, or sealed on Redis or Valkey (``stores.redis``)."""

from passwordless_async.stores.keyring import KeyRing
from passwordless_async.stores.memory import MemoryStore
from passwordless_async.stores.protocols import (
    Begin,
    ChallengeStore,
    NonceStore,
    Place,
    QuotaStore,
    SessionStore,
    Store,
)

__all__ = [
    "Begin",
    "ChallengeStore",
    "KeyRing",
    "MemoryStore",
    "NonceStore",
    "Place",
    "QuotaStore",
    "SessionStore",
    "Store",
]
