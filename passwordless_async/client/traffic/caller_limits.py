"""Limits of the service for one caller: a user from an address, or an address that codes are requested for.

Invariants:

- A 429 about one caller delays only the calls of that caller, until the time that it names.
- If several callers in a row are refused, with no success of that kind in between, the limit counts as the tenant's,
  whatever the service calls it.
- Memory is bounded. The caller that was delayed longest ago is forgotten first: the service then refuses it again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from passwordless_async._common.bounded import Bounded
from passwordless_async._common.jitter import with_jitter

if TYPE_CHECKING:
    from collections.abc import Hashable

    from passwordless_async.client.events import Operation

_MAX_CALLERS = 10_000  # that are delayed
_MANY_CALLERS = 3  # refused in a row: fewer may be one person with several accounts
_WITHIN_SECONDS = 10.0  # in which they are refused
_UNNAMED_SECONDS = 1.0  # for which a caller is delayed if the service names no time


class CallerLimits:
    """Callers that the service has refused; kept for the client's lifetime. ``now`` is the time of the event loop."""

    def __init__(self) -> None:
        self._resume_at: Bounded[Hashable, float] = Bounded(_MAX_CALLERS)
        self._in_a_row: dict[Operation, dict[Hashable, float]] = {}

    def may_limit(self, caller: Hashable) -> bool:
        """Return whether a caller may be delayed: usually none is. None is an unknown caller."""
        return bool(self._resume_at) and caller is not None

    def delay(self, caller: Hashable, now: float) -> float:
        """Return the seconds for which a caller's requests wait; 0: none."""
        if not self.may_limit(caller):
            return 0.0
        left = self._resume_at.get(caller, 0.0) - now
        if left <= 0:
            self._resume_at.pop(caller, None)
        return max(left, 0.0)

    def refused(self, operation: Operation, caller: Hashable, seconds: float | None, now: float) -> bool:
        """Delay a caller for the seconds that a 429 names; return whether the limit may be the tenant's."""
        if caller is not None:
            until = now + with_jitter(_UNNAMED_SECONDS if seconds is None else seconds)
            self._resume_at[caller] = max(self._resume_at.get(caller, 0.0), until)
        row = self._in_a_row.setdefault(operation, {})
        row[object() if caller is None else caller] = now
        for early in [one for one, when in row.items() if when < now - _WITHIN_SECONDS]:
            del row[early]
        if len(row) < _MANY_CALLERS:
            return False
        row.clear()
        return True

    def served(self, operation: Operation) -> None:
        """Record that a caller was served."""
        if self._in_a_row:
            self._in_a_row.pop(operation, None)
