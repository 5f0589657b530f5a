"""When to come back: the three styles in which the service says it. Any can be absent or malformed; none raises."""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from multidict import MultiMapping

_SECONDS = re.compile(r"[0-9]{1,10}(?:\.[0-9]{1,6})?")
_AUTH0_RATE_LIMIT = re.compile(r";\s*t=([0-9]{1,10})")
_LONGEST = 86_400.0  # seconds; what a server says beyond a day is not believed


def retry_after(headers: MultiMapping[str], now: float) -> float | None:
    """Return how many seconds to wait, from 0 to a day; None where no header says it.

    Args:
        headers: The header fields of the answer.
        now: Seconds since the UNIX epoch.
    """
    for name, read in _STYLES:
        seconds = read(headers.get(name, "").strip(), now)
        if seconds is not None:
            return min(max(seconds, 0.0), _LONGEST)
    return None


def _retry_after(value: str, now: float) -> float | None:
    """Read ``Retry-After``: seconds, or an HTTP date (RFC 9110 §10.2.3)."""
    if _SECONDS.fullmatch(value):
        return float(value)
    try:
        date = parsedate_to_datetime(value)
        # The asctime form names no zone and means UTC (RFC 9110 §5.6.7); Python would take it for local time.
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now
    except (ValueError, OverflowError, TypeError):
        return None


def _reset_at(value: str, now: float) -> float | None:
    """Read ``x-ratelimit-reset``: seconds since the UNIX epoch."""
    return float(value) - now if _SECONDS.fullmatch(value) else None


def _auth0_rate_limit(value: str, _now: float) -> float | None:
    """Read ``Auth0-RateLimit``: ``client;q=10;t=1;r=0``, t seconds until there is room."""
    match = _AUTH0_RATE_LIMIT.search(value)
    return None if match is None else float(match[1])


_STYLES: tuple[tuple[str, Callable[[str, float], float | None]], ...] = (
    ("Retry-After", _retry_after),
    ("Auth0-RateLimit", _auth0_rate_limit),
    ("x-ratelimit-reset", _reset_at),
)
