"""``GET /passwordless/verify_redirect``: the target of the link in a message; it redirects to the application."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit, urlunsplit

import attrs
from aiohttp import web

from passwordless_async.testing import refusals
from passwordless_async.testing.endpoints.body import NO_STORE
from passwordless_async.testing.refusals import invalid_request

if TYPE_CHECKING:
    from passwordless_async.testing.state.links import Authorization
    from passwordless_async.testing.state.tenant_state import TenantRequest, TenantState

LINK_PATH = "/passwordless/verify_redirect"


def new_link(state: TenantState, authorization: Authorization) -> str:
    """Return a link that passes once; the user's earlier links are dead."""
    state.tickets.revoke(authorization.user)
    return f"{state.url}{LINK_PATH}?{urlencode({'ticket': state.tickets.issue(authorization)})}"


def follow(request: TenantRequest) -> web.Response:
    """Redirect the browser to the application, with an authorization code or an error."""
    state, ticket = request.state, request.query.get("ticket", "")
    authorization, alive = state.tickets.find(ticket)
    if authorization is None:
        raise invalid_request("The link is unknown or was used before")
    state.tickets.spend(ticket)
    account = state.users.account(authorization.user)
    if not alive or account.blocked:
        refusal = refusals.USER_BLOCKED if alive else refusals.CODE_EXPIRED
        return _redirect(authorization, {"error": "unauthorized", "error_description": refusal.description})
    state.users.add(authorization.user)
    code = state.authorization_codes.issue(attrs.evolve(authorization, auth_time=state.clock.wall()))
    return _redirect(authorization, {"code": code})


def _redirect(authorization: Authorization, result: dict[str, str]) -> web.Response:
    if "state" in authorization.parameters:
        result["state"] = authorization.parameters["state"]
    parts = urlsplit(authorization.redirect_uri)
    query = "&".join(filter(None, (parts.query, urlencode(result))))
    return web.Response(status=302, headers={**NO_STORE, "Location": urlunsplit(parts._replace(query=query))})
