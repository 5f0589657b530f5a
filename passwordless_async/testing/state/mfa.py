"""The second factor: when it is asked for, when it passes, and what the user does with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from passwordless_async.testing.endpoints import answers
from passwordless_async.testing.endpoints.answers import Refused, invalid_request
from passwordless_async.testing.state.factors import OTP, RECOVERY, Factor
from passwordless_async.testing.state.limits import Windows
from passwordless_async.testing.state.mfa_sessions import MfaSession, MfaSessions, OobChallenge
from passwordless_async.testing.state.totp import step_at
from passwordless_async.testing.state.users import User

if TYPE_CHECKING:
    from passwordless_async.testing.settings.settings import TenantSettings
    from passwordless_async.testing.state.clock import TenantClock
    from passwordless_async.testing.state.stats import TenantStats
    from passwordless_async.testing.state.tokens import Grant
    from passwordless_async.testing.state.users import Named, Users

_MINUTE = 60.0


@attrs.define
class Mfa:
    """The tenant's second factors; its public methods are the hands of the users."""

    _settings: TenantSettings
    _clock: TenantClock
    _users: Users
    _stats: TenantStats
    sessions: MfaSessions = attrs.field(init=False, repr=False)
    _polls: Windows = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self.sessions = MfaSessions(self._settings, self._clock)
        self._polls = Windows(self._clock, _MINUTE)

    def otp_for(self, who: Named) -> str:
        """Return the code that somebody's authenticator app shows; where that one was used already, the next.

        Raises:
            LookupError: They have no such app.
        """
        return self._factor_of(who, OTP).otp_at(step_at(self._clock.now()))

    def recovery_code_for(self, who: Named) -> str:
        """Return the recovery code that somebody wrote down.

        Raises:
            LookupError: They have none.
        """
        return self._factor_of(who, RECOVERY).recovery

    def code_for(self, who: Named) -> str:
        """Return the newest code that somebody was sent as a second factor (the ``binding_code``).

        Raises:
            LookupError: They were sent none.
        """
        challenge = self.sessions.newest(User.of(who))
        if challenge is None or challenge.binding_code is None:
            raise LookupError(f"no second factor was sent to {who!r}")
        return challenge.binding_code

    def approve(self, who: Named) -> None:
        """Let somebody approve the newest push message.

        Raises:
            LookupError: They were sent none.
        """
        self._newest_push(who).approved = True

    def deny(self, who: Named) -> None:
        """Let somebody deny the newest push message.

        Raises:
            LookupError: They were sent none.
        """
        self._newest_push(who).approved = False

    def demand(self, grant: Grant, *, number: int = 1) -> Grant:
        """Return a grant whose user needs no further factor.

        Raises:
            Refused: ``mfa_required``.
        """
        settings, account = self._settings, self._users.account(grant.user)
        if number > settings.mfa_rounds or not (account.enrolled or settings.mfa_policy == "always"):
            return grant
        self._stats.mfa_required += 1
        session = self.sessions.open(grant, number)
        more = {"mfa_token": session.mfa_token, "mfa_requirements": self._requirements(grant.user)}
        raise Refused(attrs.evolve(answers.MFA_REQUIRED, status=settings.mfa_status, more=more))

    def passed(self, session: MfaSession, key: str | None, **more: Any) -> Grant:  # noqa: ANN401 - members of the answer
        """Let a login go on that has got its factor.

        Raises:
            Refused: It needs another one.
        """
        self.sessions.close(session)
        grant = attrs.evolve(session.grant, key=key, more={**session.grant.more, **more})
        return self.demand(grant, number=session.round + 1)

    def confirm(self, session: MfaSession, factor: Factor) -> None:
        """Let a factor count that was just associated, and the recovery code that came with it."""
        if not factor.active:
            for kept in self._users.account(session.grant.user).factors:
                kept.active = kept.active or kept is factor or kept.kind == RECOVERY

    def failed(self, session: MfaSession, what: str) -> Refused:
        """Count a wrong factor and return the refusal."""
        session.failures += 1
        if session.failures >= self._settings.mfa_max_attempts:
            self.sessions.close(session)
            return Refused(answers.ACCOUNT_BLOCKED)
        return Refused(attrs.evolve(answers.MFA_MALFORMED, description=f"Invalid {what}."))

    def take_otp(self, session: MfaSession, otp: str) -> None:
        """Check a code of an authenticator app.

        Raises:
            Refused: It does not pass.
        """
        step = step_at(self._clock.now())
        for factor in self._users.account(session.grant.user).factors:
            if factor.kind == OTP and factor.takes_otp(otp, step):
                return self.confirm(session, factor)
        raise self.failed(session, "otp_code")

    def take_oob(self, session: MfaSession, challenge: OobChallenge, binding_code: str | None) -> None:
        """Check what became of an out-of-band challenge.

        Raises:
            Refused: The code is missing or wrong, or the user has not approved it.
        """
        if challenge.binding_code is None:
            self._poll(session, challenge)
        elif binding_code is None:
            raise invalid_request("binding_code is required")
        elif not challenge.bound_by(binding_code):
            raise self.failed(session, "binding_code")
        self.confirm(session, challenge.factor)

    def _poll(self, session: MfaSession, challenge: OobChallenge) -> None:
        self._stats.mfa_polls += 1
        if self._polls.take(session.mfa_token, self._settings.mfa_polls_per_minute) is None:
            raise Refused(answers.SLOW_DOWN)
        if challenge.approved is None:
            raise Refused(answers.AUTHORIZATION_PENDING)
        if not challenge.approved:
            self.sessions.close(session)
            raise Refused(answers.MFA_DENIED[self._settings.mfa_denial])

    def _requirements(self, user: User) -> dict[str, Any]:
        account = self._users.account(user)
        if self._settings.mfa_requirements == "challenge_types":
            types = {factor.challenge_type for factor in account.active} or {OTP, "oob"}
            return {"challenge_types": sorted(types)}
        if account.enrolled:
            types = {factor.requirement for factor in account.active}
            return {"challenge": [{"type": kind} for kind in sorted(types)]}
        return {"enroll": [{"type": Factor(kind).requirement} for kind in self._settings.mfa_enrolls]}

    def _factor_of(self, who: Named, kind: str) -> Factor:
        for factor in reversed(self._users.account(User.of(who)).factors):
            if factor.kind == kind:
                return factor
        raise LookupError(f"{who!r} has no factor {kind!r}: add it with users.add(…, mfa=[{kind!r}])")

    def _newest_push(self, who: Named) -> OobChallenge:
        challenge = self.sessions.newest(User.of(who))
        if challenge is None or challenge.binding_code is not None:
            raise LookupError(f"no push message was sent to {who!r}")
        return challenge
