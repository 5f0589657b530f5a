"""What follows a login: refresh (RFC 6749 §6), revocation (RFC 7009) and userinfo (OpenID Connect Core §5.3)."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from passwordless_async._common.http import HttpRequest
from passwordless_async._common.secret import Secret
from passwordless_async.auth0.refusals import failure
from passwordless_async.auth0.requests import form_request
from passwordless_async.errors import MalformedAnswer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from passwordless_async._common.http import HttpResponse
    from passwordless_async.auth0.application import Application

_OK = 200


def refresh_request(
    application: Application, refresh_token: Secret, *, scope: str | None, audience: str | None
) -> HttpRequest:
    """Build the request that spends a refresh token, for one transmission."""
    fields = {"grant_type": "refresh_token", "refresh_token": refresh_token, "scope": scope, "audience": audience}
    return form_request(application, application.token_url, fields)


def revoke_request(application: Application, refresh_token: Secret) -> HttpRequest:
    """Build the request that revokes a refresh token and, at the service, all that came of it."""
    return form_request(application, application.revoke_url, {"token": refresh_token})


def read_revoke(request: HttpRequest, response: HttpResponse) -> None:
    """Read the answer: 200 with an empty body, for a token that was unknown too (RFC 7009 §2.2).

    Raises:
        OAuthError: The service refused.
        MalformedAnswer: The answer is not what the protocol allows.
    """
    if response.status == _OK:
        return
    raise failure(request, response)


def userinfo_request(application: Application, access_token: Secret) -> HttpRequest:
    """Build the request for the claims of the user that the access token is about; it wants a proof with ``ath``."""
    authorization = Secret(f"DPoP {access_token}")
    return HttpRequest("GET", application.userinfo_url, {"Authorization": authorization}, secrets=(access_token,))


def read_userinfo(request: HttpRequest, response: HttpResponse, subject: str | None) -> Mapping[str, Any]:
    """Read the claims, read-only.

    Args:
        request: What was sent.
        response: The answer.
        subject: The ``sub`` of the ID token, which the answer must name too (OpenID Connect Core §5.3.2).

    Raises:
        OAuthError: The service refused.
        MalformedAnswer: The answer is not what the protocol allows, or is about somebody else.
    """
    if response.status == _OK:
        claims = response.require_json_object()
        if not isinstance(claims.get("sub"), str) or subject not in {None, claims["sub"]}:
            raise MalformedAnswer("userinfo has no sub, or is about another user", status=_OK)
        return MappingProxyType(dict(claims))
    raise failure(request, response)
