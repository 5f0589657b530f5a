"""Logins between the first factor and the second: MFA tokens and out-of-band factor challenges."""

from __future__ import annotations

import hmac
import secrets
from collections import OrderedDict
from typing import TYPE_CHECKING

import attrs

from passwordless_async._common.secret import redacted
from passwordless_async.testing.refusals import (
    MFA_EXPIRED,
    MFA_MALFORMED,
    OOB_EXPIRED,
    RequestRefused,
    invalid_request,
)
from passwordless_async.testing.state.codes import random_digits
from passwordless_async.testing.state.factors import BY_CODE

if TYPE_CHECKING:
    from passwordless_async.testing.settings import TenantSettings
    from passwordless_async.testing.state.clock import TenantClock
    from passwordless_async.testing.state.factors import Factor
    from passwordless_async.testing.state.tokens import Grant
    from passwordless_async.testing.state.users import User

_MAX_LOGINS = 100_000  # in memory; the oldest go first
_BINDING_DIGITS = 6


@attrs.define(eq=False)
class FactorChallenge:
    """A code or push message that was sent out of band.

    Attributes:
        oob_code: Its identifier.
        factor: The factor that it was sent to.
        binding_code: The code that the user types; None: the user approves a push message.
        expires_at: When it expires, by the tenant's clock.
        approved: The user's decision; None: none yet.
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
class MfaLogin:
    """A login that waits for its second factor.

    Attributes:
        mfa_token: Its identifier.
        grant: The grant that it finishes with.
        round: The number of the factor that it waits for, from 1.
        expires_at: When it expires, by the tenant's clock.
        challenges: The factor challenges by ``oob_code``, newest last.
        failures: Wrong factors so far.
    """

    mfa_token: str = attrs.field(repr=redacted)
    grant: Grant
    round: int
    expires_at: float
    challenges: dict[str, FactorChallenge] = attrs.field(factory=dict, repr=False)
    failures: int = 0


@attrs.define
class MfaLogins:
    """The logins that wait for a factor."""

    _settings: TenantSettings
    _clock: TenantClock
    _logins: OrderedDict[str, MfaLogin] = attrs.field(factory=OrderedDict, init=False, repr=False)

    def open(self, grant: Grant, number: int) -> MfaLogin:
        """Return a new login that waits for a factor."""
        token = f"Fe26.2*local-tenant*{secrets.token_urlsafe(48)}"
        login = MfaLogin(token, grant, number, self._clock.now() + self._settings.mfa_token_lifetime)
        self._logins[token] = login
        if len(self._logins) > _MAX_LOGINS:
            self._logins.popitem(last=False)
        return login

    def find(self, mfa_token: object, client_id: str | None = None) -> MfaLogin:
        """Return the login of an ``mfa_token``.

        Raises:
            RequestRefused: There is none, it has expired, or it is another application's.
        """
        login = self._logins.get(mfa_token) if isinstance(mfa_token, str) else None
        if login is None:
            raise RequestRefused(MFA_MALFORMED)
        if self._clock.now() >= login.expires_at:
            raise RequestRefused(MFA_EXPIRED)
        if client_id not in (None, login.grant.client_id):
            raise invalid_request("mfa_token not issued to this client")
        return login

    def close(self, login: MfaLogin) -> None:
        """Forget a login: its factor passed, or it may try no more."""
        self._logins.pop(login.mfa_token, None)

    def challenge_factor(self, login: MfaLogin, factor: Factor) -> FactorChallenge:
        """Send a code or a push message to a factor."""
        code = random_digits(_BINDING_DIGITS) if factor.kind in BY_CODE else None
        expires_at = self._clock.now() + self._settings.mfa_code_lifetime
        challenge = FactorChallenge(f"Fe26.2*oob*{secrets.token_urlsafe(24)}", factor, code, expires_at)
        login.challenges[challenge.oob_code] = challenge
        return challenge

    def factor_challenge(self, login: MfaLogin, oob_code: str) -> FactorChallenge:
        """Return the factor challenge of an ``oob_code``, or refuse an unknown or expired one."""
        challenge = login.challenges.get(oob_code)
        if challenge is None:
            raise RequestRefused(attrs.evolve(MFA_MALFORMED, description="Invalid oob_code."))
        if self._clock.now() >= challenge.expires_at:
            raise RequestRefused(OOB_EXPIRED)
        return challenge

    def newest(self, user: User) -> FactorChallenge | None:
        """Return the newest factor challenge of a user's newest login that has one."""
        for login in reversed(self._logins.values()):
            if login.grant.user == user and login.challenges:
                return list(login.challenges.values())[-1]
        return None
