"""Time-based one-time passwords (RFC 6238): SHA-1, six digits, thirty seconds."""

from __future__ import annotations

import hashlib
import hmac

PERIOD = 30  # seconds
_DIGITS = 6


def totp(secret: bytes, step: int) -> str:
    """Return the password of a time step (RFC 4226 §5.3)."""
    digest = hmac.digest(secret, step.to_bytes(8, "big"), hashlib.sha1)
    offset = digest[-1] & 0xF
    number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFF_FFFF
    return str(number % 10**_DIGITS).zfill(_DIGITS)


def step_at(seconds: float) -> int:
    """Return the time step at a time since the UNIX epoch."""
    return int(seconds // PERIOD)
