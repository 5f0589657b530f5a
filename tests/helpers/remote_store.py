"""A store that seems to be in another process: its answers take time, and it can be unreachable."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from passwordless_async import MemoryStore, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class RemoteStore:
    """Does as a ``MemoryStore`` does, but no caller can take it for a local one.

    Attributes:
        inner: What is kept.
        is_unreachable: Whether every call raises ``StoreUnavailable`` and keeps nothing.
        answers: Cleared: what is asked takes effect, but its answer waits until the event is set.
        asked: The names of the methods that were called, in order.
    """

    def __init__(self) -> None:
        self.inner = MemoryStore()
        self.keys = self.inner.keys
        self.is_unreachable = False
        self.answers = asyncio.Event()
        self.answers.set()
        self._held: dict[str, asyncio.Event] = {}
        self.asked: list[str] = []

    def hold(self, name: str) -> asyncio.Event:
        """Let calls of a method wait on their way, and take effect when the event is set."""
        return self._held.setdefault(name, asyncio.Event())

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self.inner, name)

        async def ask(*args: Any, **parameters: Any) -> Any:
            self.asked.append(name)
            await asyncio.sleep(0)
            if name in self._held:
                await self._held[name].wait()
            if self.is_unreachable:
                raise StoreUnavailable("unreachable")
            answer = await method(*args, **parameters)
            await self.answers.wait()
            return answer

        return ask
