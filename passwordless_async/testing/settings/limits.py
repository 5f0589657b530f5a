"""Rate limits, and how much the tenant keeps."""

from __future__ import annotations

import enum

import attrs


class RateLimitStyle(enum.StrEnum):
    """The headers in which a 429 says when to come back."""

    X_RATELIMIT = "x-ratelimit"
    """``x-ratelimit-limit``, ``-remaining``, ``-reset`` (UNIX seconds); on successes too."""
    AUTH0 = "auth0-ratelimit"
    """``Auth0-RateLimit: client;q=10;t=1;r=9``."""
    RETRY_AFTER = "retry-after"
    """``Retry-After`` in seconds."""
    SILENT = "silent"
    """No header at all."""


@attrs.frozen(kw_only=True, slots=False)
class LimitSettings:
    """Limits and bounds.

    Args:
        requests_per_second: Limit of the whole tenant; None: off.
        starts_per_hour: Limit of ``/passwordless/start`` per IP address (Auth0: 50); None: off.
        challenges_per_hour: Limit of ``/otp/challenge`` for each user; None: off.
        userinfo_burst: Requests to ``/userinfo`` that each user has at once (Auth0: 10); None: off.
        userinfo_per_minute: How many of them come back in a minute (Auth0: 5).
        trust_forwarded_for: Whether ``auth0-forwarded-for`` counts for an application that shows its secret.
        forwarded_for_by_assertion: Whether it also counts for one that signs an assertion (undocumented).
        rate_limit_style: The headers in which a limit speaks.

        clock_wrong_by: Seconds that the tenant's clock is ahead of the machine's (negative: behind), as its ``Date``
            headers say; ``tenant.clock.go_wrong`` moves it later.
        max_body: Bytes that a request's body may have.
        requests_kept: How many of the newest requests ``tenant.requests`` holds.
        messages_kept: How many of the newest messages ``tenant.outbox`` holds.
    """

    requests_per_second: int | None = None
    starts_per_hour: int | None = None
    challenges_per_hour: int | None = None
    userinfo_burst: int | None = None
    userinfo_per_minute: int = 5
    trust_forwarded_for: bool = True
    forwarded_for_by_assertion: bool = False
    rate_limit_style: RateLimitStyle = attrs.field(default=RateLimitStyle.X_RATELIMIT, converter=RateLimitStyle)

    clock_wrong_by: float = 0.0
    max_body: int = 65_536
    requests_kept: int = 10_000
    messages_kept: int = 10_000
