"""What a client shares with the other machines of its application, as far as the store can be reached."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import attrs

from passwordless_async.client.shared.availability import Availability
from passwordless_async.client.shared.nonces import SharedNonces
from passwordless_async.client.shared.quota import SharedQuota

if TYPE_CHECKING:
    from passwordless_async.auth0.tenant import Tenant
    from passwordless_async.client.events import Emitter
    from passwordless_async.stores import Store

__all__ = ["Availability", "Shared", "SharedNonces", "SharedQuota"]


@attrs.frozen(eq=False, repr=False)
class Shared:
    """What a client shares.

    Attributes:
        availability: The store.
        nonces: The tenant's nonces; None where no other process has any, or where nonces are bound to keys.
        quota: The tenant's quota; None where this client has it alone.
    """

    availability: Availability
    nonces: SharedNonces | None = None
    quota: SharedQuota | None = None

    @classmethod
    def of(cls, store: Store, tenant: Tenant, events: Emitter, *, alone: bool) -> Self:
        """Return what a client shares by a store; ``alone``: the store is the client's own."""
        availability = Availability(store, events)
        if alone:
            return cls(availability)
        application = tenant.application
        return cls(
            availability,
            None if tenant.nonces.per_key else SharedNonces(availability, tenant.nonces, str(application.origin)),
            SharedQuota(availability, application.issuer),
        )

    async def aclose(self, *, grace: float) -> None:
        """Give reports to the store that are under way ``grace`` seconds."""
        if self.nonces is not None:
            self.nonces.aclose()
        await self.availability.aclose(grace=grace)
