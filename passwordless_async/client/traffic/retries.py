"""Tables: which calls are retried, after which errors and when; and which limits a response describes.

Invariants:

- A code or refresh token is sent again only if the request did not leave this machine, or if the server refused the
  request before it processed it (429; a nonce challenge is answered inside the flow).
- A request that spends nothing is also sent again after a failure of the server.
- No call is sent again before the time that the server names (``Retry-After`` of a 429 or 503).
"""

from __future__ import annotations

import random
from http import HTTPStatus
from typing import TYPE_CHECKING

from passwordless_async.client.events import Operation
from passwordless_async.client.traffic.gate import Priority
from passwordless_async.errors import NotSent, OutcomeUnknown, PasswordlessError, RateLimited, TemporarilyUnavailable

if TYPE_CHECKING:
    from passwordless_async.client.profile import Policy

CALLER_LIMIT_SECONDS = 60.0  # a 429, or a window, that lasts longer is an address's or a user's, not the tenant's
ADDRESS_LIMIT_SECONDS = 3600.0  # Auth0 counts the starts of an address by the hour: no pause of one means more
SUSPECTED_PAUSE_SECONDS = 1.0  # for which all wait if several users, or addresses, were refused in a row
_MAX_DOUBLINGS = 16  # of the backoff: it has its own bound, and so have floats

PRIORITIES = {
    Operation.EXCHANGE: Priority.EXCHANGE,
    Operation.MFA: Priority.EXCHANGE,
    Operation.REFRESH: Priority.REFRESH,
    Operation.REVOKE: Priority.REFRESH,
    Operation.USERINFO: Priority.REFRESH,
    Operation.KEYS: Priority.REFRESH,
    Operation.START: Priority.START,
}
# A start is retried only after a 503, which says that nothing was done: a second message costs money, and
# invalidates the previous code.
_RETRYABLE: dict[Operation, tuple[type[PasswordlessError], ...]] = {
    Operation.EXCHANGE: (NotSent, RateLimited),
    Operation.MFA: (NotSent,),
    Operation.REFRESH: (NotSent, RateLimited),
    Operation.REVOKE: (NotSent, RateLimited, TemporarilyUnavailable, OutcomeUnknown),
    Operation.USERINFO: (NotSent, RateLimited, TemporarilyUnavailable, OutcomeUnknown),
    Operation.START: (NotSent, RateLimited, TemporarilyUnavailable),
    Operation.KEYS: (NotSent, RateLimited, TemporarilyUnavailable, OutcomeUnknown),
}
# The rate-limit windows that these answers describe are an address's or a user's, not the tenant's.
OTHER_WINDOWS = frozenset({Operation.MFA, Operation.START, Operation.USERINFO})
# These are limited per user: a 429 says nothing about the tenant.
LIMITED_PER_USER = frozenset({Operation.MFA, Operation.USERINFO})


def retry_delay(
    operation: Operation, policy: Policy, tries: int, error: PasswordlessError, *, is_held: bool = False
) -> float | None:
    """Return how many seconds to wait before the next try; None: the call is not tried again.

    ``tries`` is the number of tries, and ``error`` the error of the last one. With ``is_held``, the call waits at the
    gate, or for the limit of its caller.
    """
    if tries >= policy.tries or not _is_retryable(operation, error):
        return None
    bound = min(policy.backoff * 2 ** min(tries - 1, _MAX_DOUBLINGS), policy.backoff_at_most)
    jitter = random.uniform(0.0, bound)  # noqa: S311 - spreads retries, guards nothing
    if is_held and isinstance(error, RateLimited):
        return 0.0
    return (getattr(error, "retry_after", None) or 0.0) + jitter


def _is_retryable(operation: Operation, error: PasswordlessError) -> bool:
    if operation is Operation.START and isinstance(error, TemporarilyUnavailable):
        return error.status == HTTPStatus.SERVICE_UNAVAILABLE
    if isinstance(error, NotSent) and not error.retryable:
        return False  # a certificate that is refused, or a name that does not exist: it would fail again
    return isinstance(error, _RETRYABLE[operation])
