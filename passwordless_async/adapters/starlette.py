"""Protecting endpoints of Starlette, one by one; needs the extra ``starlette``.

.. code-block:: python

    @protect(server, scopes={"read:messages"})
    async def messages(request: Request) -> Response:
        return JSONResponse({"of": request[AUTHORIZED].subject})

    app = Starlette(routes=[Route("/messages", messages), *metadata_routes(server)])

``request[AUTHORIZED]`` has the user and the granted scopes. For a whole application there is
:class:`~passwordless_async.adapters.asgi.DPoPASGIMiddleware`.
"""

from __future__ import annotations

import inspect
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, cast
from urllib.parse import unquote

from passwordless_async._common.extras import missing_extra
from passwordless_async.adapters._authorize import Authorizer
from passwordless_async.adapters._metadata import HEADERS, MetadataDocuments
from passwordless_async.adapters._scopes import AUTHORIZED, POLICY_VIOLATION, authorize, passed
from passwordless_async.dpop.server.refusal import refusal_body, refusal_headers
from passwordless_async.errors import UsageError
from passwordless_async.resource_server.guard import REFUSALS, Refusal

try:
    from starlette.concurrency import run_in_threadpool
    from starlette.datastructures import MutableHeaders
    from starlette.exceptions import HTTPException, WebSocketException
    from starlette.requests import HTTPConnection, Request
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route
except ModuleNotFoundError as _missing:
    raise missing_extra("starlette", _missing, library="starlette") from None

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from passwordless_async.resource_server.requirements import Requirements
    from passwordless_async.resource_server.server import ResourceServer

    Protected = TypeVar("Protected", bound=Callable[..., Any])

__all__ = ["AUTHORIZED", "metadata_routes", "protect"]

_EXPOSED = "Access-Control-Expose-Headers"


def protect(
    server: ResourceServer, *, trusted_proxies: int = 0, **requirements: Unpack[Requirements]
) -> Callable[[Protected], Protected]:
    """Make a decorator of endpoints that need a valid access token: functions, and methods of an ``HTTPEndpoint``.

    A request that has passed the middleware of the same server, or another decorator, is not checked twice: its proof
    is spent once. The decorator then checks only its own requirements. An endpoint of a WebSocket is
    protected too; its handshake offers no newer nonce.

    Args:
        server: Checks tokens and proofs.
        trusted_proxies: The number of your proxies that add to ``Forwarded`` or ``X-Forwarded-Host``, which select one
            of several base URLs; 0: these fields are not read.
        requirements: ``scopes``, ``any_scope``, ``permissions``, ``max_age`` and ``acr_values``, as for
            :meth:`ResourceServer.authorize <passwordless_async.ResourceServer.authorize>`.

    Returns:
        The decorator. ``request[AUTHORIZED]`` is the :class:`~passwordless_async.Authorized` in the endpoint.

    Raises:
        UsageError: An argument has a wrong type or value.
    """
    authorizer = Authorizer.of_server(server, trusted_proxies=trusted_proxies, requirements=requirements)

    def decorate(endpoint: Protected) -> Protected:
        if isinstance(endpoint, type) or not callable(endpoint):
            raise UsageError("endpoint", "must be a function, or a method of an HTTPEndpoint")
        # The second: an object with an async __call__.
        is_async = any(map(inspect.iscoroutinefunction, (endpoint, type(endpoint).__call__)))

        @wraps(endpoint)
        async def protected(*arguments: object) -> object:
            connection = _connection_of(arguments)
            try:
                authorized, is_known = await authorize(authorizer, connection.scope)
            except REFUSALS as error:
                return _refusal(error, connection)
            connection.scope.update(passed(authorizer, authorized))
            answer = endpoint(*arguments) if is_async else run_in_threadpool(endpoint, *arguments)
            return await (answer if is_known or not authorized.headers else _offering(answer, authorized.headers))

        return cast("Protected", protected)

    return decorate


async def _offering(answer: Awaitable[object], offered: Mapping[str, str]) -> object:
    """Add a newer nonce to the response."""
    try:
        response = await answer
    except HTTPException as error:
        error.headers = headers = MutableHeaders(error.headers or {})
        offer(headers, offered)
        raise
    if isinstance(response, Response):
        offer(response.headers, offered)
    return response


def offer(headers: MutableHeaders, offered: Mapping[str, str]) -> None:
    """Add a newer nonce to header fields; what the application exposes to pages stays exposed."""
    exposed = headers.get(_EXPOSED)
    headers.update(offered)
    if exposed is not None:
        headers[_EXPOSED] = f"{exposed}, {offered[_EXPOSED]}"


def metadata_routes(server: ResourceServer, *, trusted_proxies: int = 0) -> list[Route]:
    """Return the routes of an API's metadata (RFC 9728), for the application at the root of its host.

    Args:
        server: The server, made with ``metadata``.
        trusted_proxies: As for :func:`protect`; with several hosts, each has its own document.

    Raises:
        UsageError: An argument has a wrong type, or the server has no metadata.
    """
    documents = MetadataDocuments.required(server, trusted_proxies=trusted_proxies)

    def route(path: str) -> Route:
        async def metadata(request: Request) -> Response:
            return Response(documents.get(path, request.headers.items()), headers=HEADERS)

        return Route(unquote(path), metadata)  # a path is decoded before it is compared

    return [route(path) for path in documents.paths]


def _connection_of(arguments: tuple[object, ...]) -> HTTPConnection:
    """Return the request, or the WebSocket, among an endpoint's arguments: the last one."""
    given = arguments[-1] if arguments else None
    if not isinstance(given, HTTPConnection):
        raise UsageError("endpoint", "must take a Request or a WebSocket")
    return given


def _refusal(error: Refusal, connection: HTTPConnection) -> Response:
    """Return the answer to a refused request; for a WebSocket, raise what makes Starlette send it."""
    if connection.scope["type"] != "websocket":
        return JSONResponse(refusal_body(error), status_code=error.status, headers=refusal_headers(error))
    raise refused_websocket(error, connection)


def refused_websocket(error: Refusal, connection: HTTPConnection) -> HTTPException | WebSocketException:
    """Return the exception that makes Starlette refuse a handshake: with a response, if the server can send one."""
    if "websocket.http.response" in (connection.scope.get("extensions") or ()):
        return HTTPException(error.status, detail=error.error, headers=refusal_headers(error))
    return WebSocketException(POLICY_VIOLATION, reason=error.error)
