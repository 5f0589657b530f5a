"""``POST /oauth/revoke`` (RFC 7009): a refresh token's whole family ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from passwordless_async.testing.checks.clients import authenticate
from passwordless_async.testing.endpoints.body import NO_STORE, token_parameters
from passwordless_async.testing.refusals import invalid_request

if TYPE_CHECKING:
    from passwordless_async.testing.state.tenant_state import TenantRequest


def revoke(request: TenantRequest) -> web.Response:
    """Revoke; an unknown token and another application's get the same response (RFC 7009 §2.2)."""
    parameters = token_parameters(request.content_type, request.body)
    application = authenticate(request, parameters, basic_allowed=True)
    token = parameters.get("token")
    if not token:
        raise invalid_request("Missing required parameter: token")
    family = request.state.refresh.find(token, application.client_id)
    if family is not None:
        request.state.refresh.revoke(family)
    return web.Response(status=200, headers=NO_STORE)
