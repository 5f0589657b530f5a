"""One-time codes, codes of an ``auth_session`` of a database connection, and links.

Invariants of one-time codes (the numbers are settings):

- Only the newest code of a user is valid: a resend invalidates the previous code.
- A code of an ``auth_session`` belongs to it, not to the user: it stays valid after a later one.
- A used code is no longer valid.
- The third failure invalidates the code: even the right code is refused after it.
- A code is valid for three minutes.
"""

from __future__ import annotations

import enum
import hmac
import secrets
from typing import TYPE_CHECKING, Any

import attrs

from passwordless_async._common.bounded import Bounded
from passwordless_async._common.secret import redacted
from passwordless_async.testing.refusals import DATABASE_CODE, RequestRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    digits: str | None = attrs.field(repr=redacted)  # None: no code was sent, and none passes
    expires_at: float
    failures: int = 0

    def present(self, otp: str, *, now: float, max_attempts: int) -> Verdict:
        """Check a code, and count a wrong one as a failure."""
        if self.failures >= max_attempts:
            return Verdict.TOO_MANY_ATTEMPTS
        if now >= self.expires_at:
            return Verdict.EXPIRED
        if self.digits is not None and hmac.compare_digest(self.digits.encode(), otp.encode()):
            return Verdict.RIGHT
        self.failures += 1
        return Verdict.TOO_MANY_ATTEMPTS if self.failures >= max_attempts else Verdict.WRONG


@attrs.define
class TenantCodes:
    """The valid codes, one per user."""

    _settings: TenantSettings
    _clock: TenantClock
    _codes: Bounded[User, _IssuedCode] = attrs.field(factory=lambda: Bounded(_MAX_CODES), init=False, repr=False)

    def issue(self, user: User) -> str:
        """Return a new code for a user; the previous code is no longer valid."""
        digits = random_digits(self._settings.code_length)
        self._codes[user] = _IssuedCode(digits, self._clock.now() + self._settings.code_lifetime)
        return digits

    def present(self, user: User, otp: str) -> Verdict:
        """Present a code: the right one is spent, a wrong one counts as a failure."""
        code = self._codes.get(user)
        if code is None:
            return Verdict.WRONG
        verdict = code.present(otp, now=self._clock.now(), max_attempts=self._settings.max_attempts)
        if verdict is Verdict.RIGHT:
            del self._codes[user]
        return verdict


@attrs.define
class _AuthSession:
    user: User
    client_id: str
    code: _IssuedCode


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
        code = _IssuedCode(digits, self._clock.now() + self._settings.code_lifetime)
        self._sessions[name] = _AuthSession(user, client_id, code)
        return name, digits

    def user_of(self, name: str) -> User | None:
        """Return the user of an ``auth_session``, which is not spent."""
        session = self._sessions.get(name)
        return None if session is None else session.user

    def spend(self, name: str, client_id: str, otp: str) -> None:
        """Spend an ``auth_session`` by its code, or refuse: wrong, expired, used and exhausted look the same."""
        session, now, max_attempts = self._sessions.get(name), self._clock.now(), self._settings.max_attempts
        if session is None or session.client_id != client_id:
            raise RequestRefused(DATABASE_CODE)
        if session.code.present(otp, now=now, max_attempts=max_attempts) is not Verdict.RIGHT:
            raise RequestRefused(DATABASE_CODE)
        del self._sessions[name]


@attrs.frozen(kw_only=True)
class Authorization:
    """What a link was requested with."""

    user: User  # who may follow it
    client_id: str
    redirect_uri: str
    redirect_uri_given: bool  # by the request; then the token request must repeat it (RFC 6749 §4.1.3)
    parameters: Mapping[str, Any] = attrs.field(repr=False)  # authParams
    auth_time: float = 0.0  # when the link was followed, in seconds since the UNIX epoch


@attrs.define
class SingleUseCodes:
    """Codes that redeem an authorization once, for a time: the tickets of links, and authorization codes."""

    _clock: TenantClock
    _lifetime: float
    # Each with the time at which it expires.
    _codes: Bounded[str, tuple[Authorization, float]] = attrs.field(
        factory=lambda: Bounded(_MAX_CODES), init=False, repr=False
    )

    def issue(self, authorization: Authorization) -> str:
        """Return a new code."""
        code = secrets.token_urlsafe(32)
        self._codes[code] = authorization, self._clock.now() + self._lifetime
        return code

    def find(self, code: str) -> tuple[Authorization | None, bool]:
        """Return a code's authorization and whether the code is still valid; it is not spent."""
        authorization, expires_at = self._codes.get(code, (None, 0.0))
        return authorization, self._clock.now() < expires_at

    def spend(self, code: str) -> None:
        """Make a code invalid."""
        self._codes.pop(code, None)

    def revoke(self, user: User) -> None:
        """Make a user's codes invalid: only the newest message counts."""
        for code in [code for code, (found, _) in self._codes.items() if found.user == user]:
            del self._codes[code]
