"""All that one client shares with others."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import attrs

from passwordless_async.client.shared.availability import Availability
from passwordless_async.client.shared.codes import SharedChallenges
from passwordless_async.client.shared.nonces import SharedNonces
from passwordless_async.client.shared.quota import SharedQuota

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Self

    from passwordless_async.auth0.identity import AuthSession, Email, Phone
    from passwordless_async.auth0.tenant import Tenant
    from passwordless_async.auth0.tokens import TokenSet
    from passwordless_async.client.events import OnEvent
    from passwordless_async.client.profile import Profile
    from passwordless_async.client.traffic import Flight
    from passwordless_async.stores import Store


@attrs.frozen(eq=False, repr=False)
class Shared:
    """What a client shares; nothing of it is there where it has no store.

    Attributes:
        availability: The store.
        challenges: Users' codes.
        nonces: The tenant's nonces; None as well where nonces are bound to keys, and so of use to nobody else.
        quota: The tenant's quota.
    """

    availability: Availability | None = None
    challenges: SharedChallenges | None = None
    nonces: SharedNonces | None = None
    quota: SharedQuota | None = None

    @classmethod
    def of(cls, store: Store | None, tenant: Tenant, profile: Profile, tell: OnEvent) -> Self:
        """Return what an application at a tenant shares by a store."""
        if store is None:
            return cls()
        availability = Availability(store, tell)
        application = tenant.application
        return cls(
            availability,
            SharedChallenges(availability, application.issuer, application.client_id, profile),
            None if tenant.nonces.per_key else SharedNonces(availability, tenant.nonces, str(application.origin)),
            SharedQuota(availability, application.issuer),
        )

    async def present(
        self,
        who: Email | Phone | AuthSession,
        code: str,
        exchange: Callable[[], Awaitable[TokenSet]],
        flight: Flight[TokenSet],
    ) -> TokenSet:
        """See :meth:`SharedChallenges.present`; the newest nonce comes by the same round trip."""
        if self.challenges is None:
            return await exchange()
        looking = None if self.nonces is None else self.nonces.poll()
        if looking is not None:
            exchange = partial(_after, looking, exchange)
        return await self.challenges.present(who, code, exchange, flight)

    async def aclose(self, *, grace: float) -> None:
        """Give what the store is being told so many seconds."""
        if self.nonces is not None:
            self.nonces.aclose()
        if self.availability is not None:
            await self.availability.aclose(grace=grace)


async def _after(looking: asyncio.Task[None], exchange: Callable[[], Awaitable[TokenSet]]) -> TokenSet:
    # Whoever is called back meanwhile leaves it to the others.
    await asyncio.wait([looking])
    return await exchange()
