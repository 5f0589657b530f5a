"""Decides whether a refresh token may be sent, for ``client.refresh``, API calls and stored sessions.

Invariants:

- A refresh token is identified by its hash: two sessions made from one login share its refresh.
- Concurrent callers with the same refresh token share one request. So do callers that come up to half a minute later
  with a rotated token: the service treats a second use as theft and ends the login.
- A refresh token with an unknown outcome is sent again only within the overlap that the service allows, counted from
  its first use. Otherwise the next caller gets ``OutcomeUnknown`` at once.
- A refresh token that the service has refused, or has replaced, is not sent again: the next caller gets
  ``InvalidRefreshToken`` at once. One that was replaced may be sent again within the same overlap.
- Tokens of a stored session are refreshed by the session, so that it gets the new ones.
- If the revocation of tokens was sent meanwhile, the new ones are not kept for later callers.
"""

from __future__ import annotations

import asyncio
import copy
import hashlib
import math
from typing import TYPE_CHECKING, TypeAlias

import attrs

from passwordless_async import errors
from passwordless_async._common import clock as _clock
from passwordless_async._common.bounded import Bounded
from passwordless_async.auth0.life_cycle import refresh
from passwordless_async.auth0.revocation import revoke
from passwordless_async.auth0.tenant import Tenant, own_key, own_refresh_token, own_tokens
from passwordless_async.auth0.tokens import owner_of
from passwordless_async.client.events import Operation
from passwordless_async.client.orphans import Orphans, orphan_of
from passwordless_async.client.stored_tokens import StoredTokens
from passwordless_async.client.traffic.dispatcher import Call, Dispatcher
from passwordless_async.client.traffic.single_flight import Departure, SingleFlight
from passwordless_async.errors import PasswordlessError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from passwordless_async._common.secret import Secret
    from passwordless_async.auth0.tokens import TokenSet
    from passwordless_async.client.profile import Policy
    from passwordless_async.dpop import DPoPKey

RefreshKey: TypeAlias = tuple[bytes, str]  # the hash of a refresh token, and the thumbprint of its key; empty: none

_KEEP_SECONDS = 30.0  # for which callers with a spent refresh token still get the tokens that replaced it
_REMEMBERED = 10_000  # refresh tokens of unknown outcome, as many that were revoked, and as many with a final answer
# The refresh token was not sent, or the service refused it.
_UNSPENT = (
    errors.NotSent,
    errors.QuotaExceeded,
    errors.UsageError,
    errors.KeyMissing,
    errors.KeyMismatch,
    errors.BindingRequired,
    errors.OAuthError,
)


def token_hash(tokens: TokenSet) -> bytes:
    """Return the hash that identifies a token set's refresh token; empty if it has none."""
    return b"" if tokens.refresh_token is None else hashlib.sha256(tokens.refresh_token.encode()).digest()


def is_unspent(error: PasswordlessError) -> bool:
    """Return whether a refresh that failed left the refresh token as it was, or known to be refused.

    Every other error leaves that open. So does an unusable response: the service spent the token for it, unless the
    response has the same token again.
    """
    return isinstance(error, _UNSPENT) or (isinstance(error, errors.ProtocolError) and error.keeps_refresh_token)


@attrs.frozen
class _Request:
    """A requested refresh."""

    tokens: TokenSet
    scope: str | None  # None: the granted one
    sent_at: float | None  # when another process first sent the refresh token, by this machine's monotonic clock


@attrs.frozen
class _Final:
    """A final answer to a refresh token."""

    refusal: errors.InvalidRefreshToken | None  # None: the token was replaced, which is nearly always so
    sent_at: float = -math.inf  # when a token that was replaced was first sent: it may be sent again within the overlap


class Refreshes:
    """The refreshes of a client; kept for the client's lifetime.

    Args:
        tenant: The tenant.
        dispatcher: Sends the requests.
        orphans: Takes results without a caller.
        policy: How often a refresh is tried within one call.
        overlap: Seconds after its first use in which the service accepts a refresh token again; infinite if they do not
            rotate.
    """

    def __init__(
        self, tenant: Tenant, dispatcher: Dispatcher, orphans: Orphans, policy: Policy, *, overlap: float
    ) -> None:
        self._tenant = tenant
        self._policy = policy
        self.overlap = overlap
        self._dispatcher = dispatcher
        self._orphans = orphans
        self._flights: SingleFlight[RefreshKey, TokenSet] = SingleFlight(
            keep=_KEEP_SECONDS, keeps=self._keeps, orphaned=self._orphaned
        )
        # When each was first about to be sent, by the monotonic clock.
        self._doubtful: Bounded[bytes, float] = Bounded(_REMEMBERED)
        self._final: Bounded[RefreshKey, _Final] = Bounded(_REMEMBERED)
        self._stored = StoredTokens(_REMEMBERED)
        # What refreshes a stored session.
        self.renew_stored: Callable[[Secret, TokenSet], Awaitable[TokenSet]] | None = None
        self._revoked: Bounded[bytes, None] = Bounded(_REMEMBERED)

    def note_stored(self, tokens: TokenSet, identifier: Secret) -> None:
        """Note that a stored session has these tokens."""
        if tokens.refresh_token is not None:
            self._stored.note(key_of(tokens), tokens, identifier)

    def require_open(self) -> None:
        """Raise ``ClientClosed`` if the client is being closed."""
        self._dispatcher.require_open()

    async def refresh(self, tokens: TokenSet, *, scope: str | None = None) -> TokenSet:
        """Refresh tokens, by a stored session if one has them. Raises as ``client.refresh``."""
        own_key(self._tenant, tokens)
        key, renew = key_of(tokens), self.renew_stored
        for identifier in self._stored.sessions(key):
            if renew is None:
                break  # no session can have been noted
            if scope is not None:
                raise errors.UsageError("scope", "cannot be narrowed for the tokens of a stored session")
            try:
                return await renew(identifier, tokens)
            except errors.InvalidSession:
                # It has ended, so it cannot lose the new tokens. Other sessions of the same login may be open.
                self._stored.forget(key, identifier)
        return await self.refresh_directly(tokens, scope=scope)

    async def refresh_directly(
        self, tokens: TokenSet, *, scope: str | None = None, sent_before: float | None = None
    ) -> TokenSet:
        """Refresh tokens, or join their refresh in progress. Raises as ``client.refresh``.

        ``sent_before`` is how many seconds ago another process first sent the refresh token; None: none did.
        """
        own_refresh_token(tokens)
        sent_at = None if sent_before is None else _clock.monotonic() - sent_before
        while True:
            key = key_of(tokens)
            shared: _Request | None = self._flights.detail(key)
            renewed = await self._share(key, _Request(tokens, scope, sent_at))
            if shared is None or shared.scope == scope:
                return renewed
            # The running refresh has another scope: refresh its result for this one. The other waiters go first.
            tokens, sent_at = renewed, None
            await asyncio.sleep(0)

    async def _share(self, key: RefreshKey, request: _Request) -> TokenSet:
        return await self._flights.run(key, lambda departure: self._send(key, request, departure), detail=request)

    async def _send(self, key: RefreshKey, request: _Request, departure: Departure) -> TokenSet:
        """Send a refresh token, again where that is allowed after a failure that leaves its outcome unknown."""
        tries = 1
        while True:
            self._require_unspent(key, request)
            try:
                return await self._spend(key, request, departure)
            except errors.InvalidRefreshToken as error:
                self._final[key] = _Final(copy.copy(error.with_traceback(None)))
                raise
            except (errors.OutcomeUnknown, errors.MalformedAnswer):
                if tries >= self._policy.tries or departure.is_abandoned or not self._may_send_again(key, request):
                    raise
            # Its outcome is lost if the call ends now.
            departure.on_wire = True
            await asyncio.sleep(self._policy.backoff * tries)
            tries += 1

    def _require_unspent(self, key: RefreshKey, request: _Request) -> None:
        """Raise the error for a refresh token that must not be sent (again)."""
        if not self._may_send_again(key, request):
            final = self._final.get(key)
            if final is not None:
                raise _replaced() if final.refusal is None else copy.copy(final.refusal)
            raise errors.OutcomeUnknown("the refresh token was sent before and no answer came: it was not sent again")

    def _may_send_again(self, key: RefreshKey, request: _Request) -> bool:
        sent_at = self._first_sent(key, request)
        return sent_at is None or _clock.monotonic() - sent_at < self.overlap

    def _first_sent(self, key: RefreshKey, request: _Request) -> float | None:
        final = self._final.get(key)
        known = (self._doubtful.get(key[0]), request.sent_at, None if final is None else final.sent_at)
        return min((at for at in known if at is not None), default=None)

    async def _spend(self, key: RefreshKey, request: _Request, departure: Departure) -> TokenSet:
        spent, first = key[0], self._first_sent(key, request)
        began = _clock.monotonic() if first is None else first
        try:
            renewed = await self._refresh(request, departure, self._policy_of(first))
        except BaseException as error:
            # A cancellation, or any foreign exception, does not say whether the request was sent.
            is_lost = not is_unspent(error) if isinstance(error, PasswordlessError) else departure.on_wire
            if is_lost:
                self._doubtful[spent] = began
            raise
        self._doubtful.pop(spent, None)
        if token_hash(renewed) != spent:
            self._final[key] = _Final(None, began)
        return renewed

    def _policy_of(self, first_sent: float | None) -> Policy | None:
        """Return how long a refresh may go on trying: one that is sent again, only within the overlap."""
        if first_sent is None or self.overlap == math.inf:
            return None
        left = max(first_sent + self.overlap - _clock.monotonic(), 0.0)
        return attrs.evolve(self._policy, tries=1, patience=min(self._policy.patience, left), outlasts_outages=False)

    async def _refresh(self, request: _Request, departure: Departure, policy: Policy | None) -> TokenSet:
        call = Call(
            Operation.REFRESH,
            lambda: refresh(self._tenant, request.tokens, scope=request.scope),
            is_proven=self._tenant.dpop != "off" or _key_of(request.tokens) is not None,
            policy=policy,
            user=owner_of(request.tokens),
        )
        return await self._dispatcher.run(call, departure)

    def is_replaced(self, tokens: TokenSet) -> bool:
        """Return whether this process knows that a refresh token was replaced, or refused, by the service."""
        return key_of(tokens) in self._final

    def is_doubtful(self, tokens: TokenSet) -> bool:
        """Return whether a refresh token was sent by this process and its outcome is unknown."""
        return token_hash(tokens) in self._doubtful

    def _keeps(self, key: RefreshKey, renewed: TokenSet) -> bool:
        # Without rotation the same refresh token can be used again, and a later caller wants newer tokens.
        return token_hash(renewed) != key[0] and not self.is_revoked(key[0], renewed)

    async def revoke(self, tokens: TokenSet) -> None:
        """Revoke tokens; tokens refreshed from them are not kept for later callers. Raises as ``client.revoke``."""
        own_tokens(self._tenant, tokens)
        own_refresh_token(tokens)
        revoked, departure = token_hash(tokens), Departure()
        is_first = revoked not in self._revoked
        # From now on, so that the result of a refresh in progress is not kept for later callers.
        self._revoked[revoked] = None
        try:
            call = Call(Operation.REVOKE, lambda: revoke(self._tenant, tokens), user=owner_of(tokens))
            await self._dispatcher.run(call, departure)
        except BaseException:
            if is_first and not departure.was_sent:
                # The tokens are still valid.
                self._revoked.pop(revoked, None)
            raise
        else:
            self._revoked[revoked] = None
        finally:
            self._flights.forget_kept(lambda key, renewed: self.is_revoked(key[0], renewed))

    def is_revoked(self, spent: bytes, renewed: TokenSet) -> bool:
        """Return whether new tokens, or the ones they were refreshed from (known by their hash), were revoked here."""
        return spent in self._revoked or token_hash(renewed) in self._revoked

    async def _orphaned(self, request: _Request, result: TokenSet | PasswordlessError) -> None:
        await self._orphans.take(Operation.REFRESH, orphan_of(result, spent=request.tokens))

    async def aclose(self, *, grace: float) -> int:
        """Wait ``grace`` seconds for refreshes on the wire, cancel the rest; return the number of abandoned ones."""
        return len(await self._flights.aclose(grace=grace))


def key_of(tokens: TokenSet) -> RefreshKey:
    """Return the identity of a refresh: it includes the key, because the refresh token alone gets no tokens."""
    key = _key_of(tokens)
    return token_hash(tokens), "" if key is None else key.thumbprint


def _key_of(tokens: TokenSet) -> DPoPKey | None:
    return tokens.refresh_key if tokens.key is None else tokens.key


def _replaced() -> errors.InvalidRefreshToken:
    return errors.InvalidRefreshToken(
        status=403,
        error="invalid_grant",
        error_description="the refresh token was spent before, and replaced: nothing was sent",
    )
