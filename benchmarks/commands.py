"""What commands that run for long share, here and in the tests: their numbers, and how a signal ends them."""

from __future__ import annotations

import argparse
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

INTERRUPTED = 130  # what shells say of a program that Ctrl-C ended


def at_least(least: int, *, at_most: int | None = None) -> Callable[[str], int]:
    """Return a type of arguments: a run of nothing would pass without a check, and one of too much would not begin."""

    def number(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"must be at least {least}")
        if at_most is not None and value > at_most:
            raise argparse.ArgumentTypeError(f"must be at most {at_most}")
        return value

    return number


_signals: list[int] = []  # that came


def end_by_sigterm_as_by_ctrl_c() -> None:
    """Let SIGTERM interrupt this process: alone it would end it at once, and leave servers and directories behind."""
    signal.signal(signal.SIGTERM, _interrupt)


def raise_if_interrupted() -> None:
    """Raise ``KeyboardInterrupt`` if SIGTERM came: Python discards the one that was raised in a destructor."""
    if _signals:
        raise KeyboardInterrupt


def _interrupt(number: int, _frame: object) -> None:
    _signals.append(number)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as shells start programs in the background
        raise KeyboardInterrupt
    signal.raise_signal(signal.SIGINT)
