"""Reads the service's rate limit from a response, and the time of the next try.

The service has three styles. Each may be absent or malformed; reading one never raises. A point in time is compared
with the ``Date`` of the same response (RFC 9110 §6.6.1), because the clocks of two machines differ.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import attrs

from passwordless_async._common.http import http_date

if TYPE_CHECKING:
    from collections.abc import Callable

    from multidict import MultiMapping

_SECONDS = re.compile(r"[0-9]{1,10}(?:\.[0-9]{1,6})?")
# ``Auth0-RateLimit: client;q=10;t=1;r=0``: quota, seconds until there is room, remaining requests.
_QUOTA, _ROOM_IN, _REMAINING = (re.compile(rf";\s*{name}=([0-9]{{1,10}})") for name in "qtr")
_X_RATELIMIT = "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"
_WHOLE = re.compile(r"[0-9]{1,10}")
_MAX_SECONDS = 86_400.0  # more than a day is ignored


@attrs.frozen
class Allowance:
    """The state of a window of the server's rate limit."""

    limit: int  # requests in the window
    remaining: int  # requests
    reset: float  # seconds until the window ends, from 0 to a day


def allowance(headers: MultiMapping[str], now: float) -> Allowance | None:
    """Return the rate limit in a response; None if it is incomplete.

    ``now`` (UNIX epoch) is the arrival by this machine's clock, for a response without ``Date``.
    """
    values, since = _window(headers, now)
    if not all(map(_WHOLE.fullmatch, values)):
        return None
    limit, remaining, reset = map(int, values)
    return Allowance(limit, remaining, _bounded(reset - since)) if limit else None


def _window(headers: MultiMapping[str], now: float) -> tuple[list[str], float]:
    """Return limit, remaining requests and reset as sent, "" if absent; and the time from which reset counts."""
    said = headers.get("Auth0-RateLimit")
    if said is not None:
        found = (pattern.search(said) for pattern in (_QUOTA, _REMAINING, _ROOM_IN))
        return ["" if match is None else match[1] for match in found], 0.0  # t is a duration
    values = [headers.get(name, "").strip() for name in _X_RATELIMIT]
    return values, _sent_at(headers, now) if values[0] else 0.0  # the date is read only if there is a limit


def says_limit(headers: MultiMapping[str]) -> bool:
    """Return whether a response describes a limit of the service, in a header that a gateway does not write."""
    return "Auth0-RateLimit" in headers or any(name in headers for name in _X_RATELIMIT)


def retry_after(headers: MultiMapping[str], now: float) -> float | None:
    """Return the seconds to wait, from 0 to a day; None if no header says it. ``now`` is as for :func:`allowance`."""
    now = _sent_at(headers, now)
    for name, read in _STYLES:
        seconds = read(headers.get(name, "").strip(), now)
        if seconds is not None:
            return _bounded(seconds)
    return None


def _sent_at(headers: MultiMapping[str], now: float) -> float:
    """Return when a response was sent, by its sender's clock; ``now`` without a ``Date``."""
    date = http_date(headers.get("Date", "").strip())
    return now if date is None else date


def unavailable_for(headers: MultiMapping[str], now: float) -> float | None:
    """Return the seconds that a failing server asks to wait, as :func:`retry_after`, but only by ``Retry-After``.

    The other headers describe a window of the rate limit, which such a response may have too.
    """
    seconds = _retry_after(headers.get("Retry-After", "").strip(), _sent_at(headers, now))
    return None if seconds is None else _bounded(seconds)


def _bounded(seconds: float) -> float:
    return min(max(seconds, 0.0), _MAX_SECONDS)


def _retry_after(value: str, now: float) -> float | None:
    """Read ``Retry-After``: seconds, or an HTTP date (RFC 9110 §10.2.3)."""
    if _SECONDS.fullmatch(value):
        return float(value)
    date = http_date(value)
    return None if date is None else date - now


def _reset_at(value: str, now: float) -> float | None:
    """Read ``x-ratelimit-reset``: seconds since the UNIX epoch."""
    return float(value) - now if _SECONDS.fullmatch(value) else None


def _auth0_rate_limit(value: str, _now: float) -> float | None:
    """Read ``t`` of ``Auth0-RateLimit``."""
    match = _ROOM_IN.search(value)
    return None if match is None else float(match[1])


_STYLES: tuple[tuple[str, Callable[[str, float], float | None]], ...] = (
    ("Retry-After", _retry_after),
    ("Auth0-RateLimit", _auth0_rate_limit),
    ("x-ratelimit-reset", _reset_at),
)
