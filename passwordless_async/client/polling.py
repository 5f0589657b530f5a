"""Polling until the user has approved a login on another device (RFC 8628 §3.5).

Invariants:

- All polls of one login by this client are at least five seconds apart, the first one included: a poll that is
  cancelled and started again keeps the rate.
- ``slow_down`` adds five seconds to the interval for good.
- A poll without an answer doubles the interval, up to forty seconds.
- Any other refusal ends the polling.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import attrs

from passwordless_async._common.bounded import Bounded
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
_MAX_INTERVAL = 40.0  # seconds; the message to the user is valid for three hundred
_SLOW_DOWN = 5.0  # seconds, RFC 8628 §3.5
_MAX_LOGINS = 10_000


class PollTimes:
    """When each login was, or will be, polled last; lives as long as its client.

    Args:
        max_logins: How many logins are remembered; the least recently polled is forgotten first.
    """

    def __init__(self, max_logins: int = _MAX_LOGINS) -> None:
        self._last: Bounded[Secret, float] = Bounded(max_logins)

    def reserve(self, login: Secret, interval: float, now: float) -> float:
        """Reserve the next poll of a login, and return the seconds until then."""
        due = max(self._last.get(login, now), now) + interval
        self._last[login] = due
        return due - now

    def __repr__(self) -> str:
        return f"<PollTimes of {len(self._last)} logins>"


@attrs.frozen
class Poll:
    """How one login is polled.

    Attributes:
        times: When each login is polled.
        login: The login: its MFA token.
        deadline: When the message to the user expires: seconds since the UNIX epoch.
        clock: Returns the time: seconds since the UNIX epoch.
        sleep: Sleeps for so many seconds.
    """

    times: PollTimes
    login: Secret
    deadline: float
    clock: Callable[[], float]
    sleep: Callable[[float], Awaitable[object]]

    async def run(self, send: Callable[[], Awaitable[T]], *, interval: float) -> T:
        """Poll until the user has answered.

        Args:
            send: Sends one poll.
            interval: Seconds between polls; five at least.

        Returns:
            What ``send`` returned.

        Raises:
            UsageError: The message has expired already; nothing was sent.
            CodeExpired: The user has not answered in time.
            PasswordlessError: As ``send``: a refusal that is final, or the last failure before the deadline.
        """
        last: PasswordlessError = UsageError("challenge", "is expired: ask for a new one; nothing was sent")
        interval = max(interval, MIN_INTERVAL)
        while True:
            now = self.clock()
            if now + interval >= self.deadline:
                raise _expired(last)
            await self.sleep(self.times.reserve(self.login, interval, now))
            try:
                return await send()
            except (AuthorizationPending, RateLimited, TransportError) as error:
                last = error.with_traceback(None)
            interval = _next_interval(interval, last)


def _next_interval(interval: float, error: PasswordlessError) -> float:
    if isinstance(error, SlowDown):
        return interval + _SLOW_DOWN
    if isinstance(error, TransportError):
        # RFC 8628 §3.5: "doubling the polling interval on each such connection timeout, is RECOMMENDED".
        return max(interval, min(2 * interval, _MAX_INTERVAL))
    if isinstance(error, RateLimited):
        return max(interval, error.retry_after or 0.0)
    return interval


def _expired(last: PasswordlessError) -> PasswordlessError:
    if isinstance(last, AuthorizationPending):
        return CodeExpired(
            status=last.status, error="expired_token", error_description="the user has not answered in time"
        )
    return last
