"""Handing refreshed tokens to ``on_refresh``, for all API sessions of a client.

Invariants:

- Each new token set is handed over once, whichever sessions asked for it.
- Tokens that ``on_refresh`` failed to keep are kept here, and handed over with the next call.
- Every session that waited for new tokens gets them, even if its caller was cancelled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from passwordless_async._common.bounded import Bounded
from passwordless_async.client.orphans import is_done_by
from passwordless_async.client.refreshes import Refreshes, RefreshKey, token_hash
from passwordless_async.client.traffic.single_flight import Departure, SingleFlight
from passwordless_async.errors import InvalidRefreshToken, StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from passwordless_async.auth0.tokens import TokenSet

OnRefresh: TypeAlias = "Callable[[TokenSet], Awaitable[None] | None]"
Adopt: TypeAlias = "Callable[[TokenSet], None]"

_REMEMBERED = 10_000  # tokens that could not be handed over, and as many that were


class Handovers:
    """The handovers of a client; lives as long as the client."""

    def __init__(self, refreshes: Refreshes) -> None:
        self._refreshes = refreshes
        self._flights: SingleFlight[RefreshKey, TokenSet] = SingleFlight()
        self._not_kept: Bounded[RefreshKey, TokenSet] = Bounded(_REMEMBERED)
        # By the hashes of the old and the new refresh token: within a leeway the service replaces one token twice.
        self._done: Bounded[tuple[bytes, bytes], None] = Bounded(_REMEMBERED)

    async def renew(self, stale: TokenSet, on_refresh: OnRefresh, adopt: Adopt) -> TokenSet:
        """Refresh and hand over, or share the handover that is under way.

        ``adopt`` takes the new tokens once ``on_refresh`` has kept them, even if this caller is cancelled. It raises
        nothing.

        Raises:
            InvalidRefreshToken: The tokens were revoked while they were refreshed.
            StoreError: ``on_refresh`` was cancelled.
            PasswordlessError: What the refresh raises.
        """
        if stale.refresh_token is None:
            return stale
        # By the key too: the refresh token alone gives no tokens.
        key = (token_hash(stale), stale.key.thumbprint)
        adopters: list[Adopt] = self._flights.detail(key) or []
        adopters.append(adopt)
        return await self._flights.run(
            key, lambda departure: self._hand_over(key, stale, on_refresh, adopters, departure), detail=adopters
        )

    async def _hand_over(
        self, key: RefreshKey, stale: TokenSet, on_refresh: OnRefresh, adopters: list[Adopt], departure: Departure
    ) -> TokenSet:
        # Never cancelled with its callers: tokens that came must be kept.
        departure.on_wire = True
        renewed = self._not_kept.pop(key, None)
        if renewed is not None:
            self._require_unrevoked(key, renewed)
        else:
            self._require_unrevoked(key, stale)
            renewed = await self._refreshes.refresh(stale)
        step = (key[0], token_hash(renewed))
        if step not in self._done:
            self._not_kept[key] = renewed
            # Revoked meanwhile, they stay for one more call: if the revocation is not sent after all, they are good.
            self._require_unrevoked(key, renewed)
            if not await is_done_by(on_refresh, renewed):
                raise StoreError(
                    "on_refresh was cancelled: the new tokens are kept, and handed over with the next call"
                )
            self._not_kept.pop(key, None)
            if step[0] != step[1]:  # without rotation each refresh has something new to hand over
                self._done[step] = None
        for adopt in adopters:
            adopt(renewed)
        return renewed

    def _require_unrevoked(self, key: RefreshKey, tokens: TokenSet) -> None:
        if self._refreshes.is_revoked(key[0], tokens):
            raise InvalidRefreshToken(
                status=403, error="invalid_grant", error_description="the tokens were revoked while they were refreshed"
            )

    async def aclose(self, *, grace: float) -> None:
        """End the handovers that are under way after ``grace`` seconds."""
        await self._flights.aclose(grace=grace)
