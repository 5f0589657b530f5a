"""The limits of one caller: who is held back, for how long, and when they are taken for the tenant's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passwordless_async.client.events import Operation
from passwordless_async.client.traffic.caller_limits import CallerLimits

if TYPE_CHECKING:
    from collections.abc import Hashable

LOGIN, START = Operation.EXCHANGE, Operation.START


@given(st.floats(0, 3600))
def test_a_refusal_holds_its_caller_back(seconds: float) -> None:
    """For the time that the service names, by chance a little longer, and no other caller."""
    limits = CallerLimits()
    limits.refused(LOGIN, "ada", seconds, 100.0)
    assert seconds - 1e-9 <= limits.delay("ada", 100.0) <= seconds + min(seconds / 4, 1.0) + 1e-9
    assert limits.delay("bob", 100.0) == 0.0
    assert limits.delay("ada", 100.0 + seconds * 1.25 + 1) == 0.0


def test_a_refusal_without_a_time_holds_its_caller_back_for_a_second() -> None:
    """The service did not say for how long."""
    limits = CallerLimits()
    limits.refused(LOGIN, "ada", None, 100.0)
    assert 1.0 <= limits.delay("ada", 100.0) <= 1.25


def test_a_shorter_time_ends_no_longer_one() -> None:
    """The later of two times counts, in whatever order they were named."""
    limits = CallerLimits()
    for seconds in (30.0, 1.0):
        limits.refused(LOGIN, "ada", seconds, 100.0)
    assert limits.delay("ada", 100.0) >= 30.0


def test_those_who_were_refused_together_do_not_come_back_together() -> None:
    """A part of the time is by chance."""
    limits = CallerLimits()
    for number in range(50):
        limits.refused(LOGIN, number, 10.0, 100.0)
    assert len({limits.delay(number, 100.0) for number in range(50)}) > 40


def test_a_caller_who_is_not_known_is_not_held_back() -> None:
    """There is no one to hold back; but the refusal counts as one of another caller."""
    limits = CallerLimits()
    told = [limits.refused(LOGIN, None, 10.0, 100.0) for _ in range(3)]
    assert (told, limits.delay(None, 100.0)) == ([False, False, True], 0.0)


@pytest.mark.parametrize(
    ("callers", "told"),
    [
        (["ada"] * 10, [False] * 10),
        (["ada", "bob"] * 5, [False] * 10),
        (["ada", "bob", "eve"], [False, False, True]),
        (["ada", "bob", "eve", "ada", "bob", "eve"], [False, False, True] * 2),
    ],
)
def test_several_callers_in_a_row(callers: list[Hashable], told: list[bool]) -> None:
    """Three callers who are refused one after the other are enough; then the count begins anew."""
    limits = CallerLimits()
    assert [limits.refused(LOGIN, caller, 10.0, 100.0) for caller in callers] == told


def test_a_caller_who_is_served_ends_the_row() -> None:
    """Of this operation; another operation may have another limit."""
    limits = CallerLimits()
    for caller in ("ada", "bob"):
        limits.refused(LOGIN, caller, 10.0, 100.0)
        limits.refused(START, caller, 10.0, 100.0)
    limits.served(LOGIN)
    assert limits.refused(LOGIN, "eve", 10.0, 100.0) is False
    assert limits.refused(START, "eve", 10.0, 100.0) is True


def test_refusals_long_ago_do_not_count() -> None:
    """Those of the last ten seconds are in a row."""
    limits = CallerLimits()
    told = [limits.refused(LOGIN, number, 1.0, 100.0 + 6.0 * number) for number in range(10)]
    assert told == [False] * 10


def test_the_memory_is_bounded() -> None:
    """One person with many accounts fills it; the newest are held back."""
    limits = CallerLimits()
    for number in range(20_000):
        limits.refused(LOGIN, number, 60.0, 100.0)
        limits.served(LOGIN)
    assert len(limits._resume_at) == 10_000
    assert (limits.delay(0, 100.0), limits.delay(19_999, 100.0) >= 60.0) == (0.0, True)


def test_who_may_go_again_is_forgotten() -> None:
    """Asking after the time has come frees the memory."""
    limits = CallerLimits()
    limits.refused(LOGIN, "ada", 1.0, 100.0)
    assert limits.delay("ada", 200.0) == 0.0
    assert len(limits._resume_at) == 0
