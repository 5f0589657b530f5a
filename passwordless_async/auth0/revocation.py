"""``POST /oauth/revoke``: end what came of a login (RFC 7009)."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from passwordless_async.auth0.refusals import failure
from passwordless_async.auth0.requests import form_request
from passwordless_async.auth0.tenant import own_refresh_token, own_tokens

if TYPE_CHECKING:
    from passwordless_async._common.http import HttpRequest, HttpResponse
    from passwordless_async._common.secret import Secret
    from passwordless_async.auth0.application import Application
    from passwordless_async.auth0.tenant import Flow, Tenant
    from passwordless_async.auth0.tokens import TokenSet


def revoke_request(application: Application, refresh_token: Secret) -> HttpRequest:
    """Build the request; the service revokes the refresh token and all tokens issued from it."""
    return form_request(application, application.revoke_url, {"token": refresh_token})


def read_revoke(request: HttpRequest, response: HttpResponse) -> None:
    """Read the response: 200 with an empty body, also for an unknown token (RFC 7009 §2.2).

    Raises:
        OAuthError: The service refused.
        MalformedAnswer: The answer is not what the protocol allows.
    """
    if response.status != HTTPStatus.OK:
        raise failure(request, response)


def revoke(tenant: Tenant, tokens: TokenSet) -> Flow[None]:
    """Revoke the refresh token, and with it the whole session at the service (RFC 7009)."""
    own_tokens(tenant, tokens)
    request = revoke_request(tenant.application, own_refresh_token(tokens))
    response = yield request
    read_revoke(request, response)
