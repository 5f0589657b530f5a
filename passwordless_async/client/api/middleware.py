"""DPoP for API calls of any aiohttp session (RFC 9449 §7): tokens for the named origins only.

:mod:`~passwordless_async.client.api.credentials` decides which credentials a request gets. aiohttp runs a middleware
for every transmission: the first, each hop of a redirect, the reconnect of an idempotent request. Each transmission
needs its own proof, so a middleware is the right place to make it.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import ClientError, ClientHandlerType, ClientRequest, ClientResponse

from passwordless_async._common.http import HttpResponse
from passwordless_async._common.secret import always_printable
from passwordless_async.client.api.connection_slots import ConnectionSlots
from passwordless_async.client.api.credentials import ApiCredentials, Authorization, concealed_tokens, target_of
from passwordless_async.client.traffic.connections import on_fresh_connection

if TYPE_CHECKING:
    from collections.abc import Iterable

    from passwordless_async.auth0.tokens import TokenSet
    from passwordless_async.client.api.credentials import TokenSource
    from passwordless_async.dpop import NonceCache

_MAX_DRAINED_BYTES = 16_384  # of a challenge's body, to reuse its connection; with a longer body it is closed
_UNAUTHORIZED = int(HTTPStatus.UNAUTHORIZED)  # named once: in Python 3.11 that takes 0.3 µs
_DRAIN_SECONDS = 0.5  # that the rest of a challenge is waited for


@always_printable
class DPoPMiddleware:
    """Sends an access token with a proof: ``ClientSession(middlewares=[DPoPMiddleware(...)])``.

    An unbound token is sent as ``Bearer`` without a proof; a bound one never is. Requests and redirects to other
    origins carry neither token nor proof. A nonce challenge is answered if its nonce is new, up to three in one call. A
    401 ``invalid_token`` is answered once with renewed tokens if they can be renewed.

    Args:
        tokens: The tokens, with their key if they are bound to one, or their source.
        origins: The origins that the access token is for: ``https://api.example``; plain http on loopback only.
        nonces: The servers' nonces, to share them with other middlewares; a new cache if None.

    Raises:
        UsageError: An argument has a wrong type, an origin is not one, or the type of the tokens and their key do not
            agree.
        KeyMissing: The tokens are bound and have no key.
    """

    def __init__(
        self, tokens: TokenSet | TokenSource, *, origins: Iterable[str], nonces: NonceCache | None = None
    ) -> None:
        tokens = concealed_tokens(tokens)
        self._credentials = ApiCredentials(tokens, origins=origins, nonces=nonces)

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """Send one request, and send it again if the server demands another nonce or refuses the token.

        Raises:
            UseDPoPNonce: The server demands another nonce and the body, a stream, is used up. The nonce is kept: send
                the request again with a new body.
            NonceChallengeRepeated: The server challenges again with a nonce that was used, or a fourth time.
            MalformedAnswer: The server demands a nonce and gives none.
            KeyMismatch: The source's tokens are not bound to the key of the first ones.
        """
        if isinstance(request.headers.get("Authorization"), Authorization):
            # Another middleware of this class handles the request.
            return await handler(request)
        # A proof that the caller set would be sent again unchanged, here and on the next hop.
        request.headers.popall("DPoP", None)
        origin = str(target_of(request.url).origin())
        if not self._credentials.is_for(origin):
            self._credentials.log_unnamed(origin)
            if self._credentials.is_revealed_by(request.headers.get("Authorization", "")):
                del request.headers["Authorization"]
            return await handler(request)
        return await self._send_authorized(request, handler, origin)

    async def _send_authorized(self, request: ClientRequest, handler: ClientHandlerType, origin: str) -> ClientResponse:
        tokens = await self._credentials.current()
        response = await self._send_in_slot(request, handler, origin, tokens)
        refuses = response.status == _UNAUTHORIZED and self._credentials.calls_for_renewal(_head(response), tokens)
        if refuses and not _is_used_up(request):
            # Release its slot as well: on_refresh may call APIs itself, and other calls need not wait for the renewal.
            await _release(response)
            tokens = await self._credentials.renew(tokens)
            response = await self._send_in_slot(request, handler, origin, tokens)
        return response

    async def _send_in_slot(
        self, request: ClientRequest, handler: ClientHandlerType, origin: str, tokens: TokenSet
    ) -> ClientResponse:
        lease = await ConnectionSlots.take(request.session.connector, origin)
        try:
            response = await self._send(request, handler, origin, tokens)
        except BaseException:
            lease.release()
            raise
        lease.release_with(response)
        return response

    async def _send(
        self, request: ClientRequest, handler: ClientHandlerType, origin: str, tokens: TokenSet
    ) -> ClientResponse:
        async with self._credentials.turn(origin) as answered:
            transmissions = self._credentials.transmissions(tokens, origin, request.method, target_of(request.url))
            fields = next(transmissions)
            while True:
                for name, field in fields.items():  # faster than update()
                    request.headers[name] = field
                response = await on_fresh_connection(request, handler)
                answered(response.status)
                try:
                    fields = transmissions.send(_head(response))
                except StopIteration:
                    return response
                except BaseException:
                    response.close()
                    raise
                # Release first: with one connection in the pool, the next transmission would wait for it forever.
                await _release(response)
                if _is_used_up(request):
                    raise self._credentials.body_is_used_up(origin)

    def __repr__(self) -> str:
        return f"<DPoPMiddleware for {self._credentials}>"


def _head(response: ClientResponse) -> HttpResponse:
    return HttpResponse(response.status, response.headers)


async def _release(response: ClientResponse) -> None:
    """Release the connection for reuse if the body is small; otherwise close it."""
    try:
        async with asyncio.timeout(_DRAIN_SECONDS):
            rest = _MAX_DRAINED_BYTES
            while rest > 0 and (chunk := await response.content.read(rest)):
                rest -= len(chunk)
            if response.content.at_eof():
                await response.release()
    except (ClientError, TimeoutError):
        # The nonce came with the head: the body does not matter.
        pass
    finally:
        response.close()


def _is_used_up(request: ClientRequest) -> bool:
    return bool(getattr(request.body, "consumed", False))
