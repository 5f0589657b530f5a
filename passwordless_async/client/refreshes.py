"""Refreshing for all sessions of a client: each new token set is handed over once, whoever asked for it.

The promises: a refresh token that was sent is not sent again, for the service takes a second use for theft and ends the
session; new tokens that could not be handed over are kept and handed over with the next call; and every session that
waited for them has them, though its caller be gone.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, TypeAlias

from passwordless_async.client.traffic import SingleFlight
from passwordless_async.errors import InvalidRefreshToken, OutcomeUnknown, StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from passwordless_async.auth0.tokens import TokenSet
    from passwordless_async.client.traffic import Flight

    OnRefresh: TypeAlias = "Callable[[TokenSet], Awaitable[None] | None]"
    Adopt: TypeAlias = "Callable[[TokenSet], None]"

Spent = tuple[str, str]  # a refresh token and the thumbprint of its key

# Seconds for which a refresh token that was spent still gives the tokens that came of it. A caller that comes late with
# it must not send it: the service takes a second use for theft and ends the session.
LINGER = 30.0
_REMEMBERED = 10_000  # refresh tokens of unknown fate, and tokens that could not be handed over


def was_replaced(spent: Spent, tokens: TokenSet) -> bool:
    """Tell whether a refresh brought another refresh token.

    Without rotation the same one can be used again, and what came of it is not the last word.
    """
    return tokens.refresh_token != spent[0]


def comes_of(tokens: TokenSet) -> Callable[[Spent, TokenSet | None], bool]:
    """Return what tells whether a refresh was one of these tokens, or led to them."""
    return lambda spent, renewed: tokens.refresh_token in {spent[0], None if renewed is None else renewed.refresh_token}


class Renewals:
    """Refreshes and hands over; lives as long as its client.

    Args:
        refresh: The client's refresh.
    """

    def __init__(self, refresh: Callable[[TokenSet], Awaitable[TokenSet]]) -> None:
        self._refresh = refresh
        self._handovers: SingleFlight[Spent, TokenSet] = SingleFlight(linger=LINGER, lingers=was_replaced)
        self._doubtful: OrderedDict[Spent, None] = OrderedDict()
        self._unkept: OrderedDict[Spent, TokenSet] = OrderedDict()

    async def renew(self, stale: TokenSet, on_refresh: OnRefresh, adopt: Adopt) -> TokenSet:
        """Refresh and hand over, or share what is under way.

        Args:
            stale: The tokens that are to be renewed.
            on_refresh: Keeps what comes of it.
            adopt: Takes what was kept, also where the caller is cancelled meanwhile; raises nothing.

        Raises:
            OutcomeUnknown: The refresh token was sent before and nobody knows what became of it; nothing was sent.
            InvalidRefreshToken: The tokens were revoked while they were refreshed.
        """
        if stale.refresh_token is None:
            return stale
        spent = (stale.refresh_token, stale.key.thumbprint)
        if spent in self._doubtful:
            raise OutcomeUnknown("the refresh token left before and no answer came: it was not sent again")
        renewed = self._handovers.landed(spent)
        if renewed is not None:
            adopt(renewed)
            return renewed
        waiting: list[Adopt] = self._handovers.about(spent) or []
        waiting.append(adopt)
        return await self._handovers.run(
            spent, lambda flight: self._hand_over(flight, spent, stale, on_refresh), about=waiting
        )

    async def _hand_over(
        self, flight: Flight[TokenSet], spent: Spent, stale: TokenSet, on_refresh: OnRefresh
    ) -> TokenSet:
        # Never called back: the tokens are handed over though the one who asked for them has gone.
        flight.left = True
        renewed = self._unkept.get(spent) or await self._renewed(spent, stale)
        if flight.forgotten:
            self._unkept.pop(spent, None)
            raise InvalidRefreshToken(
                status=403, error="invalid_grant", error_description="the tokens were revoked while they were refreshed"
            )
        await _keep(on_refresh, renewed)
        self._unkept.pop(spent, None)
        for adopt in flight.about:
            adopt(renewed)
        return renewed

    async def _renewed(self, spent: Spent, stale: TokenSet) -> TokenSet:
        try:
            renewed = await self._refresh(stale)
        except OutcomeUnknown:
            _remember(self._doubtful, spent, None)
            raise
        _remember(self._unkept, spent, renewed)
        return renewed

    def forget(self, tokens: TokenSet) -> None:
        """Hand nothing over any more that came, or comes, of tokens that are revoked."""
        unwanted = comes_of(tokens)
        self._handovers.forget(unwanted)
        for spent in [spent for spent, renewed in self._unkept.items() if unwanted(spent, renewed)]:
            del self._unkept[spent]

    async def aclose(self, *, grace: float) -> None:
        """Give handovers under way so many seconds, and end them."""
        await self._handovers.aclose(grace=grace)


async def _keep(on_refresh: OnRefresh, renewed: TokenSet) -> None:
    try:
        kept = on_refresh(renewed)
        if inspect.isawaitable(kept):
            await kept
    except asyncio.CancelledError:
        own = asyncio.current_task()
        if own is not None and own.cancelling():
            raise
        cancelled = True
    else:
        cancelled = False
    if cancelled:
        raise StoreError("on_refresh was cancelled: the new tokens are kept, and handed over with the next call")


def _remember(known: OrderedDict[Spent, Any], spent: Spent, fate: object) -> None:
    known[spent] = fate
    if len(known) > _REMEMBERED:
        known.popitem(last=False)
