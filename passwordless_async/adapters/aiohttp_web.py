"""Protecting handlers of aiohttp.web, one by one or a whole application.

.. code-block:: python

    @protect(server, scopes={"read:messages"})
    async def messages(request: web.Request) -> web.Response:
        return web.json_response({"of": request[AUTHORIZED].subject})

    app = web.Application(middlewares=[dpop_middleware(server, public=["/health"])])

``request[AUTHORIZED]`` has the user and the granted scopes. After the middleware, ``request[DPOP]`` is the checked
proof, which is missing for a Bearer token, and ``request[TOKEN]`` has the claims of the token. The keys are typed.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, cast, overload
from urllib.parse import unquote

import attrs
from aiohttp import web

from passwordless_async.adapters._authorize import PASSED, Authorizer, Passed, TokenInfo, of_either
from passwordless_async.adapters._metadata import HEADERS, MetadataDocuments
from passwordless_async.adapters._paths import PublicPaths, checked_exempt
from passwordless_async.dpop.server.checked import CheckedProof
from passwordless_async.dpop.server.refusal import refusal_body, refusal_headers
from passwordless_async.errors import UsageError
from passwordless_async.resource_server.guard import REFUSALS, Authorized, Refusal

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler, Middleware

    from passwordless_async.dpop.server.verifier import DPoPVerifier
    from passwordless_async.resource_server.requirements import Requirements
    from passwordless_async.resource_server.server import ResourceServer

    Protected = TypeVar("Protected", bound=Callable[..., Awaitable[web.StreamResponse]])

__all__ = ["AUTHORIZED", "DPOP", "TOKEN", "dpop_middleware", "metadata_routes", "protect"]

if TYPE_CHECKING or hasattr(web, "RequestKey"):
    AUTHORIZED: web.RequestKey[Authorized] = web.RequestKey("authorized", Authorized)
    """The request's key for the :class:`~passwordless_async.Authorized`."""

    DPOP: web.RequestKey[CheckedProof] = web.RequestKey("dpop", CheckedProof)
    """The request's key for the :class:`~passwordless_async.CheckedProof`; it is missing for a Bearer token."""

    TOKEN: web.RequestKey[Mapping[str, Any]] = web.RequestKey("dpop_token", Mapping)
    """The request's key for the claims of the access token."""

    _PASSED: web.RequestKey[Passed] = web.RequestKey(PASSED, Passed)
else:  # aiohttp before 3.14 has no typed keys
    AUTHORIZED = "authorized"
    DPOP = "dpop"
    TOKEN = f"{DPOP}_token"
    _PASSED = PASSED


def protect(
    server: ResourceServer, *, trusted_proxies: int = 0, **requirements: Unpack[Requirements]
) -> Callable[[Protected], Protected]:
    """Make a decorator of handlers that need a valid access token: functions, and methods of a ``web.View``.

    A request that has passed the middleware of the same server, or another decorator, is not checked twice: its proof
    is spent once. The decorator then checks only its own requirements.

    Args:
        server: Checks tokens and proofs.
        trusted_proxies: The number of your proxies that add to ``Forwarded`` or ``X-Forwarded-Host``, which select one
            of several base URLs; 0: these fields are not read.
        requirements: ``scopes``, ``any_scope``, ``permissions``, ``max_age`` and ``acr_values``, as for
            :meth:`ResourceServer.authorize <passwordless_async.ResourceServer.authorize>`.

    Returns:
        The decorator. ``request[AUTHORIZED]`` is the :class:`~passwordless_async.Authorized` in the handler.

    Raises:
        UsageError: An argument has a wrong type or value.
    """
    authorizer = Authorizer.of_server(server, trusted_proxies=trusted_proxies, requirements=requirements)

    def decorate(handler: Protected) -> Protected:
        if isinstance(handler, type) or not callable(handler):
            raise UsageError("handler", "must be a function, or a method of a web.View")
        if not _is_async(handler):
            raise UsageError("handler", "must be async: async def")

        @wraps(handler)
        async def protected(*arguments: object) -> web.StreamResponse:
            request = _request_of(arguments)
            try:
                authorized, is_known = await _authorize(authorizer, request)
            except REFUSALS as error:
                return _refusal(error)
            request[AUTHORIZED] = authorized
            offered = {} if is_known else authorized.headers
            return await _offering(lambda: handler(*arguments), offered) if offered else await handler(*arguments)

        return cast("Protected", protected)

    return decorate


@overload
def dpop_middleware(
    verifier: DPoPVerifier,
    token_info: TokenInfo,
    *,
    allow_bearer: bool = ...,
    exempt: Callable[[web.Request], bool] | None = ...,
    public: Iterable[str] = ...,
    trusted_proxies: int = ...,
) -> Middleware: ...
@overload
def dpop_middleware(
    verifier: ResourceServer,
    *,
    exempt: Callable[[web.Request], bool] | None = ...,
    public: Iterable[str] = ...,
    trusted_proxies: int = ...,
) -> Middleware: ...
def dpop_middleware(
    verifier: DPoPVerifier | ResourceServer,
    token_info: TokenInfo | None = None,
    *,
    allow_bearer: bool = False,
    exempt: Callable[[web.Request], bool] | None = None,
    public: Iterable[str] = (),
    trusted_proxies: int = 0,
) -> Middleware:
    """Make a middleware that requires a valid access token, and its proof if the token is bound.

    Args:
        verifier: A :class:`~passwordless_async.ResourceServer`, which checks tokens and proofs and makes the middleware
            serve its metadata; or a verifier, which checks the proofs.
        token_info: With a verifier: validates an access token; returns its claims, or None if it is not valid. Sync or
            async.
        allow_bearer: With a verifier: whether an unbound token may be sent as a Bearer token, during a migration.
        exempt: Returns True for a request that needs no token, such as a CORS preflight.
        public: Paths that need no token, complete and not decoded: ``/health``, or ``/static/*`` for all below. Those
            of a sub-application begin with its prefix. Other spellings, such as with escapes, need a token.
        trusted_proxies: As for :func:`protect`.

    Returns:
        The middleware. It sets ``request[AUTHORIZED]``, ``request[TOKEN]`` to the token's claims, and ``request[DPOP]``
        to the checked proof.

    Raises:
        UsageError: An argument has a wrong type or value.
    """
    authorizer = of_either(verifier, token_info, allow_bearer=allow_bearer, trusted_proxies=trusted_proxies)
    documents = MetadataDocuments(verifier, trusted_proxies=trusted_proxies)
    checked_exempt(exempt)
    unguarded = _Unguarded(exempt, PublicPaths(public), documents)

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if unguarded.includes(request):
            return await handler(request)
        document = unguarded.document(request)
        if document is not None:
            return web.Response(body=document, headers=HEADERS)
        try:
            authorized, is_known = await _authorize(authorizer, request)
        except REFUSALS as error:
            return _refusal(error)
        _keep(request, authorized)
        offered = {} if is_known else authorized.headers
        return await _offering(lambda: handler(request), offered) if offered else await handler(request)

    return middleware


@attrs.frozen
class _Unguarded:
    """The requests to an application that need no token."""

    exempt: Callable[[web.Request], bool] | None
    public: PublicPaths
    documents: MetadataDocuments

    def includes(self, request: web.Request) -> bool:
        if self.exempt is not None and self.exempt(request):
            return True
        return bool(self.public) and self.public.covers(_path(request))

    def document(self, request: web.Request) -> bytes | None:
        """Return the metadata that a request asks for; None if it asks for something else."""
        if not self.documents.paths or request.method not in {"GET", "HEAD"}:
            return None
        return self.documents.get(_path(request), request.headers)


def metadata_routes(server: ResourceServer, *, trusted_proxies: int = 0) -> list[web.RouteDef]:
    """Return the routes of an API's metadata (RFC 9728): ``app.add_routes(metadata_routes(server))``.

    Args:
        server: The server, made with ``metadata``.
        trusted_proxies: As for :func:`protect`; with several hosts, each has its own document.

    Raises:
        UsageError: An argument has a wrong type, or the server has no metadata.
    """
    documents = MetadataDocuments.required(server, trusted_proxies=trusted_proxies)

    def route(path: str) -> web.RouteDef:
        async def metadata(request: web.Request) -> web.Response:
            return web.Response(body=documents.get(path, request.headers), headers=HEADERS)

        return web.get(unquote(path), metadata)  # a path is decoded before it is compared

    return [route(path) for path in documents.paths]


async def _authorize(authorizer: Authorizer, request: web.Request) -> tuple[Authorized, bool]:
    """Check a request. Returns and raises as :meth:`Authorizer.admit`."""
    # raw_path is the target as it came; a URL object may have rewritten its escapes.
    authorized, is_known = await authorizer.admit(
        request.get(_PASSED), request.method, lambda _base_path: request.raw_path, request.headers
    )
    if not is_known:
        request[_PASSED] = Passed(authorizer.api, authorized)
    return authorized, is_known


def _keep(request: web.Request, authorized: Authorized) -> None:
    request[AUTHORIZED], request[TOKEN] = authorized, authorized.claims
    if authorized.proof is not None:
        request[DPOP] = authorized.proof


def _is_async(handler: Callable[..., Any]) -> bool:
    """Return whether a handler is to be awaited: it, what a decorator has wrapped in it, or an object's call."""
    return any(map(inspect.iscoroutinefunction, (handler, inspect.unwrap(handler), type(handler).__call__)))


def _request_of(arguments: tuple[object, ...]) -> web.Request:
    """Return the request among a handler's arguments: the last one, or that of the view."""
    given = arguments[-1] if arguments else None
    request = given.request if isinstance(given, web.View) else given
    if not isinstance(request, web.Request):
        raise UsageError("handler", "must take a web.Request, or be a method of a web.View")
    return request


def _path(request: web.Request) -> str:
    """Return the path as it came; empty if the router sees another, as after a middleware that rewrites it."""
    path = request.raw_path.partition("?")[0]
    return path if path == request.rel_url.raw_path else ""


def _refusal(error: Refusal) -> web.Response:
    return web.json_response(refusal_body(error), status=error.status, headers=refusal_headers(error))


async def _offering(
    handle: Callable[[], Awaitable[web.StreamResponse]], offered: Mapping[str, str]
) -> web.StreamResponse:
    """Add a newer nonce to the response."""
    try:
        response = await handle()
    except web.HTTPException as error:
        _add(error, offered)
        raise
    # The head of a streaming response was sent before; its client is challenged later, which costs a round trip.
    if not response.prepared:
        _add(response, offered)
    return response


def _add(response: web.StreamResponse, offered: Mapping[str, str]) -> None:
    for name, value in offered.items():
        if name == "Access-Control-Expose-Headers":
            response.headers.add(name, value)
        else:
            response.headers[name] = value
