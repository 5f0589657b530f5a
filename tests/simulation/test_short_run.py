"""Simulations: programs of calls on a virtual clock and a network in memory. A seed decides what chance would."""

from __future__ import annotations

import pytest

from simulation.command import main
from simulation.world import simulate, trial_of

SEEDS = 200


@pytest.mark.slow
@pytest.mark.parametrize("tenth", range(10))
def test_any_simulation_keeps_the_promises(tenth: int) -> None:
    """Under delay, loss and faults users have their own tokens, nothing is sent twice, nothing is lost or left."""
    assert main(["--first", str(tenth * SEEDS // 10), "--seeds", str(SEEDS // 10)]) == 0


@pytest.mark.parametrize("seed", range(3))
def test_a_seed_is_the_same_simulation_each_time(seed: int) -> None:
    """A failure can be looked at again."""
    assert simulate(trial_of(seed)) == simulate(trial_of(seed))
