"""A tenant with a wrong clock."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import pytest

from passwordless_async import UsageError
from passwordless_async.testing.state.clock import TenantClock

if TYPE_CHECKING:
    from helpers.tenant_wire import Wire


async def test_a_tenant_whose_clock_is_wrong(warm: Wire) -> None:
    """A tenant an hour ahead refuses proofs that are right by this machine's clock."""
    warm.tenant.clock.go_wrong(3600)
    await warm.start()
    await warm.exchange(otp="x")

    assert (await warm.exchange()).words[1] == "invalid_dpop_proof"


async def test_a_clock_that_goes_wrong(warm: Wire) -> None:
    """A tenant with a clock ahead refuses proofs as too old, and its Date shows why."""
    warm.tenant.clock.go_wrong(3600)

    answer = await warm.exchange()
    if answer.words[1] == "use_dpop_nonce":  # the nonce has aged with the clock
        answer = await warm.exchange()

    assert answer.words[:2] == (400, "invalid_dpop_proof")
    assert parsedate_to_datetime(answer.headers["Date"]).timestamp() == pytest.approx(time.time() + 3600, abs=5)


@pytest.mark.parametrize("seconds", ["5", None, True, float("nan"), float("inf")])
def test_what_is_no_number_of_seconds_moves_no_clock(seconds: Any) -> None:
    """It is refused where it is given."""
    clock = TenantClock()
    for move in (clock.advance, clock.go_wrong):
        with pytest.raises(UsageError, match="a number of seconds"):
            move(seconds)
    assert clock == TenantClock()


def test_time_does_not_run_back() -> None:
    """A clock can go wrong in both directions, but what has expired does not come back."""
    with pytest.raises(UsageError, match="0 or more"):
        TenantClock().advance(-5)
    TenantClock().go_wrong(-5)
