"""One user's session: the newest tokens, refreshed in time, and API calls with them."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from passwordless_async._common import clock as _clock
from passwordless_async._common.secret import always_printable
from passwordless_async.client.api.middleware import DPoPMiddleware
from passwordless_async.errors import PasswordlessError, TransportError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from aiohttp import ClientResponse, ClientSession

    from passwordless_async.auth0.tokens import TokenSet
    from passwordless_async.client.api.handovers import Handovers, Renew
    from passwordless_async.dpop import NonceCache

# Seconds before its end at which an access token is renewed: longer than a call and the difference of two clocks.
_EARLY = 30


@always_printable
class UserSession:
    """Calls APIs for one user; made by :meth:`PasswordlessClient.session` and ``client.sessions.api``.

    Its tokens are refreshed 30 seconds before the access token ends, and once when an API answers 401
    ``invalid_token``; ``on_refresh`` gets each new token set exactly once, unless a stored session has it. Without
    ``on_refresh`` and a stored session, nothing is refreshed, because the new refresh token would be lost.
    """

    def __init__(
        self,
        tokens: TokenSet,
        *,
        http: Callable[[], ClientSession],
        origins: Iterable[str],
        handovers: Handovers,
        renew: Renew | None,
        nonces: NonceCache,
    ) -> None:
        self._tokens = tokens
        self._http = http
        self._handovers = handovers
        self._renew = renew  # None: new tokens would not be saved
        self._middleware = DPoPMiddleware(self, origins=origins, nonces=nonces)

    @property
    def tokens(self) -> TokenSet:
        """The newest tokens, even while ``on_refresh`` is still saving them."""
        return self._handovers.newest(self._tokens)

    @property
    def middleware(self) -> DPoPMiddleware:
        """The middleware that adds token and proof, for your session: ``http.get(url, middlewares=[...])``."""
        return self._middleware

    def is_renewable(self, refused: TokenSet) -> bool:
        """Return whether :meth:`renew` can return other tokens than these.

        It cannot if these were renewed less than a minute ago and have not expired: the API would refuse newer ones as
        well.
        """
        tokens = self.tokens
        return tokens is not refused or (self._keeps_tokens and not self._handovers.is_fresh(tokens))

    @property
    def _keeps_tokens(self) -> bool:
        return self._renew is not None and self._tokens.refresh_token is not None

    @asynccontextmanager
    async def request(self, method: str, url: str, **parameters: Any) -> AsyncIterator[ClientResponse]:  # noqa: ANN401 - aiohttp's own
        """Call an API: ``async with session.request("GET", "https://api.example/me") as response``.

        Args:
            method: The method.
            url: The absolute URL; the token is sent only to the session's origins.
            **parameters: As for :meth:`aiohttp.ClientSession.request`.

        Raises:
            InvalidRefreshToken: The session has ended at the service.
            PasswordlessError: The tokens could not be refreshed, or a nonce challenge could not be answered.
            aiohttp.ClientError: The call itself failed.
            TimeoutError: The API did not answer in time: within the client's ``timeout``, or that of the call.
        """
        async with self._http().request(method, url, middlewares=[self._middleware], **parameters) as response:
            yield response

    async def current(self) -> TokenSet:
        """Return the tokens to use now, refreshed if they are about to end."""
        tokens = self.tokens
        if not self._keeps_tokens or not self._handovers.is_due(tokens, early=_EARLY):
            return tokens
        try:
            return await self.renew(tokens)
        except PasswordlessError as error:
            # While the access token is valid, the call need not fail because of a refresh that can be done later, or
            # that must not be repeated.
            if not (error.retryable or isinstance(error, TransportError)) or _has_ended(tokens):
                raise
            return tokens

    async def renew(self, refused: TokenSet) -> TokenSet:
        """Return newer tokens than these; refresh them unless another caller has done so in the meantime."""
        newest = self.tokens
        if newest is not refused or self._renew is None:
            return newest

        def adopt(renewed: TokenSet) -> None:
            if self._tokens is refused:
                self._tokens = renewed

        renewed = await self._renew(refused, adopt)
        if self._handovers.newest(refused) is not renewed:
            adopt(renewed)
        return renewed if self._tokens is refused else self._tokens

    def __repr__(self) -> str:
        return f"<UserSession of {self._tokens.key or 'unbound tokens'!s}>"


def _has_ended(tokens: TokenSet) -> bool:
    return tokens.expires_at is not None and tokens.expires_at <= _clock.now()
