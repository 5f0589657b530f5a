"""Which calls are retried, after which errors and when."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from passwordless_async import (
    INTERACTIVE,
    NotSent,
    OutcomeUnknown,
    PasswordlessError,
    RateLimited,
    TemporarilyUnavailable,
    WrongCode,
)
from passwordless_async.client.events import Operation
from passwordless_async.client.traffic.retries import PRIORITIES, retry_delay

NO_WAIT = attrs.evolve(INTERACTIVE.single, tries=3, backoff=0.0, backoff_at_most=0.0)
SAID: dict[str, Any] = {"error": "e", "error_description": None}
NOT_SENT, UNKNOWN = NotSent("nothing was sent"), OutcomeUnknown("no answer")
LIMITED = RateLimited(status=429, **SAID)
BUSY, BROKEN = TemporarilyUnavailable(status=503, **SAID), TemporarilyUnavailable(status=502, **SAID)
REFUSED = WrongCode(status=403, **SAID)

# The README's table, row by row: the errors after which each operation is retried.
RETRIED: dict[Operation, tuple[PasswordlessError, ...]] = {
    Operation.START: (NOT_SENT, LIMITED, BUSY),
    Operation.EXCHANGE: (NOT_SENT, LIMITED),
    Operation.REFRESH: (NOT_SENT, LIMITED),
    Operation.MFA: (NOT_SENT,),
    Operation.REVOKE: (NOT_SENT, LIMITED, BUSY, UNKNOWN),
    Operation.USERINFO: (NOT_SENT, LIMITED, BUSY, UNKNOWN),
}


@pytest.mark.parametrize("operation", Operation)
@pytest.mark.parametrize("error", [NOT_SENT, LIMITED, BUSY, BROKEN, UNKNOWN, REFUSED], ids=lambda error: error.code)
def test_an_operation_is_retried_after_the_errors_of_its_row(operation: Operation, error: PasswordlessError) -> None:
    """A code, a refresh token or a factor that may be spent is never sent again."""
    is_retried = retry_delay(operation, NO_WAIT, 1, error) is not None
    assert is_retried is (error in RETRIED[operation])


def test_every_operation_has_a_priority() -> None:
    """The gate can order each operation."""
    assert set(PRIORITIES) == set(Operation)


@pytest.mark.parametrize(("tries", "is_retried"), [(1, True), (2, True), (3, False), (4, False)])
def test_the_tries_are_bounded(tries: int, *, is_retried: bool) -> None:
    """After the last try of the policy the call fails."""
    assert (retry_delay(Operation.START, NO_WAIT, tries, NOT_SENT) is not None) is is_retried


@given(tries=st.integers(1, 10_000))
def test_the_backoff_doubles_up_to_its_bound(tries: int) -> None:
    """The wait is a random part of a bound that doubles with each try."""
    policy = attrs.evolve(NO_WAIT, tries=100_000, backoff=0.5, backoff_at_most=15.0)
    delay = retry_delay(Operation.START, policy, tries, NOT_SENT)
    assert delay is not None
    assert 0 <= delay <= min(0.5 * 2 ** min(tries - 1, 10), 15.0)


@pytest.mark.parametrize(
    ("operation", "retry_after", "delay"),
    [
        (Operation.EXCHANGE, 5.0, 0.0),  # the gate pauses all requests
        (Operation.EXCHANGE, None, 0.0),
        (Operation.EXCHANGE, 61.0, 61.0),  # about one caller: only this call waits
        (Operation.USERINFO, 5.0, 5.0),  # a limit of the user
        (Operation.USERINFO, None, 0.0),
    ],
)
def test_a_429_is_waited_for_once(operation: Operation, retry_after: float | None, delay: float) -> None:
    """The call itself waits only if the gate does not pause all requests for it."""
    assert retry_delay(operation, NO_WAIT, 1, RateLimited(status=429, **SAID, retry_after=retry_after)) == delay
