"""Codes for users of database connections: each belongs to an ``auth_session``, not to a user."""

from __future__ import annotations

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

_MAX_SESSIONS = 100_000


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
        length = self._settings.code_length
        digits = str(secrets.randbelow(10**length)).zfill(length) if send else None
        name = secrets.token_urlsafe(48)
        self._sessions[name] = _AuthSession(user, client_id, digits, self._clock.now() + self._settings.code_lifetime)
        return name, digits

    def user_of(self, name: str) -> User | None:
        """Return the user of an ``auth_session``, which is not spent."""
        session = self._sessions.get(name)
        return None if session is None else session.user

    def spend(self, name: str, client_id: str, otp: str) -> None:
        """Present a code; the right one spends its ``auth_session``.

        Raises:
            RequestRefused: The code is wrong, expired, used or exhausted: one refusal for all.
        """
        session = self._sessions.get(name)
        if session is None or session.client_id != client_id or self._clock.now() >= session.expires_at:
            raise RequestRefused(DATABASE_CODE)
        right = session.digits is not None and hmac.compare_digest(session.digits.encode(), otp.encode())
        if not right or session.failures >= self._settings.max_attempts:
            session.failures += 1
            raise RequestRefused(DATABASE_CODE)
        del self._sessions[name]
