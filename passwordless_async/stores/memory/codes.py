"""What is known of users' codes, in this process: who cools down, which codes were presented, and how often.

These calls are part of every login: none of them suspends, and together they take a few microseconds.
"""

from __future__ import annotations

import attrs

from passwordless_async._common import clock as _clock
from passwordless_async.stores.memory.expiring import Expiring

_MAX_USERS = 65_536  # and as many addresses; the one longest unchanged makes room. About 500 bytes each


@attrs.define(eq=False)
class _Code:
    """A user's newest code."""

    started: bool  # whether a start was made here, so that the attempts are those at its code
    attempts: int = 0
    # Names of codes and tokens of callers in turn. A dict for each of 100,000 users would take 18 MB more.
    presented: tuple[str, ...] = ()

    def token_of(self, code: str) -> str | None:
        """Return the token of the caller that presented a code; None if it was not presented."""
        codes = self.presented[::2]
        return self.presented[2 * codes.index(code) + 1] if code in codes else None


class MemoryCodes:
    """The :class:`CodeStore <passwordless_async.stores.CodeStore>` in memory: of ``size`` users, and addresses."""

    def __init__(self, size: int = _MAX_USERS) -> None:
        self._cooling: Expiring[str] = Expiring(size)
        self._codes: Expiring[_Code] = Expiring(size)
        self._starts: Expiring[dict[str, float]] = Expiring(size)
        self._blocked: Expiring[bool] = Expiring(size)

    async def begin_start(self, user: str, *, token: str, seconds: float, remember: float) -> float:
        """Return 0.0 if a user may be sent a code, else the seconds until they may."""
        if seconds > 0:
            if self._cooling.get(user) not in {None, token}:
                return self._cooling.seconds_left(user)
            self._cooling.put(user, token, seconds)
        self._codes.put(user, _Code(started=True), remember)
        return 0.0

    async def end_start(self, user: str, *, token: str, seconds: float) -> None:
        """Set how long the user is sent no other code."""
        if self._cooling.get(user) != token:
            return
        if seconds > 0:
            self._cooling.put(user, token, seconds)
        else:
            self._cooling.discard(user)

    async def begin_address_start(self, address: str, *, token: str, max_starts: int | None, window: float) -> float:
        """Count a start of an address and return 0.0, or the seconds until there is room."""
        if self._blocked.get(address):
            return self._blocked.seconds_left(address)
        if max_starts is None:
            return 0.0
        now = _clock.monotonic()
        starts = {by: at for by, at in (self._starts.get(address) or {}).items() if at > now - window}
        if token not in starts:
            if len(starts) >= max_starts:
                return min(starts.values()) + window - now
            starts[token] = now
            self._starts.put(address, starts, window)
        return 0.0

    async def end_address_start(self, address: str, *, token: str | None, blocked: float) -> None:
        """Undo the count of a start, or block an address."""
        if token is not None:
            (self._starts.get(address) or {}).pop(token, None)
        if blocked > self._blocked.seconds_left(address):
            self._blocked.put(address, value=True, seconds=blocked)

    async def begin_attempt(
        self, user: str, code: str, *, token: str, max_attempts: int, max_codes: int, remember: float
    ) -> int | None:
        """Count an attempt at a code; 0 if there are none left, None if the code was presented before."""
        known = self._codes.get(user) or _Code(started=False)
        presented_by = known.token_of(code)
        if presented_by is not None:
            return known.attempts if presented_by == token else None
        if (known.started and known.attempts >= max_attempts) or len(known.presented) >= 2 * max_codes:
            return 0
        known.presented += (code, token)
        known.attempts += 1
        self._codes.put(user, known, remember)
        return known.attempts

    async def undo_attempt(self, user: str, code: str, *, token: str) -> None:
        """Forget an attempt."""
        known = self._codes.get(user)
        if known is not None and known.token_of(code) == token:
            at = 2 * known.presented[::2].index(code)
            known.presented = known.presented[:at] + known.presented[at + 2 :]
            known.attempts = max(known.attempts - 1, 0)

    async def retire_code(self, user: str, code: str, *, token: str, correct: bool) -> None:
        """Report that a code is spent or has expired: the user may be sent another one at once."""
        known = self._codes.get(user)
        if known is None or known.token_of(code) != token:
            return
        self._cooling.discard(user)
        if correct:
            # A right code is no guess. Those before it are forgotten: the service takes only the newest.
            known.started, known.attempts, known.presented = False, 0, (code, token)
