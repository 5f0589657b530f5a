"""The limit of calls in flight: fixed, or adapted to what the server can handle (AIMD)."""

from __future__ import annotations

from passwordless_async._common import clock as _clock

_MIN_LIMIT = 4  # in flight; with fewer, one slow response would hold up all callers
_DECREASE = 0.7  # of the limit at a sign of overload; TCP halves, but a tenant's quota is no queue that must drain
_MIN_QUIET = 0.1  # seconds after a sign of overload in which others count as the same sign
_SMOOTHING = 0.05  # weight of one response in the mean latency: about twenty make a trend
_SLOW_FACTOR = 2.0  # times the usual latency
_SLOW_MARGIN = 0.5  # seconds on top of that: jitter of a few hundred milliseconds is no congestion
_USUAL_GROWTH = 0.001  # by which the usual latency grows with each response: a lasting slowdown becomes usual
_CPU_INTERVAL = 0.5  # seconds between two measurements of this process's CPU time
_CPU_BUSY = 0.4  # of one CPU; above it responses wait for this process, not for the server


class FixedLimit:
    """A limit that does not change."""

    def __init__(self, limit: int) -> None:
        self.value = limit

    def answered(self, seconds: float) -> None:
        """Record a response and its latency."""

    def overloaded(self) -> None:
        """Record that the server refused or failed."""


class AdaptiveLimit(FixedLimit):
    """Additive increase, multiplicative decrease.

    - It begins at the top: a server that is not overloaded is not slowed down.
    - Each round of responses allows one more call. Below half of the last good limit, each single response does, as in
      TCP's slow start.
    - A 429, a failure, or a mean latency far above the usual one reduces the limit by three tenths. Signs that arrive
      within one latency count once: their requests were sent at the old limit.
    - Latency is not a sign while this process is short of CPU: it causes the delay itself. Without this rule,
      10,000 logins at 2,000 in flight took 20 to 30 % longer (answers after 1 s).
    """

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self._max = limit
        self._exact = float(limit)
        self._usual_latency = 0.0
        self._mean_latency = 0.0
        self._quiet_until = 0.0
        self._went_well = float(limit)  # the limit before the last decrease that followed an increase
        self._has_grown = True
        self._cpu_sample = (0.0, 0.0)  # when this process's CPU time was measured, and the CPU time
        self._was_busy = False

    def answered(self, seconds: float) -> None:
        """Record a response and its latency."""
        if not self._mean_latency:
            self._usual_latency = self._mean_latency = seconds
        self._mean_latency += (seconds - self._mean_latency) * _SMOOTHING
        self._usual_latency = min(self._usual_latency * (1 + _USUAL_GROWTH), self._mean_latency)
        is_slow = self._mean_latency > self._usual_latency * _SLOW_FACTOR + _SLOW_MARGIN
        if is_slow and not self._is_busy():
            self.overloaded()
        elif self._exact < self._max:
            self._has_grown = True
            self._set(self._exact + (1 if self._exact < self._went_well / 2 else 1 / self._exact))

    def overloaded(self) -> None:
        """Record that the server refused, failed, or was slow."""
        now = _clock.monotonic()
        if now >= self._quiet_until:
            self._quiet_until = now + max(self._mean_latency, _MIN_QUIET)
            if self._has_grown:
                self._has_grown, self._went_well = False, self._exact
            self._set(self._exact * _DECREASE)

    def _is_busy(self) -> bool:
        """Return whether this process used most of a CPU since the last measurement."""
        now = _clock.monotonic()
        measured_at, cpu_before = self._cpu_sample
        if now >= measured_at + _CPU_INTERVAL:
            cpu = _clock.cpu()
            # The first measurement has nothing to compare with: assume that the process is busy.
            self._was_busy = not measured_at or cpu - cpu_before > _CPU_BUSY * (now - measured_at)
            self._cpu_sample = (now, cpu)
        return self._was_busy

    def _set(self, exact: float) -> None:
        self._exact = min(max(exact, min(_MIN_LIMIT, self._max)), self._max)
        self.value: int = int(self._exact)
