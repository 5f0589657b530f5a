"""Rate limits: fixed windows, and the headers in which a 429 speaks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import attrs

from passwordless_async.testing.endpoints.answers import TOO_MANY_REQUESTS, Refused
from passwordless_async.testing.settings.limits import RateLimitStyle

if TYPE_CHECKING:
    from passwordless_async.testing.settings.limits import LimitSettings
    from passwordless_async.testing.state.clock import TenantClock

_SECOND = 1.0
_MINUTE = 60.0
_HOUR = 3600.0
_MAX_WINDOWS = 10_000  # addresses whose window is in memory; when full, the ones that are over go first


@attrs.frozen
class Allowance:
    """What is left in a window.

    Args:
        limit: Requests in a window.
        remaining: Requests that are left.
        wait: Seconds until the window ends.
    """

    limit: int
    remaining: int
    wait: float


@attrs.define
class Windows:
    """Counts in fixed windows of one length, a window for each name."""

    _clock: TenantClock
    _length: float
    _counts: dict[str, tuple[float, int]] = attrs.field(factory=dict, init=False, repr=False)

    def take(self, name: str, limit: int) -> Allowance | None:
        """Count a request and return what is left, or None where there was nothing left to take."""
        now = self._clock.now()
        end, count = self._counts.get(name, (0.0, 0))
        if now >= end:
            self._forget(now)
            end, count = now + self._length, 0
        if count >= limit:
            return None
        self._counts[name] = (end, count + 1)
        return Allowance(limit, limit - count - 1, end - now)

    def wait(self, name: str) -> float:
        """Return the seconds until a name's window ends."""
        return max(self._counts[name][0] - self._clock.now(), 0.0)

    def _forget(self, now: float) -> None:
        if len(self._counts) >= _MAX_WINDOWS:
            self._counts = {name: window for name, window in self._counts.items() if window[0] > now}


@attrs.define
class Buckets:
    """Buckets that fill up again, one for each name."""

    _clock: TenantClock
    _levels: dict[str, tuple[float, float]] = attrs.field(factory=dict, init=False, repr=False)

    def take(self, name: str, burst: int, rate: float) -> float:
        """Take one out and return 0, or return the seconds until there is one."""
        now = self._clock.now()
        level, since = self._levels.get(name, (float(burst), now))
        level = min(burst, level + (now - since) * rate)
        if level < 1:
            return (1 - level) / rate
        if len(self._levels) >= _MAX_WINDOWS:
            self._levels.clear()
        self._levels[name] = (level - 1, now)
        return 0.0


@attrs.define
class Limits:
    """The tenant's limits: requests a second altogether, starts an hour for an address, userinfo for a user."""

    _clock: TenantClock
    _settings: LimitSettings
    _requests: Windows = attrs.field(init=False)
    _starts: Windows = attrs.field(init=False)
    _challenges: Windows = attrs.field(init=False)
    _userinfo: Buckets = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._requests = Windows(self._clock, _SECOND)
        self._starts = Windows(self._clock, _HOUR)
        self._challenges = Windows(self._clock, _HOUR)
        self._userinfo = Buckets(self._clock)

    def take_request(self) -> dict[str, str]:
        """Count a request and return the headers that its answer bears.

        Raises:
            Refused: The tenant's limit is reached.
        """
        return self._take(self._requests, "tenant", self._settings.requests_per_second)

    def take_start(self, ip: str) -> None:
        """Count a start for an address.

        Raises:
            Refused: The address's limit is reached.
        """
        self._take(self._starts, ip, self._settings.starts_per_hour)

    def take_challenge(self, subject: str) -> None:
        """Count a code for a user of a database connection.

        Raises:
            Refused: The user's limit is reached; the refusal speaks in two kinds of header at once.
        """
        limit = self._settings.challenges_per_hour
        if limit is not None and self._challenges.take(subject, limit) is None:
            used_up = Allowance(limit, 0, self._challenges.wait(subject))
            styles = (RateLimitStyle.X_RATELIMIT, RateLimitStyle.RETRY_AFTER)
            headers = {name: value for style in styles for name, value in self.headers(used_up, style).items()}
            raise Refused(attrs.evolve(TOO_MANY_REQUESTS, headers=headers))

    def take_userinfo(self, subject: str) -> None:
        """Count a request to userinfo for a user.

        Raises:
            Refused: The user's burst is used up.
        """
        burst = self._settings.userinfo_burst
        if burst is not None:
            wait = self._userinfo.take(subject, burst, self._settings.userinfo_per_minute / _MINUTE)
            if wait > 0:
                raise self._used_up(burst, wait)

    def _take(self, windows: Windows, name: str, limit: int | None) -> dict[str, str]:
        if limit is None:
            return {}
        style = self._settings.rate_limit_style
        left = windows.take(name, limit)
        if left is not None:
            return self.headers(left, style) if style is not RateLimitStyle.RETRY_AFTER else {}
        raise self._used_up(limit, windows.wait(name))

    def _used_up(self, limit: int, wait: float) -> Refused:
        headers = self.headers(Allowance(limit, 0, wait), self._settings.rate_limit_style)
        return Refused(attrs.evolve(TOO_MANY_REQUESTS, headers=headers))

    def headers(self, left: Allowance, style: RateLimitStyle) -> dict[str, str]:
        """Return an allowance as headers of a style."""
        seconds = max(1, math.ceil(left.wait))
        return {
            RateLimitStyle.X_RATELIMIT: {
                "x-ratelimit-limit": str(left.limit),
                "x-ratelimit-remaining": str(left.remaining),
                "x-ratelimit-reset": str(math.ceil(self._clock.wall() + left.wait)),
            },
            RateLimitStyle.AUTH0: {"Auth0-RateLimit": f"client;q={left.limit};t={seconds};r={left.remaining}"},
            RateLimitStyle.RETRY_AFTER: {"Retry-After": str(seconds)},
            RateLimitStyle.SILENT: {},
        }[style]
