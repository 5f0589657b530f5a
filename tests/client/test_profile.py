"""Profiles: the three that have names, and what an argument must be."""

from __future__ import annotations

import math
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from passwordless_async import BULK, INTERACTIVE, TESTING, Policy, Profile, UsageError

WHOLE = ["max_in_flight", "starts_per_hour", "outage_after"]
ABOVE_ZERO = ["timeout", "requests_per_second", "outage_rest", "outage_rest_at_most", "outage_window"]
NOT_NEGATIVE = ["cool_down", "grace"]
OF_A_POLICY = ["patience", "backoff", "backoff_at_most"]
NO_NUMBERS = ["1", b"1", True, [], math.nan, -1, -0.5]

REFUSED = [
    *((INTERACTIVE, name, value) for name in WHOLE for value in [*NO_NUMBERS, 0, 1.5, math.inf]),
    *((INTERACTIVE, name, value) for name in ABOVE_ZERO for value in [*NO_NUMBERS, 0, 0.0, math.inf]),
    *((INTERACTIVE, name, value) for name in NOT_NEGATIVE for value in [*NO_NUMBERS, None, math.inf]),
    *((INTERACTIVE, name, None) for name in ("max_in_flight", "outage_after", "timeout", "outage_rest")),
    *((INTERACTIVE, name, value) for name in ("single", "many") for value in (None, "patient", INTERACTIVE)),
    *((INTERACTIVE, "outage_ratio", value) for value in [*NO_NUMBERS, 0, 0.0, 1.01, 2, math.inf, None]),
    *((INTERACTIVE, "adaptive", value) for value in (None, 0, 1, "no")),
    *((INTERACTIVE.single, "tries", value) for value in [*NO_NUMBERS, 0, 1.5, None]),
    *((INTERACTIVE.single, name, value) for name in OF_A_POLICY for value in [*NO_NUMBERS, None, math.inf]),
    *((INTERACTIVE.single, "outlasts_outages", value) for value in (None, 0, 1, "no")),
]


@pytest.mark.parametrize(
    ("of", "name", "value"), REFUSED, ids=lambda value: None if attrs.has(type(value)) else str(value)
)
def test_refused(of: Any, name: str, value: object) -> None:
    """What is not of its form is refused, and the argument is named."""
    with pytest.raises(UsageError) as refused:
        attrs.evolve(of, **{name: value})
    assert name == refused.value.argument


@pytest.mark.parametrize(
    ("of", "name", "value"),
    [
        *((INTERACTIVE, name, 1) for name in WHOLE),
        *((INTERACTIVE, name, value) for name in ABOVE_ZERO for value in (1, 0.25)),
        *((INTERACTIVE, name, value) for name in NOT_NEGATIVE for value in (0, 0.0, 0.25)),
        (INTERACTIVE, "requests_per_second", None),
        (INTERACTIVE, "starts_per_hour", None),
        (INTERACTIVE, "adaptive", False),
        (INTERACTIVE, "single", BULK.single),
        *((INTERACTIVE.single, name, value) for name in OF_A_POLICY for value in (0, 0.25)),
        (INTERACTIVE.single, "tries", 1),
    ],
    ids=lambda value: None if attrs.has(type(value)) else str(value),
)
def test_accepted(of: Any, name: str, value: object) -> None:
    """What is of its form is kept as it is."""
    assert value == getattr(attrs.evolve(of, **{name: value}), name)


@pytest.mark.parametrize("profile", [INTERACTIVE, BULK, TESTING])
def test_profiles_are_values(profile: Profile) -> None:
    """A profile is equal to its copy, and does not change; a copy with another number leaves it as it was."""
    assert profile == attrs.evolve(profile)
    assert profile != attrs.evolve(profile, requests_per_second=25)
    assert profile.requests_per_second is None
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        profile.timeout = 1.0  # type: ignore[misc]


@pytest.mark.parametrize("profile", [INTERACTIVE, BULK, TESTING])
def test_numbers_fit_together(profile: Profile) -> None:
    """Bounds are no less than what they bound, and a call that fails fast has its tries within its patience."""
    for policy in (profile.single, profile.many):
        assert policy.backoff <= policy.backoff_at_most <= policy.patience
    assert profile.outage_rest <= profile.outage_rest_at_most


def test_interactive_fails_soon() -> None:
    """INTERACTIVE sends no second code within half a minute and does not wait for an outage to end."""
    single = INTERACTIVE.single
    assert (single.tries, single.patience, single.outlasts_outages) == (3, 5.0, False)
    assert (INTERACTIVE.cool_down, INTERACTIVE.starts_per_hour, INTERACTIVE.adaptive) == (30.0, 50, True)
    assert INTERACTIVE.many.outlasts_outages


def test_bulk() -> None:
    """A job gives each of its calls the patience that a bulk call of a gateway has."""
    assert INTERACTIVE.many == BULK.single == BULK.many
    assert BULK.grace >= BULK.timeout > INTERACTIVE.timeout


def test_testing() -> None:
    """A test sees what goes wrong at once, may start as often as it likes, and is the same in every run."""
    assert TESTING.single == TESTING.many
    assert (TESTING.single.tries, TESTING.single.backoff, TESTING.single.outlasts_outages) == (1, 0.0, False)
    assert (TESTING.cool_down, TESTING.starts_per_hour, TESTING.adaptive) == (0.0, None, False)
    assert TESTING.outage_after == 1_000_000


def test_arguments_have_names() -> None:
    """No number stands without its name."""
    with pytest.raises(TypeError):
        Policy(3, 5.0, 0.2, 1.0, False)  # type: ignore[call-arg] # noqa: FBT003
    with pytest.raises(TypeError):
        Profile(INTERACTIVE.single, INTERACTIVE.many)  # type: ignore[call-arg]


@given(st.sampled_from(ABOVE_ZERO + NOT_NEGATIVE), st.floats() | st.integers() | st.text() | st.none())
def test_a_value_is_kept_or_refused(name: str, value: Any) -> None:
    """Whatever is given, it is kept as it is or refused by name."""
    try:
        assert value == getattr(attrs.evolve(INTERACTIVE, **{name: value}), name)
    except UsageError as error:
        assert name == error.argument  # noqa: PT017 - either is right
