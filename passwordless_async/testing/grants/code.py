"""The authorization code grant (RFC 6749 §4.1.3), with PKCE (RFC 7636) and a bound code (RFC 9449 §10)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from passwordless_async.testing.endpoints import answers
from passwordless_async.testing.endpoints.answers import Refusal, Refused
from passwordless_async.testing.grants.admission import check_blocked
from passwordless_async.testing.grants.base import Prepared, check_key
from passwordless_async.testing.state.links import verifies
from passwordless_async.testing.state.tokens import Grant

if TYPE_CHECKING:
    from passwordless_async.testing.grants.base import TokenRequest
    from passwordless_async.testing.state.links import Authorization

CODE_GRANT = "authorization_code"


def prepare(request: TokenRequest) -> Prepared:
    """Read the request; the code is looked at and not spent."""
    state, code = request.state, request.required("code")
    asked, alive = state.authorization_codes.find(code)
    if asked is not None and asked.client_id != request.application.client_id:
        asked = None
    audience = None if asked is None else asked.parameters.get("audience")

    def redeem(key: str | None) -> Grant:
        if asked is None or not alive:
            raise Refused(answers.INVALID_CODE)
        _check(request, asked)
        check_key(state, asked.parameters.get("dpop_jkt"), key)
        state.authorization_codes.spend(code)
        check_blocked(state, asked.user)
        return Grant(
            user=asked.user,
            client_id=asked.client_id,
            scope=tuple(asked.parameters.get("scope", "").split()),
            audience=audience,
            key=key,
            auth_time=asked.auth_time,
            auth_time_asked="max_age" in asked.parameters,
            nonce=asked.parameters.get("nonce"),
        )

    return Prepared(audience, redeem)


def _check(request: TokenRequest, asked: Authorization) -> None:
    redirect_uri = request.parameters.get("redirect_uri")
    if redirect_uri != asked.redirect_uri and (asked.redirect_uri_given or redirect_uri is not None):
        raise Refused(Refusal(403, "invalid_grant", "The redirect URI is wrong."))
    if not verifies(request.parameters.get("code_verifier"), asked.parameters.get("code_challenge")):
        raise Refused(Refusal(403, "invalid_grant", "Failed to verify code verifier"))
