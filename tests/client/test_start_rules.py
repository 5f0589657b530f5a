"""When a code may be asked for."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from passwordless_async import CoolingDown, Email, Phone, QuotaExceeded
from passwordless_async.client import start_rules as starts
from passwordless_async.client.traffic import StartRules

ADA, BOB, EVE = Email("ada@example.com"), Email("bob@example.com"), Phone("+4915112345678")
HERE, THERE = ipaddress.ip_address("192.0.2.1"), ipaddress.ip_address("2001:db8::1")
SHARED_CLOCK = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def users(number: int) -> list[Email]:
    return [Email(f"u{place}@example.com") for place in range(number)]


def start(rules: StartRules, who: Any, address: Any) -> None:
    rules.end(rules.begin(who, address), sent=True, counted=True)


def test_a_user_cools_down(clock: Any) -> None:
    """A user is sent no second code before the time is over; the refusal names the seconds that are left."""
    rules = StartRules(cool_down=30.0, per_hour=None)
    start(rules, ADA, None)
    clock.time += 12.5
    with pytest.raises(CoolingDown) as refused:
        start(rules, ADA, HERE)
    assert 17.5 == refused.value.retry_after
    start(rules, BOB, None)
    start(rules, EVE, None)
    clock.time += 17.5
    start(rules, ADA, None)
    with pytest.raises(CoolingDown) as refused:
        start(rules, ADA, None)
    assert 30.0 == refused.value.retry_after


def test_what_was_not_sent_is_undone(clock: Any) -> None:
    """Where no code was sent the user may have one at once; what was never begun may be undone."""
    rules = StartRules(cool_down=30.0, per_hour=None)
    rules.undo(ADA)
    rules.end(rules.begin(ADA, None), sent=False, counted=True)
    start(rules, ADA, None)
    rules.undo(ADA)
    start(rules, ADA, None)
    with pytest.raises(CoolingDown):
        start(rules, ADA, None)
    assert 1000.0 == clock.time


def test_the_cool_down_counts_from_the_sending(clock: Any) -> None:
    """While a code is being sent no other may be asked for; its cool-down begins when it was sent."""
    rules = StartRules(cool_down=30.0, per_hour=None)
    begun = rules.begin(ADA, None)
    clock.time += 100
    rules.undo(ADA)  # a login that ends meanwhile says nothing of the code that is on its way
    with pytest.raises(CoolingDown) as refused:
        rules.begin(ADA, None)
    assert 30.0 == refused.value.retry_after
    rules.end(begun, sent=True, counted=True)
    clock.time += 29
    with pytest.raises(CoolingDown) as refused:
        rules.begin(ADA, None)
    assert 1.0 == refused.value.retry_after


def test_what_never_left_costs_no_share(clock: Any) -> None:
    """A start that the service has not seen is given back to its address, and no other is."""
    rules = StartRules(cool_down=0.0, per_hour=2)
    start(rules, ADA, HERE)
    for _ in range(10):
        clock.time += 1
        rules.end(rules.begin(BOB, HERE), sent=False, counted=False)
    start(rules, BOB, HERE)
    with pytest.raises(QuotaExceeded):
        start(rules, EVE, HERE)


@pytest.mark.parametrize("cool_down", [7200.0, 86_400.0])
def test_a_first_start_never_waits(clock: Any, cool_down: float) -> None:
    """A user who was sent no code may have one, however long the cool-down and however young the clock."""
    clock.time = 5.0
    rules = StartRules(cool_down=cool_down, per_hour=None)
    start(rules, ADA, None)
    clock.time += 3600
    with pytest.raises(CoolingDown) as refused:
        start(rules, ADA, None)
    assert cool_down - 3600 == refused.value.retry_after


def test_no_cool_down(clock: Any) -> None:
    """Without a cool-down a user may start again and again, and nothing is remembered."""
    rules = StartRules(cool_down=0.0, per_hour=None)
    for _ in range(100):
        start(rules, ADA, HERE)
    assert (0, 0, 1000.0) == (len(rules._begun), len(rules._addresses), clock.time)


def test_an_address_has_its_share(clock: Any) -> None:
    """An address may start so often an hour; the refusal names the seconds until the first of them is an hour ago."""
    rules = StartRules(cool_down=30.0, per_hour=3)
    for who in users(3):
        start(rules, who, HERE)
        clock.time += 100
    with pytest.raises(QuotaExceeded) as refused:
        start(rules, ADA, HERE)
    assert (3300.0, QuotaExceeded) == (refused.value.retry_after, type(refused.value))
    # What was refused began no cool-down; other addresses, and none, have shares of their own.
    start(rules, ADA, THERE)
    start(rules, BOB, None)
    clock.time += 3300
    start(rules, EVE, HERE)
    with pytest.raises(QuotaExceeded) as refused:
        start(rules, Email("last@example.com"), HERE)
    assert 100.0 == refused.value.retry_after


def test_what_cools_down_costs_no_share(clock: Any) -> None:
    """A start that is refused to the user is not counted for the address."""
    rules = StartRules(cool_down=30.0, per_hour=2)
    start(rules, ADA, HERE)
    for _ in range(10):
        with pytest.raises(CoolingDown):
            start(rules, ADA, HERE)
    start(rules, BOB, HERE)
    assert 1000.0 == clock.time


@SHARED_CLOCK
@given(st.integers(1, 5), st.lists(st.integers(0, 4000 * 8).map(lambda eighths: eighths / 8), max_size=60))
def test_no_hour_holds_more_than_the_share(clock: Any, share: int, gaps: list[float]) -> None:
    """Whatever the times of its starts, no hour of an address holds more than its share; none is refused early."""
    rules = StartRules(cool_down=0.0, per_hour=share)
    begun: list[float] = []
    for gap in gaps:
        clock.time += gap / 4
        recent = [when for when in begun if when > clock.time - 3600]
        if len(recent) < share:
            start(rules, ADA, HERE)
            begun.append(clock.time)
        else:
            with pytest.raises(QuotaExceeded) as refused:
                start(rules, ADA, HERE)
            assert recent[0] + 3600 - clock.time == refused.value.retry_after


@pytest.mark.parametrize("address", [HERE, None])
def test_a_bar(clock: Any, address: Any) -> None:
    """An address that the service has refused makes no start for so long; others do, and nothing is counted."""
    rules = StartRules(cool_down=30.0, per_hour=1)
    rules.bar(address, 60.0)
    clock.time += 20
    for _ in range(3):
        with pytest.raises(QuotaExceeded) as refused:
            start(rules, ADA, address)
        assert 40.0 == refused.value.retry_after
    start(rules, BOB, THERE)
    clock.time += 40
    start(rules, ADA, address)


def test_memory_is_bounded(clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many users, addresses and bars so many are remembered; the one longest untouched is forgotten first."""
    monkeypatch.setattr(starts, "_REMEMBERED", 10)
    rules = StartRules(cool_down=30.0, per_hour=2)
    for place, who in enumerate(users(50)):
        start(rules, who, HERE + place)
        rules.bar(THERE + place, 60.0)
        assert 10 >= max(len(rules._begun), len(rules._addresses), len(rules._barred))
    start(rules, users(1)[0], HERE)
    for who in users(50)[-9:]:
        with pytest.raises(CoolingDown):
            start(rules, who, None)
    # Bars that are over make room.
    clock.time += 61
    rules.bar(HERE, 60.0)
    assert 1 == len(rules._barred)


def test_one_address_touched_again_is_kept(clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that starts now and then is not the one that is forgotten."""
    monkeypatch.setattr(starts, "_REMEMBERED", 10)
    rules = StartRules(cool_down=0.0, per_hour=8)
    for place in range(40):
        if place % 5 == 0:
            start(rules, ADA, THERE)
        start(rules, ADA, HERE + place)
    with pytest.raises(QuotaExceeded):
        start(rules, ADA, THERE)
    assert 1000.0 == clock.time
