"""Ctrl-C: no process, no traceback and no half-ended work is left behind."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from passwordless_async.cli import INTERRUPTED
from passwordless_async.cli.terminal import interrupt

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize("keys", ["\x03", "\x03\x03\x03"])
@pytest.mark.parametrize("moment", ["Sending codes", "Logging in"])
def test_in_a_terminal(moment: str, keys: str, terminal: Callable[..., Any]):
    """Ctrl-C, pressed once or more, ends the program and its tenant: nothing holds the terminal afterwards."""
    screen = terminal("demo", "--users", "3000" if moment == "Logging in" else "50000")
    screen.until(moment)
    assert 130 == screen.end(pressing=keys)
    assert "Traceback" not in screen.shown
    assert "Error" not in screen.shown
    # The cursor that the progress display hid is there again.
    assert screen.shown.rfind("\x1b[?25h") > screen.shown.rfind("\x1b[?25l")


async def _interrupted(ctrl_c: Callable[[], None], log: list[str], *, times: int = 1):
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
def test_run_ends_in_order(times: int, ctrl_c: Callable[[], None]):
    """The first Ctrl-C cancels, and those that come while things are put away do not."""
    log: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        interrupt.run(_interrupted(ctrl_c, log, times=times))
    assert ["ended in order"] == log


def test_run_leaves_the_signal_as_it_was():
    """What ends by itself leaves the signal as it was."""

    async def answer() -> int:
        return 42

    before = signal.getsignal(signal.SIGINT)
    assert 42 == interrupt.run(answer())
    assert before is signal.getsignal(signal.SIGINT)


def test_run_raises_what_is_raised():
    """A failure is not taken for Ctrl-C."""

    async def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        interrupt.run(fail())


def test_ctrl_c_at_the_very_end(ctrl_c: Callable[[], None]):
    """A Ctrl-C that comes too late to cancel anything is raised nevertheless."""

    async def last() -> None:
        ctrl_c()

    with pytest.raises(KeyboardInterrupt):
        interrupt.run(last())


def test_ignored_from_the_start(ctrl_c: Callable[[], None]):
    """Where Ctrl-C is ignored from the start, as in the background of a script, it stays so."""

    async def go_on() -> int:
        ctrl_c()
        await asyncio.sleep(0)
        return 42

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert 42 == interrupt.run(go_on())
    assert signal.SIG_IGN is signal.getsignal(signal.SIGINT)


@pytest.mark.parametrize("library", ["asyncio", "click", "attrs", "aiohttp", "cryptography", "joserfc"])
def test_while_the_program_is_loaded(library: str):
    """Ctrl-C before there is anything to end: still no traceback."""
    code = f"""
import signal, sys
class Press:
    def find_spec(self, name, path=None, target=None):
        if name == {library!r}:
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Press())
sys.argv = ["passwordless-async", "--help"]
from passwordless_async.cli import main
sys.exit(main())
"""
    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert ("", "", INTERRUPTED) == (done.stdout, done.stderr, done.returncode)
