"""One-time codes: of a user, and of an ``auth_session`` of a database connection.

Invariants (the numbers are settings):

- Only the newest code of a user is valid: a resend kills the code before it.
- A code of an ``auth_session`` belongs to it, not to the user: a later one leaves it valid.
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
from passwordless_async.testing.refusals import DATABASE_CODE, RequestRefused

if TYPE_CHECKING:
    from passwordless_async.testing.settings import TenantSettings
    from passwordless_async.testing.state.clock import TenantClock
    from passwordless_async.testing.state.users import User

_MAX_CODES = 100_000
_MAX_SESSIONS = 100_000


def random_digits(length: int) -> str:
    """Return a random code of decimal digits."""
    return str(secrets.randbelow(10**length)).zfill(length)


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
        digits = random_digits(self._settings.code_length)
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


@attrs.define
class _AuthSession:
    user: User
    client_id: str
    digits: str | None = attrs.field(repr=redacted)
    expires_at: float
    failures: int = 0


@attrs.define
class AuthSessions:
    """The pending ``auth_session`` values."""

    _settings: TenantSettings
    _clock: TenantClock
    _sessions: Bounded[str, _AuthSession] = attrs.field(factory=lambda: Bounded(_MAX_SESSIONS), init=False, repr=False)

    def open(self, user: User, client_id: str, *, send: bool) -> tuple[str, str | None]:
        """Return a new ``auth_session`` and its code; None: no code was sent, and none will pass."""
        digits = random_digits(self._settings.code_length) if send else None
        name = secrets.token_urlsafe(48)
        self._sessions[name] = _AuthSession(user, client_id, digits, self._clock.now() + self._settings.code_lifetime)
        return name, digits

    def user_of(self, name: str) -> User | None:
        """Return the user of an ``auth_session``, which is not spent."""
        session = self._sessions.get(name)
        return None if session is None else session.user

    def spend(self, name: str, client_id: str, otp: str) -> None:
        """Spend an ``auth_session`` by its code, or refuse: wrong, expired, used and exhausted look the same."""
        session = self._sessions.get(name)
        if session is None or session.client_id != client_id or self._clock.now() >= session.expires_at:
            raise RequestRefused(DATABASE_CODE)
        right = session.digits is not None and hmac.compare_digest(session.digits.encode(), otp.encode())
        if not right or session.failures >= self._settings.max_attempts:
            session.failures += 1
            raise RequestRefused(DATABASE_CODE)
        del self._sessions[name]
