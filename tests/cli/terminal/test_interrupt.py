"""Ctrl-C: closing is never interrupted, and no process and no traceback is left."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any

import pytest

from passwordless_async.cli.terminal import interrupt

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize("keys", ["\x03", "\x03\x03\x03"])
@pytest.mark.parametrize("moment", ["Sending codes", "Logging in"])
def test_ctrl_c_leaves_no_process(moment: str, keys: str, terminal: Callable[..., Any]) -> None:
    """Ctrl-C, pressed once or more, ends the program and its tenant: no process holds the terminal afterwards."""
    screen = terminal("demo", "--users", "3000" if moment == "Logging in" else "50000")
    screen.until(moment)
    assert screen.end(pressing=keys) == interrupt.EXIT_STATUS
    assert "Traceback" not in screen.shown
    assert "Error" not in screen.shown
    # The cursor that the progress display hid is there again.
    assert screen.shown.rfind("\x1b[?25h") > screen.shown.rfind("\x1b[?25l")


async def _interrupted(ctrl_c: Callable[[], None], log: list[str], *, times: int = 1) -> None:
    try:
        for _ in range(times):
            ctrl_c()
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0)
        ctrl_c()
        await asyncio.sleep(0)
        log.append("ended in order")


@pytest.mark.parametrize("times", [1, 3])
def test_closing_is_not_interrupted(times: int, ctrl_c: Callable[[], None]) -> None:
    """The first Ctrl-C cancels; the next ones do not interrupt closing, even in the same turn of the loop."""
    log: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        interrupt.run(_interrupted(ctrl_c, log, times=times))
    assert log == ["ended in order"]


def test_the_handler_is_restored() -> None:
    """A run that ends by itself restores the handler."""

    async def answer() -> int:
        return 42

    before = signal.getsignal(signal.SIGINT)
    assert interrupt.run(answer()) == 42
    assert signal.getsignal(signal.SIGINT) is before


def test_an_error_is_raised() -> None:
    """An error is not taken for Ctrl-C."""

    async def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        interrupt.run(fail())


def test_a_late_ctrl_c_is_raised(ctrl_c: Callable[[], None]) -> None:
    """A Ctrl-C that is too late to cancel anything is raised all the same."""

    async def last() -> None:
        ctrl_c()

    with pytest.raises(KeyboardInterrupt):
        interrupt.run(last())


def test_an_ignored_signal_stays_ignored(ctrl_c: Callable[[], None]) -> None:
    """A signal that is ignored from the start, as in the background of a script, stays ignored."""

    async def go_on() -> int:
        ctrl_c()
        await asyncio.sleep(0)
        return 42

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert interrupt.run(go_on()) == 42
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
