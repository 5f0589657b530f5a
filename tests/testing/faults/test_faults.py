"""Which request meets which fault."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from passwordless_async.testing import (
    Fault,
)

if TYPE_CHECKING:
    from helpers.tenant_wire import Wire


@pytest.mark.parametrize("members", ["ab", [], ["code"], ["code", "code"], ["a", "b", "c"]])
async def test_a_refusal_has_two_members(warm: Wire, members: object) -> None:
    """One for the code and another one for the text."""
    with pytest.raises(ValueError, match="members must be two names"):
        warm.tenant.faults.add(Fault.REFUSAL, members=members)


TOKEN = "/oauth/token"


async def test_faults_are_counted_out_in_order(warm: Wire) -> None:
    """``after`` requests pass, ``times`` meet the first fault, then comes the next; other paths meet none."""
    warm.tenant.faults.add(Fault.SERVICE_UNAVAILABLE, path=TOKEN, times=2, after=1)
    warm.tenant.faults.add("access_denied", path=TOKEN)

    assert (await warm.start()).status == 200
    assert [(await warm.exchange(otp="x")).status for _ in range(4)] == [403, 503, 503, 403]
    warm.tenant.faults.clear()
    assert (await warm.exchange()).status == 200
    assert warm.tenant.stats.faults_played == 4
