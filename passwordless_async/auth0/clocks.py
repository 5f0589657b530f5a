"""Errors that a clock difference may cause: they say by how much the clocks differ (RFC 9110 §6.6.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeGuard, TypeVar

import attrs

from passwordless_async._common import arguments as _check
from passwordless_async.errors import PasswordlessError, UsageError

if TYPE_CHECKING:
    from passwordless_async._common.http import HttpResponse

E = TypeVar("E", bound=PasswordlessError)
# Synchronised clocks differ by less than a second. A minute tolerates others: an ID token is checked only on arrival.
CLOCK_SKEW = 60.0  # seconds that the tenant's clock and this machine's may differ
_AGREEING_SECONDS = 2.0  # Date has whole seconds, and the response took its time
_MAX_SKEW = 600.0  # seconds; a clock that is further off must be corrected
_END_OF_TIME = 253_402_300_799  # seconds since the UNIX epoch: the end of the year 9999


def is_time(value: object) -> TypeGuard[float]:
    """Return whether a claim is a time (RFC 7519 §2, NumericDate): seconds since the UNIX epoch."""
    # The range excludes NaN, which is neither past nor future, and integers too large for a float.
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= _END_OF_TIME


def checked_skew(value: object) -> float:
    """Return seconds by which clocks may differ; others raise :class:`UsageError`."""
    skew = _check.at_least_zero("clock_skew", value)
    if skew > _MAX_SKEW:
        raise UsageError("clock_skew", f"must be at most {_MAX_SKEW:.0f} seconds")
    return skew


@attrs.frozen
class Clocks:
    """This machine's time when a response arrived, and the server's when it was made: seconds since the UNIX epoch."""

    now: float
    server: float | None = None  # None if the response has no Date
    skew: float = CLOCK_SKEW  # seconds by which they may differ

    @classmethod
    def at(cls, response: HttpResponse, now: float, skew: float = CLOCK_SKEW) -> Clocks:
        """Return the clocks of a response that arrived at ``now``."""
        return cls(now, response.date, skew)

    @property
    def difference(self) -> float | None:
        """Seconds that this machine's clock was ahead; negative: behind; None if unknown."""
        return None if self.server is None else self.now - self.server

    def __str__(self) -> str:
        side = self._side
        if side is None:
            return "this machine's clock"
        return f"this machine's clock, which {f'is {side}' if side else 'agrees with'} the server's"

    def told(self, error: E, *, advice: str | None = None) -> E:
        """Return the error with the difference, and with advice about it if the clocks are known to differ.

        ``advice`` is used if the clocks agree or cannot be compared; by default, that of the class.
        """
        if self._side:
            advice = f"Set the clock of this machine: it is {self._side} the server's."
        facts: dict[str, object] = {} if advice is None else {"advice": advice}
        return error.with_facts(clock_difference=self.difference, **facts)

    @property
    def _side(self) -> str | None:
        """Whether this machine's clock is ahead or behind; empty if the clocks agree, None if unknown."""
        difference = self.difference
        if difference is None:
            return None
        if abs(difference) < _AGREEING_SECONDS:
            return ""
        return f"{abs(difference):.0f} s {'ahead of' if difference > 0 else 'behind'}"
