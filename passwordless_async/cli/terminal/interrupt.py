"""Ctrl-C, once: the first ends in order what is under way, and the ones that follow do not break that off.

What is ended in order is bounded in time, so nobody who presses the keys twice waits long. Afterwards the process has
nothing left to do but to end, and the signal stays ignored.
"""

from __future__ import annotations

import contextlib
import signal
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from types import FrameType
    from typing import Any

T = TypeVar("T")


def ignore() -> None:
    """Ignore Ctrl-C from here on."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in an event loop of its own; Ctrl-C cancels it and is raised when it has ended.

    Raises:
        KeyboardInterrupt: Ctrl-C.
    """
    # Here and not at the top: it takes long enough for a Ctrl-C, and nothing catches that before the program has begun.
    import asyncio  # noqa: PLC0415

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

        # Where it is ignored from the start, as in the background of a shell script, it stays so.
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
