"""The passwordless OTP grant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from passwordless_async.testing import answers
from passwordless_async.testing.answers import Refused, invalid_request
from passwordless_async.testing.codes import Verdict
from passwordless_async.testing.grants import Prepared
from passwordless_async.testing.tokens import Grant
from passwordless_async.testing.users import User

if TYPE_CHECKING:
    from passwordless_async.testing.grants import TokenRequest
    from passwordless_async.testing.state import TenantState

OTP_GRANT = "http://auth0.com/oauth/grant-type/passwordless/otp"


def prepare(request: TokenRequest) -> Prepared:
    """Read the request."""
    state, parameters = request.state, request.parameters
    if not state.settings.grant_enabled:
        raise Refused(answers.UNAUTHORIZED_CLIENT)
    username, otp, realm = (request.required(name) for name in ("username", "otp", "realm"))
    if realm not in answers.WRONG_CODE:
        raise invalid_request("The realm does not exist")
    if state.settings.redirect_uri_required and "redirect_uri" not in parameters:
        raise invalid_request("Missing required parameter: redirect_uri")
    user = User(realm, username)

    def redeem(key: str | None) -> Grant:
        _spend(state, user, otp)
        state.users.add(user)
        grant = Grant(
            user=user,
            client_id=request.application.client_id,
            scope=request.scope,
            audience=request.audience,
            key=key,
        )
        return state.mfa.demand(grant)

    return Prepared(request.audience, redeem)


def _spend(state: TenantState, user: User, otp: str) -> None:
    """Present a code; it is spent now."""
    state.stats.codes_presented += 1
    verdict = state.codes.present(user, otp)
    if verdict is Verdict.RIGHT:
        return
    state.stats.codes_refused += 1
    raise Refused(
        {
            Verdict.WRONG: answers.WRONG_CODE[user.realm],
            Verdict.EXPIRED: answers.CODE_EXPIRED,
            Verdict.TOO_MANY_ATTEMPTS: answers.TOO_MANY_ATTEMPTS,
        }[verdict]
    )
