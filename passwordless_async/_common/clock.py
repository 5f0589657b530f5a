"""The only place that reads the clock and the system's randomness."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from passwordless_async._common.base64url import encode_text

if TYPE_CHECKING:
    from collections.abc import Callable


# Not wrapped: an exchange reads them a dozen times.
now = time.time  # the wall clock: seconds since the UNIX epoch
monotonic = time.monotonic  # seconds since an arbitrary point
cpu = time.process_time  # of this process, all its threads: seconds


def steady() -> Callable[[], float]:
    """Return a clock that starts at the wall clock's present time, and then follows the monotonic clock."""
    offset = now() - monotonic()
    return lambda: offset + monotonic()


def random_bytes(number: int) -> bytes:
    """Return random bytes of the operating system."""
    return os.urandom(number)


def unique_id() -> str:
    """Return 128 random bits as 22 characters of base64url, for ``jti``.

    RFC 9449 §4.2 requires at least 96 bits of pseudorandom data.
    """
    return encode_text(os.urandom(16))
