"""Rate limits: fixed windows, token buckets, and the headers of a 429."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import attrs

from passwordless_async._common.bounded import Bounded
from passwordless_async.testing.refusals import TOO_MANY_REQUESTS, RequestRefused
from passwordless_async.testing.settings import RateLimitStyle

if TYPE_CHECKING:
    from passwordless_async.testing.settings import TenantSettings
    from passwordless_async.testing.state.clock import TenantClock

_SECOND = 1.0
_MINUTE = 60.0
_HOUR = 3600.0
_MAX_WINDOWS = 10_000  # names in memory; the least recently used goes first


@attrs.frozen
class Remaining:
    """What remains of a limit: the requests per window, those that remain, the seconds until the window ends."""

    limit: int
    remaining: int
    wait: float


@attrs.define
class FixedWindows:
    """Counts in fixed windows of one length in seconds, one window per name."""

    _clock: TenantClock
    _length: float
    _counts: Bounded[str, tuple[float, int]] = attrs.field(
        factory=lambda: Bounded(_MAX_WINDOWS), init=False, repr=False
    )

    def take(self, name: str, limit: int) -> Remaining | None:
        """Count a request and return what remains, or None where the limit is reached."""
        now = self._clock.now()
        end, count = self._counts.get(name, (0.0, 0))
        if now >= end:
            end, count = now + self._length, 0
        if count >= limit:
            return None
        self._counts[name] = (end, count + 1)
        return Remaining(limit, limit - count - 1, end - now)

    def wait(self, name: str) -> float:
        """Return the seconds until a name's window ends."""
        return max(self._counts[name][0] - self._clock.now(), 0.0)


@attrs.define
class TokenBuckets:
    """Buckets that refill, one per name."""

    _clock: TenantClock
    _levels: Bounded[str, tuple[float, float]] = attrs.field(
        factory=lambda: Bounded(_MAX_WINDOWS), init=False, repr=False
    )

    def take(self, name: str, burst: int, rate: float) -> float:
        """Take a token and return 0.0, or return the seconds until there is one."""
        now = self._clock.now()
        level, since = self._levels.get(name, (float(burst), now))
        level = min(burst, level + (now - since) * rate)
        if level < 1:
            return (1 - level) / rate
        self._levels[name] = (level - 1, now)
        return 0.0


class RateLimits:
    """The limits: requests of the tenant, starts of an address, database starts and userinfo requests of a user."""

    def __init__(self, clock: TenantClock, settings: TenantSettings) -> None:
        self._clock = clock
        self._settings = settings
        self._requests = FixedWindows(clock, _SECOND)
        self._starts = FixedWindows(clock, _HOUR)
        self._database_starts = FixedWindows(clock, _HOUR)
        self._userinfo = TokenBuckets(clock)

    def take_request(self) -> dict[str, str]:
        """Count a request and return its response's headers, or refuse it over the tenant's limit."""
        return self._take(self._requests, "tenant", self._settings.requests_per_second)

    def take_start(self, ip: str) -> None:
        """Count a start, or refuse it over the address's limit."""
        self._take(self._starts, ip, self._settings.starts_per_hour)

    def take_database_start(self, subject: str) -> None:
        """Count a database start, or refuse it over the user's limit with two styles of headers."""
        limit = self._settings.challenges_per_hour
        if limit is not None and self._database_starts.take(subject, limit) is None:
            exceeded = Remaining(limit, 0, self._database_starts.wait(subject))
            styles = (RateLimitStyle.X_RATELIMIT, RateLimitStyle.RETRY_AFTER)
            headers = {name: value for style in styles for name, value in self.headers(exceeded, style).items()}
            raise RequestRefused(attrs.evolve(TOO_MANY_REQUESTS, headers=headers))

    def take_userinfo(self, subject: str) -> None:
        """Count a request to userinfo, or refuse it once the user's burst is used up."""
        burst = self._settings.userinfo_burst
        if burst is not None:
            wait = self._userinfo.take(subject, burst, self._settings.userinfo_per_minute / _MINUTE)
            if wait > 0:
                raise self._exceeded(burst, wait)

    def _take(self, windows: FixedWindows, name: str, limit: int | None) -> dict[str, str]:
        if limit is None:
            return {}
        style = self._settings.rate_limit_style
        remaining = windows.take(name, limit)
        if remaining is not None:
            return self.headers(remaining, style) if style is not RateLimitStyle.RETRY_AFTER else {}
        raise self._exceeded(limit, windows.wait(name))

    def _exceeded(self, limit: int, wait: float) -> RequestRefused:
        headers = self.headers(Remaining(limit, 0, wait), self._settings.rate_limit_style)
        return RequestRefused(attrs.evolve(TOO_MANY_REQUESTS, headers=headers))

    def headers(self, remaining: Remaining, style: RateLimitStyle) -> dict[str, str]:
        """Return the headers of a style."""
        seconds = max(1, math.ceil(remaining.wait))
        return {
            RateLimitStyle.X_RATELIMIT: {
                "x-ratelimit-limit": str(remaining.limit),
                "x-ratelimit-remaining": str(remaining.remaining),
                "x-ratelimit-reset": str(math.ceil(self._clock.wall() + remaining.wait)),
            },
            RateLimitStyle.AUTH0: {
                "Auth0-RateLimit": f"client;q={remaining.limit};t={seconds};r={remaining.remaining}"
            },
            RateLimitStyle.RETRY_AFTER: {"Retry-After": str(seconds)},
            RateLimitStyle.SILENT: {},
        }[style]
