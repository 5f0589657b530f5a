"""How many requests may be in flight: a fixed number, or one that follows what the server can take (AIMD)."""

from __future__ import annotations

from passwordless_async._common import clock as _clock

_LEAST = 4  # in flight; fewer, and one slow answer would hold up everybody
_FEWER = 0.7  # of the limit after a sign of overload; TCP halves, but a tenant's quota is no queue that must drain
_SMOOTHING = 0.05  # the weight of one answer in the mean: some twenty make a trend
_SLOWER = 2.0  # times the usual latency
_SLOWER_BY = 0.5  # seconds on top of it: jitter of a few hundred milliseconds is no congestion
_LOOK_EVERY = 0.5  # seconds
_BUSY = 0.4  # of a CPU: from there on answers wait for this process in bursts, and not for the server
_FORGETTING = 0.001  # by which the usual latency grows with each answer: a server that is slower for good becomes usual


class FixedLimit:
    """A limit that stays.

    Args:
        most: How many.
    """

    def __init__(self, most: int) -> None:
        self.value = most

    def answered(self, seconds: float) -> None:
        """Say that an answer took so long."""

    def overloaded(self) -> None:
        """Say that the server refused for want of room."""


class AdaptiveLimit(FixedLimit):
    """Additive increase, multiplicative decrease: one more for each round of answers, fewer at a sign of overload.

    It begins at the top: what is not overloaded is not slowed down. Signs that come together count once, for they are
    about the same moment. What was lost is won back quickly up to half of what went well before, as TCP's slow start
    does, and then one by one. Where this process is short of CPU, slow answers are its own doing, and no sign.

    Args:
        most: How many at the most.
    """

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self._most = most
        self._exact = float(most)
        self._usual = 0.0
        self._mean = 0.0
        self._heeds_after = 0.0
        self._went_well = float(most)
        self._calm = True
        self._mark = (0.0, 0.0)
        self._busy = False

    def answered(self, seconds: float) -> None:
        """Say that an answer took so long."""
        if not self._mean:
            self._usual = self._mean = seconds
        self._mean += (seconds - self._mean) * _SMOOTHING
        self._usual = min(self._usual * (1 + _FORGETTING), self._mean)
        slow = self._mean > self._usual * _SLOWER + _SLOWER_BY
        if slow and not self._is_busy():
            self.overloaded()
        elif self._exact < self._most:
            self._calm = True
            self._set(self._exact + (1 if self._exact < self._went_well / 2 else 1 / self._exact))

    def overloaded(self) -> None:
        """Say that the server refused for want of room, failed, or was slow."""
        now = _clock.monotonic()
        if now >= self._heeds_after:
            # What is on its way now was sent before: its answers say nothing of the new limit.
            self._heeds_after = now + max(self._mean, 0.1)
            if self._calm:
                self._calm, self._went_well = False, self._exact
            self._set(self._exact * _FEWER)

    def _is_busy(self) -> bool:
        """Tell whether this process used most of a CPU since it was last asked, half a second ago or more."""
        now = _clock.monotonic()
        if now >= self._mark[0] + _LOOK_EVERY:
            cpu = _clock.cpu()
            # Of the first look nothing is known: the benefit of the doubt.
            self._busy = not self._mark[0] or cpu - self._mark[1] > _BUSY * (now - self._mark[0])
            self._mark = (now, cpu)
        return self._busy

    def _set(self, exact: float) -> None:
        self._exact = min(max(exact, min(_LEAST, self._most)), self._most)
        self.value = int(self._exact)
