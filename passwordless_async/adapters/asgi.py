"""The verifier as a pure ASGI middleware: for Starlette, FastAPI, Quart, Litestar and other ASGI frameworks.

.. code-block:: python

    app = FastAPI()
    app.add_middleware(DPoPASGIMiddleware, verifier=verifier, token_info=token_info)

    @app.get("/me")
    async def me(request: Request) -> dict[str, str]:
        return {"sub": request["dpop_token"]["sub"], "jkt": request["dpop"].thumbprint}

Every scope but ``lifespan`` needs a token. A WebSocket handshake is a GET; its proof is for the http or https URL.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from passwordless_async.adapters._authorize import Authorizer, TokenInfo
from passwordless_async.dpop.server.refusal import refusal_body, refusal_headers
from passwordless_async.resource_server.guard import REFUSALS, Refusal

if TYPE_CHECKING:
    from passwordless_async.dpop.server.verifier import DPoPVerifier

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

DPOP: Final = "dpop"
"""The scope's key for the :class:`~passwordless_async.dpop.CheckedProof`; its value is None for a bearer token."""

TOKEN: Final = f"{DPOP}_token"
"""The scope's key for the claims of the access token, as ``token_info`` returned them."""

_PATH_SAFE = "/!$&'()*+,;=:@~-._"  # RFC 3986 §3.3, pchar and the slash
_POLICY_VIOLATION = 1008  # RFC 6455 §7.4.1; before the handshake is accepted a server makes it a 403
_STARTS = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})


class DPoPASGIMiddleware:
    """Requires a valid access token and its proof (RFC 9449 §7).

    Args:
        app: The application to protect.
        verifier: Checks the proofs; the clients' ``htu`` must match its ``base_url``.
        token_info: Validates an access token: returns its claims, or None if it is not valid. Sync or async.
        allow_bearer: Whether a token that is not bound to a key may come as a Bearer token, during a migration.
        exempt: Returns True for a scope that needs no token, such as a health check or a CORS preflight.
    """

    def __init__(
        self,
        app: ASGIApp,
        verifier: DPoPVerifier,
        token_info: TokenInfo,
        *,
        allow_bearer: bool = False,
        exempt: Callable[[Scope], bool] | None = None,
    ) -> None:
        self._app = app
        self._authorizer = Authorizer(verifier, token_info, allow_bearer=allow_bearer)
        self._exempt = exempt

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection (ASGI 3)."""
        if scope["type"] == "lifespan" or (self._exempt is not None and self._exempt(scope)):
            await self._app(scope, receive, send)
            return
        try:
            method = scope.get("method", "GET")
            authorized = await self._authorizer.authorize(method, _target(scope), scope.get("headers", ()))
        except REFUSALS as error:
            refusal = error
        else:
            offered = _encoded(authorized.headers)
            inner = {**scope, DPOP: authorized.proof, TOKEN: authorized.claims}
            await self._app(inner, receive, _offering(send, offered) if offered else send)
            return
        await _refuse(refusal, scope, receive, send)


def _target(scope: Scope) -> str:
    """Return the path as it came; a server without ``raw_path`` hides whether a ``/`` was ``%2F``."""
    raw: bytes | None = scope.get("raw_path")
    return quote(scope["path"], safe=_PATH_SAFE, errors="replace") if raw is None else raw.decode("latin-1")


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


async def _refuse(error: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
    kind = "http.response"
    if scope["type"] == "websocket":
        await receive()  # websocket.connect: nothing may be sent before it
        if "websocket.http.response" not in (scope.get("extensions") or ()):
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": error.error})
            return
        kind = "websocket.http.response"
    body = json.dumps(refusal_body(error)).encode()
    headers = [*_encoded(refusal_headers(error)), (b"content-type", b"application/json")]
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": f"{kind}.start", "status": error.status, "headers": headers})
    await send({"type": f"{kind}.body", "body": body})
