"""Several processes as one: what dies is started again, and all end together."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from helpers.pipes import piped

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system does not fork")
PATIENCE = 60
# Each child writes a line, and waits for a signal or for the end of its parent. What it does at SIGTERM is a setting.
SCRIPT = """
import os, select, signal, sys
from passwordless_async.cli.gateway import supervising

what = sys.argv[1]
supervising._PAUSE_SECONDS = 0.01

def say(text):
    os.write(1, f"{text}\\n".encode())  # at once: the lines of processes must not mix

def child(name, parent):
    if what == "dies":
        raise SystemExit(3)
    if what == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    say(f"{name} runs")
    select.select([parent], [], [])
    say(f"{name} has lost its parent")

children = {name: (lambda parent, name=name: child(name, parent)) for name in ("A", "B")}
made = supervising.Supervisor(children, say, 0.1, lambda: say("closed"))
try:
    say(f"ended by {signal.Signals(made.run()).name}")
except supervising.CrashLoop as error:
    say(error)
"""


@contextmanager
def running(what: str) -> Iterator[subprocess.Popen[str]]:
    """Run the script."""
    with subprocess.Popen(  # noqa: S603 - our own script
        [sys.executable, "-c", SCRIPT, what], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def lines(process: subprocess.Popen[str], *wanted: str) -> str:
    """Read lines until each of these was read; return all that were."""
    read = ""
    while not all(text in read for text in wanted):
        read += (line := piped(process.stdout).readline())
        assert line, read
    return read


def pid_of(name: str, read: str) -> int:
    """Return the number of a child's last process."""
    return int(re.findall(rf"{name} is process (\d+)", read)[-1])


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all(number: signal.Signals) -> None:
    """It is passed on, and what is to be closed is closed first."""
    with running("waits") as process:
        lines(process, "A runs", "B runs", "B is process")
        process.send_signal(number)
        rest = piped(process.stdout).read()
        assert (rest, process.wait(PATIENCE)) == (f"closed\nended by {number.name}\n", 0)


@pytest.mark.slow
def test_a_child_that_dies() -> None:
    """It is started again, under its name; the other is left alone."""
    with running("waits") as process:
        read = lines(process, "A runs", "B runs", "B is process")
        os.kill(pid_of("A", read), signal.SIGKILL)
        again = lines(process, "A was ended by SIGKILL: it is started again.", "A is process", "A runs")
        assert pid_of("A", again) != pid_of("A", read)
        assert "B " not in again
        process.terminate()
        assert process.wait(PATIENCE) == 0


@pytest.mark.slow
def test_a_child_that_dies_again_and_again() -> None:
    """It is given up after five times, and the other ends too."""
    with running("dies") as process:
        read = piped(process.stdout).read()
        assert re.search(r"\n[AB] has died 5 times in a row, soon after its start\.\n$", read)
        assert max(read.count("A has ended with status 1"), read.count("B has ended with status 1")) == 5
        assert process.wait(PATIENCE) == 0


@pytest.mark.slow
def test_a_child_that_does_not_end() -> None:
    """It is killed when its time is over."""
    with running("stubborn") as process:
        read = lines(process, "A runs", "B runs", "B is process")
        process.terminate()
        assert piped(process.stdout).read() == "closed\nended by SIGTERM\n"
        with pytest.raises(ProcessLookupError):
            os.kill(pid_of("A", read), 0)


@pytest.mark.slow
def test_a_parent_that_is_killed() -> None:
    """The children see it, and end."""
    with running("waits") as process:
        lines(process, "A runs", "B runs", "B is process")
        process.kill()
        rest = piped(process.stdout).read()
        assert sorted(rest.splitlines()) == ["A has lost its parent", "B has lost its parent"]
