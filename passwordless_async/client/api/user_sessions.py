"""Makes the objects that call APIs, for tokens of the application's own and for those of stored sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from passwordless_async._common import arguments as _check
from passwordless_async.auth0.tenant import own_key
from passwordless_async.client.api.user_session import UserSession
from passwordless_async.dpop import NonceCache

if TYPE_CHECKING:
    from collections.abc import Iterable

    from passwordless_async.auth0.tenant import Tenant
    from passwordless_async.auth0.tokens import TokenSet
    from passwordless_async.client.api.handovers import Handovers, OnRefresh, Refresh, Renew
    from passwordless_async.client.traffic.transport import Transport


@attrs.frozen(eq=False, repr=False)
class UserSessions:
    """The API calls of a client; kept for the client's lifetime."""

    _tenant: Tenant
    _transport: Transport
    _handovers: Handovers
    _nonces: NonceCache = attrs.field(factory=NonceCache, init=False)  # of APIs, not of the tenant

    def of(self, tokens: TokenSet, origins: Iterable[str], on_refresh: OnRefresh | None) -> UserSession:
        """Return what calls APIs with tokens, and hands new ones to ``on_refresh``. Raises as ``client.session``."""
        handovers = self._handovers
        if on_refresh is None:
            return self._make(tokens, origins, None)
        _check.function("on_refresh", on_refresh)
        return self._make(tokens, origins, lambda stale, adopt: handovers.renew(stale, on_refresh, adopt))

    def of_stored(self, tokens: TokenSet, origins: Iterable[str], refresh: Refresh) -> UserSession:
        """Return what calls APIs with the tokens of a stored session, which ``refresh`` refreshes there."""
        handovers = self._handovers
        return self._make(tokens, origins, lambda stale, _adopt: handovers.renew_stored(stale, refresh))

    def _make(self, tokens: TokenSet, origins: Iterable[str], renew: Renew | None) -> UserSession:
        own_key(self._tenant, tokens)
        self._transport.require_api()
        return UserSession(
            tokens,
            http=self._transport.require_api,
            origins=origins,
            handovers=self._handovers,
            renew=renew,
            nonces=self._nonces,
        )
