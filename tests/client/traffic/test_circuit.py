"""The circuit: an outage costs each caller milliseconds."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from passwordless_async import INTERACTIVE, CircuitOpen
from passwordless_async.client.traffic import Breaker

PROFILE = attrs.evolve(INTERACTIVE, outage_after=3, outage_rest=1.0, outage_rest_at_most=5.0)


@pytest.fixture
def breaker(clock: Any) -> Breaker:
    """Make one that opens after three failures, for a second, or five in the end."""
    assert 1000.0 == clock.time
    return Breaker(PROFILE)


@pytest.fixture
def opened(breaker: Breaker) -> Breaker:
    """Make one that has opened just now."""
    for _ in range(3):
        assert breaker.check() is False
        breaker.failed(probed=False)
    return breaker


def refusal(breaker: Breaker) -> float:
    with pytest.raises(CircuitOpen) as refused:
        breaker.check()
    assert refused.value.retry_after == breaker.retry_after
    return refused.value.retry_after


def test_it_opens_after_failures_in_a_row(breaker: Breaker) -> None:
    """The third failure opens it; until then all may go."""
    for _ in range(2):
        breaker.failed()
        assert (None, False) == (breaker.retry_after, breaker.check())
    breaker.failed()
    assert 1.0 == refusal(breaker)


def test_an_answer_in_between_resets(breaker: Breaker) -> None:
    """Failures that are not in a row do not open it."""
    for _ in range(10):
        breaker.failed()
        breaker.failed()
        breaker.answered()
    assert breaker.retry_after is None


def test_one_call_tries(opened: Breaker, clock: Any) -> None:
    """After the rest one call may go, and no other before it has an answer."""
    clock.time += 0.75
    assert 0.25 == refusal(opened)
    clock.time += 0.25
    assert opened.retry_after is None
    assert opened.check() is True
    assert 0.1 == refusal(opened)
    clock.time += 100
    assert 0.1 == refusal(opened)


def test_an_answer_closes_it(opened: Breaker, clock: Any) -> None:
    """Where the call that tries has an answer all may go, and it takes as many failures as before to open it."""
    clock.time += 1
    opened.check()
    opened.answered()
    assert [False] * 3 == [opened.check() for _ in range(3)]
    opened.failed()
    opened.failed()
    assert opened.retry_after is None
    opened.failed()
    assert 1.0 == refusal(opened)


def test_the_rest_doubles(opened: Breaker, clock: Any) -> None:
    """Each call that tries and fails doubles the rest, up to its bound."""
    rests = []
    for _ in range(5):
        rests.append(refusal(opened))
        clock.time += rests[-1]
        assert opened.check() is True
        opened.failed()
    assert [1.0, 2.0, 4.0, 5.0, 5.0] == rests


def test_whoever_gives_up_lets_another_try(opened: Breaker, clock: Any) -> None:
    """Where the call that tries is cancelled the next one tries, at once."""
    clock.time += 1
    assert opened.check() is True
    opened.gave_up()
    assert opened.check() is True
    assert 0.1 == refusal(opened)


def test_late_failures_do_not_lengthen_the_rest(opened: Breaker, clock: Any) -> None:
    """What was sent before it opened and fails later says nothing new, during the rest and while one call tries."""
    clock.time += 0.5
    for _ in range(50):
        opened.failed(probed=False)
    assert 0.5 == refusal(opened)
    clock.time += 0.5
    assert opened.check() is True
    for _ in range(50):
        opened.failed(probed=False)
    assert 0.1 == refusal(opened)
    opened.failed(probed=True)
    assert 2.0 == refusal(opened)


def test_a_late_answer_closes_it(opened: Breaker) -> None:
    """An answer is an answer, whenever its request was sent."""
    opened.answered()
    assert opened.check() is False


def test_the_first_rest_has_the_same_bound(clock: Any) -> None:
    """A bound that is less than the first rest holds for that one too."""
    breaker = Breaker(attrs.evolve(PROFILE, outage_after=1, outage_rest_at_most=0.5))
    breaker.failed()
    assert (0.5, 1000.0) == (refusal(breaker), clock.time)
