"""The authorization code grant (RFC 6749 §4.1.3), with PKCE (RFC 7636) and a bound code (RFC 9449 §10)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from passwordless_async.testing import refusals
from passwordless_async.testing.grants.base import Prepared, check_blocked, check_key
from passwordless_async.testing.refusals import Refusal, RequestRefused
from passwordless_async.testing.state.links import verifies
from passwordless_async.testing.state.tokens import Grant

if TYPE_CHECKING:
    from passwordless_async.testing.grants.base import TokenRequest
    from passwordless_async.testing.state.links import Authorization

CODE_GRANT = "authorization_code"


def prepare(request: TokenRequest) -> Prepared:
    """Read the request; the code is not spent."""
    state, code = request.state, request.required("code")
    authorization, alive = state.authorization_codes.find(code)
    if authorization is not None and authorization.client_id != request.client.client_id:
        authorization = None
    audience = None if authorization is None else authorization.parameters.get("audience")

    def redeem(key: str | None) -> Grant:
        if authorization is None or not alive:
            raise RequestRefused(refusals.INVALID_CODE)
        _check(request, authorization)
        check_key(state, authorization.parameters.get("dpop_jkt"), key)
        state.authorization_codes.spend(code)
        check_blocked(state, authorization.user)
        return Grant(
            user=authorization.user,
            client_id=authorization.client_id,
            scope=tuple(authorization.parameters.get("scope", "").split()),
            audience=audience,
            key=key,
            auth_time=authorization.auth_time,
            auth_time_requested="max_age" in authorization.parameters,
            nonce=authorization.parameters.get("nonce"),
        )

    return Prepared(audience, redeem)


def _check(request: TokenRequest, authorization: Authorization) -> None:
    redirect_uri = request.parameters.get("redirect_uri")
    if redirect_uri != authorization.redirect_uri and (authorization.redirect_uri_given or redirect_uri is not None):
        raise RequestRefused(Refusal(403, "invalid_grant", "The redirect URI is wrong."))
    if not verifies(request.parameters.get("code_verifier"), authorization.parameters.get("code_challenge")):
        raise RequestRefused(Refusal(403, "invalid_grant", "Failed to verify code verifier"))
