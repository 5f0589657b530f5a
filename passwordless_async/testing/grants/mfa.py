"""The MFA grants: by authenticator app, out of band, by recovery code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from passwordless_async.testing.grants.base import Prepared, check_key
from passwordless_async.testing.state.factors import RECOVERY

if TYPE_CHECKING:
    from passwordless_async.testing.grants.base import TokenRequest
    from passwordless_async.testing.state.mfa_logins import MfaLogin
    from passwordless_async.testing.state.tokens import Grant

MFA_OTP_GRANT = "http://auth0.com/oauth/grant-type/mfa-otp"
MFA_OOB_GRANT = "http://auth0.com/oauth/grant-type/mfa-oob"
MFA_RECOVERY_GRANT = "http://auth0.com/oauth/grant-type/mfa-recovery-code"


def prepare_otp(request: TokenRequest) -> Prepared:
    """Read a request with an authenticator app's code."""
    login, otp, mfa = _login(request), request.required("otp"), request.state.mfa

    def redeem(key: str | None) -> Grant:
        _check_key(request, login, key)
        mfa.take_otp(login, otp)
        return mfa.passed(login, key)

    return Prepared(login.grant.audience, redeem)


def prepare_oob(request: TokenRequest) -> Prepared:
    """Read a request about an out-of-band factor challenge: with the code that was sent, or as a poll."""
    login, mfa = _login(request), request.state.mfa
    challenge = mfa.logins.factor_challenge(login, request.required("oob_code"))

    def redeem(key: str | None) -> Grant:
        _check_key(request, login, key)
        mfa.take_oob(login, challenge, request.parameters.get("binding_code"))
        return mfa.passed(login, key)

    return Prepared(login.grant.audience, redeem)


def prepare_recovery(request: TokenRequest) -> Prepared:
    """Read a request with a recovery code; the response carries its successor."""
    login, code, mfa = _login(request), request.required("recovery_code"), request.state.mfa
    account = request.state.users.account(login.grant.user)

    def redeem(key: str | None) -> Grant:
        _check_key(request, login, key)
        for factor in account.active:
            if factor.kind == RECOVERY and (successor := factor.takes_recovery(code)) is not None:
                return mfa.passed(login, key, more={"recovery_code": successor})
        raise mfa.failed(login, "recovery_code")

    return Prepared(login.grant.audience, redeem)


def _login(request: TokenRequest) -> MfaLogin:
    return request.state.mfa.logins.find(request.required("mfa_token"), request.client.client_id)


def _check_key(request: TokenRequest, login: MfaLogin, key: str | None) -> None:
    if request.state.settings.mfa_key_bound:
        check_key(request.state, login.grant.key, key)
