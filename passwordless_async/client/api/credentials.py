"""The credentials of a request to an API, and the meaning of its response (RFC 9449 §7, RFC 6750 §2.1); no I/O.

Invariants:

- Only the named origins get the token. A request to another origin carries neither the token nor a proof.
- Every transmission has its own proof, signed for its method and URL.
- Bound tokens are sent with a proof by their key, and never as Bearer, whatever their source returns.
- Once a source's tokens are bound, they stay bound. Unbound tokens may be renewed to bound ones.
- The token and the proof are secrets: they print as ``<redacted>``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import nullcontext
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

import attrs

from passwordless_async._common.origin import parse_origin
from passwordless_async._common.secret import Secret, SecretDict, always_printable, hide, type_name
from passwordless_async.auth0.tokens import TokenSet, authorization, require_bearer, require_key
from passwordless_async.client.traffic.first_nonce import FirstNonce
from passwordless_async.dpop import NonceCache, ProofGenerator, negotiate, rejects_token
from passwordless_async.errors import KeyMismatch, UsageError, UseDPoPNonce

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from contextlib import AbstractAsyncContextManager

    from yarl import URL

    from passwordless_async._common.http import HttpResponse
    from passwordless_async.dpop import DPoPKey

_log = logging.getLogger("passwordless_async")

NAMES = ("Authorization", "DPoP")  # the header fields that carry credentials
_HTTP_OF = {"ws": "http", "wss": "https"}
_AT_ONCE: nullcontext[Callable[[int], None]] = nullcontext(lambda _status: None)  # no request has to go first


class TokenSource(Protocol):
    """Supplies a user's tokens to API calls if they change during its life."""

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

    def is_renewable(self, refused: TokenSet) -> bool:
        return refused is not self.tokens

    async def current(self) -> TokenSet:
        return self.tokens

    async def renew(self, refused: TokenSet) -> TokenSet:
        return refused


class Authorization(Secret):
    """An ``Authorization`` field that was made here, not one that a caller set."""

    __slots__ = ()


def concealed_tokens(tokens: TokenSet | TokenSource) -> TokenSet | TokenSource:
    """Return a source of tokens, of any class of the caller's, as it is; anything else as :func:`hide` does."""
    if isinstance(getattr(tokens, "tokens", None), TokenSet):
        return tokens
    concealed: TokenSet = hide(tokens)  # or a stand-in, which is refused
    return concealed


@always_printable
class ApiCredentials:
    """The tokens of one user, their key, and the origins that they are for.

    Args:
        tokens: The tokens, or their source.
        origins: The origins that the access token is for: ``https://api.example``; plain http on loopback only.
        nonces: The servers' nonces; a new cache if None.

    Raises:
        UsageError: An argument has a wrong type, an origin is not one, or the type of the tokens and their key do not
            agree.
        KeyMissing: The tokens are bound and have no key.
    """

    def __init__(self, tokens: TokenSet | TokenSource, *, origins: Iterable[str], nonces: NonceCache | None) -> None:
        tokens = concealed_tokens(tokens)
        self._source: TokenSource = _Fixed(tokens) if isinstance(tokens, TokenSet) else tokens
        newest = getattr(self._source, "tokens", None)
        if not isinstance(newest, TokenSet):
            raise UsageError("tokens", f"must be a TokenSet, not {type_name(tokens)}")
        if not isinstance(nonces, NonceCache | None):
            raise UsageError("nonces", f"must be a NonceCache, not {type(nonces).__name__}")
        self.nonces: NonceCache = NonceCache() if nonces is None else nonces
        self._proofs = _proofs_of(newest)  # None until the tokens are bound
        # Checked and written once: API calls send the same token many times.
        self._latest = newest, Authorization(authorization(newest))
        named = [_parsed(origin) if isinstance(origin, str) else _parse(origin) for origin in _each(origins)]
        self._first_nonces = {origin: FirstNonce(self.nonces, origin) for origin in named}

    @property
    def fixed_tokens(self) -> TokenSet | None:
        """The tokens, if they do not change; None if they have a source."""
        return self._source.tokens if isinstance(self._source, _Fixed) else None

    async def current(self) -> TokenSet:
        """Return the tokens to use now.

        Raises:
            KeyMismatch: They are not bound to the key of the first ones.
            PasswordlessError: What the source raises.
        """
        return self._usable(await self._source.current())

    async def renew(self, refused: TokenSet) -> TokenSet:
        """Return newer tokens than these, which an API has refused; raises what :meth:`current` does."""
        return self._usable(await self._source.renew(refused))

    def calls_for_renewal(self, response: HttpResponse, tokens: TokenSet) -> bool:
        """Return whether a response refuses these tokens, and other tokens can be had."""
        scheme = "dpop" if tokens.bound else "bearer"
        return rejects_token(response, scheme=scheme) and self._source.is_renewable(tokens)

    def _usable(self, tokens: TokenSet) -> TokenSet:
        if tokens is not self._latest[0]:
            tokens = self._checked(tokens)
            self._latest = tokens, Authorization(authorization(tokens))
        return tokens

    def _checked(self, tokens: TokenSet) -> TokenSet:
        if self._proofs is None:
            self._proofs = _proofs_of(tokens)
            return tokens
        if not tokens.bound:
            # Another call renewed these while this one waited, and the new ones are bound.
            tokens = self._source.tokens
        if tokens.key != self._proofs.key or tokens.token_type.lower() != "dpop":
            raise KeyMismatch("the renewed tokens are not bound to the key of the first ones: nothing was sent")
        return tokens

    def is_for(self, origin: str) -> bool:
        """Return whether an origin was named. A request to another one is sent without a token."""
        return origin in self._first_nonces

    def log_unnamed(self, origin: str) -> None:
        """Log at DEBUG that a request is sent without a token: its origin was not named."""
        _log.debug("sent without a token: %s is not among origins (%s)", origin, self)

    def is_revealed_by(self, authorization: str) -> bool:
        """Return whether a caller's own ``Authorization`` field has the access token in it."""
        return self._source.tokens.access_token in authorization

    def turn(self, origin: str) -> AbstractAsyncContextManager[Callable[[int], None]]:
        """Let one request go first while the nonce of a named origin is unknown, see :class:`FirstNonce`."""
        first = self._first_nonces.get(origin)
        if first is None or first.over or self._proofs is None:  # Bearer knows no nonces
            return _AT_ONCE
        return first.turn()

    def transmissions(
        self, tokens: TokenSet, origin: str, method: str, url: URL
    ) -> Generator[SecretDict, HttpResponse, object]:
        """Yield the header fields of each transmission of a request, and receive the head of its response.

        Raises:
            MalformedAnswer: The server demands a nonce and gives none.
            NonceChallengeRepeated: The server challenges again with a nonce that was used, or a fourth time.
        """
        proofs, (latest, field) = self._proofs, self._latest
        if tokens is not latest:
            field = Authorization(authorization(tokens))
        if proofs is None or tokens.key is None:
            return _once(SecretDict({"Authorization": field}))

        def make(nonce: str | None) -> SecretDict:
            proof = proofs.proof(method, url, nonce=nonce, access_token=tokens.access_token)
            return SecretDict({"Authorization": field, "DPoP": Secret(proof)})

        return negotiate(self.nonces, origin, proofs.key, make)

    def body_is_used_up(self, origin: str) -> UseDPoPNonce:
        """Return the error of a challenge after which the body, a stream, cannot be sent again."""
        key: DPoPKey | None = None if self._proofs is None else self._proofs.key
        return UseDPoPNonce(
            status=401,
            error_description="the body, a stream, is used up: send the request again",
            nonce=self.nonces.get(origin, key),
        )

    def __str__(self) -> str:
        return ", ".join(self._first_nonces)

    def __repr__(self) -> str:
        return f"<ApiCredentials for {self}>"


def target_of(url: URL) -> URL:
    """Return the URL for the proof: the handshake of a WebSocket is an HTTP request (RFC 6455 §4.1)."""
    scheme = _HTTP_OF.get(url.scheme)
    return url if scheme is None else url.with_scheme(scheme)


def _once(fields: SecretDict) -> Generator[SecretDict, HttpResponse, None]:
    yield fields


def _parse(origin: object) -> str:
    return str(parse_origin("origins", origin))


_parsed = lru_cache(maxsize=256)(_parse)  # an origin is named for each call


def _proofs_of(tokens: TokenSet) -> ProofGenerator | None:
    """Return the proof generator of tokens; None if they are not bound."""
    key = require_key(tokens, consequence="nothing was sent")
    if key is None:
        require_bearer(tokens)
        return None
    if tokens.token_type.lower() != "dpop":
        raise UsageError("tokens", "have a key, and token_type is not DPoP")
    return ProofGenerator(key)


def _each(origins: Iterable[str]) -> Iterable[str]:
    if isinstance(origins, str):
        raise UsageError("origins", "must be a list of origins, not one str")
    if not isinstance(origins, Iterable):
        raise UsageError("origins", f"must be a list of origins, not {type(origins).__name__}")
    return origins
