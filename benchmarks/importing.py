"""How long it takes to import the library, beside aiohttp, which every user of it imports anyway."""

from __future__ import annotations

import subprocess
import sys
from functools import partial

from benchmarks.measure import in_turns
from benchmarks.report import Bar, Report, Row

SUMMARY = "Importing the library, each time in a new process"
HOW = "CPU time of the import statement, contenders in turns; compiled files are there"
PACKAGES = ("passwordless-async", "aiohttp", "attrs", "cryptography", "joserfc")
ROUNDS, MIN_ROUNDS, CALLS, COUNTED = 21, 1, 1, "imports of each"

AIOHTTP, OURS, CLIENT = (
    "import aiohttp",
    "import passwordless_async",
    "from passwordless_async import PasswordlessClient",
)
_MEASURED = "import time; began = time.process_time_ns(); {}; print(time.process_time_ns() - began)"


def run(rounds: int, calls: int) -> Report:
    """Measure the statements in turns; the first round compiles, and reads the files from the disk."""
    series = in_turns({name: partial(_mean, name, calls) for name in (AIOHTTP, OURS, CLIENT)}, rounds=rounds)
    rows = [Row(name, figures, {"aiohttp": figures.over(series[AIOHTTP])}) for name, figures in series.items()]
    bars = [Bar("import passwordless_async ÷ import aiohttp", series[OURS].over(series[AIOHTTP]), must=1.35, goal=1.15)]
    return Report("import", SUMMARY, HOW, "ms", PACKAGES, rows, bars)


def _mean(statement: str, calls: int) -> float:
    return sum(_milliseconds(statement) for _ in range(calls)) / calls


def _milliseconds(statement: str) -> float:
    # In the directory that this was run from, so that it finds the same modules.
    command = [sys.executable, "-c", _MEASURED.format(statement)]
    ended = subprocess.run(command, check=True, stdout=subprocess.PIPE)  # noqa: S603 - a command of our own
    return int(ended.stdout) / 1e6
