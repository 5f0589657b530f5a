"""Simulations: processes, a tenant and a store on a virtual clock and a network in memory, as a seed decides."""

from __future__ import annotations

import pytest

from simulation.command import Tally, main
from simulation.program import trial_of
from simulation.trial import simulate

SEEDS = 120


@pytest.mark.slow
def test_any_simulation_keeps_the_promises() -> None:
    """Users have their own tokens, nothing is sent twice, lost or left, and every call ends; and much was done."""
    tally = Tally()
    assert "".join(map(tally.run, range(SEEDS))) == ""
    assert (tally.seeds, tally.failed) == (SEEDS, 0)
    assert tally.tokens >= SEEDS / 2
    assert tally.users >= SEEDS / 3
    assert tally.rotations >= SEEDS / 4
    assert tally.orphans >= SEEDS / 10


@pytest.mark.parametrize("seed", range(3))
def test_a_seed_is_the_same_simulation_each_time(seed: int) -> None:
    """A failure can be looked at again."""
    assert simulate(trial_of(seed)) == simulate(trial_of(seed))


@pytest.mark.parametrize("seed", [20_876, 25_418, 26_144, 50_252])
def test_a_seed_that_failed_once_does_not_fail_again(seed: int) -> None:
    """An API call while the client closes (two); a refused refresh whose caller had gone; an API that says nothing."""
    assert Tally().run(seed) == ""


def test_the_command_tells_how_many_failed(capsys: pytest.CaptureFixture[str]) -> None:
    """It exits with 0 if none did."""
    assert main(["--first", "7", "--seeds", "1"]) == 0
    assert capsys.readouterr().out.startswith("seeds 1, failed 0, tokens ")
