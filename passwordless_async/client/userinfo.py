"""Fetches the claims of a user with the user's access token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from passwordless_async.auth0.life_cycle import userinfo
from passwordless_async.auth0.tenant import Tenant, own_key
from passwordless_async.auth0.tokens import owner_of
from passwordless_async.client.events import Operation
from passwordless_async.client.traffic.dispatcher import Call, Dispatcher

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping

    from passwordless_async.auth0.tokens import TokenSet


def fetch_userinfo(tenant: Tenant, dispatcher: Dispatcher, tokens: TokenSet) -> Awaitable[Mapping[str, Any]]:
    """Fetch the claims. Raises as ``client.userinfo``."""
    key = own_key(tenant, tokens)
    call = Call(Operation.USERINFO, lambda: userinfo(tenant, tokens), is_proven=key is not None, user=owner_of(tokens))
    return dispatcher.run(call)
