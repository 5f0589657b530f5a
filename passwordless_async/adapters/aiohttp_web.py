"""The verifier as an aiohttp.web middleware.

.. code-block:: python

    app = web.Application(middlewares=[dpop_middleware(verifier, token_info)])

    async def me(request: web.Request) -> web.Response:
        return web.json_response({"sub": request[TOKEN]["sub"], "jkt": request[DPOP].thumbprint})

``request[DPOP]`` is the checked proof; it is missing for an allowed bearer token. ``request[TOKEN]`` has the claims of
the access token, as ``token_info`` returned them. Both keys are typed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from aiohttp import web

from passwordless_async.adapters._authorize import Authorizer, TokenInfo
from passwordless_async.dpop.server.checked import CheckedProof
from passwordless_async.dpop.server.refusal import refusal_body, refusal_headers
from passwordless_async.resource_server.guard import REFUSALS

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler, Middleware

    from passwordless_async.dpop.server.verifier import DPoPVerifier

if TYPE_CHECKING or hasattr(web, "RequestKey"):
    DPOP: web.RequestKey[CheckedProof] = web.RequestKey("dpop", CheckedProof)
    TOKEN: web.RequestKey[Mapping[str, Any]] = web.RequestKey("dpop_token", Mapping)
else:  # aiohttp before 3.14 has no typed keys
    DPOP = "dpop"
    TOKEN = f"{DPOP}_token"


def dpop_middleware(
    verifier: DPoPVerifier,
    token_info: TokenInfo,
    *,
    allow_bearer: bool = False,
    exempt: Callable[[web.Request], bool] | None = None,
) -> Middleware:
    """Make a middleware that requires a valid access token and its proof (RFC 9449 §7).

    Args:
        verifier: Checks the proofs; the clients' ``htu`` must match its ``base_url``.
        token_info: Validates an access token: returns its claims, or None if it is not valid. Sync or async.
        allow_bearer: Whether a token that is not bound to a key may come as a Bearer token, during a migration.
        exempt: Returns True for a request that needs no token, such as a health check or a CORS preflight.

    Returns:
        The middleware. It sets ``request[DPOP]`` to the checked proof and ``request[TOKEN]`` to the token's claims.
    """
    authorizer = Authorizer(verifier, token_info, allow_bearer=allow_bearer)

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if exempt is not None and exempt(request):
            return await handler(request)
        try:
            # raw_path is the target as it came; a URL object may have rewritten its escapes.
            authorized = await authorizer.authorize(request.method, request.raw_path, request.headers)
        except REFUSALS as error:
            return web.json_response(refusal_body(error), status=error.status, headers=refusal_headers(error))
        request[TOKEN] = authorized.claims
        if authorized.proof is not None:
            request[DPOP] = authorized.proof
        return await _answer(request, handler, authorized.headers)

    return middleware


async def _answer(request: web.Request, handler: Handler, offered: Mapping[str, str]) -> web.StreamResponse:
    try:
        response = await handler(request)
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
