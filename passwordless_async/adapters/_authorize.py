"""Authorising a request: the part that all web adapters share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from passwordless_async.resource_server.guard import Authorized, Guard, presented_by

if TYPE_CHECKING:
    from passwordless_async.dpop.server.fields import Headers
    from passwordless_async.dpop.server.verifier import DPoPVerifier

TokenInfo = Callable[[str], Mapping[str, Any] | Awaitable[Mapping[str, Any] | None] | None]
"""Validates an access token: returns its claims, ``cnf`` included, or None if it is not valid. Sync or async."""


@attrs.frozen
class Authorizer:
    """Checks the access token of a request and its proof (RFC 9449 §7)."""

    verifier: DPoPVerifier
    token_info: TokenInfo
    allow_bearer: bool = attrs.field(kw_only=True)
    _guard: Guard = attrs.field(init=False, repr=False)

    @_guard.default
    def _make_guard(self) -> Guard:
        return Guard.of(
            "preferred" if self.allow_bearer else "required", self.verifier, realm=self.verifier.base_urls[0]
        )

    async def authorize(self, method: str, target: str, headers: Headers) -> Authorized:
        """Check a request: its method in the original case, its path and query as they came, not decoded.

        Raises as :meth:`Guard.authorize` does.
        """
        presented, headers = presented_by(headers), ()
        return await self._guard.authorize(method, target, presented, self.token_info)
