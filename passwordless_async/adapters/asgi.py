"""The verifier as a pure ASGI middleware: Starlette, FastAPI, Quart, Litestar and whatever else speaks ASGI.

.. code-block:: python

    app = FastAPI()
    app.add_middleware(DPoPASGIMiddleware, verifier=verifier, token_info=token_info)

    @app.get("/me")
    async def me(request: Request) -> dict[str, str]:
        return {"sub": request["dpop_token"]["sub"], "jkt": request["dpop"].thumbprint}

What is not ``lifespan`` needs a token, WebSockets included: their handshake is a GET, and its proof is for the http
or https URL.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from passwordless_async.adapters._authorize import Gate, TokenInfo
from passwordless_async.dpop.server.refusal import nonce_headers, refusal_body, refusal_headers
from passwordless_async.errors import InvalidDPoPProof, UseDPoPNonce

if TYPE_CHECKING:
    from passwordless_async.dpop.server.verifier import DPoPVerifier

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

DPOP: Final = "dpop"
"""Where the :class:`~passwordless_async.dpop.CheckedProof` stands in the scope; None where bearer was allowed."""

TOKEN: Final = "dpop_token"  # noqa: S105 - a key's name
"""Where the claims of the access token stand in the scope, as ``token_info`` returned them."""

_PATH_SAFE = "/!$&'()*+,;=:@~-._"  # RFC 3986 §3.3, pchar and the slash
_POLICY_VIOLATION = 1008  # RFC 6455 §7.4.1; before the handshake is accepted a server makes it a 403
_STARTS = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})


class DPoPASGIMiddleware:
    """Lets a request pass only with a valid access token and its proof (RFC 9449 §7).

    Args:
        app: The application behind.
        verifier: Checks the proofs; its ``base_url`` says what the clients' ``htu`` must be.
        token_info: Validates an access token: its claims, or None where it is not valid. Sync or async.
        allow_bearer: Whether a token that is bound to no key may come as a Bearer token, for the time of a migration.
        exempt: Says of a scope that it needs no token, such as a health check or a CORS preflight.
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
        self._gate = Gate(verifier, token_info, allow_bearer)
        self._exempt = exempt

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection (ASGI 3)."""
        if scope["type"] == "lifespan" or (self._exempt is not None and self._exempt(scope)):
            await self._app(scope, receive, send)
            return
        try:
            admitted = await self._gate.admit(scope.get("method", "GET"), _target(scope), scope["headers"])
        except (InvalidDPoPProof, UseDPoPNonce) as error:
            refusal = error
        else:
            offered = _encoded(nonce_headers(admitted.proof))
            inner = {**scope, DPOP: admitted.proof, TOKEN: admitted.token}
            await self._app(inner, receive, _offering(send, offered) if offered else send)
            return
        await _refuse(refusal, scope, receive, send)


def _target(scope: Scope) -> str:
    """Return the path as it came; rebuilt where the server does not say, when ``%2F`` cannot be told from ``/``."""
    raw: bytes | None = scope.get("raw_path")
    return quote(scope["path"], safe=_PATH_SAFE, errors="replace") if raw is None else raw.decode("latin-1")


def _encoded(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]


def _offering(send: Send, offered: list[tuple[bytes, bytes]]) -> Send:
    """Return a ``send`` that puts a newer nonce on the answer."""

    async def offering_send(message: Message) -> None:
        if message["type"] in _STARTS:
            # The nonce must not be stored with the answer, whatever the application says of the rest (RFC 9449 §8.2).
            kept = [pair for pair in message.get("headers", ()) if pair[0].lower() != b"cache-control"]
            message = {**message, "headers": [*kept, *offered]}
        await send(message)

    return offering_send


async def _refuse(error: InvalidDPoPProof | UseDPoPNonce, scope: Scope, receive: Receive, send: Send) -> None:
    kind = "http.response"
    if scope["type"] == "websocket":
        await receive()  # websocket.connect, which comes before anything may be sent
        if "websocket.http.response" not in (scope.get("extensions") or ()):
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": error.error})
            return
        kind = "websocket.http.response"
    body = json.dumps(refusal_body(error)).encode()
    headers = [*_encoded(refusal_headers(error)), (b"content-type", b"application/json")]
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": f"{kind}.start", "status": error.status, "headers": headers})
    await send({"type": f"{kind}.body", "body": body})
