"""``POST /oauth/revoke``: end a login at the service (RFC 7009)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from passwordless_async.auth0.refusals import failure
from passwordless_async.auth0.requests import form_request
from passwordless_async.auth0.tenant import Flow, Tenant, own_refresh_token, own_tokens

if TYPE_CHECKING:
    from passwordless_async._common.http import HttpRequest
    from passwordless_async._common.secret import Secret
    from passwordless_async.auth0.application import Application
    from passwordless_async.auth0.tokens import TokenSet


def revoke_request(application: Application, refresh_token: Secret) -> HttpRequest:
    """Build the request; the service revokes the refresh token and all tokens issued from it."""
    return form_request(application, application.revoke_url, {"token": refresh_token})


def revoke(tenant: Tenant, tokens: TokenSet) -> Flow[None]:
    """Revoke the refresh token, and with it the whole session at the service (RFC 7009)."""
    own_tokens(tenant, tokens)
    request = revoke_request(tenant.application, own_refresh_token(tokens))
    response = yield request
    # The body is empty, and an unknown token is a success too (RFC 7009 §2.2).
    if not response.is_success:
        raise failure(request, response)
