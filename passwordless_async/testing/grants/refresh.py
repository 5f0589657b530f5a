"""The refresh token grant (RFC 6749 §6): by the same key, for the same scope or less of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from passwordless_async.testing import refusals
from passwordless_async.testing.grants.base import Prepared, check_blocked, check_key
from passwordless_async.testing.refusals import Refusal, RequestRefused
from passwordless_async.testing.state.tokens import Grant

if TYPE_CHECKING:
    from passwordless_async.testing.grants.base import TokenRequest
    from passwordless_async.testing.state.refresh_families import RefreshFamily
    from passwordless_async.testing.state.tenant_state import TenantState

REFRESH_GRANT = "refresh_token"


def prepare(request: TokenRequest) -> Prepared:
    """Read the request; the token is not spent."""
    state = request.state
    refresh_token = request.required("refresh_token")
    family = state.refresh.find(refresh_token, request.client.client_id)
    audience = request.audience or (None if family is None else family.audience)

    def redeem(key: str | None) -> Grant:
        # RFC 9449 §5: the key is checked first, so a thief without the key cannot even end the family.
        if family is None:
            raise RequestRefused(refusals.INVALID_REFRESH_TOKEN)
        check_key(state, family.thumbprint, key)
        check_blocked(state, family.user)
        scope = _narrowed(state, family, request.scope)
        successor = state.refresh.spend(refresh_token)
        return Grant(
            user=family.user,
            client_id=family.client_id,
            scope=scope,
            audience=audience,
            key=key,
            database=family.database,
            auth_time=family.auth_time,
            family=family,
            refresh_token=successor,
        )

    return Prepared(audience, redeem)


def _narrowed(state: TenantState, family: RefreshFamily, asked: tuple[str, ...]) -> tuple[str, ...]:
    granted = tuple(token for token in asked if token in family.scope)
    if granted != asked and state.settings.excess_scope == "refused":
        # RFC 6749 §6: "The requested scope MUST NOT include any scope not originally granted by the resource owner".
        raise RequestRefused(Refusal(400, "invalid_scope", "The scope exceeds the scope that was granted"))
    return granted or family.scope
