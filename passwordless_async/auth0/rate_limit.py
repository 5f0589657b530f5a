"""How many requests are left, and when to come back: the three styles in which the service says it.

Any can be absent or malformed; none raises.
"""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable

    from multidict import MultiMapping

_SECONDS = re.compile(r"[0-9]{1,10}(?:\.[0-9]{1,6})?")
_AUTH0_RATE_LIMIT = re.compile(r";\s*t=([0-9]{1,10})")
_AUTH0_QUOTA, _AUTH0_LEFT = re.compile(r";\s*q=([0-9]{1,10})"), re.compile(r";\s*r=([0-9]{1,10})")
_WHOLE = re.compile(r"[0-9]{1,10}")
_LONGEST = 86_400.0  # seconds; what a server says beyond a day is not believed


@attrs.frozen
class Allowance:
    """What the server says of a window of its rate limit.

    Attributes:
        limit: Requests in the window.
        remaining: Requests that are left.
        reset: Seconds until the window ends, from 0 to a day.
    """

    limit: int
    remaining: int
    reset: float


def allowance(headers: MultiMapping[str], now: float) -> Allowance | None:
    """Return what an answer says of the limit; None where it does not say all of it.

    Args:
        headers: The header fields of the answer.
        now: Seconds since the UNIX epoch.
    """
    said = headers.get("Auth0-RateLimit")
    if said is not None:
        found = [pattern.search(said) for pattern in (_AUTH0_QUOTA, _AUTH0_LEFT, _AUTH0_RATE_LIMIT)]
        values = [None if match is None else match[1] for match in found]
    elif "x-ratelimit-limit" in headers:
        values = [headers.get(f"x-ratelimit-{name}", "").strip() for name in ("limit", "remaining", "reset")]
    else:
        return None
    if not all(value and _WHOLE.fullmatch(value) for value in values):
        return None
    limit, remaining, reset = (int(value or 0) for value in values)
    left = float(reset) if said is not None else reset - now
    return Allowance(limit, remaining, min(max(left, 0.0), _LONGEST)) if limit else None


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
