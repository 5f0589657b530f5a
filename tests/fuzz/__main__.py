"""``python -m tests.fuzz TARGET``: hostile inputs in great numbers, at one part of the library or at all.

Ends at the first input that has an outcome other than a value or a typed error, and prints it with its seed and index.
``--first INDEX --inputs 1`` with the same seed checks that input again.
"""

from __future__ import annotations

import argparse
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1]))  # as pytest has it, for tests/helpers

from benchmarks.commands import at_least
from fuzz.engine import Finding, run
from helpers.searches import command

if TYPE_CHECKING:
    from collections import Counter

TARGETS = tuple(sorted(path.stem for path in (Path(__file__).parent / "targets").glob("*.py")))


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def fuzz(name: str, inputs: int, seed: int, first: int) -> bool:
    """Run one target; return whether nothing was found."""
    begin = time.perf_counter()

    def report(done: int, seen: Counter[str]) -> None:
        rate = done / (time.perf_counter() - begin)
        say(f"{name}: {done:,} inputs, {rate:,.0f} a second, {len(seen)} outcomes")

    try:
        seen = run(import_module(f"fuzz.targets.{name}").make, inputs, seed=seed, first=first, report=report)
    except Finding as finding:
        say(f"{name}: FOUND {finding}")
        return False
    for outcome, count in seen.most_common():
        say(f"{count:12,} {outcome}")
    return True


def main() -> int:
    """Run what the arguments name."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("target", choices=[*TARGETS, "all"])
    parser.add_argument("--inputs", type=at_least(1), default=1_000_000, help="of each target (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="decides the inputs (%(default)s)")
    parser.add_argument("--first", type=at_least(0), default=0, help="the index of the first input (%(default)s)")
    options = parser.parse_args()
    names = TARGETS if options.target == "all" else [options.target]
    found_nothing = [fuzz(name, options.inputs, options.seed, options.first) for name in names]
    return 0 if all(found_nothing) else 1


if __name__ == "__main__":
    with command():
        sys.exit(main())
