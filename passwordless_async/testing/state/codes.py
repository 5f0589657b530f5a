"""The rules of a code.

Invariants (the numbers are settings):

- Only the newest code is valid: a resend kills the code before it.
- A used code is dead.
- The third failure kills the code, even for the right one after it.
- A code lives three minutes.
"""

from __future__ import annotations

import enum
import hmac
import secrets
from typing import TYPE_CHECKING

import attrs

from passwordless_async._common.bounded import Bounded
from passwordless_async._common.secret import redacted

if TYPE_CHECKING:
    from passwordless_async.testing.settings import TenantSettings
    from passwordless_async.testing.state.clock import TenantClock
    from passwordless_async.testing.state.users import User

_MAX_CODES = 100_000


class Verdict(enum.Enum):
    """The result of presenting a code."""

    RIGHT = enum.auto()
    WRONG = enum.auto()
    EXPIRED = enum.auto()
    TOO_MANY_ATTEMPTS = enum.auto()


@attrs.define
class _IssuedCode:
    digits: str = attrs.field(repr=redacted)
    expires_at: float
    failures: int = 0


@attrs.define
class TenantCodes:
    """The valid codes, one per user."""

    _settings: TenantSettings
    _clock: TenantClock
    _codes: Bounded[User, _IssuedCode] = attrs.field(factory=lambda: Bounded(_MAX_CODES), init=False, repr=False)

    def issue(self, user: User) -> str:
        """Return a new code for a user; the code before it is dead."""
        length = self._settings.code_length
        digits = str(secrets.randbelow(10**length)).zfill(length)
        self._codes[user] = _IssuedCode(digits, self._clock.now() + self._settings.code_lifetime)
        return digits

    def present(self, user: User, otp: str) -> Verdict:
        """Present a code: the right one is spent, a wrong one counts as a failure."""
        code = self._codes.get(user)
        if code is None:
            return Verdict.WRONG
        if code.failures >= self._settings.max_attempts:
            return Verdict.TOO_MANY_ATTEMPTS
        if self._clock.now() >= code.expires_at:
            return Verdict.EXPIRED
        if hmac.compare_digest(code.digits.encode(), otp.encode()):
            del self._codes[user]
            return Verdict.RIGHT
        code.failures += 1
        return Verdict.TOO_MANY_ATTEMPTS if code.failures >= self._settings.max_attempts else Verdict.WRONG
