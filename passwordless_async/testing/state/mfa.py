"""The second factor: when it is required, the login that waits for it, its checks, and the user's actions."""

from __future__ import annotations

import hmac
import secrets
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import attrs

from passwordless_async._common.bounded import Bounded
from passwordless_async._common.secret import redacted
from passwordless_async.testing import refusals
from passwordless_async.testing.refusals import RequestRefused, invalid_request
from passwordless_async.testing.state.codes import random_digits
from passwordless_async.testing.state.limits import FixedWindows
from passwordless_async.testing.state.records import Message
from passwordless_async.testing.state.users import BY_CODE, OTP, RECOVERY, Factor, User, step_at

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from passwordless_async.testing.settings import TenantSettings
    from passwordless_async.testing.state.clock import TenantClock
    from passwordless_async.testing.state.records import TenantStats
    from passwordless_async.testing.state.tokens import Grant
    from passwordless_async.testing.state.users import HasUsername, Users

_MINUTE = 60.0
_MAX_LOGINS = 100_000  # in memory; the oldest go first
_BINDING_DIGITS = 6
PUSH_PATH = "/mfa/push"  # in place of the user's phone


@attrs.define(eq=False)
class FactorChallenge:
    """A code or push message that was sent out of band."""

    oob_code: str = attrs.field(repr=redacted)
    factor: Factor
    binding_code: str | None = attrs.field(repr=redacted)  # that the user types; None: the user approves a push message
    expires_at: float
    approved: bool | None = None  # the user's decision; None: none yet
    # Of the link by which a user decides; the application, which has the oob_code, must not.
    ticket: str = attrs.field(factory=lambda: secrets.token_urlsafe(24), repr=redacted)


def new_mfa_token() -> str:
    """Return the ``mfa_token`` of one login."""
    return f"Fe26.2*local-tenant*{secrets.token_urlsafe(48)}"


@attrs.define(eq=False)
class MfaLogin:
    """A login that waits for its second factor."""

    mfa_token: str = attrs.field(repr=redacted)
    grant: Grant  # that it finishes with
    round: int  # the number of the factor that it waits for, from 1
    expires_at: float
    challenges: dict[str, FactorChallenge] = attrs.field(factory=dict, repr=False)  # by oob_code, newest last
    failures: int = 0


@attrs.define
class MfaLogins:
    """The logins that wait for a factor."""

    _settings: TenantSettings
    _clock: TenantClock
    # Not Bounded: reading one would make it the newest.
    _logins: OrderedDict[str, MfaLogin] = attrs.field(factory=OrderedDict, init=False, repr=False)

    def open(self, grant: Grant, number: int) -> MfaLogin:
        """Return a new login that waits for a factor."""
        login = MfaLogin(new_mfa_token(), grant, number, self._clock.now() + self._settings.mfa_token_lifetime)
        self._logins[login.mfa_token] = login
        if len(self._logins) > _MAX_LOGINS:
            self._logins.popitem(last=False)
        return login

    def find(self, mfa_token: object, client_id: str | None = None) -> MfaLogin:
        """Return the login of an ``mfa_token``, or refuse an unknown or expired one, or another application's."""
        login = self._logins.get(mfa_token) if isinstance(mfa_token, str) else None
        if login is None:
            raise RequestRefused(refusals.MFA_MALFORMED)
        if self._clock.now() >= login.expires_at:
            raise RequestRefused(refusals.MFA_EXPIRED)
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
            raise RequestRefused(attrs.evolve(refusals.MFA_MALFORMED, description="Invalid oob_code."))
        if self._clock.now() >= challenge.expires_at:
            raise RequestRefused(refusals.OOB_EXPIRED)
        return challenge

    def newest(self, user: User) -> FactorChallenge | None:
        """Return the newest factor challenge of a user's newest login that has one."""
        for login in reversed(self._logins.values()):
            if login.grant.user == user and login.challenges:
                return list(login.challenges.values())[-1]
        return None


class Mfa:
    """The tenant's second factors; ``otp_for``, ``code_for``, ``approve`` and the like act as the user.

    These raise ``LookupError`` if the user has no such factor, or was sent no message.

    Attributes:
        on_send: Called with each code and push message of a second factor as it is sent; None: not called. The link of
            a push message approves it, with ``&decision=deny`` it denies it.
    """

    def __init__(self, settings: TenantSettings, clock: TenantClock, users: Users, stats: TenantStats) -> None:
        self._settings = settings
        self._clock = clock
        self._users = users
        self._stats = stats
        self.logins: MfaLogins = MfaLogins(settings, clock)
        self._polls = FixedWindows(clock, _MINUTE)
        self._pushes: Bounded[str, FactorChallenge] = Bounded(_MAX_LOGINS)  # by ticket
        self.on_send: Callable[[Message], None] | None = None

    def otp_for(self, who: HasUsername) -> str:
        """Return the code of a user's authenticator app; the next one, where that was used already."""
        return self._factor_of(who, OTP).otp_at(step_at(self._clock.now()))

    def recovery_code_for(self, who: HasUsername) -> str:
        """Return a user's recovery code."""
        return self._factor_of(who, RECOVERY).recovery

    def code_for(self, who: HasUsername) -> str:
        """Return the newest code that a user was sent as a second factor (the ``binding_code``)."""
        challenge = self.logins.newest(User.of(who))
        if challenge is None or challenge.binding_code is None:
            raise LookupError(f"no second factor was sent to {who!r}")
        return challenge.binding_code

    def approve(self, who: HasUsername) -> None:
        """Approve a user's newest push message."""
        self._newest_push(who).approved = True

    def deny(self, who: HasUsername) -> None:
        """Deny a user's newest push message."""
        self._newest_push(who).approved = False

    def send(self, login: MfaLogin, factor: Factor, ip: str, url: str) -> FactorChallenge:
        """Send a code or a push message to a factor; ``url`` is the tenant's."""
        challenge, user = self.logins.challenge_factor(login, factor), login.grant.user
        code, link = challenge.binding_code, None
        if code is None:
            self._pushes[challenge.ticket] = challenge
            link = f"{url}{PUSH_PATH}?ticket={challenge.ticket}"
        if self.on_send is not None:
            now = self._clock.now()
            self.on_send(Message(user.realm, user.username, code, None, ip, now, link, factor=factor.kind))
        return challenge

    def decide(self, ticket: str, *, approved: bool) -> None:
        """Approve or deny a push message by the ticket of its link, or refuse an unknown one."""
        challenge = self._pushes.get(ticket)
        if challenge is None:
            raise invalid_request("The push message is unknown")
        challenge.approved = approved

    def demand(self, grant: Grant, *, number: int = 1) -> Grant:
        """Return a grant that needs no further factor, or refuse it with ``mfa_required``."""
        settings, account = self._settings, self._users.account(grant.user)
        if number > settings.mfa_rounds or not (account.enrolled or settings.mfa_policy == "always"):
            return grant
        self._stats.mfa_required += 1
        login = self.logins.open(grant, number)
        more = {"mfa_token": login.mfa_token, "mfa_requirements": self._requirements(grant.user)}
        raise RequestRefused(attrs.evolve(refusals.MFA_REQUIRED, status=settings.mfa_status, more=more))

    def passed(self, login: MfaLogin, key: str | None, *, more: Mapping[str, str]) -> Grant:
        """Continue a login after its factor passed, or refuse it if it needs another one.

        ``key`` is the thumbprint of the proof's key, ``more`` holds further members of the token response.
        """
        self.logins.close(login)
        grant = attrs.evolve(login.grant, key=key, factor_passed=True, more={**login.grant.more, **more})
        return self.demand(grant, number=login.round + 1)

    def _confirm(self, login: MfaLogin, factor: Factor) -> Mapping[str, str]:
        """Activate a factor that was just associated, and the recovery code that came with it."""
        if not factor.active:
            for other in self._users.account(login.grant.user).factors:
                other.active = other.active or other is factor or other.kind == RECOVERY
        return {}

    def _failed(self, login: MfaLogin, what: str) -> RequestRefused:
        """Count a wrong factor and return the refusal."""
        login.failures += 1
        if login.failures >= self._settings.mfa_max_attempts:
            self.logins.close(login)
            return RequestRefused(refusals.ACCOUNT_BLOCKED)
        return RequestRefused(attrs.evolve(refusals.MFA_MALFORMED, description=f"Invalid {what}."))

    def take_otp(self, login: MfaLogin, otp: str) -> Mapping[str, str]:
        """Accept an authenticator app's code, or refuse a wrong or used one."""
        step = step_at(self._clock.now())
        for factor in self._users.account(login.grant.user).factors:
            if factor.kind == OTP and factor.takes_otp(otp, step):
                return self._confirm(login, factor)
        raise self._failed(login, "otp_code")

    def take_oob(self, login: MfaLogin, challenge: FactorChallenge, binding_code: str | None) -> Mapping[str, str]:
        """Accept an answered factor challenge; refuse a missing or wrong code, and a pending or denied message."""
        if challenge.binding_code is None:
            self._poll(login, challenge)
        elif binding_code is None:
            raise invalid_request("binding_code is required")
        elif not hmac.compare_digest(challenge.binding_code.encode(), binding_code.encode()):
            raise self._failed(login, "binding_code")
        return self._confirm(login, challenge.factor)

    def take_recovery(self, login: MfaLogin, code: str) -> Mapping[str, str]:
        """Accept a recovery code and return its successor for the response, or refuse a wrong one."""
        for factor in self._users.account(login.grant.user).active:
            if factor.kind == RECOVERY and (successor := factor.takes_recovery(code)) is not None:
                return {"recovery_code": successor}
        raise self._failed(login, "recovery_code")

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
