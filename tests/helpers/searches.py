"""What the commands that search for faults share: their numbers, and how they end."""

from __future__ import annotations

import argparse
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

INTERRUPTED = 130  # what shells say of a program that Ctrl-C ended


def at_least(least: int) -> Callable[[str], int]:
    """Return a type of arguments: a search of no seeds or inputs would pass without a check."""

    def number(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"must be at least {least}")
        return value

    return number


@contextmanager
def command() -> Iterator[None]:
    """End this process by one line, not a traceback, if a library is absent or someone interrupts the command."""
    signal.signal(signal.SIGTERM, _as_ctrl_c)
    try:
        yield
    except ModuleNotFoundError as missing:
        library = str(missing.name).partition(".")[0]
        sys.stderr.write(f'{library} is not installed: pip install -e ".[dev]"\n')
        sys.exit(2)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(INTERRUPTED)


def _as_ctrl_c(_number: int, _frame: object) -> None:
    # SIGTERM alone would end this process at once, and leave servers and temporary directories behind.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as shells start programs in the background
        raise KeyboardInterrupt
    signal.raise_signal(signal.SIGINT)
