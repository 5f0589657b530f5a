"""Pages of other origins (the Fetch standard's CORS protocol): those that an application allows may call the tenant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from passwordless_async.testing.state.tenant_state import TenantRequest

_HEADERS = "Authorization, Content-Type, DPoP, Auth0-Client, X-Request-Language"
_MAX_AGE_SECONDS = 600


def preflight(request: TenantRequest) -> web.Response | None:
    """Answer a CORS preflight; None if the request is no preflight, or the page's origin is not allowed."""
    if request.method != "OPTIONS" or "Access-Control-Request-Method" not in request.headers or not _origin(request):
        return None
    headers = {
        "Access-Control-Allow-Methods": "GET, POST",
        "Access-Control-Allow-Headers": _HEADERS,
        "Access-Control-Max-Age": str(_MAX_AGE_SECONDS),
    }
    return web.Response(status=204, headers=headers)


def allow_origin(request: TenantRequest, response: web.Response) -> None:
    """Let the page that sent a request read its response, if its origin is allowed."""
    if request.state.settings.web_origins:
        response.headers["Vary"] = "Origin"
    if origin := _origin(request):
        response.headers["Access-Control-Allow-Origin"] = origin


def _origin(request: TenantRequest) -> str | None:
    origin = request.headers.get("Origin")
    return origin if origin in request.state.settings.web_origins else None
