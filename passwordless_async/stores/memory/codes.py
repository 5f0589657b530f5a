"""The state of users' codes in this process: cool-downs, presented codes, and attempts.

These calls are part of every login: none of them suspends, and together they take a few microseconds.
"""

from __future__ import annotations

import attrs

from passwordless_async._common import clock as _clock
from passwordless_async._common.expiring import Expiring
from passwordless_async.stores.protocols import CodeStore, RefusedCode

_REFUSED = ""  # in place of the token: the code was wrong, so its attempt has ended
_MAX_USERS = 65_536  # and as many addresses; the one that expires first makes room. About 640 bytes each


@attrs.define(eq=False)
class _Codes:
    """The state of a user's codes."""

    last: int = 0  # the number of the last attempt: they are counted on from one code to the next
    is_started: bool = False  # whether the newest code was sent from here, so that the attempts are those at it
    right: str | None = None  # the code that was right, which is no attempt
    # Code, token of the caller and number, in order. A dict for each of 100,000 users would take 18 MB more.
    presented: tuple[tuple[str, str, int], ...] = ()

    @property
    def attempts(self) -> int:
        number = len(self.presented)
        # Those before the right code were forgotten.
        return number - (number > 0 and self.presented[0][0] == self.right)

    def of(self, code: str | None) -> tuple[str | None, int]:
        """Return the token of the caller that presented a code, and its number; None if it was not presented."""
        for name, token, number in self.presented:
            if name == code:
                return token, number
        return None, 0

    def forget_before(self, number: int) -> None:
        if self.presented and self.presented[0][2] < number:
            self.presented = tuple(attempt for attempt in self.presented if attempt[2] >= number)

    def forget_right(self, code: str) -> None:
        if self.right == code:
            self.right = None


class MemoryCodes(CodeStore):
    """The :class:`CodeStore <passwordless_async.stores.CodeStore>` in memory: of ``size`` users, and addresses."""

    def __init__(self, size: int = _MAX_USERS) -> None:
        # The token of the start, and whether it is in progress.
        self._cooling: Expiring[str, tuple[str, bool]] = Expiring(size)
        self._codes: Expiring[str, _Codes] = Expiring(size)
        self._starts: Expiring[str, dict[str, float]] = Expiring(size)
        self._blocked: Expiring[str, bool] = Expiring(size)

    async def begin_start(self, user: str, *, token: str, seconds: float, remember: float) -> tuple[float, int]:
        known = self._codes.get(user)
        last = 0 if known is None else known.last
        if seconds > 0:
            holder = self._cooling.get(user)
            if holder not in {None, (token, True)}:
                return self._cooling.seconds_left(user), last
            self._cooling.put(user, (token, True), seconds)
        if known is not None:
            self._codes.put(user, known, remember)
        return 0.0, last

    async def end_start(self, user: str, *, token: str, seconds: float, mark: int | None, remember: float) -> None:
        if mark is not None:
            known = self._codes.get(user) or _Codes()
            known.is_started = True
            known.forget_before(mark + 1)
            known.right = known.right if known.of(known.right)[0] is not None else None
            self._codes.put(user, known, remember)
        holder = self._cooling.get(user)
        if holder is None or holder[0] != token:
            return
        if seconds > 0:
            self._cooling.put(user, (token, False), seconds)
        else:
            self._cooling.discard(user)

    def cooling_left(self, user: str) -> float:
        """Return the seconds until a user may be sent a code."""
        return self._cooling.seconds_left(user)

    async def begin_address_start(self, address: str, *, token: str, max_starts: int | None, window: float) -> float:
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
        if token is not None:
            (self._starts.get(address) or {}).pop(token, None)
        if blocked > self._blocked.seconds_left(address):
            self._blocked.put(address, value=True, seconds=blocked)

    async def begin_attempt(
        self, user: str, code: str, *, token: str, max_attempts: int, max_codes: int, remember: float
    ) -> int | RefusedCode | None:
        known = self._codes.get(user) or _Codes()
        presented_by, _ = known.of(code)
        if presented_by == _REFUSED:
            return RefusedCode(known.attempts)
        if presented_by is not None:
            return known.attempts if presented_by == token else None
        if (known.is_started and known.attempts >= max_attempts) or len(known.presented) >= max_codes:
            return 0
        known.last += 1
        known.presented += ((code, token, known.last),)
        self._codes.put(user, known, remember)
        return known.attempts

    async def undo_attempt(self, user: str, code: str, *, token: str) -> None:
        known = self._codes.get(user)
        if known is not None and known.of(code)[0] == token:
            known.presented = tuple(attempt for attempt in known.presented if attempt[0] != code)
            known.forget_right(code)

    async def refuse_code(self, user: str, code: str, *, token: str, is_last: bool) -> None:
        known = self._codes.get(user)
        if known is None or known.of(code)[0] != token:
            return
        known.presented = tuple(
            (name, _REFUSED if name == code else by, number) for name, by, number in known.presented
        )
        known.forget_right(code)
        if is_last:
            self._end_cool_down(user)

    async def retire_code(self, user: str, code: str, *, token: str, correct: bool) -> None:
        known = self._codes.get(user)
        if known is None:
            return
        presented_by, number = known.of(code)
        if presented_by != token:
            return
        self._end_cool_down(user)
        if correct:
            # A right code is no guess. Those before it are forgotten: the service takes only the newest.
            known.is_started, known.right = False, code
            known.forget_before(number)

    def _end_cool_down(self, user: str) -> None:
        holder = self._cooling.get(user)
        if holder is not None and not holder[1]:  # no start is in progress
            self._cooling.discard(user)

    def presented(self, user: str) -> list[tuple[str, str]]:
        """Return a user's codes with the tokens of the callers that presented them, in order."""
        known = self._codes.get(user)
        return [] if known is None else [(code, token) for code, token, _ in known.presented]
