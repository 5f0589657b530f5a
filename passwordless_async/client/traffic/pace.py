"""When the next request may be sent: requests are spaced, so that the service does not refuse them.

It reads no clock: the caller passes the time of a monotonic clock, in seconds. Three rules delay a request, and the
longest delay counts:

- The tenant's quota, if it was set: requests are evenly spaced, a little below the quota, so that no window of the
  server has too many.
- The server's header fields: the rest of a window that is nearly used up is spread over its time, and a 429 stops all
  requests until the time that it names.
- The rate learned from a 429 without a warning: seven tenths of the rate before it, then slowly more. A 429 in a quiet
  moment teaches no rate, because this client's rate did not cause it: its pause is enough.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from passwordless_async._common.jitter import with_jitter

if TYPE_CHECKING:
    from passwordless_async.auth0.rate_limit import Allowance

SHARE = 0.97  # of the quota that is used; the rest is for jitter between here and the server
CATCH_UP = 0.03  # seconds of a delay that later requests make up for: what SHARE leaves of each second
_DECREASE = 0.7  # of the rate that led to a 429
_SHORT_WINDOW = 2.0  # seconds; the headers are in whole seconds, so for a shorter window they give only a rate
_FIRST_PAUSE = 1.0  # seconds after a 429 without Retry-After; doubled after each one that follows
_MAX_DOUBLINGS = 6
LONGEST_PAUSE = 60.0  # seconds that one 429 stops all requests; a longer one is about one caller
_REPEATED_WITHIN = 10.0  # seconds between two 429s that show that the quota was set too high
_QUIET = 10  # requests in a second; with fewer, and fewer than half of a known rate, a 429 does not teach a rate
_FORGET_RATE_AFTER = 60.0  # seconds after the pause of the last 429


class Pace:
    """The spacing of one client's requests; kept for its lifetime. The tenant's quota may not be known."""

    def __init__(self, per_second: float | None) -> None:
        self._quota = None if per_second is None else per_second * SHARE
        self._next_at = self._previous_next_at = 0.0
        self._resumes_at = 0.0
        self._refusals = 0
        self._last_refusal_at = float("-inf")
        self._learned_rate: float | None = None
        self._counts = (0, 0, 0)  # a second, the requests in it, the requests in the second before
        self._window_ends_at = 0.0
        self._window_left = 0
        self._window_size = 0

    def delay(self, now: float) -> float:
        """Return the seconds until the next request may be sent; 0 or less: now."""
        used_up = self._window_ends_at if self._window_left <= 0 else 0.0
        return max(self._next_at, self._resumes_at, used_up) - now

    def sent(self, now: float) -> None:
        """Count a request that is sent now."""
        interval = self.interval(now)
        self._previous_next_at = self._next_at
        self._next_at = max(self._next_at, now - CATCH_UP) + interval
        second, count, before = self._counts
        if int(now) != second:
            before = count if int(now) == second + 1 else 0
            second, count = int(now), 0
        self._counts = (second, count + 1, before)
        self._window_left -= 1

    def undo(self) -> None:
        """Undo the count of the last request."""
        self._next_at = self._previous_next_at
        second, count, before = self._counts
        self._counts = (second, max(count - 1, 0), before)
        self._window_left += 1

    def answered(self, now: float, said: Allowance | None) -> None:
        """Record a response other than a 429, and what it says about the limit."""
        if now >= self._resumes_at:
            # A response that arrives during a pause belongs to a request from before it.
            self._refusals = 0
            if self._learned_rate is not None:
                # Additive increase: one request per second more, each second.
                self._learned_rate += 1 / self._learned_rate
        if said is not None:
            self._read_window(now, said)

    def refused(self, now: float, retry_after: float | None, said: Allowance | None) -> None:
        """Record a 429, and send nothing until the time that it names."""
        if now < self._resumes_at:
            # Sent before the pause began: it says nothing new, unless it names a later time.
            if retry_after is not None:
                self._resumes_at = max(self._resumes_at, now + min(retry_after, LONGEST_PAUSE))
            return
        self._refusals += 1
        pause = _FIRST_PAUSE * 2 ** min(self._refusals - 1, _MAX_DOUBLINGS) if retry_after is None else retry_after
        pause = min(pause, LONGEST_PAUSE)
        self._resumes_at = now + with_jitter(pause)
        is_first, self._last_refusal_at = now > self._last_refusal_at + _REPEATED_WITHIN, now
        if self._quota is not None and is_first:
            # The quota still counts: one request came a moment too early for the server's window.
            return
        self._learn(now, said)

    def pause(self, now: float, seconds: float) -> None:
        """Send nothing for ``seconds``. This teaches no rate, and does not lengthen the pause of a 429."""
        self._resumes_at = max(self._resumes_at, now + with_jitter(seconds))

    def _learn(self, now: float, said: Allowance | None) -> None:
        """Learn from a 429 at which rate requests may go, if they went at a rate at all."""
        most, known = self._most_in_a_second(now), self._learned_rate or self._quota
        if most < (_QUIET if known is None else min(_QUIET, known / 2)):
            return
        if said is not None and said.reset <= _SHORT_WINDOW:
            self._learned_rate = max(said.limit * SHARE / max(said.reset, 1.0), 1.0)
        else:
            # At a few requests a second, one second may hold one request more than the rate says.
            self._learned_rate = max((most if known is None else min(most, known)) * _DECREASE, 1.0)

    def _most_in_a_second(self, now: float) -> int:
        """Return the requests of this second or the one before, whichever had more."""
        second, count, before = self._counts
        return max(count, before) if int(now) == second else count if int(now) == second + 1 else 0

    def interval(self, now: float) -> float:
        """Return the seconds between two requests."""
        if self._learned_rate is not None and now > self._resumes_at + _FORGET_RATE_AFTER:
            self._learned_rate = None
        interval = 1 / min(self._quota or math.inf, self._learned_rate or math.inf)
        left = self._window_ends_at - now
        if left > 0 and self._window_left * 2 <= self._window_size:
            interval = max(interval, left / max(self._window_left, 1))
        return interval

    def _read_window(self, now: float, said: Allowance) -> None:
        if said.reset <= _SHORT_WINDOW:
            return
        ends = now + said.reset
        if ends > self._window_ends_at + 1 or now >= self._window_ends_at:
            self._window_ends_at, self._window_left = ends, said.remaining
        else:
            self._window_left = min(self._window_left, said.remaining)
        self._window_size = said.limit
