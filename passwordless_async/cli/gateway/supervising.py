"""Runs several child processes: restarts each that dies, and ends all together. POSIX only.

Invariants:

- A child that dies is restarted: at once, or after a pause if it died early. Several early deaths in a row end all.
- A signal is forwarded once. Children that take too long are killed, so none is left behind.
- If this process dies, even by SIGKILL, the children see their pipe close and shut down in order.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback
from typing import TYPE_CHECKING

import attrs

from passwordless_async._common import clock as _clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

MAX_EARLY_DEATHS = 5  # in a row, of one child, each within _EARLY_SECONDS of its start
_EARLY_SECONDS = 10.0
_PAUSE_SECONDS = 0.5  # before a child that died early is started again
ENDING = ("SIGTERM", "SIGINT", "SIGHUP")
"""The signals that end the command in order. One that is ignored, such as SIGHUP by nohup, never comes."""
_OF_CHILDREN = ("SIGCHLD", "SIGALRM")
# By their names, so that systems without them can import this module.
_SIGNALS = frozenset(signal.Signals[name] for name in (*ENDING, *_OF_CHILDREN) if hasattr(signal, name))


class CrashLoop(Exception):
    """A child dies repeatedly; the message names it."""


@attrs.define
class _Child:
    """A process that is kept running."""

    name: str
    main: Callable[[int], None]
    pid: int = 0  # 0: it does not run
    started_at: float = 0.0
    early_deaths: int = 0


@attrs.define(eq=False)
class Supervisor:
    """Keeps processes running until a signal comes.

    Args:
        children: The function of each child, by name: called in its own process with the reading end of a pipe, which
            closes when this process ends. The child ends when it returns.
        say: Prints a sentence about what happens.
        seconds: Seconds that children may take to end.
        close: Is called when a signal has arrived, before it is forwarded.
    """

    children: Mapping[str, Callable[[int], None]]
    say: Callable[[str], None]
    seconds: float
    close: Callable[[], None]
    _running: list[_Child] = attrs.field(factory=list, init=False)
    _pipe: tuple[int, int] = attrs.field(factory=os.pipe, init=False)

    def run(self) -> int:
        """Start the children and keep them running; return the signal that ended them.

        Raises:
            CrashLoop: A child died repeatedly. The others have ended.
        """
        with _block_signals() as before:
            try:
                for name, main in self.children.items():
                    child = _Child(name, main)
                    self._running.append(child)
                    self._start(child, before)
                return self._keep(before)
            finally:
                self.close()
                self._end()
                os.close(self._pipe[1])
                os.close(self._pipe[0])

    def _keep(self, before: set[signal.Signals]) -> int:
        while True:
            number = signal.sigwait(_SIGNALS)
            if signal.Signals(number).name in ENDING:
                return number
            for child in self._dead():
                self._mourn(child)
            for child in self._running:
                # One that died early waits for the alarm.
                if not child.pid and (not child.early_deaths or number == signal.SIGALRM):
                    self._start(child, before)

    def _start(self, child: _Child, before: set[signal.Signals]) -> None:
        child.started_at = _clock.monotonic()
        child.pid = os.fork()
        if not child.pid:
            _become(child, self._pipe, before)
        self.say(f"{child.name} is process {child.pid}.")

    def _dead(self) -> Iterator[_Child]:
        for child in self._running:
            # By its number: this process may have other children.
            if child.pid and (ended := os.waitpid(child.pid, os.WNOHANG))[0]:
                child.pid = 0
                self.say(f"{child.name} {_end_of(ended[1])}.")
                yield child

    def _mourn(self, child: _Child) -> None:
        lived = _clock.monotonic() - child.started_at
        child.early_deaths = child.early_deaths + 1 if lived < _EARLY_SECONDS else 0
        if child.early_deaths >= MAX_EARLY_DEATHS:
            raise CrashLoop(f"{child.name} has died {MAX_EARLY_DEATHS} times in a row, soon after its start.")
        if child.early_deaths:
            signal.setitimer(signal.ITIMER_REAL, _PAUSE_SECONDS)

    def _end(self) -> None:
        """Pass the signal on and wait; kill what outlives its time."""
        self._signal(signal.SIGTERM)
        signal.setitimer(signal.ITIMER_REAL, self.seconds)
        while any(child.pid for child in self._running):
            if signal.sigwait(_SIGNALS) == signal.SIGALRM:
                self._signal(signal.SIGKILL)
                signal.setitimer(signal.ITIMER_REAL, self.seconds)
            for child in self._running:
                if child.pid and os.waitpid(child.pid, os.WNOHANG)[0]:
                    child.pid = 0
        signal.setitimer(signal.ITIMER_REAL, 0)

    def _signal(self, number: signal.Signals) -> None:
        for child in self._running:
            if child.pid:
                os.kill(child.pid, number)


@contextlib.contextmanager
def _block_signals() -> Iterator[set[signal.Signals]]:
    """Block the signals until they are asked for; yields those that were blocked before."""
    # A system may drop a signal that is ignored by default, even a blocked one: it needs a handler.
    handler = signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield {signal.Signals(number) for number in before}
    finally:
        # A signal that arrived during the shutdown would end this process now.
        while signal.sigpending() & _SIGNALS:
            signal.sigwait(_SIGNALS)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        signal.signal(signal.SIGCHLD, handler)


def _become(child: _Child, pipe: tuple[int, int], before: set[signal.Signals]) -> None:
    """Be the child: does not return."""
    status = 1
    try:
        os.close(pipe[1])
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the child ends by the forwarded signal
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        child.main(pipe[0])
        status = 0
    finally:
        # Nothing propagates further: the frames above belong to the parent.
        if status:
            traceback.print_exc()
        sys.stdout.flush()
        os._exit(status)


def _end_of(status: int) -> str:
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return f"was ended by {signal.Signals(number).name}: it is started again"
    return f"has ended with status {os.waitstatus_to_exitcode(status)}: it is started again"
