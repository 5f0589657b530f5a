"""``GET /passwordless/verify_redirect``: where the link in a message leads, and from there to the application."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit, urlunsplit

import attrs
from aiohttp import web

from passwordless_async.testing.endpoints import answers
from passwordless_async.testing.endpoints.answers import NO_STORE, invalid_request

if TYPE_CHECKING:
    from passwordless_async.testing.state.links import Authorization
    from passwordless_async.testing.state.state import Exchange, TenantState

LINK_PATH = "/passwordless/verify_redirect"


def link(state: TenantState, asked: Authorization) -> str:
    """Return a link that passes once; the ones before are dead."""
    state.tickets.revoke(asked.user)
    return f"{state.url}{LINK_PATH}?{urlencode({'ticket': state.tickets.issue(asked)})}"


def follow(exchange: Exchange) -> web.Response:
    """Send the browser to the application, with an authorization code or with what is wrong."""
    state, ticket = exchange.state, exchange.query.get("ticket", "")
    asked, alive = state.tickets.find(ticket)
    if asked is None:
        raise invalid_request("The link is unknown or was used before")
    state.tickets.spend(ticket)
    account = state.users.account(asked.user)
    if not alive or account.blocked:
        refusal = answers.USER_BLOCKED if alive else answers.CODE_EXPIRED
        return _redirect(asked, {"error": "unauthorized", "error_description": refusal.description})
    state.users.add(asked.user)
    code = state.authorization_codes.issue(attrs.evolve(asked, auth_time=state.clock.wall()))
    return _redirect(asked, {"code": code})


def _redirect(asked: Authorization, result: dict[str, str]) -> web.Response:
    if "state" in asked.parameters:
        result["state"] = asked.parameters["state"]
    parts = urlsplit(asked.redirect_uri)
    query = "&".join(filter(None, (parts.query, urlencode(result))))
    return web.Response(status=302, headers={**NO_STORE, "Location": urlunsplit(parts._replace(query=query))})
