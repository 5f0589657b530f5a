"""``python -m tests.simulation``: run simulations, each from its seed, and tell of those that fail."""

from __future__ import annotations

import argparse
import io
import sys
import time
import traceback

import attrs

from benchmarks.commands import INTERRUPTED, at_least, raise_if_interrupted
from simulation.program import trial_of
from simulation.trial import simulate


@attrs.define
class Tally:
    """How many simulations did something at all; what they did before their last logins.

    Attributes:
        seeds: All of them.
        failed: Those in which a promise was broken.
        tokens: Those in which someone logged in.
        users: Those in which two users did.
        rotations: Those in which a refresh token was replaced.
        orphans: Those in which a caller had gone when a result came.
    """

    seeds: int = 0
    failed: int = 0
    tokens: int = 0
    users: int = 0
    rotations: int = 0
    orphans: int = 0

    def __str__(self) -> str:
        """Say how many there were, and in how many of them what happened."""
        return (
            f"seeds {self.seeds}, failed {self.failed}; tokens in {self.tokens}, two users in {self.users}, "
            f"a rotation in {self.rotations}, an orphan in {self.orphans}"
        )

    def run(self, seed: int) -> str:
        """Run one simulation; return what to print if it failed, else nothing. An interrupted one does not count."""
        raise_if_interrupted()
        trial = trial_of(seed)
        try:
            outcome = simulate(trial)
        except Exception:  # noqa: BLE001 - whatever it is, the seed goes with it
            self.seeds += 1
            self.failed += 1
            steps = "\n".join(f"    {step}" for step in trial.program)
            return f"seed {seed} failed\n{traceback.format_exc()}\n{trial.setting}\n{steps}\n\n"
        self.seeds += 1
        self.tokens += outcome.logins > 0
        self.users += outcome.users > 1
        self.rotations += outcome.rotations > 0
        self.orphans += outcome.orphans > 0
        return ""


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status: 1 if a simulation failed. Ctrl-C ends it with what was counted."""
    parser = argparse.ArgumentParser("python -m tests.simulation", description=__doc__)
    parser.add_argument("--first", type=at_least(0), default=0, help="the first seed (0)")
    parser.add_argument("--seeds", type=at_least(1), default=100, help="how many seeds (100)")
    given = parser.parse_args(arguments)
    began, tally, interrupted = time.monotonic(), Tally(), False
    try:
        for seed in range(given.first, given.first + given.seeds):
            sys.stdout.write(tally.run(seed))
            sys.stdout.flush()
    except KeyboardInterrupt:
        interrupted = True
        sys.stderr = io.StringIO()  # for what its abandoned coroutines say
    sys.stdout.write(f"{tally}; {time.monotonic() - began:.0f} seconds\n")
    return 1 if tally.failed else INTERRUPTED if interrupted else 0
