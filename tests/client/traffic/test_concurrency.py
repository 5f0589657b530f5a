"""How many may be in flight: a number that stays, or one that follows the server."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from passwordless_async._common import clock as _clock
from passwordless_async.client.traffic.concurrency import AdaptiveLimit, FixedLimit

# The clock stands still and only ever goes on: one for all examples will do.
SHARED_CLOCK = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def test_a_fixed_limit_stays() -> None:
    """Neither responses nor overload change a fixed limit."""
    limit = FixedLimit(7)
    limit.answered(1000.0)
    limit.overloaded()
    assert limit.value == 7


def test_the_limit_begins_at_the_top(clock: Any) -> None:
    """A server that is not overloaded is not slowed down."""
    limit = AdaptiveLimit(512)
    for _ in range(1000):
        limit.answered(0.2)
        clock.time += 0.01
    assert limit.value == 512


def test_signs_of_overload_within_one_latency_count_once(clock: Any) -> None:
    """A burst of refusals takes three tenths once; a later refusal takes three tenths more."""
    limit = AdaptiveLimit(100)
    limit.answered(0.2)
    for _ in range(50):
        limit.overloaded()
        clock.time += 0.003
    assert limit.value == 70
    clock.time += 0.2
    limit.overloaded()
    assert limit.value == 49


def test_the_limit_grows_by_one_each_round(clock: Any) -> None:
    """With each round of responses one more call may be in flight, up to the top."""
    limit = AdaptiveLimit(20)
    limit.overloaded()
    assert limit.value == 14
    for value in (14, 15, 16, 17, 18):
        for _ in range(value + 1):
            limit.answered(0.1)
        assert value + 1 == limit.value
    for _ in range(200):
        limit.answered(0.1)
    assert limit.value == 20
    assert clock.time == 1000.0


@pytest.mark.parametrize(("most", "least"), [(512, 4), (5, 4), (4, 4), (3, 3), (1, 1)])
def test_the_limit_has_a_lower_bound(clock: Any, most: int, least: int) -> None:
    """However often the server refuses, four calls may be in flight, or all if the top is lower."""
    limit = AdaptiveLimit(most)
    for _ in range(100):
        limit.overloaded()
        clock.time += 1.0
    assert least == limit.value


def test_slow_responses_are_a_sign_of_overload(clock: Any) -> None:
    """A mean latency above twice the usual one plus half a second lowers the limit."""
    limit = AdaptiveLimit(100)
    for _ in range(50):
        limit.answered(0.2)
    for _ in range(100):
        limit.answered(0.8)
        clock.time += 0.01
    assert limit.value == 100
    for _ in range(100):
        limit.answered(3.0)
        clock.time += 0.01
    assert limit.value <= 70


def test_latency_is_no_sign_while_this_process_is_busy(clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the process uses half a CPU, slow responses do not lower the limit; a refusal still does."""
    monkeypatch.setattr(_clock, "cpu", lambda: clock.time / 2)
    limit = AdaptiveLimit(100)
    for seconds in [0.2] * 50 + [3.0] * 100:
        limit.answered(seconds)
        clock.time += 0.01
    assert limit.value == 100
    limit.overloaded()
    assert limit.value == 70


def test_one_slow_response_is_no_sign_of_overload(clock: Any) -> None:
    """A single response that took seconds is no trend."""
    limit = AdaptiveLimit(100)
    for _ in range(50):
        limit.answered(0.2)
    limit.answered(5.0)
    assert (limit.value, clock.time) == (100, 1000.0)


def test_a_lasting_slowdown_becomes_usual(clock: Any) -> None:
    """After thousands of slow responses that latency is the usual one, and the limit is at the top again."""
    limit = AdaptiveLimit(10)
    for seconds, number in ((0.2, 50), (2.0, 3000)):
        for _ in range(number):
            limit.answered(seconds)
            clock.time += 0.1
    assert limit.value == 10


@SHARED_CLOCK
@given(
    st.integers(1, 600),
    st.lists(st.tuples(st.none() | st.floats(0, 1e6), st.floats(0, 100)), max_size=200),
)
def test_the_limit_stays_within_its_bounds(clock: Any, most: int, steps: list[tuple[float | None, float]]) -> None:
    """The limit is a whole number from its lower bound to the top, and grows by one at a time."""
    limit = AdaptiveLimit(most)
    for seconds, gap in steps:
        before = limit.value
        if seconds is None:
            limit.overloaded()
        else:
            limit.answered(seconds)
        clock.time += gap
        assert min(4, most) <= limit.value <= most
        assert before + 1 >= limit.value
