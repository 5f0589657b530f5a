"""Routes, bounds, dates and nonces of every response."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import pytest

from passwordless_async.testing import Fault
from passwordless_async.testing.refusals import DATABASE_CODE

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


@pytest.mark.parametrize(
    ("status", "error", "again"),
    [
        (400, "use_dpop_nonce", 0),
        (400, "invalid_dpop_proof", 0),
        (401, "invalid_client", 0),
        (403, "unauthorized_client", 0),
        (400, "invalid_request", 0),
        (429, "too_many_requests", 0),
        (403, "access_denied", 1),
        (503, "temporarily_unavailable", 1),
    ],
)
@pytest.mark.parametrize("members", [("error", "error_description"), ("code", "message")])
async def test_a_secret_that_was_not_checked_may_come_again(
    wire: Wire, status: int, error: str, again: int, members: tuple[str, str]
) -> None:
    """Proof, client and form are checked before a code is; after any other response it may be spent."""
    wire.tenant.faults.add(Fault.REFUSAL, path="/oauth/token", status=status, error=error, members=members)
    for _ in range(2):
        await wire.exchange(otp="000000")

    assert wire.tenant.stats.presented_again == again


async def test_a_response_without_a_code_tells_nothing_about_the_secret(wire: Wire) -> None:
    """It may be spent, also if the member of the code has no text."""
    malformed: Any = ["invalid_client"]
    wire.tenant.faults.add(Fault.REFUSAL, path="/oauth/token", status=401, error=malformed)
    assert [(await wire.exchange(otp="000000")).status for _ in range(2)] == [401, 401]

    assert wire.tenant.stats.presented_again == 1


async def test_a_refused_refresh_spends_nothing(wire: Wire) -> None:
    """The token may be presented again, whatever it was refused for."""
    for _ in range(2):
        await wire.refresh("unknown")

    assert wire.tenant.stats.presented_again == 0


async def test_a_code_that_a_database_has_checked_counts_as_presented_again(wire: Wire) -> None:
    """Auth0 refuses it with the error of a malformed request."""
    wire.tenant.faults.add(
        Fault.REFUSAL, path="/oauth/token", status=400, error="invalid_request", description=DATABASE_CODE.description
    )
    for _ in range(2):
        await wire.exchange(otp="000000")

    assert wire.tenant.stats.presented_again == 1
