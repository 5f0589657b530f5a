"""Calls to a store that may be unreachable.

Invariants:

- If the store is unreachable, each process falls back to its own memory and emits ``StoreLost``, once for each use.
- Once a store is known to be unreachable, one caller at a time waits for it: the others go on without it at once.
- The store is tried again every ``retry_seconds``. ``StoreRegained`` is emitted when a use has an answer again.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from passwordless_async._common import clock as _clock
from passwordless_async.client.events import Emitter, StoreLost, StoreRegained, Use
from passwordless_async.errors import StoreUnavailable
from passwordless_async.stores import MemoryStore, Store

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from passwordless_async.stores.keyring import KeyRing


T = TypeVar("T")
U = TypeVar("U")

RETRY_SECONDS = 1.0  # for which a store that did not answer is not called again
_CLOSING_SECONDS = 1.0  # for reports even without grace: they release codes and locks of users


class Availability:
    """Access to a store; kept for the client's lifetime. A store in this process is always reachable."""

    def __init__(self, store: Store, events: Emitter, *, retry_seconds: float = RETRY_SECONDS) -> None:
        self.store = store
        self.keys: KeyRing = store.keys
        self.is_local: bool = isinstance(store, MemoryStore)
        self._events = events
        self._retry_seconds = retry_seconds
        self._lost: set[Use] = set()
        self._is_unreachable = False
        self._is_probing = False
        self._retry_at = 0.0
        self._background: set[asyncio.Task[Any]] = set()

    async def ask(self, use: Use, question: Callable[[], Awaitable[T]], fallback: U) -> T | U:
        """Call the store; return ``fallback`` if it is unreachable, or was a moment ago."""
        if self._is_probing or _clock.monotonic() < self._retry_at:
            self._lose(use)
            return fallback
        # One caller probes whether the store is back, however long that takes; the others do not wait for it.
        probes = self._is_probing = self._is_unreachable
        try:
            answer = await question()
        except StoreUnavailable:
            self._is_unreachable = True
            self._retry_at = _clock.monotonic() + self._retry_seconds
            self._lose(use)
            return fallback
        finally:
            if probes:
                self._is_probing = False
        self._is_unreachable, self._retry_at = False, 0.0
        if use in self._lost:
            self._lost.discard(use)
            self._events.emit(StoreRegained(use))
        return answer

    def _lose(self, use: Use) -> None:
        if use not in self._lost:
            self._lost.add(use)
            self._events.emit(StoreLost(use))

    def report(self, use: Use, question: Callable[[], Awaitable[None]]) -> None:
        """Send the store a report that no caller waits for."""
        self.in_background(self.ask(use, question, None))

    def in_background(self, report: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run a report to the store that no caller waits for."""
        task = asyncio.create_task(report)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    async def aclose(self, *, grace: float) -> None:
        """Wait ``grace`` seconds, or a moment, for pending reports, and cancel the rest."""
        if self._background:
            _, late = await asyncio.wait(self._background, timeout=max(grace, _CLOSING_SECONDS))
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
