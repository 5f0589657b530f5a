"""Routes, bounds, dates and nonces of every response."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from helpers.tenant_wire import Opener, Wire


@pytest.mark.parametrize(("when", "expected"), [("always", True), ("changed", False), ("never", False)])
async def test_nonce_in_answers_decides_whether_a_success_carries_the_nonce(
    wire_for: Opener, when: str, *, expected: bool
) -> None:
    """Whether a success carries the nonce that the proof had is a setting."""
    wire = await wire_for(nonce_in_answers=when)

    assert ("DPoP-Nonce" in (await wire.login()).headers) is expected


@pytest.mark.parametrize("seconds", [0, 300, -300])
async def test_the_date_of_an_answer(wire_for: Opener, seconds: int) -> None:
    """Each response has the tenant's time in its Date, which a setting can put wrong."""
    wire = await wire_for(clock_wrong_by=seconds)

    for method, path in (("GET", "/.well-known/openid-configuration"), ("POST", "/oauth/token"), ("GET", "/nowhere")):
        date = parsedate_to_datetime((await wire.send(method, path)).headers["Date"]).timestamp()
        assert date == pytest.approx(time.time() + seconds, abs=5)


async def test_bodies_are_bounded(wire: Wire) -> None:
    """A body over the bound is refused with 413."""
    assert (await wire.send("POST", "/oauth/token", data=b"a" * 70_000)).status == 413


async def test_other_paths_and_methods(wire: Wire) -> None:
    """What the tenant does not serve has the documented codes."""
    assert (await wire.send("POST", "/oauth/device")).words[:2] == (404, "endpoint_disabled")
    assert (await wire.send("GET", "/oauth/token")).words[:2] == (405, "method_not_allowed")
