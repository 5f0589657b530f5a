"""The circuit: an outage costs each caller milliseconds."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from passwordless_async import INTERACTIVE, CircuitOpen
from passwordless_async.client.traffic.circuit import Breaker

PROFILE = attrs.evolve(INTERACTIVE, outage_after=3, outage_rest=1.0, outage_rest_at_most=5.0)


@pytest.fixture
def breaker(clock: Any) -> Breaker:
    """Make one that opens after three failures, for a second, or five in the end."""
    assert clock.time == 1000.0
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


def test_failures_in_a_row_open_the_circuit(breaker: Breaker) -> None:
    """The third failure in a row opens the circuit; until then calls are let through."""
    for _ in range(2):
        breaker.failed()
        assert (breaker.retry_after, breaker.check()) == (None, False)
    breaker.failed()
    assert refusal(breaker) == 1.0


def test_a_response_resets_the_count_of_failures(breaker: Breaker) -> None:
    """Failures with a response in between do not open the circuit."""
    for _ in range(10):
        breaker.failed()
        breaker.failed()
        breaker.answered()
    assert breaker.retry_after is None


def test_one_call_probes(opened: Breaker, clock: Any) -> None:
    """After the rest one call is let through, and no other until it has ended."""
    clock.time += 0.75
    assert refusal(opened) == 0.25
    clock.time += 0.25
    assert opened.retry_after is None
    assert opened.check() is True
    assert refusal(opened) == 0.1
    clock.time += 100
    assert refusal(opened) == 0.1


def test_a_response_to_the_probe_closes_the_circuit(opened: Breaker, clock: Any) -> None:
    """After the probe has a response all calls are let through, and the count of failures starts at zero."""
    clock.time += 1
    opened.check()
    opened.answered()
    assert [opened.check() for _ in range(3)] == [False] * 3
    opened.failed()
    opened.failed()
    assert opened.retry_after is None
    opened.failed()
    assert refusal(opened) == 1.0


def test_a_failed_probe_doubles_the_rest(opened: Breaker, clock: Any) -> None:
    """Each failed probe doubles the rest, up to its bound."""
    rests = []
    for _ in range(5):
        rests.append(refusal(opened))
        clock.time += rests[-1]
        assert opened.check() is True
        opened.failed()
    assert rests == [1.0, 2.0, 4.0, 5.0, 5.0]


def test_a_cancelled_probe_lets_another_call_probe(opened: Breaker, clock: Any) -> None:
    """If the probing call is cancelled, the next call probes at once."""
    clock.time += 1
    assert opened.check() is True
    opened.end_probe()
    assert opened.check() is True
    assert refusal(opened) == 0.1


def test_late_failures_do_not_lengthen_the_rest(opened: Breaker, clock: Any) -> None:
    """A failure of a request from before the circuit opened changes nothing, during the rest and during a probe."""
    clock.time += 0.5
    for _ in range(50):
        opened.failed(probed=False)
    assert refusal(opened) == 0.5
    clock.time += 0.5
    assert opened.check() is True
    for _ in range(50):
        opened.failed(probed=False)
    assert refusal(opened) == 0.1
    opened.failed(probed=True)
    assert refusal(opened) == 2.0


def test_a_late_response_closes_the_circuit(opened: Breaker) -> None:
    """A response closes the circuit, whenever its request was sent."""
    opened.answered()
    assert opened.check() is False


def test_the_bound_holds_for_the_first_rest(clock: Any) -> None:
    """A bound below the first rest shortens it."""
    breaker = Breaker(attrs.evolve(PROFILE, outage_after=1, outage_rest_at_most=0.5))
    breaker.failed()
    assert (refusal(breaker), clock.time) == (0.5, 1000.0)
