"""Asking a store that may be gone: without it each process goes by what it knows itself, and says so by an event.

The promises: nobody waits long for a store that does not answer, and not each for themselves; when it is back it is
asked again, without a restart.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from passwordless_async._common import clock as _clock
from passwordless_async.client.events import StoreLost, StoreRegained
from passwordless_async.errors import StoreUnavailable
from passwordless_async.stores import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from passwordless_async.client.events import Emitter, Use
    from passwordless_async.stores import Store

T = TypeVar("T")
U = TypeVar("U")

_REST = 1.0  # seconds for which a store that did not answer is not asked again


class Availability:
    """A store, as far as it can be reached; lives as long as its client.

    Args:
        store: The store; one in this process is always there.
        events: Receives ``StoreLost`` and ``StoreRegained``.
    """

    def __init__(self, store: Store, events: Emitter) -> None:
        self.store = store
        self.keys = store.keys
        self._events = events
        self.is_local = isinstance(store, MemoryStore)
        self._lost: set[Use] = set()
        self._away = False
        self._looking = False
        self._rests_until = 0.0
        self._under_way: set[asyncio.Task[Any]] = set()

    async def ask(self, use: Use, question: Callable[[], Awaitable[T]], otherwise: U) -> T | U:
        """Ask the store, and where it cannot be reached, or could not a moment ago, take something else for its answer.

        Args:
            use: What the answer is for.
            question: Asks the store.
            otherwise: What holds without it.
        """
        if self._looking or _clock.monotonic() < self._rests_until:
            self._lose(use)
            return otherwise
        # One looks whether it is back, however long that takes; the others do not wait for it.
        looks = self._looking = self._away
        try:
            answer = await question()
        except StoreUnavailable:
            self._away = True
            self._rests_until = _clock.monotonic() + _REST
            self._lose(use)
            return otherwise
        finally:
            if looks:
                self._looking = False
        self._away, self._rests_until = False, 0.0
        if use in self._lost:
            self._lost.discard(use)
            self._events.emit(StoreRegained(use))
        return answer

    def _lose(self, use: Use) -> None:
        if use not in self._lost:
            self._lost.add(use)
            self._events.emit(StoreLost(use))

    def in_background(self, telling: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Tell the store something that nobody waits for."""
        task = asyncio.create_task(telling)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task

    async def aclose(self, *, grace: float) -> None:
        """Give what the store is being told so many seconds."""
        if self._under_way:
            _, late = await asyncio.wait(self._under_way, timeout=grace)
            for task in late:
                task.cancel()
