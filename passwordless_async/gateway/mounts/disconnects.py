"""Cancels a call when its browser disconnects: the upstream's connection is closed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

_PATIENCE_SECONDS = 0.25  # before the first check: most calls have ended by then, and cost nothing


class DisconnectWatch:
    """The new calls of a mount, for which nothing watches the browser yet; one timer serves all."""

    def __init__(self) -> None:
        self._new: dict[CancelOnDisconnect, float] = {}  # when each began, by the event loop's clock; the oldest first
        self._loop: asyncio.AbstractEventLoop | None = None  # the one in which the timer runs

    def of(self, until_gone: Callable[[], Awaitable[None]]) -> CancelOnDisconnect:
        """Return the watch of one call; ``until_gone`` returns when its browser has gone."""
        return CancelOnDisconnect(self, until_gone)

    def add(self, call: CancelOnDisconnect) -> None:
        """Watch a call's browser after a delay."""
        loop = asyncio.get_running_loop()
        self._new[call] = loop.time()
        if self._loop is not loop:
            self._look_later(loop)

    def discard(self, call: CancelOnDisconnect) -> None:
        """Forget a call: it has ended."""
        self._new.pop(call, None)

    def _look_later(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        loop.call_later(_PATIENCE_SECONDS, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        before = loop.time() - _PATIENCE_SECONDS
        for call in [each for each, began in self._new.items() if began <= before]:
            del self._new[call]
            call.begin()
        if self._new:
            self._look_later(loop)
        else:
            self._loop = None


class CancelOnDisconnect:
    """Cancels the body of the ``with`` when the browser disconnects, and swallows the cancellation."""

    def __init__(self, disconnects: DisconnectWatch, until_gone: Callable[[], Awaitable[None]]) -> None:
        self._disconnects = disconnects
        self._until_gone = until_gone
        self._is_gone = False
        self._watcher: asyncio.Task[None] | None = None

    def __enter__(self) -> None:
        self._task = asyncio.current_task()
        self._cancelling = 0 if self._task is None else self._task.cancelling()
        self._disconnects.add(self)

    def begin(self) -> None:
        """Watch the browser from now on."""
        self._watcher = asyncio.get_running_loop().create_task(self._watch())

    async def _watch(self) -> None:
        await self._until_gone()
        self._is_gone = True
        if self._task is not None:
            self._task.cancel()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> bool:
        self._disconnects.discard(self)
        if self._watcher is not None:
            self._watcher.cancel()
        task, self._task = self._task, None
        if not self._is_gone or task is None or kind is None or not issubclass(kind, asyncio.CancelledError):
            return False
        # Another cancellation, such as of a server that shuts down, is not swallowed.
        return task.uncancel() <= self._cancelling
