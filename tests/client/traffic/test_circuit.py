"""The circuit: an outage costs each caller milliseconds."""

from __future__ import annotations

import asyncio
from typing import Any

import attrs
import pytest
from yarl import URL

from passwordless_async import INTERACTIVE, CircuitOpen
from passwordless_async.client.events import Operation
from passwordless_async.client.traffic.circuit import Breaker, Circuits, Passage

PROFILE = attrs.evolve(
    INTERACTIVE, outage_after=3, outage_ratio=0.5, outage_window=10.0, outage_rest=1.0, outage_rest_at_most=5.0
)
URL_ = URL("https://acme.example/oauth/token")


@pytest.fixture
def breaker(clock: Any) -> Breaker:
    """Make one that opens after three failures, for a second, or five in the end."""
    assert clock.time == 1000.0
    return Breaker(PROFILE)


@pytest.fixture
def opened(breaker: Breaker) -> Breaker:
    """Make one that has opened just now."""
    for _ in range(3):
        passage = breaker.check()
        assert passage.probe == 0
        passage.failed()
    return breaker


def refusal(breaker: Breaker) -> float:
    with pytest.raises(CircuitOpen) as refused:
        breaker.check()
    assert refused.value.retry_after == breaker.retry_after
    return refused.value.retry_after


def fail(breaker: Breaker, times: int) -> None:
    for _ in range(times):
        breaker.failed(0)


def test_failures_open_the_circuit(breaker: Breaker) -> None:
    """The third failure opens the circuit; until then calls are let through."""
    for _ in range(2):
        fail(breaker, 1)
        assert (breaker.retry_after, breaker.check().probe) == (None, 0)
    fail(breaker, 1)
    assert refusal(breaker) == 1.0


@pytest.mark.parametrize(("answers", "opens"), [(0, True), (20, True), (21, False), (1000, False)])
def test_the_share_of_failures_decides(breaker: Breaker, answers: int, *, opens: bool) -> None:
    """While the server answers most calls, those that fail in one moment are about their callers."""
    for _ in range(answers):
        breaker.answered()
    fail(breaker, 20)
    assert (breaker.retry_after is not None) is opens


def test_the_failures_of_one_user_count_as_one(breaker: Breaker) -> None:
    """Neither a user whose calls fail again and again, nor a call that is tried again, is an outage for the others."""
    assert [breaker.failed(0, user) for user in ("ada", "ada", "bob", "ada")] == [True, False, True, False]
    assert breaker.retry_after is None
    assert breaker.failed(0, "eve")
    assert refusal(breaker) == 1.0


def test_the_repeated_failures_of_users_hide_no_outage(breaker: Breaker) -> None:
    """In the share of failures each user counts once too, however often their calls were tried."""
    breaker.answered()
    for user in ("ada", "bob", "eve"):
        for _ in range(5):
            breaker.failed(0, user)
    assert refusal(breaker) == 1.0


def test_a_user_counts_from_their_last_failure(breaker: Breaker, clock: Any) -> None:
    """A user whose calls keep failing counts all the time, and others' failures are forgotten meanwhile."""
    for user in ("ada", "bob"):
        breaker.failed(0, user)
    clock.time += 9.0
    breaker.failed(0, "ada")
    clock.time += 1.0
    breaker.failed(0, "eve")
    assert breaker.retry_after is None
    breaker.failed(0, "bob")
    assert refusal(breaker) == 1.0


def test_failures_are_forgotten(breaker: Breaker, clock: Any) -> None:
    """Failures count for the window's ten seconds, whether or not there are answers after them."""
    for _ in range(10):
        fail(breaker, 2)
        clock.time += 10.0
    assert breaker.retry_after is None
    fail(breaker, 2)
    clock.time += 8.0
    fail(breaker, 1)
    assert refusal(breaker) == 1.0


def test_answers_are_forgotten(breaker: Breaker, clock: Any) -> None:
    """A server that was well ten seconds ago is not well now."""
    for _ in range(1000):
        breaker.answered()
    clock.time += 10.0
    fail(breaker, 3)
    assert refusal(breaker) == 1.0


def test_one_call_probes(opened: Breaker, clock: Any) -> None:
    """After the rest one call is let through, and no other until it has ended or has had its time."""
    clock.time += 0.75
    assert refusal(opened) == 0.25
    clock.time += 0.25
    assert opened.retry_after is None
    assert opened.check().probe == 1
    assert refusal(opened) == 5.0
    clock.time += 4.5
    assert refusal(opened) == 0.5


def test_a_probe_that_hangs_is_not_waited_for(opened: Breaker, clock: Any) -> None:
    """After ``outage_rest_at_most`` another call probes; what the first one ends with says nothing then."""
    clock.time += 1
    hanging = opened.check()
    clock.time += 5
    second = opened.check()
    assert (hanging.probe, second.probe) == (1, 2)
    hanging.failed()
    hanging.end()
    assert refusal(opened) == 5.0
    second.failed()
    second.end()
    assert refusal(opened) == 2.0


def test_a_response_to_the_probe_closes_the_circuit(opened: Breaker, clock: Any) -> None:
    """After the probe has a response all calls are let through, and the count of failures starts at zero."""
    clock.time += 1
    passage = opened.check()
    passage.answered()
    passage.end()
    assert [opened.check().probe for _ in range(3)] == [0] * 3
    fail(opened, 2)
    assert opened.retry_after is None
    fail(opened, 1)
    assert refusal(opened) == 1.0


def test_a_failed_probe_doubles_the_rest(opened: Breaker, clock: Any) -> None:
    """Each failed probe doubles the rest, up to its bound."""
    rests = []
    for number in range(1, 6):
        rests.append(refusal(opened))
        clock.time += rests[-1]
        passage = opened.check()
        assert passage.probe == number
        passage.failed()
        passage.end()
    assert rests == [1.0, 2.0, 4.0, 5.0, 5.0]


def test_a_probe_that_ends_without_a_report_lets_another_call_probe(opened: Breaker, clock: Any) -> None:
    """If the probing call is cancelled, or ended by any exception, the next call probes at once."""
    clock.time += 1
    opened.check().end()
    assert opened.check().probe == 2
    assert refusal(opened) == 5.0


def test_late_failures_do_not_lengthen_the_rest(opened: Breaker, clock: Any) -> None:
    """A failure of a request from before the circuit opened changes nothing, during the rest and during a probe."""
    clock.time += 0.5
    fail(opened, 50)
    assert refusal(opened) == 0.5
    clock.time += 0.5
    passage = opened.check()
    fail(opened, 50)
    assert refusal(opened) == 5.0
    passage.failed()
    assert refusal(opened) == 2.0


def test_a_late_response_closes_the_circuit(opened: Breaker) -> None:
    """A response closes the circuit, whenever its request was sent."""
    opened.answered()
    assert opened.check().probe == 0


def test_the_bound_holds_for_the_first_rest(clock: Any) -> None:
    """A bound below the first rest shortens it."""
    breaker = Breaker(attrs.evolve(PROFILE, outage_after=1, outage_rest_at_most=0.5))
    breaker.failed(0)
    assert (refusal(breaker), clock.time) == (0.5, 1000.0)


async def test_news_of_a_probe_comes_when_it_ends(opened: Breaker, clock: Any) -> None:
    """Callers who wait are told, whether it has failed, was answered or was cancelled, or the client closes."""
    clock.time += 1
    for end in (Passage.end, Passage.answered, Passage.failed, lambda _: opened.give_up()):
        passage = opened.check()
        waiting = asyncio.create_task(opened.news())
        await asyncio.sleep(0)
        assert not waiting.done() or not passage.probe
        end(passage)
        await asyncio.wait_for(waiting, 5)
        fail(opened, 3)
        clock.time += 100


def test_each_endpoint_and_each_channel_has_its_own_circuit(clock: Any) -> None:
    """What fails for one refuses no call to another; the same one is the same circuit."""
    circuits = Circuits(PROFILE)
    fail(circuits.of(URL_, ""), 3)
    assert refusal(circuits.of(URL("https://acme.example/oauth/token"), "")) == 1.0
    fail(circuits.of(URL_.with_path("/passwordless/start"), "sms"), 3)
    assert circuits.of(URL_.with_path("/passwordless/start"), "email").retry_after is None
    assert circuits.of(URL_.with_path("/userinfo"), "").retry_after is None
    assert clock.time == 1000.0


def test_the_memory_of_circuits_is_bounded() -> None:
    """However many endpoints there are; an application has about ten."""
    circuits = Circuits(PROFILE)
    for number in range(1000):
        assert circuits.of(URL_.with_path(f"/{number}"), "").retry_after is None
    assert len(circuits._breakers) == 64


def test_failures_are_forgotten_while_calls_are_answered(breaker: Breaker, clock: Any) -> None:
    """Also if no other call fails: a user is not remembered for longer than the window."""
    breaker.failed(0, "ada")
    breaker.answered()
    assert list(breaker._window._failed) == ["ada"]
    clock.time += 10
    breaker.answered()
    assert list(breaker._window._failed) == []


def test_the_memory_of_failures_is_bounded(breaker: Breaker, clock: Any) -> None:
    """However many users' calls fail; the user who failed longest ago is forgotten first."""
    for _ in range(30_000):
        breaker.answered()
    for number in range(10_001):
        assert breaker.failed(0, number)
    assert (len(breaker._window._failed), breaker.failed(0, 1), breaker.failed(0, 0)) == (10_000, False, True)
    clock.time += 10
    assert breaker.failed(0, 1)
    assert len(breaker._window._failed) == 1


async def test_circuits_that_were_given_up_keep_no_one_waiting(clock: Any) -> None:
    """Neither those that are known nor those that come."""
    circuits = Circuits(PROFILE)
    fail(circuits.of(URL_, ""), 3)
    circuits.give_up()
    fail(circuits.of(URL_, "sms"), 3)
    for channel in ("", "sms"):
        await asyncio.wait_for(circuits.of(URL_, channel).news(), 5)
    assert clock.time == 1000.0


def test_what_is_known_of_first_requests_is_forgotten_with_their_circuits() -> None:
    """A circuit that is forgotten says nothing of calls any more."""
    circuits = Circuits(PROFILE)
    first = circuits.of(URL_, "", first_of=Operation.EXCHANGE)
    assert list(circuits.first(Operation.EXCHANGE, "")) == [first]
    assert list(circuits.first(Operation.EXCHANGE, "sms")) == list(circuits.first(Operation.START, "")) == []
    for number in range(64):
        circuits.of(URL_.with_path(f"/{number}"), "")
    assert list(circuits.first(Operation.EXCHANGE, "")) == []
    again = circuits.of(URL_, "", first_of=Operation.EXCHANGE)
    assert list(circuits.first(Operation.EXCHANGE, "")) == [again]
    assert again is not first
