"""``python -m tests.simulation``: run simulations, each from its seed, and tell of those that fail."""

from __future__ import annotations

import argparse
import sys
import time
import traceback

from simulation.world import simulate, trial_of


def _failure_of(seed: int) -> str:
    trial = trial_of(seed)
    try:
        simulate(trial)
    except Exception:  # noqa: BLE001 - whatever it is, the seed goes with it
        steps = "".join(f"\n    {step}" for step in trial.program)
        order = "stock" if trial.is_stock else "random"
        return f"seed {seed} ({order} order) failed\n{traceback.format_exc()}\n{trial.setting}{steps}\n"
    return ""


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status: 1 if a simulation failed."""
    parser = argparse.ArgumentParser("python -m tests.simulation", description=__doc__)
    parser.add_argument("--first", type=int, default=0, help="the first seed (0)")
    parser.add_argument("--seeds", type=int, default=100, help="how many seeds (100)")
    given = parser.parse_args(arguments)
    began, failed = time.monotonic(), 0
    for seed in range(given.first, given.first + given.seeds):
        if text := _failure_of(seed):
            failed += 1
            sys.stdout.write(text)
    seconds = time.monotonic() - began
    sys.stdout.write(f"{given.seeds} seeds from {given.first}: {failed} failed; {seconds:.0f} seconds\n")
    return int(failed > 0)
