"""How long it takes to import the library, beside aiohttp, which every user of it imports anyway."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from functools import partial

from benchmarks.measure import in_turns
from benchmarks.report import Bar, Report, Row

SUMMARY = "Importing the library, each time in a new process"
HOW = "CPU time of the import statement, contenders in turns; compiled files are there, in a directory of this run"
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
    statements = (AIOHTTP, OURS, CLIENT)
    with tempfile.TemporaryDirectory() as compiled:
        series = in_turns({name: partial(_mean, name, calls, compiled) for name in statements}, rounds=rounds)
    rows = [Row(name, figures, {"aiohttp": figures.over(series[AIOHTTP])}) for name, figures in series.items()]
    bars = [Bar("importing PasswordlessClient ÷ import aiohttp", rows[-1].ratios["aiohttp"], must=1.4, goal=1.25)]
    return Report("import", SUMMARY, HOW, "ms", PACKAGES, rows, bars)


def _mean(statement: str, calls: int, compiled: str) -> float:
    return sum(_milliseconds(statement, compiled) for _ in range(calls)) / calls


def _milliseconds(statement: str, compiled: str) -> float:
    # In the directory that this was run from, so that it finds the same modules. Where Python is told to write no
    # compiled files, as in containers, a checkout would be compiled each time, and an installed library would not.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": compiled}
    command = [sys.executable, "-c", _MEASURED.format(statement)]
    ended = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment)  # noqa: S603 - our own
    return int(ended.stdout) / 1e6
