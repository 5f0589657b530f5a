"""One user's session: the newest tokens, renewed when it is time, and calls with them."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from passwordless_async import _clock
from passwordless_async.errors import OutcomeUnknown, RateLimited, TransportError
from passwordless_async.middleware import DPoPMiddleware
from passwordless_async.quota import SingleFlight

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    from aiohttp import ClientResponse, ClientSession

    from passwordless_async.dpop import NonceCache
    from passwordless_async.quota import Flight
    from passwordless_async.tokens import TokenSet

    OnRefresh = Callable[[TokenSet], Awaitable[None] | None]

Spent = tuple[str, str]  # a refresh token and the thumbprint of its key

# Seconds before its end at which an access token is renewed: longer than a call and the difference of two clocks.
_EARLY = 30
# Seconds for which a refresh token that was spent still gives the tokens that came of it. A caller that comes late with
# it must not send it: the service takes a second use for theft and ends the session.
LINGER = 30.0
_DOUBTFUL = 10_000  # refresh tokens of unknown fate that are remembered


def was_replaced(spent: Spent, tokens: TokenSet) -> bool:
    """Tell whether a refresh brought another refresh token.

    Without rotation the same one can be used again, and what came of it is not the last word.
    """
    return tokens.refresh_token != spent[0]


class Renewals:
    """Refreshes for all sessions of a client: each new token set is handed over once, whoever asked for it.

    A refresh whose outcome nobody knows is not tried again: the service takes a second use of a refresh token for theft
    and ends the session. A handover that fails is tried again with the next call.

    Args:
        refresh: The client's refresh.
    """

    def __init__(self, refresh: Callable[[TokenSet], Awaitable[TokenSet]]) -> None:
        self._refresh = refresh
        self._handovers: SingleFlight[Spent, TokenSet] = SingleFlight(linger=LINGER, lingers=was_replaced)
        self._doubtful: OrderedDict[Spent, None] = OrderedDict()

    async def renew(self, stale: TokenSet, on_refresh: OnRefresh) -> TokenSet:
        """Refresh and hand over, or share what is under way.

        Raises:
            OutcomeUnknown: The refresh token was sent before and nobody knows what became of it; nothing was sent.
        """
        if stale.refresh_token is None:
            return stale
        spent = (stale.refresh_token, stale.key.thumbprint)
        if spent in self._doubtful:
            raise OutcomeUnknown("the refresh token left before and no answer came: it was not sent again")
        return await self._handovers.run(spent, lambda flight: self._hand_over(flight, spent, stale, on_refresh))

    async def _hand_over(
        self, flight: Flight[TokenSet], spent: Spent, stale: TokenSet, on_refresh: OnRefresh
    ) -> TokenSet:
        # Never called back: the tokens are handed over though the one who asked for them has gone.
        flight.left = True
        try:
            renewed = await self._refresh(stale)
        except OutcomeUnknown:
            self._doubtful[spent] = None
            if len(self._doubtful) > _DOUBTFUL:
                self._doubtful.popitem(last=False)
            raise
        kept = on_refresh(renewed)
        if inspect.isawaitable(kept):
            await kept
        return renewed

    async def aclose(self, *, grace: float) -> None:
        """Give handovers under way so many seconds, and end them."""
        await self._handovers.aclose(grace=grace)


class UserSession:
    """Calls APIs for one user; made by :meth:`PasswordlessClient.session`.

    Its tokens are refreshed shortly before the access token ends, and once when an API answers 401 ``invalid_token``;
    ``on_refresh`` is handed each new token set exactly once. Without an ``on_refresh`` nothing is refreshed: a refresh
    token that was spent and whose successor nobody keeps is a session lost.
    """

    def __init__(
        self,
        tokens: TokenSet,
        *,
        http: ClientSession,
        origins: Iterable[str],
        renew: Callable[[TokenSet, OnRefresh], Awaitable[TokenSet]],
        on_refresh: OnRefresh | None,
        nonces: NonceCache,
    ) -> None:
        self._tokens = tokens
        self._http = http
        self._renew = renew
        self._on_refresh = on_refresh
        self._middleware = DPoPMiddleware(self, origins=origins, nonces=nonces)

    @property
    def tokens(self) -> TokenSet:
        """The newest tokens."""
        return self._tokens

    @property
    def renewable(self) -> bool:
        """Whether the tokens can be refreshed and somebody keeps what comes of it."""
        return self._on_refresh is not None and self._tokens.refresh_token is not None

    @asynccontextmanager
    async def request(self, method: str, url: str, **parameters: Any) -> AsyncIterator[ClientResponse]:  # noqa: ANN401
        """Call an API: ``async with session.request("GET", "https://api.example/me") as response``.

        Args:
            method: The method.
            url: The absolute URL; the token goes with it to the session's origins alone.
            **parameters: As for :meth:`aiohttp.ClientSession.request`.

        Raises:
            InvalidRefreshToken: The session is over at the service.
            PasswordlessError: The tokens could not be refreshed, or a nonce challenge not be answered.
            aiohttp.ClientError: The call itself failed.
        """
        async with self._http.request(method, url, middlewares=[self._middleware], **parameters) as response:
            yield response

    async def current(self) -> TokenSet:
        """Return the tokens to use now, refreshed if they are about to end."""
        tokens = self._tokens
        left = None if tokens.expires_at is None else tokens.expires_at - _clock.now()
        if not self.renewable or left is None or left > _EARLY:
            return tokens
        try:
            return await self.renew(tokens)
        except (TransportError, RateLimited):
            if left <= 0:
                raise
            # The access token still has some seconds: the call need not fail for a refresh that can come later, or
            # that must not come again.
            return tokens

    async def renew(self, refused: TokenSet) -> TokenSet:
        """Return newer tokens than these, refreshed unless that was done in the meantime."""
        if self._tokens is refused and self._on_refresh is not None:
            renewed = await self._renew(refused, self._on_refresh)
            if self._tokens is refused:
                self._tokens = renewed
        return self._tokens

    def __repr__(self) -> str:
        return f"<UserSession of {self._tokens.key!r}>"
