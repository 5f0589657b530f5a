"""Between a right code and tokens: brute-force protection, blocks, the second factor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from passwordless_async.testing import refusals
from passwordless_async.testing.refusals import RequestRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from passwordless_async.testing.state.tenant_state import TenantState
    from passwordless_async.testing.state.tokens import Grant
    from passwordless_async.testing.state.users import User


def present_guarded(state: TenantState, user: User, present: Callable[[], None]) -> None:
    """Present a code, and count a refusal as a failure.

    Raises:
        RequestRefused: The code is refused, or the user failed too often in a row and it was not checked.
    """
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
    """Return the grant of a user who may log in now.

    Raises:
        RequestRefused: The user is blocked, or needs a second factor.
    """
    check_blocked(state, grant.user)
    return state.mfa.demand(grant)


def check_blocked(state: TenantState, user: User) -> None:
    """Refuse a blocked user.

    Raises:
        RequestRefused: An administrator blocked them.
    """
    if state.users.account(user).blocked:
        raise RequestRefused(refusals.USER_BLOCKED)
