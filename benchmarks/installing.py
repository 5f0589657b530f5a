"""How long an installation takes, what it consists of and how large it is: in a new environment, without a cache."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path

from benchmarks.measure import Series
from benchmarks.report import Report, Row

SUMMARY = "Installing the library in a new virtual environment, without a cache"
HOW = "seconds on the clock, downloads and compiling to bytecode included; the wheel is built before"
PACKAGES = ("passwordless-async", "pip")
ROUNDS, MIN_ROUNDS, CALLS, COUNTED = 3, 1, 1, "installations of each"
_ROOT = Path(__file__).parent.parent
_EXTRAS = ("cli", "redis", "gateway")


def run(rounds: int, calls: int) -> Report:
    """Install each in turns. It needs a package index."""
    with tempfile.TemporaryDirectory() as folder:
        _pip("wheel", "--no-deps", "--wheel-dir", folder, str(_ROOT))
        (wheel,) = Path(folder).glob("*.whl")
        extras = {f"passwordless-async, extra {extra}": f"{wheel}[{extra}]" for extra in _EXTRAS}
        wanted = {"aiohttp": "aiohttp", "passwordless-async": str(wheel), **extras}
        seconds: dict[str, list[float]] = {name: [] for name in wanted}
        notes: dict[str, str] = {}
        for _ in range(rounds):
            for name, what in wanted.items():
                taken = [_install(what, Path(folder) / "venv") for _ in range(calls)]
                seconds[name].append(sum(each for each, _ in taken) / calls)
                notes[name] = taken[-1][1]
    rows = [Row(name, Series(tuple(figures)), notes=notes[name]) for name, figures in seconds.items()]
    return Report("install", SUMMARY, HOW, "s", PACKAGES, rows, [])


def _install(what: str, place: Path) -> tuple[float, str]:
    """Install a package in a new environment; return the seconds, and what there is then."""
    subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", str(place)], check=True)  # noqa: S603 - our own
    began = time.perf_counter()
    _pip("--python", str(place), "install", "--no-cache-dir", what)
    seconds = time.perf_counter() - began
    (site,) = place.glob("lib/python*/site-packages")
    number = len(list(metadata.distributions(path=[str(site)])))
    size = sum(file.stat().st_size for file in site.rglob("*") if file.is_file()) / 1e6
    return seconds, f"{number} distributions, {size:.1f} MB"


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    subprocess.run(command, check=True, stdout=sys.stderr)  # noqa: S603 - our own arguments
