"""DPoP for API calls of any aiohttp session (RFC 9449 §7): bound tokens for the named origins only.

aiohttp runs a middleware for every transmission: the first, each hop of a redirect, the reconnect of an idempotent
request. A proof is good for one transmission, so a middleware is the right place to make it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

import attrs
from aiohttp import ClientError, ClientHandlerType, ClientRequest, ClientResponse

from passwordless_async._common.http import HttpResponse
from passwordless_async._common.origin import parse_origin
from passwordless_async._common.secret import Secret
from passwordless_async.auth0.tokens import TokenSet
from passwordless_async.client.api.connection_slots import ConnectionSlots
from passwordless_async.client.traffic.first_nonce import FirstNonce
from passwordless_async.client.traffic.transport import on_fresh_connection
from passwordless_async.dpop import NonceCache, ProofGenerator, negotiate, rejects_token
from passwordless_async.errors import KeyMismatch, UsageError, UseDPoPNonce

if TYPE_CHECKING:
    from collections.abc import Iterable

    from yarl import URL

_MAX_DRAINED_BYTES = 16_384  # of a challenge's body, to reuse its connection; with a longer body it is closed
_DRAIN_SECONDS = 0.5  # that the rest of a challenge is waited for
_HTTP_OF = {"ws": "http", "wss": "https"}


class TokenSource(Protocol):
    """Supplies a user's tokens to a middleware if they change during its life."""

    @property
    def tokens(self) -> TokenSet:
        """The newest tokens."""

    def is_renewable(self, refused: TokenSet) -> bool:
        """Return whether :meth:`renew` can return other tokens than these."""

    async def current(self) -> TokenSet:
        """Return the tokens to use now, renewed if they expire soon."""

    async def renew(self, refused: TokenSet) -> TokenSet:
        """Return newer tokens than these, which a resource server has refused."""


@attrs.frozen
class _Fixed:
    """Tokens that do not change."""

    tokens: TokenSet

    def is_renewable(self, _refused: TokenSet) -> bool:
        return False

    async def current(self) -> TokenSet:
        return self.tokens

    async def renew(self, refused: TokenSet) -> TokenSet:
        return refused


class DPoPMiddleware:
    """Sends an access token with a proof: ``ClientSession(middlewares=[DPoPMiddleware(...)])``.

    Requests and redirects to other origins carry neither token nor proof. A nonce challenge is answered if its nonce is
    new, up to three in one call. A 401 ``invalid_token`` is answered once with renewed tokens if they can be renewed.

    Args:
        tokens: The tokens with their key, or their source.
        origins: The origins that the access token is for: ``https://api.example``; plain http on loopback only.
        nonces: The servers' nonces, to share them with other middlewares; a new cache if None.

    Raises:
        UsageError: The tokens are not bound to a key, or an origin is not one.
    """

    def __init__(
        self, tokens: TokenSet | TokenSource, *, origins: Iterable[str], nonces: NonceCache | None = None
    ) -> None:
        self._source: TokenSource = _Fixed(tokens) if isinstance(tokens, TokenSet) else tokens
        bound = getattr(self._source, "tokens", None)
        if not isinstance(bound, TokenSet):
            raise UsageError("tokens", f"must be a TokenSet, not {type(tokens).__name__}")
        if bound.token_type.lower() != "dpop":
            raise UsageError("tokens", "are not bound to a key: token_type is not DPoP")
        self._proofs = ProofGenerator(bound.key)
        self._nonces = NonceCache() if nonces is None else nonces
        named = [str(parse_origin("origins", origin)) for origin in _each(origins)]
        self._first_nonces = {origin: FirstNonce(self._nonces, origin) for origin in named}

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """Send one request, and send it again if the server demands another nonce or refuses the token.

        Raises:
            UseDPoPNonce: The server demands another nonce and the body, a stream, is used up. The nonce is kept: send
                the request again with a new body.
            NonceChallengeRepeated: The server challenges again with a nonce that was used, or a fourth time.
            MalformedAnswer: The server demands a nonce and gives none.
        """
        if isinstance(request.headers.get("DPoP"), _Proof):
            # Another middleware of this class handles the request.
            return await handler(request)
        # A proof that the caller set would be sent again unchanged, here and on the next hop.
        request.headers.popall("DPoP", None)
        origin = str(_target(request).origin())
        if origin not in self._first_nonces:
            if self._source.tokens.access_token in request.headers.get("Authorization", ""):
                del request.headers["Authorization"]
            return await handler(request)
        return await self._send_authorized(request, handler, origin)

    async def _send_authorized(self, request: ClientRequest, handler: ClientHandlerType, origin: str) -> ClientResponse:
        tokens = self._usable(await self._source.current())
        response = await self._send_in_slot(request, handler, origin, tokens)
        if rejects_token(_head(response)) and self._source.is_renewable(tokens) and not _is_used_up(request):
            # Its slot goes with it: on_refresh may call APIs itself, and other calls need not wait for the renewal.
            await _release(response)
            tokens = self._usable(await self._source.renew(tokens))
            response = await self._send_in_slot(request, handler, origin, tokens)
        return response

    async def _send_in_slot(
        self, request: ClientRequest, handler: ClientHandlerType, origin: str, tokens: TokenSet
    ) -> ClientResponse:
        lease = await ConnectionSlots.take(request.session.connector, origin)
        try:
            response = await self._send(request, handler, origin, tokens.access_token)
        except BaseException:
            lease.release()
            raise
        lease.release_with(response)
        return response

    def _usable(self, tokens: TokenSet) -> TokenSet:
        if tokens.key != self._proofs.key:
            raise KeyMismatch("the renewed tokens are bound to another key: nothing was sent")
        return tokens

    async def _send(
        self, request: ClientRequest, handler: ClientHandlerType, origin: str, access_token: Secret
    ) -> ClientResponse:
        def make(nonce: str | None) -> _Proof:
            return _Proof(self._proofs.proof(request.method, _target(request), nonce=nonce, access_token=access_token))

        # A Secret, like the proof: aiohttp's errors print the header fields of their request.
        request.headers["Authorization"] = Secret(f"DPoP {access_token}")
        async with self._first_nonces[origin].turn() as answered:
            proving = negotiate(self._nonces, origin, self._proofs.key, make)
            proof = next(proving)
            while True:
                request.headers["DPoP"] = proof
                response = await on_fresh_connection(request, handler)
                answered(response.status)
                try:
                    proof = proving.send(_head(response))
                except StopIteration:
                    return response
                except BaseException:
                    response.close()
                    raise
                # Release first: with one connection in the pool, the next transmission would wait for it forever.
                await _release(response)
                _require_reusable(request, self._nonces.get(origin, self._proofs.key))

    def __repr__(self) -> str:
        return f"<DPoPMiddleware for {', '.join(self._first_nonces)}>"


class _Proof(Secret):
    """A proof that a middleware made, not one that a caller set."""

    __slots__ = ()


def _target(request: ClientRequest) -> URL:
    """Return the URL for the proof: the handshake of a WebSocket is an HTTP request (RFC 6455 §4.1)."""
    scheme = _HTTP_OF.get(request.url.scheme)
    return request.url if scheme is None else request.url.with_scheme(scheme)


def _head(response: ClientResponse) -> HttpResponse:
    return HttpResponse(response.status, response.headers)


def _each(origins: Iterable[str]) -> Iterable[str]:
    if isinstance(origins, str):
        raise UsageError("origins", "must be a list of origins, not one text")
    return origins


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


def _require_reusable(request: ClientRequest, nonce: str | None) -> None:
    if _is_used_up(request):
        raise UseDPoPNonce(
            status=401, error_description="the body, a stream, is used up: send the request again", nonce=nonce
        )
