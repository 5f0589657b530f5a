"""Limits the calls of an upstream at once, so that one user or one service cannot slow the others down.

Invariants:

- The calls at an upstream are limited for each session, for all sessions of a user, and in total; further ones are
  refused at once, not queued.
- A call counts until it is released, once.
"""

from __future__ import annotations

from collections import Counter
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar

import attrs

from passwordless_async.gateway.proxy.admission import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from passwordless_async._common.secret import Secret

T = TypeVar("T")
_RETRY_SECONDS = 1


@attrs.define(eq=False)
class Traffic:
    """The calls of one upstream.

    Args:
        at_most: Calls at once.
        per_session: Calls of one session at once.
        per_user: Calls of all sessions of a user at once: a user may open many.
    """

    at_most: int
    per_session: int
    per_user: int
    of_session: Counter[Secret] = attrs.field(factory=Counter, repr=False)
    of_user: Counter[str] = attrs.field(factory=Counter, repr=False)
    calls: int = 0

    def enter(self, session: Secret, user: str) -> Callable[[], None]:
        """Count a call of a session, by its identifier, and of its user; returns what releases it.

        Raises:
            Refusal: There are too many.
        """
        if self.of_session[session] >= self.per_session or self.of_user[user] >= self.per_user:
            raise Refusal("too_many_requests", HTTPStatus.TOO_MANY_REQUESTS, _RETRY_SECONDS)
        if self.calls >= self.at_most:
            raise Refusal("upstream_busy", HTTPStatus.SERVICE_UNAVAILABLE, _RETRY_SECONDS)
        self.calls += 1
        self.of_session[session] += 1
        self.of_user[user] += 1
        is_over = False

        def release() -> None:
            nonlocal is_over
            if not is_over:
                is_over = True
                self.calls -= 1
                _decrement(self.of_session, session)
                _decrement(self.of_user, user)

        return release


def _decrement(counts: Counter[T], name: T) -> None:
    counts[name] -= 1
    if not counts[name]:
        del counts[name]
