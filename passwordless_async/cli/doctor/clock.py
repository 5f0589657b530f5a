"""Whether this machine's clock and the tenant's agree, by the ``Date`` of a response (RFC 9110 §6.6.1)."""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import attrs

from passwordless_async.cli.doctor.findings import Finding, Status

if TYPE_CHECKING:
    from passwordless_async._common.http import HttpResponse

CLOCK = "clock"

_WARNING_ABOVE, _FAILED_ABOVE = 10.0, 60.0  # seconds of skew
_MAX_AGE_DIGITS = 6
_WHERE = "Set the clock of this machine, for example by NTP; the tenant's cannot be set."


@attrs.frozen
class Timed:
    """A response and its time.

    Attributes:
        response: The response.
        at: Seconds since the UNIX epoch by this machine's clock, half-way between request and response.
    """

    response: HttpResponse
    at: float


def judge_clock(answer: Timed | None) -> Finding:
    """Judge the skew; None: no response came."""
    date = None if answer is None else _date(answer.response)
    if answer is None or date is None:
        return Finding(CLOCK, Status.NOT_CHECKED, "no response tells the tenant's time")
    skew = answer.at - date
    detail = f"this machine is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the tenant"
    if abs(skew) > _FAILED_ABOVE:
        return Finding(CLOCK, Status.FAILED, detail, f"Proofs would be refused. {_WHERE}")
    if abs(skew) > _WARNING_ABOVE:
        return Finding(CLOCK, Status.WARNING, detail, f"Proofs may be refused. {_WHERE}")
    return Finding(CLOCK, Status.OK, f"within {_WARNING_ABOVE:.0f} s of the tenant's")


def _date(response: HttpResponse) -> float | None:
    """Return the tenant's time, in seconds since the UNIX epoch, when it sent a response."""
    try:
        date = parsedate_to_datetime(response.headers.get("Date", ""))
    except ValueError:
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    # A date has whole seconds, cut off: on average it is half a second later.
    return date.timestamp() + _age(response) + 0.5


def _age(response: HttpResponse) -> int:
    """Return the seconds that a cache has kept a response (RFC 9111 §5.1)."""
    age = response.headers.get("Age", "")
    return int(age) if age.isascii() and age.isdigit() and len(age) <= _MAX_AGE_DIGITS else 0
