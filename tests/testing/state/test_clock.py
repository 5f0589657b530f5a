"""A tenant with a wrong clock."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import pytest

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
