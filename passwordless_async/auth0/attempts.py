"""Counts how often a code failed: the service counts too, and does not say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from passwordless_async._common.bounded import Bounded

if TYPE_CHECKING:
    from passwordless_async.auth0.identity import Recipient

MAX_ATTEMPTS = 3  # failures after which Auth0 refuses a code


@attrs.define(repr=False, eq=False)
class Attempts:
    """The failures of each user's newest code, as this client has seen them; lives as long as its client.

    Args:
        size: How many users are counted; the least recently used is forgotten first.
    """

    _size: int = 10_000
    _failures: Bounded[Recipient, int] = attrs.field(
        default=attrs.Factory(lambda self: Bounded(self._size), takes_self=True), init=False
    )

    def renew(self, who: Recipient) -> None:
        """Forget a user's failures: a new code was sent, or the code was right."""
        self._failures.pop(who, None)

    def fail(self, who: Recipient) -> int:
        """Count a failure, and return how many more the code survives at most."""
        self._failures[who] = failures = self._failures.get(who, 0) + 1
        return max(0, MAX_ATTEMPTS - failures)

    def __repr__(self) -> str:
        return f"<Attempts of {len(self._failures)} users>"
