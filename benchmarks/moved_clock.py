"""The clock by which the library forgets, moved on: hours pass in any run, in this process and in gateway workers.

``python -m benchmarks.moved_clock SECONDS gateway …`` is ``passwordless-async gateway …``, and each SIGUSR1 moves its
clock on by so many seconds.
"""

from __future__ import annotations

import signal
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import attrs

from passwordless_async._common import clock
from passwordless_async.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HOURS = 10.0  # that pass in a run
SIGNAL = signal.SIGUSR1  # moves the clock of a worker on


@attrs.define(eq=False)
class MovedClock:
    """The monotonic clock; the wall clock, which processes share, is left alone."""

    _skipped: float = attrs.field(default=0.0, init=False)

    @contextmanager
    def set(self) -> Iterator[None]:
        """Let the library read this clock within the context."""
        stock = clock.monotonic
        _set_monotonic(lambda: time.monotonic() + self._skipped)
        try:
            yield
        finally:
            _set_monotonic(stock)

    def move(self, seconds: float) -> None:
        """Move the clock on."""
        self._skipped += seconds


def _set_monotonic(monotonic: Callable[[], float]) -> None:
    setattr(clock, "monotonic", monotonic)  # noqa: B010 - a function of the package, which mypy lets nothing assign


def worker(seconds: float) -> tuple[str, ...]:
    """Return the command of a program whose clock each signal moves on by so many seconds."""
    return (sys.executable, "-m", "benchmarks.moved_clock", str(seconds))


def _work() -> None:
    seconds, moved = float(sys.argv.pop(1)), MovedClock()
    signal.signal(SIGNAL, lambda *_: moved.move(seconds))
    with moved.set():
        main()


if __name__ == "__main__":
    _work()
