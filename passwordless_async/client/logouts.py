"""Checks logout tokens of the tenant with its keys.

Invariants:

- A token with a known key costs no request and no slot of the quota, because anyone may post one.
- Only one token at a time makes the client search for an unknown key, and each search is followed by a pause. The
  others wait for its end, and delay no login.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import attrs

from passwordless_async._common import clock as _clock
from passwordless_async.auth0.clocks import Clocks
from passwordless_async.auth0.id_token import UncheckedIdToken, fetch_keys_before, known_key, search_key
from passwordless_async.auth0.logout_token import LogoutToken, read_logout_header, read_logout_token
from passwordless_async.client.events import Operation
from passwordless_async.client.traffic.dispatcher import Call, Dispatcher
from passwordless_async.errors import InvalidIdToken, TransportError

if TYPE_CHECKING:
    from passwordless_async._common.secret import Secret
    from passwordless_async.auth0.id_token import Header
    from passwordless_async.auth0.tenant import Flow, Tenant


@attrs.define(eq=False, repr=False)
class Logouts:
    """The logout tokens of a client's tenant; kept for the client's lifetime."""

    _tenant: Tenant
    _dispatcher: Dispatcher
    _searching: asyncio.Lock = attrs.field(factory=asyncio.Lock, init=False)

    async def read(self, token: Secret) -> LogoutToken:
        """Check a logout token. Raises as ``client.read_logout_token``."""
        tenant = self._tenant
        header = read_logout_header(token, tenant.application)
        if self._must_fetch(header):
            async with self._searching:
                # Another token's search may have ended meanwhile.
                if self._must_fetch(header):
                    await self._fetch(header)
        key, problem = known_key(tenant, header), tenant.keys.problem
        if key is None and problem:
            raise TransportError(f"the keys to check the logout token could not be fetched: {problem}")
        return read_logout_token(token, header, key, tenant.application, Clocks(_clock.now(), skew=tenant.clock_skew))

    async def fetch_keys(self) -> None:
        """Fetch the keys if they are missing or old. Raises as ``client.fetch_signing_keys``."""
        if self._tenant.application.needs_key_set and self._tenant.keys.due:
            await self._dispatcher.run(Call(Operation.KEYS, lambda: fetch_keys_before(self._tenant)))

    async def _fetch(self, header: Header) -> None:
        # The caller checks whether the tenant has the key, and reports why it is missing.
        with suppress(InvalidIdToken, UncheckedIdToken):
            await self._dispatcher.run(Call(Operation.KEYS, lambda: _key(self._tenant, header)))

    def _must_fetch(self, header: Header) -> bool:
        """Return whether the keys are old, or this one is unknown and no search has just ended."""
        keys, application = self._tenant.keys, self._tenant.application
        if not application.needs_key_set:
            return False
        return keys.due or (known_key(self._tenant, header) is None and keys.may_search)


def _key(tenant: Tenant, header: Header) -> Flow[None]:
    """Fetch the keys if they are old, and again for an unknown one."""
    yield from fetch_keys_before(tenant)
    if known_key(tenant, header) is None:
        yield from search_key(tenant, header)
