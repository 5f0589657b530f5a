"""What stands between a right code and tokens: brute-force protection, blocks, the second factor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from passwordless_async.testing.endpoints import answers
from passwordless_async.testing.endpoints.answers import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from passwordless_async.testing.state.state import TenantState
    from passwordless_async.testing.state.tokens import Grant
    from passwordless_async.testing.state.users import User


def guarded(state: TenantState, user: User, present: Callable[[], None]) -> None:
    """Present a code, unless the user failed too often in a row; a refusal counts as a failure.

    Raises:
        Refused: The code is refused, or was not even looked at.
    """
    threshold = state.settings.failures_before_block
    if threshold is not None and state.users.failures(user) >= threshold:
        raise Refused(answers.ACCOUNT_BLOCKED)
    state.stats.codes_presented += 1
    try:
        present()
    except Refused:
        state.stats.codes_refused += 1
        state.users.failed(user)
        raise
    state.users.succeeded(user)


def admitted(state: TenantState, grant: Grant) -> Grant:
    """Return a grant whose user may log in now.

    Raises:
        Refused: The user is blocked, or needs a second factor.
    """
    check_blocked(state, grant.user)
    return state.mfa.demand(grant)


def check_blocked(state: TenantState, user: User) -> None:
    """Check that a user is not blocked.

    Raises:
        Refused: An administrator blocked them.
    """
    if state.users.account(user).blocked:
        raise Refused(answers.USER_BLOCKED)
