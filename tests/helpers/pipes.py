"""The pipes of a child process that was started with them."""

from __future__ import annotations

from typing import IO


def piped(stream: IO[str] | None) -> IO[str]:
    """Return a pipe of a child: it is there, because the child was started with it."""
    assert stream is not None
    return stream
