"""A child process that is spoken to by lines on its standard input and output."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import TYPE_CHECKING

from passwordless_async.testing.process.pipe import MAX_LINE

if TYPE_CHECKING:
    from asyncio.subprocess import Process


async def spawn(module: str) -> Process:
    """Run a module as a program, in a session of its own: a Ctrl-C in the terminal reaches the parent alone."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=MAX_LINE,
        start_new_session=True,
    )


def kill(process: Process) -> None:
    """End a child with no chance to do anything more; one that has ended stays as it is."""
    with contextlib.suppress(ProcessLookupError):
        process.kill()
