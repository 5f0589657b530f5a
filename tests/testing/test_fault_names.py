"""The names and details of faults, and how wrong ones are refused."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

from passwordless_async.testing import Fault
from passwordless_async.testing.faults import Faults

if TYPE_CHECKING:
    from helpers.tenant_wire import Wire


@pytest.mark.parametrize("members", ["ab", [], ["code"], ["code", "code"], ["a", "b", "c"]])
async def test_a_refusal_has_two_members(warm: Wire, members: str | list[str]) -> None:
    """One for the code and another one for the text."""
    with pytest.raises(ValueError, match="members must be two names"):
        warm.tenant.faults.add(Fault.REFUSAL, members=members)


@pytest.mark.parametrize(
    ("fault", "wrong"),
    [
        (Fault.REFUSAL, {"status": 7}),
        (Fault.REFUSAL, {"status": 1000}),
        (Fault.SLOW, {"delay": -1.0}),
        (Fault.SLOW, {"delay": math.nan}),
        (Fault.HUGE_BODY, {"size": -1}),
        (Fault.REDIRECT, {"location": "https://elsewhere.example/\r\nSet-Cookie: a=b"}),
        (Fault.RATE_LIMITED_X_RATELIMIT, {"retry_after": math.nan}),
        (Fault.SERVICE_UNAVAILABLE, {"times": -1}),
        (Fault.SERVICE_UNAVAILABLE, {"after": -1}),
        (Fault.SERVICE_UNAVAILABLE, {"path": "oauth/token"}),
        (Fault.SERVICE_UNAVAILABLE, {"path": 1}),
        (Fault.SERVICE_UNAVAILABLE, {"times": "1"}),
        (Fault.SLOW, {"delay": "1"}),
        (Fault.SLOW, {"until": "tomorrow"}),
        (Fault.REDIRECT, {"location": None}),
    ],
)
def test_a_malformed_detail_is_refused(fault: Fault, wrong: dict[str, Any]) -> None:
    """It is named when the fault is switched on, not by the request that meets it."""
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}'? must"):
        Faults().add(fault, **wrong)


def test_an_unknown_fault_or_detail_is_refused_with_the_names_that_there_are() -> None:
    """A name that was typed wrong is found without the documentation."""
    with pytest.raises(ValueError, match=r"no fault is called 'no_such': there are service_unavailable, .*, jwks_sym"):
        Faults().add("no_such")
    with pytest.raises(ValueError, match="unknown option delai; known: delay, until, "):
        Faults().add(Fault.SLOW, delai=1)
