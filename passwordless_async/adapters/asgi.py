"""A whole ASGI application protected: for Starlette, FastAPI, Quart, Litestar and other ASGI frameworks.

.. code-block:: python

    app = FastAPI()
    app.add_middleware(DPoPASGIMiddleware, server=server, public=["/docs", "/openapi.json", "/health"])

    @app.get("/me")
    async def me(request: Request) -> dict[str, str]:
        return {"sub": request[AUTHORIZED].subject}

Every scope but ``lifespan`` needs a token. A WebSocket handshake is a GET; its proof is for the http or https URL.
The metadata of the API (RFC 9728) is served if the server has any.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, overload

from passwordless_async.adapters._authorize import TokenInfo, of_either
from passwordless_async.adapters._metadata import HEADERS, MetadataDocuments
from passwordless_async.adapters._paths import PublicPaths, checked_exempt
from passwordless_async.adapters._scopes import (
    AUTHORIZED,
    POLICY_VIOLATION,
    authorize,
    passed,
    path_below,
    public_path,
)
from passwordless_async.dpop.server.refusal import refusal_body, refusal_headers
from passwordless_async.errors import UsageError
from passwordless_async.resource_server.guard import REFUSALS, Refusal
from passwordless_async.resource_server.server import parts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from passwordless_async._common.asgi import ASGIApp, Message, Receive, Scope, Send
    from passwordless_async.dpop.server.verifier import DPoPVerifier
    from passwordless_async.resource_server.server import ResourceServer

__all__ = ["AUTHORIZED", "DPOP", "TOKEN", "DPoPASGIMiddleware"]

DPOP: Final = "dpop"
"""The scope's key for the :class:`~passwordless_async.dpop.CheckedProof`; its value is None for a bearer token."""

TOKEN: Final = f"{DPOP}_token"
"""The scope's key for the claims of the access token."""

_STARTS = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})


class DPoPASGIMiddleware:
    """Requires a valid access token, and its proof if the token is bound (RFC 9449 §7, RFC 6750).

    Pass a ``server``; or pass a ``verifier``, and your own check of tokens as ``token_info``.

    Args:
        app: The application to protect.
        verifier: Checks the proofs; the clients' ``htu`` must match its ``base_url``.
        token_info: Validates an access token: returns its claims, or None if it is not valid. Sync or async.
        server: Checks tokens and proofs.
        allow_bearer: With a ``verifier``: whether an unbound token may be sent as a Bearer token, during a migration.
        exempt: Returns True for a scope that needs no token, such as a CORS preflight.
        public: Paths that need no token, below ``root_path`` and not decoded: ``/health``, or ``/static/*`` for all
            below. Other spellings of the path, such as with escapes, need a token.
        trusted_proxies: The number of your proxies that add to ``Forwarded`` or ``X-Forwarded-Host``, which select one
            of several base URLs; 0: these fields are not read.

    Raises:
        UsageError: An argument has a wrong type or value.
    """

    @overload
    def __init__(
        self,
        app: ASGIApp,
        verifier: DPoPVerifier,
        token_info: TokenInfo,
        *,
        allow_bearer: bool = ...,
        exempt: Callable[[Scope], bool] | None = ...,
        public: Iterable[str] = ...,
        trusted_proxies: int = ...,
    ) -> None: ...
    @overload
    def __init__(
        self,
        app: ASGIApp,
        *,
        server: ResourceServer,
        exempt: Callable[[Scope], bool] | None = ...,
        public: Iterable[str] = ...,
        trusted_proxies: int = ...,
    ) -> None: ...
    def __init__(
        self,
        app: ASGIApp,
        verifier: DPoPVerifier | None = None,
        token_info: TokenInfo | None = None,
        *,
        server: ResourceServer | None = None,
        allow_bearer: bool = False,
        exempt: Callable[[Scope], bool] | None = None,
        public: Iterable[str] = (),
        trusted_proxies: int = 0,
    ) -> None:
        self._app = app
        if server is not None:
            parts_of(server)
            if verifier is not None:
                raise UsageError("server", "checks proofs itself: pass it or a verifier, not both")
        api: Any = server or verifier
        self._authorizer = of_either(api, token_info, allow_bearer=allow_bearer, trusted_proxies=trusted_proxies)
        checked_exempt(exempt)
        self._exempt = exempt
        self._public = PublicPaths(public)
        self._metadata = MetadataDocuments(api, trusted_proxies=trusted_proxies)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection (ASGI 3)."""
        if self._is_open(scope):
            await self._app(scope, receive, send)
            return
        document = self._document(scope)
        if document is not None:
            await _send_document(document, send)
            return
        try:
            authorized, is_known = await authorize(self._authorizer, scope)
        except REFUSALS as error:
            refusal = error
        else:
            offered = {} if is_known else authorized.headers
            inner = {**scope, DPOP: authorized.proof, TOKEN: authorized.claims, **passed(self._authorizer, authorized)}
            await self._app(inner, receive, _offering(send, _encoded(offered)) if offered else send)
            return
        await refuse(refusal, scope, receive, send)

    def _is_open(self, scope: Scope) -> bool:
        """Return whether a scope needs no token."""
        if scope["type"] == "lifespan" or (self._exempt is not None and self._exempt(scope)):
            return True
        return bool(self._public) and self._public.covers(public_path(scope))

    def _document(self, scope: Scope) -> bytes | None:
        """Return the metadata that a request asks for; None if it asks for something else."""
        if not self._metadata.paths or scope.get("method") not in {"GET", "HEAD"}:
            return None
        return self._metadata.get(path_below(scope), scope.get("headers") or ())


async def _send_document(document: bytes, send: Send) -> None:
    headers = [*_encoded(HEADERS), (b"content-length", str(len(document)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    # The server leaves the body of a response to HEAD out.
    await send({"type": "http.response.body", "body": document})


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]


def _offering(send: Send, offered: list[tuple[bytes, bytes]]) -> Send:
    """Return a ``send`` that adds a newer nonce to the response."""

    async def offering_send(message: Message) -> None:
        if message["type"] in _STARTS:
            # A stored response would hand out its nonce later: no-store overrides the application (RFC 9449 §8.2).
            kept = [pair for pair in message.get("headers", ()) if pair[0].lower() != b"cache-control"]
            message = {**message, "headers": [*kept, *offered]}
        await send(message)

    return offering_send


async def refuse(error: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a refused request; a WebSocket is closed if its server cannot send a response."""
    kind = "http.response"
    if scope["type"] == "websocket":
        await receive()  # websocket.connect: nothing may be sent before it
        if "websocket.http.response" not in (scope.get("extensions") or ()):
            await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": error.error})
            return
        kind = "websocket.http.response"
    body = json.dumps(refusal_body(error)).encode()
    headers = [*_encoded(refusal_headers(error)), (b"content-type", b"application/json")]
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": f"{kind}.start", "status": error.status, "headers": headers})
    await send({"type": f"{kind}.body", "body": body})
