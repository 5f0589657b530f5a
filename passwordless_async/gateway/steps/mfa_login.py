"""The login during the second factor, in the browser's sealed cookie."""

from __future__ import annotations

from typing import TYPE_CHECKING

from passwordless_async._common.secret import Secret
from passwordless_async.auth0.mfa.state import MfaState
from passwordless_async.errors import InvalidMfaState

if TYPE_CHECKING:
    from passwordless_async.auth0.identity import User
    from passwordless_async.gateway.state import LoginState
    from passwordless_async.gateway.visit import Visit

OF_PHONES = frozenset({"sms", "voice"})
"""The kinds of factors with messages that cost money."""


def mfa_state(visit: Visit) -> MfaState | None:
    """Return the login; None if there is none, or it has ended."""
    if visit.login is None or visit.login.mfa is None:
        return None
    services = visit.services
    try:
        return MfaState.unseal(visit.login.mfa, services.keys, client=services.client)
    except InvalidMfaState:
        return None


def sealed(visit: Visit, state: MfaState) -> Secret:
    """Return the login, sealed for the cookie."""
    return Secret(state.seal(visit.services.keys))


def user_of(login: LoginState) -> User:
    """Return the user of a login, for the budgets.

    Raises:
        InvalidMfaState: The login has no user.
    """
    if login.who is None:
        raise InvalidMfaState("form", "it has no user")
    return login.who
