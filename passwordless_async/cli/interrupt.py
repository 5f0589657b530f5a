"""Ctrl-C, once: the first ends in order what is under way; the ones that follow must not break that off.

What has to be ended in order is bounded in time, so nobody who presses the keys twice waits long. Afterwards the
process has nothing left to do but to end, and the signal stays ignored.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from types import FrameType
    from typing import Any

T = TypeVar("T")


def listen() -> None:
    """Turn the first Ctrl-C of this process into :class:`KeyboardInterrupt`, and ignore the others."""
    # Where it is ignored from the start, as in the background of a shell script, it stays so.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _raise)


def ignore() -> None:
    """Ignore Ctrl-C from here on: all is done, and an interpreter that is interrupted as it ends complains."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in an event loop of its own; Ctrl-C cancels it and is raised when it has ended.

    Raises:
        KeyboardInterrupt: Ctrl-C.
    """
    before = signal.getsignal(signal.SIGINT)
    interrupted = False

    async def cancellable() -> T:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine runs in a task

        def cancel(_number: int, _frame: FrameType | None) -> None:
            nonlocal interrupted
            interrupted = True
            ignore()
            with contextlib.suppress(RuntimeError):  # the loop is closed already
                loop.call_soon_threadsafe(task.cancel)

        if before is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, cancel)
        return await main

    try:
        result = asyncio.run(cancellable())
    except asyncio.CancelledError:
        interrupted = True
    finally:
        if not interrupted:
            signal.signal(signal.SIGINT, before)
    if interrupted:
        raise KeyboardInterrupt
    return result


def _raise(_number: int, _frame: FrameType | None) -> None:
    ignore()
    raise KeyboardInterrupt
