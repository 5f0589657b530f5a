"""A circuit breaker: an outage costs each caller milliseconds, not a time-out.

Invariants:

- Closed, open and half-open are the states, as the pattern names them. ``outage_after`` failures in a row open it.
- While it is open no call is sent. After a rest it is half-open: one call is let through, and no other until that one
  has ended.
- The rest doubles each time that call fails, up to ``outage_rest_at_most``; any response closes the circuit.
- A failure of a request from before the circuit opened does not lengthen the rest.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from passwordless_async._common import clock as _clock
from passwordless_async.errors import CircuitOpen

if TYPE_CHECKING:
    from passwordless_async.client.profile import Profile

_RETRY_WHILE_PROBING = 0.1  # seconds that other callers are told to wait while one call probes the server


class Breaker:
    """Refuses calls to a server that has failed several times in a row; lives as long as its client."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._failures = 0
        self._rest = 0.0  # seconds; 0: closed
        self._rests_until = 0.0
        self._probing = False
        self._change: asyncio.Future[None] | None = None
        self._given_up = False

    @property
    def retry_after(self) -> float | None:
        """Seconds until a call may be sent; None: it may be sent now."""
        if not self._rest:
            return None
        left = self._rests_until - _clock.monotonic()
        if left > 0:
            return left
        return _RETRY_WHILE_PROBING if self._probing else None

    def check(self) -> bool:
        """Let a call through, or raise ``CircuitOpen``; return whether it probes the server. Report how it ended."""
        left = self.retry_after
        if left is not None:
            raise CircuitOpen(retry_after=left)
        self._probing = bool(self._rest)
        return self._probing

    def answered(self) -> None:
        """Record that the server served a call."""
        self._failures = 0
        self._rest = 0.0
        self.end_probe()

    def failed(self, *, probed: bool = True) -> None:
        """Record that a call had no connection, no response, or a failure of the server (5xx).

        ``probed`` is what :meth:`check` returned for it.
        """
        self._failures += 1
        if self._rest and not (self._probing and probed):
            return
        if self._failures >= self._profile.outage_after:
            rest = self._rest * 2 if self._rest else self._profile.outage_rest
            self._rest = min(rest, self._profile.outage_rest_at_most)
            self._rests_until = _clock.monotonic() + self._rest
        self.end_probe()

    def give_up(self) -> None:
        """Release all callers of :meth:`news`, now and from now on."""
        self._given_up = True
        self.end_probe()

    def end_probe(self) -> None:
        """Let another call probe: the probing call has ended, or was cancelled before its response."""
        self._probing = False
        if self._change is not None and not self._change.done():
            self._change.set_result(None)

    async def news(self) -> None:
        """Wait until a call may probe the server, or until the probing call has ended."""
        left = self._rests_until - _clock.monotonic()
        if self._given_up or (left <= 0 and not self._probing):
            return
        if self._change is None or self._change.done():
            self._change = asyncio.get_running_loop().create_future()
        await asyncio.wait([self._change], timeout=left if left > 0 else None)
