"""When the next request may go: requests are spaced, so that they are not bounced.

A pure value of time: whoever asks says what time it is. Three things hold a request back, and the longest counts:

- the tenant's quota, where it was set: evenly spaced, a little under it, so that any window of the server holds;
- what the server says: a window that is running out is spread over what is left of it, and a 429 stops everybody until
  the time that it names;
- what was learned from a 429 that nobody had announced: seven tenths of the rate that led to it, and slowly more.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from passwordless_async.auth0.rate_limit import Allowance

SHARE = 0.97  # of the quota that is used: the rest is for jitter between here and the server
CATCH_UP = 0.03  # seconds of a delay that are made up for: what the share leaves of each second, so that it holds
_FEWER = 0.7  # of the rate that led to a 429
_SHORT_WINDOW = 2.0  # seconds; of a shorter one the headers, in whole seconds, tell no more than the rate
_FIRST_PAUSE = 1.0  # seconds after a 429 that does not say how long; doubled with each one that follows
LONGEST_PAUSE = 60.0  # seconds that all stop for one 429; what asks for more is about one caller, not about all
_JITTER = 0.25  # of a pause that is added to it at random, so that many processes do not come back together
_MOST_JITTER = 1.0  # seconds
_SOON = 10.0  # seconds after a 429 in which another one says that the quota that was set is too high
_MEMORY = 60.0  # seconds after the pause of the last 429 for which its rate is remembered


class Pace:
    """The spacing of one client's requests; lives as long as it.

    Args:
        per_second: The tenant's quota; None: not known.
    """

    def __init__(self, per_second: float | None) -> None:
        self._quota = None if per_second is None else per_second * SHARE
        self._next = self._before = 0.0
        self._resumes = 0.0
        self._refusals = 0
        self._refused_at = float("-inf")
        self._learned: float | None = None
        self._counts = (0, 0, 0)  # the second that is counted, requests in it, requests in the one before
        self._window_ends = 0.0
        self._window_left = 0
        self._window_size = 0

    def delay(self, now: float) -> float:
        """Return the seconds until the next request may go; 0 or less: now."""
        used_up = self._window_ends if self._window_left <= 0 else 0.0
        return max(self._next, self._resumes, used_up) - now

    def went(self, now: float) -> None:
        """Count a request that goes now."""
        interval = self._interval(now)
        self._before = self._next
        self._next = max(self._next, now - CATCH_UP) + interval
        second, count, before = self._counts
        if int(now) != second:
            before = count if int(now) == second + 1 else 0
            second, count = int(now), 0
        self._counts = (second, count + 1, before)
        self._window_left -= 1

    def undo(self) -> None:
        """Take back the last request that was counted."""
        self._next = self._before
        second, count, before = self._counts
        self._counts = (second, max(count - 1, 0), before)
        self._window_left += 1

    def answered(self, now: float, said: Allowance | None) -> None:
        """Take note of an answer that was no 429, and of what it says of the limit."""
        if now >= self._resumes:
            # One that comes during a pause was sent before it.
            self._refusals = 0
            if self._learned is not None:
                # One request a second more, each second.
                self._learned += 1 / self._learned
                if now > self._resumes + _MEMORY:
                    self._learned = None
        if said is not None:
            self._learn(now, said)

    def refused(self, now: float, retry_after: float | None, said: Allowance | None) -> None:
        """Stop until the time that a 429 names."""
        if now < self._resumes:
            # Sent before the one that stopped us was answered: it says nothing new, unless it names a later time.
            if retry_after is not None:
                self._resumes = max(self._resumes, now + min(retry_after, LONGEST_PAUSE))
            return
        self._refusals += 1
        pause = _FIRST_PAUSE * 2 ** min(self._refusals - 1, 6) if retry_after is None else retry_after
        pause = min(pause, LONGEST_PAUSE)
        self._resumes = now + pause + random.uniform(0, min(pause * _JITTER, _MOST_JITTER))  # noqa: S311 - no secret
        once, self._refused_at = now > self._refused_at + _SOON, now
        if self._quota is not None and once:
            # The quota that was set holds: one request came a moment too early for the server's window.
            return
        _, count, before = self._counts
        self._learned = max(max(count, before) * _FEWER, 1.0)
        if said is not None and said.reset <= _SHORT_WINDOW:
            self._learned = max(said.limit * SHARE / max(said.reset, 1.0), 1.0)

    def _interval(self, now: float) -> float:
        rates = [rate for rate in (self._quota, self._learned) if rate is not None]
        interval = 1 / min(rates) if rates else 0.0
        left = self._window_ends - now
        if left > 0 and self._window_left * 2 <= self._window_size:
            interval = max(interval, left / max(self._window_left, 1))
        return interval

    def _learn(self, now: float, said: Allowance) -> None:
        if said.reset <= _SHORT_WINDOW:
            return
        ends = now + said.reset
        if ends > self._window_ends + 1 or now >= self._window_ends:
            self._window_ends, self._window_left = ends, said.remaining
        else:
            self._window_left = min(self._window_left, said.remaining)
        self._window_size = said.limit
