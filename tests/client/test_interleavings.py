"""Random programs of calls by several users at once: whatever comes between what, nothing is lost, mixed up or left."""

from __future__ import annotations

import asyncio
import gc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import programs

EXAMPLES = 600
# What drives a login on comes more often than what disturbs it.
VERBS = ["start"] * 6 + ["exchange"] * 6 + ["turns"] * 9 + ["cancel"] * 4 + ["refresh"] * 4 + ["many"] * 2
VERBS += ["twin", "fault", "wrong_code", "revoke", "no_fault", "outage", "close"]
STEPS = st.lists(st.tuples(st.sampled_from(VERBS), st.integers(0, programs.USERS - 1), st.integers(0, 40)), max_size=80)
SETTINGS = st.builds(
    programs.Setting,
    adaptive=st.booleans(),
    circuit=st.booleans(),
    in_flight=st.sampled_from([100, 1, 2]),
    nonces=st.integers(0, len(programs.NONCES) - 1),
    orphans=st.sampled_from(["keeps", "none", "fails"]),
    shared=st.booleans(),
    grace=st.sampled_from([programs.PATIENCE, 0.0]),
)


def teardown_function() -> None:
    """Collect within this test what asyncio's server leaves behind: the warning would fail another test."""
    gc.collect()


# A connection that asyncio's server accepts just as it stops listening is left to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@settings(max_examples=EXAMPLES // 20)
@given(program=STEPS, setting=SETTINGS)
def test_some_orders_of_calls_keep_the_promises(program: list[tuple[str, int, int]], setting: programs.Setting) -> None:
    """After a program each user has their own tokens, no code or proof was sent twice, and nothing is lost."""
    asyncio.run(programs.play(program, setting))


@pytest.mark.slow
@settings(max_examples=EXAMPLES)
@given(program=STEPS, setting=SETTINGS)
def test_many_orders_of_calls_keep_the_promises(program: list[tuple[str, int, int]], setting: programs.Setting) -> None:
    """After any program each user has their own tokens, no code or proof was sent twice, and nothing is lost."""
    asyncio.run(programs.play(program, setting))
