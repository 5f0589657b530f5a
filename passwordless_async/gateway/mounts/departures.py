"""A browser that goes away ends its call: the upstream's connection is closed, and its work need not be finished."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

_PATIENCE_SECONDS = 0.25  # before the first look: most calls are over by then, and cost nothing


class Departure:
    """Cancels what the current task does in the ``async with`` when the browser goes, and swallows the cancellation.

    Args:
        until_gone: Returns when the browser has gone.
    """

    def __init__(self, until_gone: Callable[[], Awaitable[None]]) -> None:
        self._until_gone = until_gone
        self._is_gone = False
        self._watcher: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        task = asyncio.current_task()
        self._cancelling = 0 if task is None else task.cancelling()
        self._timer = asyncio.get_running_loop().call_later(_PATIENCE_SECONDS, self._begin, task)
        return self

    def _begin(self, task: asyncio.Task[object] | None) -> None:
        self._watcher = asyncio.create_task(self._watch(task))

    async def _watch(self, task: asyncio.Task[object] | None) -> None:
        await self._until_gone()
        self._is_gone = True
        if task is not None:
            task.cancel()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> bool:
        self._timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()
        task = asyncio.current_task()
        if not self._is_gone or task is None or kind is None or not issubclass(kind, asyncio.CancelledError):
            return False
        # Another cancellation, such as of a server that shuts down, goes on.
        return task.uncancel() <= self._cancelling
