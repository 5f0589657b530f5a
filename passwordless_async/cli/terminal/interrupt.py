"""Ctrl-C: the first closes what is open in order, and the next ones do not interrupt that.

Closing is bounded in time, so a second Ctrl-C gains nothing. Afterwards the signal stays ignored until the process
ends. ``asyncio.Runner`` also cancels at the first Ctrl-C, but raises ``KeyboardInterrupt`` at the second, in the middle
of closing; and wrappers of programs often send the signal twice.
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

EXIT_STATUS = 130  # that shells report for a program which Ctrl-C ended: 128 + SIGINT


def ignore() -> None:
    """Ignore Ctrl-C from here on."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in its own event loop; Ctrl-C cancels it.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed; raised once the coroutine has ended.
    """
    # Not at the top: the import takes long enough for a Ctrl-C, which only `main` of the command line handles.
    import asyncio  # noqa: PLC0415 - see above

    before = signal.getsignal(signal.SIGINT)
    interrupted = False

    async def cancellable() -> T:
        loop, task = asyncio.get_running_loop(), asyncio.ensure_future(main)

        def cancel(_number: int, _frame: FrameType | None) -> None:
            nonlocal interrupted
            interrupted = True
            ignore()
            with contextlib.suppress(RuntimeError):  # the loop is closed already
                loop.call_soon_threadsafe(task.cancel)

        # A shell script starts a background program with the signal ignored: it stays ignored.
        if before is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, cancel)
        return await task

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
