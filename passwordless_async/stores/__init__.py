"""Stores for the shared state of users: in this process, or sealed on Redis or Valkey (``stores.redis``).

Each name is imported when it is first used (PEP 562): threads that import the package and one of its modules at once
would deadlock on their locks if the package imported the module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from passwordless_async._common.lazy import lazy

if TYPE_CHECKING:
    from passwordless_async._common.sealing import Ring
    from passwordless_async.stores.keyring import KeyRing, Unsealed
    from passwordless_async.stores.memory import MemoryStore
    from passwordless_async.stores.protocols import (
        CodeStore,
        Counter,
        CounterStore,
        NonceStore,
        Place,
        QuotaStore,
        RefreshEnd,
        RefreshLease,
        RefreshTurn,
        RefusedCode,
        SessionStore,
        Store,
    )

__all__ = [
    "CodeStore",
    "Counter",
    "CounterStore",
    "KeyRing",
    "MemoryStore",
    "NonceStore",
    "Place",
    "QuotaStore",
    "RefreshEnd",
    "RefreshLease",
    "RefreshTurn",
    "RefusedCode",
    "Ring",
    "SessionStore",
    "Store",
    "Unsealed",
]

_ELSEWHERE = {
    "KeyRing": f"{__name__}.keyring",
    "MemoryStore": f"{__name__}.memory",
    "Ring": "passwordless_async._common.sealing",
    "Unsealed": f"{__name__}.keyring",
}
_MODULE_OF = dict.fromkeys(__all__, f"{__name__}.protocols") | _ELSEWHERE

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy(__name__, _MODULE_OF)
