"""The only place that reads the clock and the system's randomness."""

from __future__ import annotations

import base64
import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def now() -> float:
    """Return the wall clock: seconds since the UNIX epoch."""
    return time.time()


def monotonic() -> float:
    """Return the monotonic clock: seconds since an arbitrary point."""
    return time.monotonic()


def steady() -> Callable[[], float]:
    """Return a clock that shows the wall clock's time now, and is never set: it goes on by the monotonic clock."""
    offset = now() - monotonic()
    return lambda: offset + monotonic()


def cpu() -> float:
    """Return the CPU time of this process: seconds, of all its threads."""
    return time.process_time()


def random_bytes(number: int) -> bytes:
    """Return random bytes of the operating system."""
    return os.urandom(number)


def unique_id() -> str:
    """Return 128 random bits as 22 characters of base64url, for ``jti``.

    RFC 9449 §4.2 requires at least 96 bits of pseudorandom data.
    """
    return base64.urlsafe_b64encode(os.urandom(16))[:22].decode()
