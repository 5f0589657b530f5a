"""The grants of a second factor: by authenticator app, out of band, by recovery code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from passwordless_async.testing.grants.base import Prepared, check_key
from passwordless_async.testing.state.factors import RECOVERY

if TYPE_CHECKING:
    from passwordless_async.testing.grants.base import TokenRequest
    from passwordless_async.testing.state.mfa_sessions import MfaSession
    from passwordless_async.testing.state.tokens import Grant

MFA_OTP_GRANT = "http://auth0.com/oauth/grant-type/mfa-otp"
MFA_OOB_GRANT = "http://auth0.com/oauth/grant-type/mfa-oob"
MFA_RECOVERY_GRANT = "http://auth0.com/oauth/grant-type/mfa-recovery-code"


def prepare_otp(request: TokenRequest) -> Prepared:
    """Read a request with a code of an authenticator app."""
    session, otp, mfa = _session(request), request.required("otp"), request.state.mfa

    def redeem(key: str | None) -> Grant:
        _check_key(request, session, key)
        mfa.take_otp(session, otp)
        return mfa.passed(session, key)

    return Prepared(session.grant.audience, redeem)


def prepare_oob(request: TokenRequest) -> Prepared:
    """Read a request for an out-of-band challenge, with the code that was sent or as a poll."""
    session, mfa = _session(request), request.state.mfa
    challenge = mfa.sessions.challenged(session, request.required("oob_code"))

    def redeem(key: str | None) -> Grant:
        _check_key(request, session, key)
        mfa.take_oob(session, challenge, request.parameters.get("binding_code"))
        return mfa.passed(session, key)

    return Prepared(session.grant.audience, redeem)


def prepare_recovery(request: TokenRequest) -> Prepared:
    """Read a request with a recovery code; the answer brings the one that takes its place."""
    session, code, mfa = _session(request), request.required("recovery_code"), request.state.mfa
    account = request.state.users.account(session.grant.user)

    def redeem(key: str | None) -> Grant:
        _check_key(request, session, key)
        for factor in account.active:
            if factor.kind == RECOVERY and (successor := factor.takes_recovery(code)) is not None:
                return mfa.passed(session, key, recovery_code=successor)
        raise mfa.failed(session, "recovery_code")

    return Prepared(session.grant.audience, redeem)


def _session(request: TokenRequest) -> MfaSession:
    return request.state.mfa.sessions.find(request.required("mfa_token"), request.application.client_id)


def _check_key(request: TokenRequest, session: MfaSession, key: str | None) -> None:
    if request.state.settings.mfa_key_bound:
        check_key(request.state, session.grant.key, key)
