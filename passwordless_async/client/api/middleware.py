"""DPoP for the calls of any aiohttp session (RFC 9449 §7): bound tokens, to the origins named for them and no others.

aiohttp runs a middleware for every transmission: the first, each hop of a redirect and the reconnect of an idempotent
request. That makes it the one right place for a proof, which is good for a single transmission.
"""

from __future__ import annotations

import asyncio
import weakref
from typing import TYPE_CHECKING, ClassVar, Protocol
from weakref import WeakKeyDictionary

import attrs
from aiohttp import ClientError

from passwordless_async._common.http import HttpResponse
from passwordless_async._common.origin import parse_origin
from passwordless_async._common.secret import Secret
from passwordless_async.auth0.tokens import TokenSet
from passwordless_async.client.traffic import FirstNonce
from passwordless_async.dpop import NonceCache, ProofGenerator, negotiate, rejects_token
from passwordless_async.errors import KeyMismatch, UsageError, UseDPoPNonce

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from aiohttp import BaseConnector, ClientHandlerType, ClientRequest, ClientResponse
    from yarl import URL

# Bytes of a challenge's body that are read so that its connection can be used again; beyond, it is closed.
_SMALL_BODY = 16_384
_DRAIN = 0.5  # seconds that the rest of a challenge is waited for
_HTTP_OF = {"ws": "http", "wss": "https"}


class TokenSource(Protocol):
    """Where the middleware gets a user's tokens from, where they change while it lives."""

    @property
    def tokens(self) -> TokenSet:
        """The newest tokens."""

    @property
    def renewable(self) -> bool:
        """Whether :meth:`renew` can bring others."""

    async def current(self) -> TokenSet:
        """Return the tokens to use now, renewed if they are about to end."""

    async def renew(self, refused: TokenSet) -> TokenSet:
        """Return other tokens than these, which a resource server has refused."""


@attrs.frozen
class _Fixed:
    """Tokens that do not change."""

    tokens: TokenSet
    renewable: ClassVar[bool] = False

    async def current(self) -> TokenSet:
        return self.tokens

    async def renew(self, refused: TokenSet) -> TokenSet:
        return refused


class DPoPMiddleware:
    """Sends a token set's access token with a proof, as ``ClientSession(middlewares=[DPoPMiddleware(...)])``.

    Requests to origins that are not named go out without token and proof, redirects there included. A nonce challenge
    is answered once; where the tokens can be renewed, a 401 ``invalid_token`` is answered once with renewed ones.

    Args:
        tokens: The tokens with their key, or where they come from.
        origins: The origins that the access token is for: ``https://api.example``; plain http on loopback only.
        nonces: The servers' nonces, to share them with other middlewares; of this middleware's own unless given.

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
        """Send one request, and again where the server demands another nonce or other tokens.

        Raises:
            UseDPoPNonce: Another nonce is demanded and the body, a stream, is used up; the nonce is kept, so the
                caller can send the request again with a new body.
            NonceChallengeRepeated: The server challenges again after its own nonce was used.
            MalformedAnswer: The server demands a nonce and gives none.
        """
        if isinstance(request.headers.get("DPoP"), _Proof):
            # Another of these is at work on the request: it is that one's.
            return await handler(request)
        # A proof that the caller put there would be sent again as it is, here and on the next hop.
        request.headers.popall("DPoP", None)
        origin = str(_target(request).origin())
        if origin not in self._first_nonces:
            if self._source.tokens.access_token in request.headers.get("Authorization", ""):
                del request.headers["Authorization"]
            return await handler(request)
        tokens = self._usable(await self._source.current())
        give_back = await _take_slots(request, origin)
        try:
            response = await self._send(request, handler, origin, tokens.access_token)
            if self._source.renewable and rejects_token(_head(response)) and not _is_used_up(request):
                await _release(response)
                tokens = self._usable(await self._source.renew(tokens))
                response = await self._send(request, handler, origin, tokens.access_token)
        except BaseException:
            give_back()
            raise
        _when_released(response, give_back)
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

        # A Secret, as the proof is: aiohttp's errors print the header fields of their request.
        request.headers["Authorization"] = Secret(f"DPoP {access_token}")
        async with self._first_nonces[origin].turn() as answered:
            proving = negotiate(self._nonces, origin, self._proofs.key, make)
            proof = next(proving)
            while True:
                request.headers["DPoP"] = proof
                response = await handler(request)
                answered(response.status)
                try:
                    proof = proving.send(_head(response))
                except StopIteration:
                    return response
                except BaseException:
                    response.close()
                    raise
                # Released before anything is sent again: with one connection in the pool it would wait for itself.
                await _release(response)
                _require_reusable(request, self._nonces.get(origin, self._proofs.key))

    def __repr__(self) -> str:
        return f"<DPoPMiddleware for {', '.join(self._first_nonces)}>"


class _Proof(Secret):
    """A proof that a middleware made, to tell it from one that a caller put into the header fields."""

    __slots__ = ()


def _target(request: ClientRequest) -> URL:
    """Return the URL that a proof is for: a WebSocket's handshake is an HTTP request (RFC 6455 §4.1)."""
    scheme = _HTTP_OF.get(request.url.scheme)
    return request.url if scheme is None else request.url.with_scheme(scheme)


def _head(response: ClientResponse) -> HttpResponse:
    return HttpResponse(response.status, response.headers)


def _each(origins: Iterable[str]) -> Iterable[str]:
    if isinstance(origins, str):
        raise UsageError("origins", "must be a list of origins, not one text")
    return origins


async def _release(response: ClientResponse) -> None:
    """Give the connection back, after a body that is small, and close it otherwise."""
    try:
        async with asyncio.timeout(_DRAIN):
            rest = _SMALL_BODY
            while rest > 0 and (chunk := await response.content.read(rest)):
                rest -= len(chunk)
            if response.content.at_eof():
                await response.release()
    except (ClientError, TimeoutError):
        # The nonce came with the head: a body that breaks off or drips does not matter.
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


# As many at once as a pool has connections: a proof is signed when there is one for it, and does not age in the pool's
# queue. The slots belong to the pool, for all of it and for each origin, so that all middlewares on it share them.
_slots: WeakKeyDictionary[BaseConnector, dict[str, asyncio.Semaphore]] = WeakKeyDictionary()
_ALL = "*"


async def _take_slots(request: ClientRequest, origin: str) -> Callable[[], None]:
    """Wait for a slot of the origin and one of the pool; gives what to call, once or more often, to give them back."""
    held: list[asyncio.Semaphore] = []

    def give_back() -> None:
        while held:
            held.pop().release()

    connector = request.session.connector
    if connector is not None:
        slots = _slots.setdefault(connector, {})
        try:
            # The origin's first: whoever waits for it must not keep a slot of the pool from the others.
            for name, limit in ((origin, connector.limit_per_host), (_ALL, connector.limit)):
                if limit:
                    slot = slots.setdefault(name, asyncio.Semaphore(limit))
                    await slot.acquire()
                    held.append(slot)
        except BaseException:
            give_back()
            raise
    return give_back


def _when_released(response: ClientResponse, give_back: Callable[[], None]) -> None:
    """Give the slot back when the response has given back its connection, in whatever way."""
    connection = response.connection
    if connection is None:
        give_back()
    else:
        connection.add_callback(give_back)
        # A response that is dropped unread closes its connection without a callback.
        weakref.finalize(connection, give_back).atexit = False
