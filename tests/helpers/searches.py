"""What the commands that search for faults share: how they end."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from benchmarks.commands import INTERRUPTED, end_by_sigterm_as_by_ctrl_c

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def command() -> Iterator[None]:
    """End this process by one line, not a traceback, if a library is absent or someone interrupts the command."""
    end_by_sigterm_as_by_ctrl_c()
    try:
        yield
    except ModuleNotFoundError as missing:
        library = str(missing.name).partition(".")[0]
        sys.stderr.write(f'{library} is not installed: pip install -e ".[dev]"\n')
        sys.exit(2)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(INTERRUPTED)
