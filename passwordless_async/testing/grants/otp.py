"""The passwordless OTP grant, and the same grant for database connections."""

from __future__ import annotations

from typing import TYPE_CHECKING

from passwordless_async.testing import refusals
from passwordless_async.testing.grants.base import Prepared, admit, present_guarded
from passwordless_async.testing.refusals import RequestRefused, invalid_request
from passwordless_async.testing.state.codes import Verdict
from passwordless_async.testing.state.tokens import Grant
from passwordless_async.testing.state.users import User

if TYPE_CHECKING:
    from passwordless_async.testing.grants.base import TokenRequest
    from passwordless_async.testing.state.tenant_state import TenantState

OTP_GRANT = "http://auth0.com/oauth/grant-type/passwordless/otp"


def prepare(request: TokenRequest) -> Prepared:
    """Read the request."""
    if not request.state.settings.grant_enabled:
        raise RequestRefused(refusals.UNAUTHORIZED_CLIENT)
    return _database(request) if "auth_session" in request.parameters else _passwordless(request)


def _passwordless(request: TokenRequest) -> Prepared:
    state = request.state
    username, otp, realm = (request.required(name) for name in ("username", "otp", "realm"))
    if realm not in refusals.WRONG_CODE:
        raise invalid_request("The realm does not exist")
    if state.settings.redirect_uri_required and "redirect_uri" not in request.parameters:
        raise invalid_request("Missing required parameter: redirect_uri")
    user = User(realm, username)

    def redeem(key: str | None) -> Grant:
        present_guarded(state, user, lambda: _spend(state, user, otp))
        state.users.add(user)
        return admit(state, _grant(request, user, key))

    return Prepared(request.audience, redeem)


def _database(request: TokenRequest) -> Prepared:
    state, client_id = request.state, request.client.client_id
    session, otp = request.required("auth_session"), request.required("otp")
    if request.parameters.keys() & {"username", "realm"}:
        raise invalid_request("auth_session replaces username and realm")
    user = state.auth_sessions.user_of(session)

    def redeem(key: str | None) -> Grant:
        if user is None:
            raise RequestRefused(refusals.DATABASE_CODE)
        present_guarded(state, user, lambda: state.auth_sessions.spend(session, client_id, otp))
        state.users.add(user, database=True)
        return admit(state, _grant(request, user, key, database=True))

    return Prepared(request.audience, redeem)


def _grant(request: TokenRequest, user: User, key: str | None, *, database: bool = False) -> Grant:
    return Grant(
        user=user,
        client_id=request.client.client_id,
        scope=request.scope,
        audience=request.audience,
        key=key,
        database=database,
    )


def _spend(state: TenantState, user: User, otp: str) -> None:
    verdict = state.codes.present(user, otp)
    if verdict is Verdict.RIGHT:
        return
    raise RequestRefused(
        {
            Verdict.WRONG: refusals.WRONG_CODE[user.realm],
            Verdict.EXPIRED: refusals.CODE_EXPIRED,
            Verdict.TOO_MANY_ATTEMPTS: refusals.TOO_MANY_ATTEMPTS,
        }[verdict]
    )
