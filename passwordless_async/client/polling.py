"""Polling until the user has approved a login on another device (RFC 8628 §3.5).

Invariants:

- All polls of one login by this client are at least five seconds apart, also if polling is cancelled and started again.
- ``slow_down`` permanently adds five seconds to the interval.
- A poll without a response doubles the interval, up to forty seconds.
- Any other refusal ends the polling.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

import attrs

from passwordless_async import errors
from passwordless_async._common import clock as _clock
from passwordless_async._common.expiring import Expiring
from passwordless_async.errors import PasswordlessError, RateLimited, TransportError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from passwordless_async._common.secret import Secret

T = TypeVar("T")

MIN_INTERVAL = 5.0  # seconds; the service allows twelve polls a minute for each login
_MAX_INTERVAL = 40.0  # seconds; the message to the user is valid for three hundred
_SLOW_DOWN = 5.0  # seconds, RFC 8628 §3.5
_MAX_LOGINS = 10_000


class PollTimes:
    """When the next poll of each login is due, kept until then; at most ``max_logins``, the first due dropped first.

    ``clock`` returns seconds since the UNIX epoch; by default, it is the wall clock.
    """

    def __init__(
        self,
        max_logins: int = _MAX_LOGINS,
        *,
        clock: Callable[[], float] | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self.clock: Callable[[], float] = _clock.now if clock is None else clock
        self.sleep: Callable[[float], Awaitable[object]] = sleep
        self._due: Expiring[Secret, float] = Expiring(max_logins)

    def reserve(self, login: Secret, interval: float, now: float) -> float:
        """Reserve the next poll of a login, and return the seconds until then."""
        due = max(self._due.get(login) or now, now) + interval
        self._due.put(login, due, due - now)
        return due - now

    def __repr__(self) -> str:
        return f"<PollTimes of {len(self._due)} logins>"


@attrs.frozen
class Poll:
    """How one login is polled."""

    times: PollTimes
    login: Secret  # its MFA token
    deadline: float  # when the message to the user expires, by the clock of the times

    async def run(self, send: Callable[[], Awaitable[T]], *, interval: float) -> T:
        """Poll by ``send``, every ``interval`` seconds and at least five apart, until the user has answered.

        Raises ``UsageError`` if the message has expired already, ``CodeExpired`` if the user has not answered in time,
        and otherwise as ``send``: a refusal that is final, or the last failure before the deadline.
        """
        last: PasswordlessError = errors.UsageError("challenge", "is expired: ask for a new one; nothing was sent")
        interval = max(interval, MIN_INTERVAL)
        while True:
            now = self.times.clock()
            if now + interval >= self.deadline:
                raise _expired(last)
            await self.times.sleep(self.times.reserve(self.login, interval, now))
            try:
                return await send()
            except (errors.AuthorizationPending, RateLimited, TransportError) as error:
                last = error.with_traceback(None)
            interval = _next_interval(interval, last)


def _next_interval(interval: float, error: PasswordlessError) -> float:
    if isinstance(error, errors.SlowDown):
        return interval + _SLOW_DOWN
    if isinstance(error, TransportError):
        # RFC 8628 §3.5: "doubling the polling interval on each such connection timeout, is RECOMMENDED".
        return max(interval, min(2 * interval, _MAX_INTERVAL))
    if isinstance(error, RateLimited):
        return max(interval, error.retry_after or 0.0)
    return interval


def _expired(last: PasswordlessError) -> PasswordlessError:
    if isinstance(last, errors.AuthorizationPending):
        return errors.CodeExpired(
            status=last.status, error="expired_token", error_description="the user has not answered in time"
        )
    return last
