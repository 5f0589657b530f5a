"""Counting how often a code failed: the service does it too, and does not say."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from passwordless_async.auth0.identity import AuthSession, Email, Phone

MAX_ATTEMPTS = 3  # failures that kill a code at Auth0


@attrs.define(repr=False, eq=False)
class Attempts:
    """The failures of each user's newest code, as this client has seen them; lives as long as its client.

    Args:
        size: How many users are kept; the one longest untouched goes first.
    """

    _size: int = 10_000
    _failures: OrderedDict[Email | Phone | AuthSession, int] = attrs.field(factory=OrderedDict, init=False)

    def renew(self, who: Email | Phone | AuthSession) -> None:
        """Forget a user's failures: a new code was sent, or the code was right."""
        self._failures.pop(who, None)

    def fail(self, who: Email | Phone | AuthSession) -> int:
        """Count a failure, and return how many more the code survives at the most."""
        failures = self._failures.pop(who, 0) + 1
        self._failures[who] = failures
        if len(self._failures) > self._size:
            self._failures.popitem(last=False)
        return max(0, MAX_ATTEMPTS - failures)

    def __repr__(self) -> str:
        return f"<Attempts of {len(self._failures)} users>"
