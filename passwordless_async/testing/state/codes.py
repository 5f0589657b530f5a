"""The rules of a code.

1. The newest code alone is valid: a resend kills the one before.
2. A used code is dead.
3. The third failure kills the code, whatever comes after it.
4. A code lives three minutes.

(The numbers are settings.)
"""

from __future__ import annotations

import enum
import hmac
import secrets
from collections import OrderedDict
from typing import TYPE_CHECKING

import attrs

from passwordless_async._common.secret import redacted

if TYPE_CHECKING:
    from passwordless_async.testing.settings.settings import TenantSettings
    from passwordless_async.testing.state.clock import TenantClock
    from passwordless_async.testing.state.users import User

_MAX_CODES = 100_000  # users with a code in memory; the oldest go first


class Verdict(enum.Enum):
    """What became of a code that was presented."""

    RIGHT = enum.auto()
    WRONG = enum.auto()
    EXPIRED = enum.auto()
    TOO_MANY_ATTEMPTS = enum.auto()


@attrs.define
class _Code:
    digits: str = attrs.field(repr=redacted)
    expires_at: float
    failures: int = 0


@attrs.define
class CodeBook:
    """The codes that are out, one for each user."""

    _settings: TenantSettings
    _clock: TenantClock
    _codes: OrderedDict[User, _Code] = attrs.field(factory=OrderedDict, init=False, repr=False)

    def issue(self, user: User) -> str:
        """Return a new code for a user; the one before is dead."""
        length = self._settings.code_length
        digits = str(secrets.randbelow(10**length)).zfill(length)
        self._codes.pop(user, None)
        self._codes[user] = _Code(digits, self._clock.now() + self._settings.code_lifetime)
        if len(self._codes) > _MAX_CODES:
            self._codes.popitem(last=False)
        return digits

    def present(self, user: User, otp: str) -> Verdict:
        """Judge a code that was presented; the right one is spent by it, a wrong one counts as a failure."""
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
