"""The verifier as an aiohttp.web middleware.

.. code-block:: python

    app = web.Application(middlewares=[dpop_middleware(verifier, token_info)])

    async def me(request: web.Request) -> web.Response:
        return web.json_response({"sub": request[TOKEN]["sub"], "jkt": request[DPOP].thumbprint})

``DPOP`` is where the checked proof stands in the request, absent where a bearer token was allowed; ``TOKEN`` is where
the claims of the access token stand, as ``token_info`` returned them. Both know the type of what they find.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from aiohttp import web

from passwordless_async.adapters._authorize import Gate, TokenInfo
from passwordless_async.dpop.server.checked import CheckedProof
from passwordless_async.dpop.server.refusal import nonce_headers, refusal_body, refusal_headers
from passwordless_async.errors import InvalidDPoPProof, UseDPoPNonce

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp.typedefs import Handler, Middleware

    from passwordless_async.dpop.server.verifier import DPoPVerifier

if TYPE_CHECKING or hasattr(web, "RequestKey"):
    DPOP = web.RequestKey("dpop", CheckedProof)
    TOKEN = web.RequestKey[Mapping[str, Any]]("dpop_token", Mapping)
else:  # aiohttp before 3.14 has no typed keys
    DPOP = "dpop"
    TOKEN = "dpop_token"  # noqa: S105 - a key's name


def dpop_middleware(
    verifier: DPoPVerifier,
    token_info: TokenInfo,
    *,
    allow_bearer: bool = False,
    exempt: Callable[[web.Request], bool] | None = None,
) -> Middleware:
    """Make a middleware that lets a request pass only with a valid access token and its proof (RFC 9449 §7).

    Args:
        verifier: Checks the proofs; its ``base_url`` says what the clients' ``htu`` must be.
        token_info: Validates an access token: its claims, or None where it is not valid. Sync or async.
        allow_bearer: Whether a token that is bound to no key may come as a Bearer token, for the time of a migration.
        exempt: Says of a request that it needs no token, such as a health check or a CORS preflight.

    Returns:
        The middleware. It puts the checked proof at ``request[DPOP]`` and the token's claims at ``request[TOKEN]``.
    """
    gate = Gate(verifier, token_info, allow_bearer)

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if exempt is not None and exempt(request):
            return await handler(request)
        try:
            # raw_path is the target as it came; a URL object may have its escapes rewritten.
            admitted = await gate.admit(request.method, request.raw_path, request.headers)
        except (InvalidDPoPProof, UseDPoPNonce) as error:
            return web.json_response(refusal_body(error), status=error.status, headers=refusal_headers(error))
        request[TOKEN] = admitted.token
        if admitted.proof is not None:
            request[DPOP] = admitted.proof
        return await _answer(request, handler, nonce_headers(admitted.proof))

    return middleware


async def _answer(request: web.Request, handler: Handler, offered: dict[str, str]) -> web.StreamResponse:
    try:
        response = await handler(request)
    except web.HTTPException as error:
        _add(error, offered)
        raise
    # A response that streams is on its way already; its client is challenged later instead, which costs a round trip.
    if not response.prepared:
        _add(response, offered)
    return response


def _add(response: web.StreamResponse, offered: dict[str, str]) -> None:
    for name, value in offered.items():
        if name == "Access-Control-Expose-Headers":
            response.headers.add(name, value)
        else:
            response.headers[name] = value
