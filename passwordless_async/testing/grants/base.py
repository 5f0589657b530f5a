"""What the grant types share.

A request is read first, then its grant is redeemed. A right code yields tokens only past brute-force protection, blocks
and the second factor.
"""

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
    from passwordless_async.testing.state.users import User


@attrs.frozen
class TokenRequest:
    """A token request of an authenticated application."""

    state: TenantState
    client: AuthenticatedClient
    parameters: Mapping[str, str]

    def required(self, name: str) -> str:
        """Return a parameter, or refuse a request without it."""
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
    """Refuse a missing proof, and one by another key, where a grant is bound to a key."""
    if bound_to is None or key == bound_to:
        return
    if key is None:
        raise RequestRefused(Refusal(400, "invalid_dpop_proof", "DPoP proof is missing"))
    raise RequestRefused(refusals.OTHER_KEY[state.settings.other_key_error])


def present_guarded(state: TenantState, user: User, present: Callable[[], None]) -> None:
    """Present a code and count its refusal; a user with too many failures in a row is refused unchecked."""
    threshold = state.settings.failures_before_block
    if threshold is not None and state.users.failures(user) >= threshold:
        raise RequestRefused(refusals.ACCOUNT_BLOCKED)
    state.stats.codes_presented += 1
    try:
        present()
    except RequestRefused:
        state.stats.codes_refused += 1
        state.users.failed(user)
        raise
    state.users.succeeded(user)


def admit(state: TenantState, grant: Grant) -> Grant:
    """Return a grant, or refuse a user who is blocked or needs a second factor."""
    check_blocked(state, grant.user)
    return state.mfa.demand(grant)


def check_blocked(state: TenantState, user: User) -> None:
    """Refuse a user that an administrator blocked."""
    if state.users.account(user).blocked:
        raise RequestRefused(refusals.USER_BLOCKED)
