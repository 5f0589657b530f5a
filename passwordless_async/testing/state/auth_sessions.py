"""Codes for users of database connections: each belongs to an ``auth_session`` and not to a user."""

from __future__ import annotations

import hmac
import secrets
from collections import OrderedDict
from typing import TYPE_CHECKING

import attrs

from passwordless_async._common.secret import redacted
from passwordless_async.testing.endpoints.answers import DATABASE_CODE, Refused

if TYPE_CHECKING:
    from passwordless_async.testing.settings.settings import TenantSettings
    from passwordless_async.testing.state.clock import TenantClock
    from passwordless_async.testing.state.users import User

_MAX_SESSIONS = 100_000  # sessions in memory; the oldest go first


@attrs.define
class _Session:
    user: User
    client_id: str
    digits: str | None = attrs.field(repr=redacted)
    expires_at: float
    failures: int = 0


@attrs.define
class AuthSessions:
    """The sessions that wait for a code."""

    _settings: TenantSettings
    _clock: TenantClock
    _sessions: OrderedDict[str, _Session] = attrs.field(factory=OrderedDict, init=False, repr=False)

    def open(self, user: User, client_id: str, *, send: bool) -> tuple[str, str | None]:
        """Return a new session's name and its code; None: nothing is sent, and no code will do."""
        length = self._settings.code_length
        digits = str(secrets.randbelow(10**length)).zfill(length) if send else None
        name = secrets.token_urlsafe(48)
        self._sessions[name] = _Session(user, client_id, digits, self._clock.now() + self._settings.code_lifetime)
        if len(self._sessions) > _MAX_SESSIONS:
            self._sessions.popitem(last=False)
        return name, digits

    def user_of(self, name: str) -> User | None:
        """Return whom a session is about; nothing is spent."""
        session = self._sessions.get(name)
        return None if session is None else session.user

    def spend(self, name: str, client_id: str, otp: str) -> None:
        """Present the code of a session; it is spent now.

        Raises:
            Refused: It is wrong, expired, used or exhausted, in one answer for all.
        """
        session = self._sessions.get(name)
        if session is None or session.client_id != client_id or self._clock.now() >= session.expires_at:
            raise Refused(DATABASE_CODE)
        right = session.digits is not None and hmac.compare_digest(session.digits.encode(), otp.encode())
        if not right or session.failures >= self._settings.max_attempts:
            session.failures += 1
            raise Refused(DATABASE_CODE)
        del self._sessions[name]
