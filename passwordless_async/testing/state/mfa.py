"""The second factor: when it is required, when it passes, and what the user does with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from passwordless_async.testing import refusals
from passwordless_async.testing.refusals import RequestRefused, invalid_request
from passwordless_async.testing.state.factors import OTP, RECOVERY, Factor, step_at
from passwordless_async.testing.state.limits import FixedWindows
from passwordless_async.testing.state.mfa_logins import FactorChallenge, MfaLogin, MfaLogins
from passwordless_async.testing.state.users import User

if TYPE_CHECKING:
    from collections.abc import Mapping

    from passwordless_async.testing.settings import TenantSettings
    from passwordless_async.testing.state.clock import TenantClock
    from passwordless_async.testing.state.stats import TenantStats
    from passwordless_async.testing.state.tokens import Grant
    from passwordless_async.testing.state.users import HasUsername, Users

_MINUTE = 60.0


@attrs.define
class Mfa:
    """The tenant's second factors; ``otp_for``, ``code_for``, ``approve`` and the like act as the user."""

    _settings: TenantSettings
    _clock: TenantClock
    _users: Users
    _stats: TenantStats
    logins: MfaLogins = attrs.field(init=False, repr=False)
    _polls: FixedWindows = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self.logins = MfaLogins(self._settings, self._clock)
        self._polls = FixedWindows(self._clock, _MINUTE)

    def otp_for(self, who: HasUsername) -> str:
        """Return the code of a user's authenticator app; the next one, where that was used already.

        Raises:
            LookupError: The user has no such app.
        """
        return self._factor_of(who, OTP).otp_at(step_at(self._clock.now()))

    def recovery_code_for(self, who: HasUsername) -> str:
        """Return a user's recovery code.

        Raises:
            LookupError: The user has none.
        """
        return self._factor_of(who, RECOVERY).recovery

    def code_for(self, who: HasUsername) -> str:
        """Return the newest code that a user was sent as a second factor (the ``binding_code``).

        Raises:
            LookupError: The user was sent none.
        """
        challenge = self.logins.newest(User.of(who))
        if challenge is None or challenge.binding_code is None:
            raise LookupError(f"no second factor was sent to {who!r}")
        return challenge.binding_code

    def approve(self, who: HasUsername) -> None:
        """Approve a user's newest push message.

        Raises:
            LookupError: The user was sent none.
        """
        self._newest_push(who).approved = True

    def deny(self, who: HasUsername) -> None:
        """Deny a user's newest push message.

        Raises:
            LookupError: The user was sent none.
        """
        self._newest_push(who).approved = False

    def demand(self, grant: Grant, *, number: int = 1) -> Grant:
        """Return a grant that needs no further factor, or refuse it with ``mfa_required``."""
        settings, account = self._settings, self._users.account(grant.user)
        if number > settings.mfa_rounds or not (account.enrolled or settings.mfa_policy == "always"):
            return grant
        self._stats.mfa_required += 1
        login = self.logins.open(grant, number)
        more = {"mfa_token": login.mfa_token, "mfa_requirements": self._requirements(grant.user)}
        raise RequestRefused(attrs.evolve(refusals.MFA_REQUIRED, status=settings.mfa_status, more=more))

    def passed(self, login: MfaLogin, key: str | None, *, more: Mapping[str, Any] | None = None) -> Grant:
        """Continue a login after its factor passed.

        Args:
            login: The login.
            key: The thumbprint of the proof's key.
            more: Further members of the token response.

        Raises:
            RequestRefused: It needs another factor.
        """
        self.logins.close(login)
        grant = attrs.evolve(login.grant, key=key, more={**login.grant.more, **(more or {})})
        return self.demand(grant, number=login.round + 1)

    def confirm(self, login: MfaLogin, factor: Factor) -> None:
        """Activate a factor that was just associated, and the recovery code that came with it."""
        if not factor.active:
            for other in self._users.account(login.grant.user).factors:
                other.active = other.active or other is factor or other.kind == RECOVERY

    def failed(self, login: MfaLogin, what: str) -> RequestRefused:
        """Count a wrong factor and return the refusal."""
        login.failures += 1
        if login.failures >= self._settings.mfa_max_attempts:
            self.logins.close(login)
            return RequestRefused(refusals.ACCOUNT_BLOCKED)
        return RequestRefused(attrs.evolve(refusals.MFA_MALFORMED, description=f"Invalid {what}."))

    def take_otp(self, login: MfaLogin, otp: str) -> None:
        """Accept an authenticator app's code, or refuse a wrong or used one."""
        step = step_at(self._clock.now())
        for factor in self._users.account(login.grant.user).factors:
            if factor.kind == OTP and factor.takes_otp(otp, step):
                return self.confirm(login, factor)
        raise self.failed(login, "otp_code")

    def take_oob(self, login: MfaLogin, challenge: FactorChallenge, binding_code: str | None) -> None:
        """Accept an answered factor challenge; refuse a missing or wrong code, and a pending or denied message."""
        if challenge.binding_code is None:
            self._poll(login, challenge)
        elif binding_code is None:
            raise invalid_request("binding_code is required")
        elif not challenge.bound_by(binding_code):
            raise self.failed(login, "binding_code")
        self.confirm(login, challenge.factor)

    def _poll(self, login: MfaLogin, challenge: FactorChallenge) -> None:
        self._stats.mfa_polls += 1
        if self._polls.take(login.mfa_token, self._settings.mfa_polls_per_minute) is None:
            raise RequestRefused(refusals.SLOW_DOWN)
        if challenge.approved is None:
            raise RequestRefused(refusals.AUTHORIZATION_PENDING)
        if not challenge.approved:
            self.logins.close(login)
            raise RequestRefused(refusals.MFA_DENIED[self._settings.mfa_denial])

    def _requirements(self, user: User) -> dict[str, Any]:
        account = self._users.account(user)
        if self._settings.mfa_requirements == "challenge_types":
            types = {factor.challenge_type for factor in account.active} or {OTP, "oob"}
            return {"challenge_types": sorted(types)}
        if account.enrolled:
            types = {factor.requirement for factor in account.active}
            return {"challenge": [{"type": kind} for kind in sorted(types)]}
        return {"enroll": [{"type": Factor(kind).requirement} for kind in self._settings.mfa_enrolls]}

    def _factor_of(self, who: HasUsername, kind: str) -> Factor:
        for factor in reversed(self._users.account(User.of(who)).factors):
            if factor.kind == kind:
                return factor
        raise LookupError(f"{who!r} has no factor {kind!r}: add it with users.add(…, mfa=[{kind!r}])")

    def _newest_push(self, who: HasUsername) -> FactorChallenge:
        challenge = self.logins.newest(User.of(who))
        if challenge is None or challenge.binding_code is not None:
            raise LookupError(f"no push message was sent to {who!r}")
        return challenge
