"""``POST /oauth/revoke`` (RFC 7009): a refresh token's whole family ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from passwordless_async.testing.checks.clients import authenticate
from passwordless_async.testing.endpoints.answers import NO_STORE, invalid_request
from passwordless_async.testing.endpoints.body import token_parameters

if TYPE_CHECKING:
    from passwordless_async.testing.state.state import Exchange


def revoke(exchange: Exchange) -> web.Response:
    """Revoke; a token that is unknown, or another application's, is answered alike (RFC 7009 §2.2)."""
    parameters = token_parameters(exchange.content_type, exchange.body)
    application = authenticate(exchange, parameters, basic_allowed=True)
    token = parameters.get("token")
    if not token:
        raise invalid_request("Missing required parameter: token")
    refresh = exchange.state.refresh
    family = refresh.find(token, application.client_id)
    if family is not None:
        refresh.revoke(family)
    return web.Response(status=200, headers=NO_STORE)
