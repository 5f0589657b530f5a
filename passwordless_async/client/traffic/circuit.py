"""Circuit breakers, one for each endpoint: an outage costs each caller milliseconds, not a time-out.

Invariants:

- Closed, open and half-open are the states, as the pattern names them. A circuit opens if the calls of
  ``outage_after`` users have failed within ``outage_window`` seconds, and these users are at least ``outage_ratio`` of
  them and the answered calls together.
- The failures of one user within the window count as one: what fails for one user only opens no circuit for the others.
  A user is an address or number where a code is sent or used, and a subject where tokens are.
- While it is open, no call is sent. After a rest it is half-open: one call is sent, and no other until that one has
  ended, or has taken ``outage_rest_at_most`` seconds.
- The rest doubles each time that call fails, up to ``outage_rest_at_most``; any response closes the circuit.
- The failure of a request that was sent before the circuit opened does not lengthen the rest.
- A failure at one endpoint, or of one message channel, refuses no request to another.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from typing import TYPE_CHECKING

import attrs

from passwordless_async._common import clock as _clock
from passwordless_async._common.bounded import Bounded
from passwordless_async.errors import CircuitOpen

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable

    from yarl import URL

    from passwordless_async.client.events import Operation
    from passwordless_async.client.profile import Profile

_BUCKETS = 10  # parts of the window that are forgotten one by one
_MAX_USERS = 10_000  # with failed calls to one endpoint within its window; the one who failed longest ago is forgotten
_MAX_CIRCUITS = 64  # endpoints and channels; an application has about ten, and the oldest is forgotten


class _Window:
    """Counts the answered calls of a sliding window, and the users whose calls failed in it."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._bucket_seconds = seconds / _BUCKETS
        self._answered: deque[list[int]] = deque(maxlen=_BUCKETS)  # the number of each bucket, its calls
        self._failed: Bounded[Hashable, float] = Bounded(_MAX_USERS)  # when a call of each user failed last

    def answered(self) -> None:
        number = int(_clock.monotonic() / self._bucket_seconds)
        if not self._answered or self._answered[-1][0] != number:
            self._answered.append([number, 0])
            self._forget()
        self._answered[-1][1] += 1

    def failed(self, user: Hashable) -> bool:
        """Count a failed call; return whether it is the first of its user within the window. None: an unknown user."""
        self._forget()
        user = object() if user is None else user
        is_first = user not in self._failed
        self._failed[user] = _clock.monotonic()
        return is_first

    def _forget(self) -> None:
        earliest = _clock.monotonic() - self._seconds
        while self._failed:
            user, failed_at = next(iter(self._failed.items()))
            if failed_at > earliest:
                return
            del self._failed[user]

    def totals(self) -> tuple[int, int]:
        """Return the calls and the failures. The failed calls of one user are one call and one failure."""
        self._forget()
        oldest = int(_clock.monotonic() / self._bucket_seconds) - _BUCKETS
        answered = sum(calls for number, calls in self._answered if number > oldest)
        return answered + len(self._failed), len(self._failed)

    def clear(self) -> None:
        self._answered.clear()
        self._failed.clear()


class Breaker:
    """Refuses calls to an endpoint that fails; kept for the client's lifetime."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._window = _Window(profile.outage_window)
        self._rest = 0.0  # seconds; 0: closed
        self._rests_until = 0.0
        self._probe = 0  # the number of the probing call; 0: none
        self._probes_until = 0.0
        self._numbers = itertools.count(1)
        self._change: asyncio.Future[None] | None = None
        self._given_up = False
        self._passage = Passage(self, 0)  # of every call that does not probe

    @property
    def retry_after(self) -> float | None:
        """Seconds until a call may be sent; None: it may be sent now."""
        left = self._left() if self._rest else 0.0
        return left if left > 0 else None

    def _left(self) -> float:
        return max(self._rests_until, self._probes_until if self._probe else 0.0) - _clock.monotonic()

    def check(self) -> Passage:
        """Let a call through; report to the result how it ended.

        Raises:
            CircuitOpen: The circuit is open; nothing was sent.
        """
        if not self._rest:
            return self._passage
        left = self._left()
        if left > 0:
            raise CircuitOpen(retry_after=left)
        self._probe = next(self._numbers)
        # A probe that hangs must not refuse all other calls.
        self._probes_until = _clock.monotonic() + self._profile.outage_rest_at_most
        return Passage(self, self._probe)

    def answered(self) -> None:
        """Record that the server served a call."""
        if self._rest:
            self._rest = 0.0
            self._window.clear()
            self.release(self._probe)
        self._window.answered()

    def failed(self, probe: int, user: Hashable = None) -> bool:
        """Record that a call had no connection, no response, or a failure of the server (5xx).

        Returns:
            Whether it counts: it is the first of its user within the window. None is an unknown user.
        """
        counts = self._window.failed(user)
        if self._rest and (not probe or probe != self._probe):
            return counts
        if self._rest or self._is_outage():
            rest = self._rest * 2 if self._rest else self._profile.outage_rest
            self._rest = min(rest, self._profile.outage_rest_at_most)
            self._rests_until = _clock.monotonic() + self._rest
            self.release(probe)
        return counts

    def _is_outage(self) -> bool:
        calls, failures = self._window.totals()
        return failures >= max(self._profile.outage_after, self._profile.outage_ratio * calls)

    def release(self, probe: int) -> None:
        """Let another call probe if this one does: it has ended, in whatever way."""
        if probe == self._probe:
            self._probe = 0
            self._wake_waiters()

    def give_up(self) -> None:
        """Release all callers of :meth:`news`, now and from now on."""
        self._given_up = True
        self._wake_waiters()

    def reopen(self) -> None:
        """Let callers wait for news again, in this or another event loop."""
        self._given_up, self._change = False, None

    def _wake_waiters(self) -> None:
        if self._change is not None and not self._change.done():
            self._change.set_result(None)

    async def news(self) -> None:
        """Wait until a call may probe the server, or until the probing call has ended."""
        left = self._left()
        if self._given_up or left <= 0:
            return
        if self._change is None or self._change.done():
            self._change = asyncio.get_running_loop().create_future()
        await asyncio.wait([self._change], timeout=left)


@attrs.frozen(eq=False)
class Passage:
    """Permission to send one call to an endpoint."""

    _breaker: Breaker
    probe: int  # the number of the call if it probes the server; 0: it does not

    def answered(self) -> None:
        """Report that the server served the call."""
        self._breaker.answered()

    def failed(self, user: Hashable = None) -> bool:
        """Report that the call had no connection, no response, or a 5xx. See :meth:`Breaker.failed`."""
        return self._breaker.failed(self.probe, user)

    def end(self) -> None:
        """Report that the call has ended, in whatever way: another one may probe the server."""
        if self.probe:
            self._breaker.release(self.probe)


class Circuits:
    """The circuits of a client: one for each endpoint, and for each channel of messages at it."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._breakers: dict[tuple[URL, str], Breaker] = {}
        self._first: dict[tuple[Operation, str], dict[URL, Breaker]] = {}  # by operation and channel
        self._given_up = False

    def of(self, url: URL, channel: str, *, first_of: Operation | None = None) -> Breaker:
        """Return the circuit of an endpoint; the channel is empty unless messages are sent by it.

        ``first_of`` is the operation whose calls send their first request there.
        """
        breaker = self._breakers.get((url, channel)) or self._made(url, channel)
        if first_of is not None:
            self._first.setdefault((first_of, channel), {})[url] = breaker
        return breaker

    def first(self, operation: Operation, channel: str) -> Collection[Breaker]:
        """Return the circuits of the endpoints that calls of an operation have sent their first request to."""
        known = self._first.get((operation, channel))
        return () if known is None else known.values()

    def _made(self, url: URL, channel: str) -> Breaker:
        if len(self._breakers) >= _MAX_CIRCUITS:
            self._forget(*next(iter(self._breakers)))
        breaker = self._breakers[url, channel] = Breaker(self._profile)
        if self._given_up:
            breaker.give_up()
        return breaker

    def _forget(self, url: URL, channel: str) -> None:
        del self._breakers[url, channel]
        for (_, by), first in self._first.items():
            if by == channel:
                first.pop(url, None)

    def give_up(self) -> None:
        """Release all who wait for news of an outage."""
        self._given_up = True
        for breaker in self._breakers.values():
            breaker.give_up()

    def reopen(self) -> None:
        """Let callers wait for news again, in this or another event loop; the state of the circuits stays."""
        self._given_up = False
        for breaker in self._breakers.values():
            breaker.reopen()
