"""Logins between the first factor and the second: MFA tokens and out-of-band challenges."""

from __future__ import annotations

import hmac
import secrets
from collections import OrderedDict
from typing import TYPE_CHECKING

import attrs

from passwordless_async._common.secret import redacted
from passwordless_async.testing.endpoints.answers import (
    MFA_EXPIRED,
    MFA_MALFORMED,
    OOB_EXPIRED,
    Refused,
    invalid_request,
)
from passwordless_async.testing.state.factors import BY_CODE

if TYPE_CHECKING:
    from passwordless_async.testing.settings.settings import TenantSettings
    from passwordless_async.testing.state.clock import TenantClock
    from passwordless_async.testing.state.factors import Factor
    from passwordless_async.testing.state.tokens import Grant
    from passwordless_async.testing.state.users import User

_MAX_SESSIONS = 100_000  # logins in memory; the oldest go first
_BINDING_DIGITS = 6


@attrs.define(eq=False)
class OobChallenge:
    """What was sent out of band.

    Attributes:
        oob_code: Its name.
        factor: Where it was sent.
        binding_code: What the user types; None: the user approves it elsewhere.
        expires_at: Until when it lives.
        approved: What the user said; None: nothing yet.
    """

    oob_code: str = attrs.field(repr=redacted)
    factor: Factor
    binding_code: str | None = attrs.field(repr=redacted)
    expires_at: float
    approved: bool | None = None

    def bound_by(self, binding_code: str) -> bool:
        """Return whether a code is the one that was sent."""
        return hmac.compare_digest((self.binding_code or "").encode(), binding_code.encode())


@attrs.define(eq=False)
class MfaSession:
    """A login that waits for its second factor.

    Attributes:
        mfa_token: Its name.
        grant: What it will yield.
        round: Which factor in the row it waits for, from 1.
        expires_at: Until when.
        challenges: What was sent out of band, newest last, by ``oob_code``.
        failures: Wrong factors so far.
    """

    mfa_token: str = attrs.field(repr=redacted)
    grant: Grant
    round: int
    expires_at: float
    challenges: dict[str, OobChallenge] = attrs.field(factory=dict, repr=False)
    failures: int = 0


@attrs.define
class MfaSessions:
    """The logins that wait."""

    _settings: TenantSettings
    _clock: TenantClock
    _sessions: OrderedDict[str, MfaSession] = attrs.field(factory=OrderedDict, init=False, repr=False)

    def open(self, grant: Grant, number: int) -> MfaSession:
        """Let a login wait for a factor."""
        token = f"Fe26.2*local-tenant*{secrets.token_urlsafe(48)}"
        session = MfaSession(token, grant, number, self._clock.now() + self._settings.mfa_token_lifetime)
        self._sessions[token] = session
        if len(self._sessions) > _MAX_SESSIONS:
            self._sessions.popitem(last=False)
        return session

    def find(self, mfa_token: object, client_id: str | None = None) -> MfaSession:
        """Return the login that a token names.

        Raises:
            Refused: There is none, it waited too long, or it is another application's.
        """
        session = self._sessions.get(mfa_token) if isinstance(mfa_token, str) else None
        if session is None:
            raise Refused(MFA_MALFORMED)
        if self._clock.now() >= session.expires_at:
            raise Refused(MFA_EXPIRED)
        if client_id not in (None, session.grant.client_id):
            raise invalid_request("mfa_token not issued to this client")
        return session

    def close(self, session: MfaSession) -> None:
        """Forget a login: it got its factor, or may try no more."""
        self._sessions.pop(session.mfa_token, None)

    def challenge(self, session: MfaSession, factor: Factor) -> OobChallenge:
        """Send something out of band."""
        code = None
        if factor.kind in BY_CODE:
            code = str(secrets.randbelow(10**_BINDING_DIGITS)).zfill(_BINDING_DIGITS)
        expires_at = self._clock.now() + self._settings.mfa_code_lifetime
        challenge = OobChallenge(f"Fe26.2*oob*{secrets.token_urlsafe(24)}", factor, code, expires_at)
        session.challenges[challenge.oob_code] = challenge
        return challenge

    def challenged(self, session: MfaSession, oob_code: str) -> OobChallenge:
        """Return the challenge that a code names.

        Raises:
            Refused: The login knows none, or it has expired.
        """
        challenge = session.challenges.get(oob_code)
        if challenge is None:
            raise Refused(attrs.evolve(MFA_MALFORMED, description="Invalid oob_code."))
        if self._clock.now() >= challenge.expires_at:
            raise Refused(OOB_EXPIRED)
        return challenge

    def newest(self, user: User) -> OobChallenge | None:
        """Return the newest challenge of a user's newest login that has one."""
        for session in reversed(self._sessions.values()):
            if session.grant.user == user and session.challenges:
                return list(session.challenges.values())[-1]
        return None
