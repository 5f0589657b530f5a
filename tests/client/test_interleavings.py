"""Random programs of calls by several users at once: whatever comes between what, nothing is lost, mixed up or left."""

from __future__ import annotations

import gc

import pytest
from hypothesis import given, settings

from helpers import plants, program_grammar, programs


def teardown_function() -> None:
    """Collect within this test what asyncio's server leaves behind: the warning would fail another test."""
    gc.collect()


# A connection that asyncio's server accepts just as it stops listening is left to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@settings(max_examples=12)
@given(program=program_grammar.PROGRAMS, setting=program_grammar.SETTINGS)
def test_some_orders_of_calls_keep_the_promises(program: list[programs.Step], setting: programs.Setting) -> None:
    """After a program each user has their own tokens, no code or proof was sent twice, and nothing is lost."""
    programs.play(program, setting)


@pytest.mark.slow
def test_many_orders_of_calls_keep_the_promises() -> None:
    """After any program the same holds; and the programs log users in, renew their tokens, and make orphans."""
    tallies: list[programs.Tally] = []

    # As many examples as the profile says: a hundred, and thousands of new ones in the nightly run.
    @program_grammar.the_same_in_ci
    @given(program=program_grammar.PROGRAMS, setting=program_grammar.SETTINGS)
    def run(program: list[programs.Step], setting: programs.Setting) -> None:
        tallies.append(programs.play(program, setting))

    run()
    shares = programs.shares(tallies)
    assert {what: share for what, share in shares.items() if share < programs.FLOORS[what]} == {}


@pytest.fixture(scope="module")
def programs_of_ci() -> list[tuple[list[programs.Step], programs.Setting]]:
    """Make the programs once, without running them."""
    return program_grammar.ordinary()


def _play_all(made: list[tuple[list[programs.Step], programs.Setting]]) -> None:
    for program, setting in made:
        programs.play(program, setting)


@pytest.mark.slow
@pytest.mark.parametrize("plant", plants.PLANTS, ids=lambda plant: plant.__name__)
def test_the_programs_of_ci_find_a_plant(
    plant: plants.Plant,
    programs_of_ci: list[tuple[list[programs.Step], programs.Setting]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With a fault planted in the engine, one of the hundred programs that CI runs fails."""
    plant(monkeypatch)
    with pytest.raises(AssertionError) as found:
        _play_all(programs_of_ci)
    assert "AttributeError" not in str(found.value)  # the plant has the engine's own names
