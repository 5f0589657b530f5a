"""Asking again and again whether the user has answered on another device (RFC 8628 §3.5).

The rules: five seconds or more between polls of one login, whoever of this client polls, and before the first one too,
so that a poll which is cancelled and begun again keeps the rate; ``slow_down`` adds five seconds for good; a poll that
gets no answer doubles the time, up to forty; what is refused for good ends it.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, TypeVar

import attrs

from passwordless_async.errors import (
    AuthorizationPending,
    CodeExpired,
    PasswordlessError,
    RateLimited,
    SlowDown,
    TransportError,
    UsageError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from passwordless_async._common.secret import Secret

T = TypeVar("T")

MIN_INTERVAL = 5.0  # seconds; the service allows twelve polls a minute for each login
_MAX_BACKOFF = 40.0  # seconds; what was sent is good for three hundred
_SLOW_DOWN = 5.0  # seconds, RFC 8628 §3.5
_MAX_LOGINS = 10_000


@attrs.define(repr=False, eq=False)
class Pace:
    """When each login was last polled, or will be; lives as long as its client."""

    _polls: OrderedDict[Secret, float] = attrs.field(factory=OrderedDict, init=False)

    def reserve(self, login: Secret, interval: float, now: float) -> float:
        """Reserve a login's next poll, and return in how many seconds that is."""
        last = self._polls.pop(login, now)
        due = max(last, now) + interval
        self._polls[login] = due
        if len(self._polls) > _MAX_LOGINS:
            self._polls.popitem(last=False)
        return due - now

    def __repr__(self) -> str:
        return f"<Pace of {len(self._polls)} logins>"


@attrs.frozen
class Poll:
    """How a login is polled.

    Attributes:
        pace: When each login is polled.
        login: Which one this is.
        deadline: When what was sent ends: seconds since the UNIX epoch.
        clock: Returns the time: seconds since the UNIX epoch.
        sleep: Waits so many seconds.
    """

    pace: Pace
    login: Secret
    deadline: float
    clock: Callable[[], float]
    sleep: Callable[[float], Awaitable[object]]

    async def run(self, ask: Callable[[], Awaitable[T]], *, interval: float) -> T:
        """Ask until there is an answer.

        Raises:
            UsageError: What was sent has ended already; nothing was sent.
            CodeExpired: The user has not answered in time.
            PasswordlessError: As ``ask``, where that is for good, or the time is over.
        """
        last: PasswordlessError = UsageError("challenge", "is expired: ask for a new one; nothing was sent")
        interval = max(interval, MIN_INTERVAL)
        while True:
            now = self.clock()
            if now + interval >= self.deadline:
                raise _over(last)
            await self.sleep(self.pace.reserve(self.login, interval, now))
            try:
                return await ask()
            except (AuthorizationPending, RateLimited, TransportError) as error:
                last = error.with_traceback(None)
            interval = _next(interval, last)


def _next(interval: float, error: PasswordlessError) -> float:
    if isinstance(error, SlowDown):
        return interval + _SLOW_DOWN
    if isinstance(error, TransportError):
        # RFC 8628 §3.5: after a time-out "unilaterally reduce their polling frequency"; twice the time is its example.
        return max(interval, min(2 * interval, _MAX_BACKOFF))
    if isinstance(error, RateLimited):
        return max(interval, error.retry_after or 0.0)
    return interval


def _over(last: PasswordlessError) -> PasswordlessError:
    if isinstance(last, AuthorizationPending):
        return CodeExpired(
            status=last.status, error="expired_token", error_description="the user has not answered in time"
        )
    return last
