"""Handing refreshed tokens to ``on_refresh``, for all API sessions of a client.

Invariants:

- Each new token set is handed over once, whichever session requested it. A stored session gets it from the store.
- Tokens that ``on_refresh`` failed to save are kept here, and handed over with the next call.
- Every session that waited for new tokens gets them, even if its caller was cancelled.
- While ``on_refresh`` runs, calls use the new tokens and do not wait for it: ``on_refresh`` may call APIs itself.
- Tokens that were just renewed are not renewed again: neither an API that refuses every token nor a tenant whose tokens
  live for seconds costs a refresh per call.
"""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, TypeAlias

import attrs

from passwordless_async._common import clock as _clock
from passwordless_async._common.bounded import Bounded
from passwordless_async._common.expiring import Expiring
from passwordless_async.client.hooks import call_hook
from passwordless_async.client.refreshes import Refreshes, RefreshKey, key_of, token_hash
from passwordless_async.client.traffic.single_flight import Departure, SingleFlight
from passwordless_async.errors import InvalidRefreshToken, StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from passwordless_async.auth0.tokens import TokenSet

OnRefresh: TypeAlias = "Callable[[TokenSet], Awaitable[None] | None]"
Refresh: TypeAlias = "Callable[[TokenSet], Awaitable[TokenSet]]"
Adopt: TypeAlias = "Callable[[TokenSet], None]"
Renew: TypeAlias = "Callable[[TokenSet, Adopt], Awaitable[TokenSet]]"

_REMEMBERED = 10_000  # tokens that could not be handed over, and as many that were
_REFUSED_AGAIN_SECONDS = 60.0  # after a renewal, for which a refusal does not renew again
_USED_SHARE = 0.75  # of a short lifetime, after which tokens are renewed before their end
_LEAST_SECONDS = 1.0  # between two renewals, even if the tokens have expired when they come


@attrs.frozen
class _Renewal:
    """When tokens were renewed, by the monotonic clock, and for how many seconds they were valid then."""

    at: float
    lifetime: float

    @property
    def wait(self) -> float:
        """The seconds after which tokens that expire soon are renewed again."""
        return max(self.lifetime * _USED_SHARE, _LEAST_SECONDS)

    @property
    def trusted(self) -> float:
        """The seconds for which an API that refuses the tokens causes no renewal."""
        return min(max(self.lifetime, _LEAST_SECONDS), _REFUSED_AGAIN_SECONDS)


class Handovers:
    """The handovers of a client; kept for the client's lifetime."""

    def __init__(self, refreshes: Refreshes) -> None:
        self._refreshes = refreshes
        self._flights: SingleFlight[RefreshKey, TokenSet] = SingleFlight()
        self._not_kept: Bounded[RefreshKey, TokenSet] = Bounded(_REMEMBERED)
        # By the hashes of the old and the new refresh token: within a leeway the service replaces one token twice.
        self._done: Bounded[tuple[bytes, bytes], None] = Bounded(_REMEMBERED)
        self._in_hook: dict[RefreshKey, TokenSet] = {}  # new tokens that on_refresh is keeping at this moment
        # By the new tokens, while a renewal counts.
        self._renewals: Expiring[tuple[bytes, bytes], _Renewal] = Expiring(_REMEMBERED)

    def newest(self, tokens: TokenSet) -> TokenSet:
        """Return the new tokens while ``on_refresh`` is saving them; otherwise the given ones."""
        return self._in_hook.get(key_of(tokens), tokens) if self._in_hook else tokens

    def is_due(self, tokens: TokenSet, *, early: float) -> bool:
        """Return whether tokens expire within ``early`` seconds and were not renewed just now."""
        if tokens.expires_at is None or tokens.expires_at - _clock.now() > early:
            return False
        renewal = self._renewals.get(_hashes(tokens))
        return renewal is None or _clock.monotonic() - renewal.at >= renewal.wait

    def is_fresh(self, tokens: TokenSet) -> bool:
        """Return whether tokens were renewed just now: an API that refuses them would refuse newer ones as well."""
        renewal = self._renewals.get(_hashes(tokens))
        return renewal is not None and _clock.monotonic() - renewal.at < renewal.trusted

    async def renew_stored(self, stale: TokenSet, refresh: Refresh) -> TokenSet:
        """Refresh the tokens of a stored session, which then has the new ones: nothing is handed over."""
        renewed = await refresh(stale)
        self._note_renewal(renewed)
        return renewed

    async def renew(self, stale: TokenSet, on_refresh: OnRefresh, adopt: Adopt) -> TokenSet:
        """Refresh and hand over, or join the handover in progress.

        ``adopt`` takes the new tokens once ``on_refresh`` has kept them, even if this caller is cancelled. It raises
        nothing.

        Raises:
            InvalidRefreshToken: The tokens were revoked while they were refreshed.
            StoreError: ``on_refresh`` was cancelled.
            PasswordlessError: What the refresh raises.
        """
        if stale.refresh_token is None:
            return stale
        key = key_of(stale)
        adopters: list[Adopt] = self._flights.detail(key) or []
        adopters.append(adopt)
        in_hook = self._in_hook.get(key)
        if in_hook is not None:
            # Waiting for on_refresh here could wait for this very call.
            return in_hook
        return await self._flights.run(
            key,
            lambda departure: self._hand_over(key, stale, on_refresh, adopters, departure),
            detail=adopters,
        )

    async def _hand_over(
        self,
        key: RefreshKey,
        stale: TokenSet,
        on_refresh: OnRefresh,
        adopters: list[Adopt],
        departure: Departure,
    ) -> TokenSet:
        # Never cancelled with its callers: new tokens must be saved.
        departure.on_wire = True
        renewed = self._not_kept.pop(key, None)
        if renewed is not None:
            self._require_unrevoked(key, renewed)
        else:
            self._require_unrevoked(key, stale)
            renewed = await self._refreshes.refresh(stale)
            self._note_renewal(renewed)
        step = (key[0], token_hash(renewed))
        if step not in self._done:
            self._not_kept[key] = renewed
            # If revoked meanwhile, they are kept for one more call: they are still valid if the revocation is not sent.
            self._require_unrevoked(key, renewed)
            if not await self._call_on_refresh(on_refresh, key, renewed):
                raise StoreError(
                    "on_refresh was cancelled: the new tokens are kept, and handed over with the next call"
                )
            self._not_kept.pop(key, None)
            if step[0] != step[1]:  # without rotation each refresh has something new to hand over
                self._done[step] = None
        for adopt in adopters:
            adopt(renewed)
        return renewed

    async def _call_on_refresh(self, on_refresh: OnRefresh, key: RefreshKey, renewed: TokenSet) -> bool:
        """Call ``on_refresh``; return whether it has saved the tokens."""
        self._in_hook[key] = renewed
        try:
            return await call_hook(on_refresh, renewed)
        finally:
            del self._in_hook[key]

    def _note_renewal(self, renewed: TokenSet) -> None:
        lifetime = math.inf if renewed.expires_at is None else renewed.expires_at - _clock.now()
        renewal = _Renewal(_clock.monotonic(), lifetime)
        # Tokens without an expiry are never due.
        seconds = renewal.trusted if lifetime == math.inf else max(renewal.trusted, renewal.wait)
        self._renewals.put(_hashes(renewed), renewal, seconds)

    def _require_unrevoked(self, key: RefreshKey, tokens: TokenSet) -> None:
        if self._refreshes.is_revoked(key[0], tokens):
            raise InvalidRefreshToken(
                status=403, error="invalid_grant", error_description="the tokens were revoked while they were refreshed"
            )

    async def aclose(self, *, grace: float) -> None:
        """Cancel pending handovers after ``grace`` seconds."""
        await self._flights.aclose(grace=grace)


def _hashes(tokens: TokenSet) -> tuple[bytes, bytes]:
    # The access token is part of the identity: without rotation, older tokens have the same refresh token.
    return token_hash(tokens), hashlib.sha256(tokens.access_token.encode()).digest()
