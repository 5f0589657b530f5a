"""``POST /oauth/token`` with the passwordless OTP grant: exchange a code for tokens."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from passwordless_async.auth0.database import refuses_code
from passwordless_async.auth0.grant import ANY_ID_TOKEN, GrantRequest, grant
from passwordless_async.auth0.id_token import ExpectedIdToken
from passwordless_async.auth0.identity import AuthSession, Login
from passwordless_async.auth0.requests import form_request, forwarded_for_header
from passwordless_async.auth0.tenant import login_key
from passwordless_async.errors import OAuthError, WrongCode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from passwordless_async._common.http import HttpRequest
    from passwordless_async._common.user_address import IpAddress
    from passwordless_async.auth0.application import Application
    from passwordless_async.auth0.tenant import Flow, Tenant
    from passwordless_async.auth0.tokens import TokenSet

OTP_GRANT = "http://auth0.com/oauth/grant-type/passwordless/otp"


def otp_request(application: Application, login: Login, headers: Mapping[str, str] | None) -> HttpRequest:
    """Build the request, for one transmission."""
    if isinstance(login.who, AuthSession):
        user: dict[str, str] = {"auth_session": login.who.auth_session}
    else:
        # The username must be exactly the one that start sent; realm is the connection.
        user = {"username": login.who.username, "realm": login.who.realm}
    fields = {
        **(login.extra_parameters or {}),
        "grant_type": OTP_GRANT,
        **user,
        "otp": login.otp,
        "audience": login.audience,
        "resource": login.resource,
        "redirect_uri": login.redirect_uri,
        "scope": login.scope,
    }
    return form_request(application, application.token_url, fields, headers)


def exchange(tenant: Tenant, login: Login, forwarded_for: IpAddress | str | None = None) -> Flow[TokenSet]:
    """Exchange a code for tokens.

    Raises:
        UsageError: ``forwarded_for`` is invalid, or a key is given to a client that sends no proofs; nothing was sent.
        WrongCode, CodeExpired, TooManyAttempts: The service refused the code.
        As :func:`~passwordless_async.auth0.grant.grant` for the rest.
    """
    key = login_key(tenant, login.key)
    headers = forwarded_for_header(tenant.application, forwarded_for)
    expected = ANY_ID_TOKEN if login.max_age is None else ExpectedIdToken(max_age=login.max_age)
    requested = GrantRequest(scope=login.scope, audience=login.audience, who=login.who, expected=expected)
    try:
        return (yield from grant(tenant, key, partial(otp_request, tenant.application, login, headers), requested))
    except OAuthError as error:
        refused = _refusal(login, error)
    raise refused


def _refusal(login: Login, error: OAuthError) -> OAuthError:
    """Return the error of a refusal; for a database user, a general error means that the code is wrong."""
    if isinstance(login.who, AuthSession) and refuses_code(error, login.otp):
        return WrongCode(status=error.status, error=error.error, error_description=error.error_description)
    return error
