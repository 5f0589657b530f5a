"""A circuit breaker: an outage costs each caller milliseconds, not a time-out."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from passwordless_async._common import clock as _clock
from passwordless_async.errors import CircuitOpen

if TYPE_CHECKING:
    from passwordless_async.client.profile import Profile

_WHILE_PROBING = 0.1  # seconds after which to ask again while one call finds out whether the outage is over


class Breaker:
    """Refuses to ask a server that has failed several times in a row; after a rest one call tries.

    Closed, open and half-open, as the pattern's states are called: open for ``outage_rest`` seconds, then half-open
    until the one call that is let through has an answer.

    Args:
        profile: After how many failures, and for how long.
    """

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._failures = 0
        self._rest = 0.0
        self._opens_until = 0.0
        self._probing = False
        self._news: asyncio.Future[None] | None = None
        self._closed = False

    @property
    def retry_after(self) -> float | None:
        """Seconds until a call may go; None: it may now."""
        if not self._rest:
            return None
        left = self._opens_until - _clock.monotonic()
        if left > 0:
            return left
        return _WHILE_PROBING if self._probing else None

    def check(self) -> bool:
        """Ask for leave to send; whoever has it says afterwards what came of it.

        Returns:
            Whether this call is the one that tries.

        Raises:
            CircuitOpen: The server is resting; nothing was sent.
        """
        left = self.retry_after
        if left is not None:
            raise CircuitOpen(retry_after=left)
        self._probing = bool(self._rest)
        return self._probing

    def answered(self) -> None:
        """Say that the server served a call."""
        self._failures = 0
        self._rest = 0.0
        self._tried()

    def failed(self, *, probed: bool = True) -> None:
        """Say that it did not: no connection, no answer, or a failure of its own (5xx).

        Args:
            probed: Whether the call may be the one that tried, by what :meth:`check` gave it.
        """
        self._failures += 1
        if self._rest and not (self._probing and probed):
            # From before the circuit opened: the rest is not longer for it.
            return
        if self._failures >= self._profile.outage_after:
            rest = self._rest * 2 if self._rest else self._profile.outage_rest
            self._rest = min(rest, self._profile.outage_rest_at_most)
            self._opens_until = _clock.monotonic() + self._rest
        self._tried()

    def gave_up(self) -> None:
        """Say that the call that tried was ended before it had an answer: another one tries."""
        self._tried()

    def give_up(self) -> None:
        """Let nobody wait any more."""
        self._closed = True
        self._tried()

    def _tried(self) -> None:
        self._probing = False
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    async def news(self) -> None:
        """Wait until it is time for a call to try, or until the one that tries has ended."""
        left = self._opens_until - _clock.monotonic()
        if self._closed or (left <= 0 and not self._probing):
            return
        if self._news is None or self._news.done():
            self._news = asyncio.get_running_loop().create_future()
        await asyncio.wait([self._news], timeout=left if left > 0 else None)
