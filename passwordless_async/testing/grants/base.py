"""What the grant types share: a request is read first, then its grant is redeemed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from passwordless_async.testing import refusals
from passwordless_async.testing.refusals import Refusal, RequestRefused, invalid_request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from passwordless_async.testing.checks.clients import AuthenticatedClient
    from passwordless_async.testing.state.tenant_state import TenantState
    from passwordless_async.testing.state.tokens import Grant


@attrs.frozen
class TokenRequest:
    """A token request of an authenticated application."""

    state: TenantState
    client: AuthenticatedClient
    parameters: Mapping[str, str]

    def required(self, name: str) -> str:
        """Return a parameter.

        Raises:
            RequestRefused: It is missing.
        """
        value = self.parameters.get(name)
        if not value:
            raise invalid_request(f"Missing required parameter: {name}")
        return value

    @property
    def scope(self) -> tuple[str, ...]:
        """The scope tokens."""
        return tuple(self.parameters.get("scope", "").split())

    @property
    def audience(self) -> str | None:
        """The requested API."""
        audience = self.parameters.get("audience")
        if audience is None and self.state.settings.resource_parameter:
            audience = self.parameters.get("resource")
        return audience or None


@attrs.frozen
class Prepared:
    """A grant that has been read and not spent.

    Args:
        audience: The API that the tokens are for.
        redeem: Spends the grant, given the thumbprint of the proof's key, or None without a proof.
    """

    audience: str | None
    redeem: Callable[[str | None], Grant]


def check_key(state: TenantState, bound_to: str | None, key: str | None) -> None:
    """Check that a proof is by the key that a grant is bound to.

    Raises:
        RequestRefused: There is no proof, or it is by another key.
    """
    if bound_to is None or key == bound_to:
        return
    if key is None:
        raise RequestRefused(Refusal(400, "invalid_dpop_proof", "DPoP proof is missing"))
    raise RequestRefused(refusals.OTHER_KEY[state.settings.other_key_error])
