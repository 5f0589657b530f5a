"""Protecting operations of FastAPI by a dependency; needs the extra ``fastapi``.

.. code-block:: python

    Reader = Annotated[Authorized, Depends(Protect(server, scopes={"read:messages"}))]

    @app.get("/messages")
    async def messages(user: Reader) -> dict[str, str]:
        return {"of": user.subject}

``/docs`` shows the lock and the scopes. For a whole application there is
:class:`~passwordless_async.adapters.asgi.DPoPASGIMiddleware`.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated, Any, Unpack

from passwordless_async._common.extras import missing_extra
from passwordless_async.adapters._authorize import Authorizer
from passwordless_async.adapters._scopes import AUTHORIZED, authorize, passed
from passwordless_async.dpop.server.refusal import refusal_body, refusal_headers
from passwordless_async.errors import UsageError
from passwordless_async.resource_server.guard import REFUSALS, Authorized, Refusal
from passwordless_async.resource_server.requirements import Required, Requirements
from passwordless_async.resource_server.server import parts_of

try:
    from fastapi import APIRouter, HTTPException, Response, Security
    from fastapi.exception_handlers import http_exception_handler
    from fastapi.openapi.models import OAuth2, OAuthFlowAuthorizationCode, OAuthFlows
    from fastapi.requests import HTTPConnection
    from fastapi.responses import JSONResponse
    from fastapi.security import SecurityScopes
    from fastapi.security.base import SecurityBase
except ModuleNotFoundError as _missing:
    raise missing_extra("fastapi", _missing, library="fastapi") from None

from passwordless_async.adapters.starlette import metadata_routes, offer, refused_websocket

if TYPE_CHECKING:
    from passwordless_async.resource_server.server import Parts, ResourceServer

__all__ = ["AUTHORIZED", "Protect", "metadata_router"]

_HANDLERS = "starlette.exception_handlers"  # where Starlette keeps an application's handlers in a scope
_NONCE = "DPoP-Nonce"
_MAX_SCOPES = 100  # combinations of scopes that operations name by Security


class Protect:
    """A dependency that requires a valid access token, and its proof if the token is bound.

    ``Depends(Protect(server, scopes={"read:messages"}))``, or ``Security(Protect(server), scopes=["read:messages"])``;
    the scopes of both are required. Several of one server, for a router and its operations, check a request once: its
    proof is spent once.

    A refused request raises an ``HTTPException`` with the status and the challenge. The response's body is
    ``{"error": …}``. If your application has its own handler for ``HTTPException``, that handler gets the exception,
    with the body as ``detail``. The response of the operation carries a newer nonce; if the operation returns its own
    ``Response``, add ``user.headers`` to it.

    Args:
        server: Checks tokens and proofs.
        scheme_name: The name of the security scheme in the OpenAPI document.
        scheme: Your own security scheme, which is shown but not called; by default, OAuth 2.0 with Auth0's endpoints at
            the first issuer.
        trusted_proxies: The number of your proxies that add to ``Forwarded`` or ``X-Forwarded-Host``, which select one
            of several base URLs; 0: these fields are not read.
        requirements: ``scopes``, ``any_scope``, ``permissions``, ``max_age`` and ``acr_values``, as for
            :meth:`ResourceServer.authorize <passwordless_async.ResourceServer.authorize>`.

    Raises:
        UsageError: An argument has a wrong type or value.
    """

    def __init__(
        self,
        server: ResourceServer,
        *,
        scheme_name: str = "OAuth2",
        scheme: SecurityBase | None = None,
        trusted_proxies: int = 0,
        **requirements: Unpack[Requirements],
    ) -> None:
        parts = parts_of(server)
        if not isinstance(scheme, SecurityBase | None):
            raise UsageError("scheme", "must be a security scheme of fastapi.security")
        self._required = Required.of(requirements)
        self._authorizer = Authorizer.of_server(server, trusted_proxies=trusted_proxies, requirements=requirements)
        self._by_scopes: dict[tuple[str, ...], Authorizer] = {(): self._authorizer}
        named = (*self._required.scopes, *self._required.any_scope)
        parts.scopes.update(dict.fromkeys(named))
        # FastAPI reads what a dependency needs from its signature. The scheme is one itself, with the scopes to show.
        shown: Any = _Scheme(parts, scheme_name) if scheme is None else _OwnScheme(scheme)
        self.__signature__: inspect.Signature = inspect.Signature(
            [
                _parameter("connection", HTTPConnection),
                _parameter("response", Response),
                _parameter("security_scopes", SecurityScopes),
                _parameter("_scheme", Annotated[Any, Security(shown, scopes=list(named))]),
            ],
            return_annotation=Authorized,
        )

    async def __call__(
        self,
        connection: HTTPConnection,
        response: Response,
        security_scopes: SecurityScopes,
        _scheme: object = None,
    ) -> Authorized:
        """Check a request; FastAPI gives the arguments."""
        authorizer = self._for(tuple(security_scopes.scopes))
        try:
            authorized, is_known = await authorize(authorizer, connection.scope)
        except REFUSALS as error:
            refusal = error
        else:
            connection.scope.update(passed(authorizer, authorized))
            if authorized.headers and not is_known:
                offer(response.headers, authorized.headers)
            return authorized
        if connection.scope["type"] == "websocket":
            raise refused_websocket(refusal, connection)
        _answer_as_others_do(connection)
        raise _Refused(refusal, response.headers.get(_NONCE))

    def _for(self, scopes: tuple[str, ...]) -> Authorizer:
        """Return what requires these scopes too."""
        known = self._by_scopes.get(scopes)
        if known is None:
            required = Required.of({"scopes": (*self._required.scopes, *scopes)})
            known = self._authorizer.requiring(scopes=required.scopes)
            if len(self._by_scopes) < _MAX_SCOPES:
                self._by_scopes[scopes] = known
        return known


class _Refused(HTTPException):
    """The refusal of a request, with the nonce that another dependency has offered."""

    def __init__(self, error: Refusal, offered: str | None) -> None:
        nonce = {} if offered is None else {_NONCE: offered}
        super().__init__(error.status, detail=refusal_body(error), headers={**refusal_headers(error), **nonce})


class _Scheme(SecurityBase):
    """The security scheme of a server in an OpenAPI document: OAuth 2.0, with all scopes that operations require."""

    def __init__(self, parts: Parts, name: str) -> None:
        self.scheme_name = name
        self._parts = parts

    @property
    def model(self) -> OAuth2:  # type: ignore[override] # it grows with the operations
        """The scheme as it stands in the document."""
        issuer = self._parts.issuers[0].removesuffix("/")
        flow = OAuthFlowAuthorizationCode(
            authorizationUrl=f"{issuer}/authorize",
            tokenUrl=f"{issuer}/oauth/token",
            scopes=dict.fromkeys(self._parts.scopes, ""),
        )
        schemes = " or ".join({"dpop": "DPoP", "bearer": "Bearer"}[each] for each in _schemes(self._parts))
        return OAuth2(
            description=f"An access token of {self._parts.issuers[0]}, sent as {schemes}.",
            flows=OAuthFlows(authorizationCode=flow),
        )

    async def __call__(self) -> None:
        """Check nothing: the dependency that names the scheme checks."""


class _OwnScheme(SecurityBase):
    """An application's security scheme, as it is shown: its own check would refuse what it does not know, as DPoP."""

    def __init__(self, shown: SecurityBase) -> None:
        self.model, self.scheme_name = shown.model, shown.scheme_name

    async def __call__(self) -> None:
        """Check nothing: the dependency that names the scheme checks."""


def metadata_router(server: ResourceServer, *, trusted_proxies: int = 0) -> APIRouter:
    """Return a router with the API's metadata (RFC 9728): ``app.include_router(metadata_router(server))``.

    Args:
        server: The server, made with ``metadata``.
        trusted_proxies: As for :class:`Protect`; with several hosts, each has its own document.

    Raises:
        UsageError: An argument has a wrong type, or the server has no metadata.
    """
    return APIRouter(routes=list(metadata_routes(server, trusted_proxies=trusted_proxies)))


def _schemes(parts: Parts) -> tuple[str, ...]:
    return next(iter(parts.guards.values())).offer.schemes


def _parameter(name: str, annotation: object) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=annotation)


def _answer_as_others_do(connection: HTTPConnection) -> None:
    """Answer a refusal as the other adapters do, unless the application has its own handler for it."""
    handlers: dict[Any, Any] = (connection.scope.get(_HANDLERS) or ({},))[0]
    # The same look-up as Starlette's: an application's own may be for the HTTPException of either library.
    if next((handlers[kind] for kind in _Refused.__mro__ if kind in handlers), None) is http_exception_handler:
        handlers[_Refused] = _refusal


async def _refusal(_connection: HTTPConnection, error: _Refused) -> JSONResponse:
    return JSONResponse(error.detail, status_code=error.status_code, headers=error.headers)
