"""The gateway as an application of aiohttp.web: ``app.add_subapp("/auth", gateway.aiohttp())``, or run alone."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

from aiohttp import web
from multidict import CIMultiDict

from passwordless_async.gateway.messages import MAX_BODY_BYTES, Request
from passwordless_async.gateway.queries import read_query

if TYPE_CHECKING:
    from passwordless_async.gateway.messages import Handle

_BELOW = "/{below}"
_ANYTHING = r"/{below:[\s\S]*}"


def application(handle: Handle) -> web.Application:
    """Return the application."""

    async def answer(request: web.Request) -> web.Response:
        response = await handle(_request(request, await _body(request)))
        return web.Response(status=int(response.status), headers=CIMultiDict(response.headers), body=response.body)

    app = web.Application()
    # The first is the path that it is mounted at, without a slash: nothing is below it.
    app.router.add_route("*", "", answer)
    app.router.add_route("*", _ANYTHING, answer)
    return app


def _request(request: web.Request, body: bytes) -> Request:
    resource = request.match_info.route.resource
    mount = "" if resource is None else resource.canonical.removesuffix(_BELOW).rstrip("/")
    return Request(
        method=request.method,
        mount=mount,
        path=request.path.removeprefix(unquote(mount)) or "/",
        query=read_query(request.rel_url.raw_query_string.encode("utf-8", "surrogateescape")),
        headers=request.headers,
        body=body,
        peer=request.remote,
    )


async def _body(request: web.Request) -> bytes:
    """Return the body; of one that is too large the beginning."""
    parts, size = [], 0
    # Not request.read(): its bound, and the response to what is above it, are the application's.
    async for part in request.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > MAX_BODY_BYTES:
            break
    return b"".join(parts)
