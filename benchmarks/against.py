"""Two checkouts against each other in one run: the same operations, in turns, each in a process of its own."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from benchmarks.child import Child
from benchmarks.measure import in_turns
from benchmarks.report import Bar, Report, Row
from benchmarks.server import Server, pinned
from benchmarks.stub import CLIENT_ID

SUMMARY = "This checkout against another one: an exchange, and an API call through DPoPMiddleware; 64 in flight"
HOW = (
    "CPU time of a checkout's process for one, in turns, plain HTTP, connections and keys known; the bars are the "
    "medians of the ratios round by round, the notes have the ratio of the medians"
)
PACKAGES = ("aiohttp", "attrs", "cryptography", "joserfc")
OPERATIONS = {"exchange": "exchange", "API call": "api_call"}

_HERE = Path(__file__).parent
_MUST, _GOAL = 1.03, 1.0  # times the other checkout's CPU time


def against(directory: str, rounds: int, calls: int) -> Report:
    """Measure this checkout against the one in a directory."""
    checkouts = {"this": _HERE.parent, "other": Path(directory).resolve()}
    with pinned() as processors, ExitStack() as stack:
        server = stack.enter_context(Server(processors.server))
        children = {name: stack.enter_context(_contender(path, server.origin)) for name, path in checkouts.items()}
        for name, child in children.items():
            _check(child, checkouts[name])
        series = in_turns(
            {
                (operation, name): partial(_measure, child, OPERATIONS[operation], calls)
                for operation in OPERATIONS
                for name, child in children.items()
            },
            rounds=rounds,
        )
    rows, bars = [], []
    for operation in OPERATIONS:
        ours, other = series[operation, "this"], series[operation, "other"]
        ratio = ours.over(other)
        note = f"ratio of the medians: {ours.median / other.median:.3f}"
        rows += [
            Row(f"{operation}, this", ours, {"other": ratio}, note),
            Row(f"{operation}, other", other, {"other": other.over(other)}),
        ]
        bars.append(Bar(f"{operation}, this ÷ other", ratio, must=_MUST, goal=_GOAL))
    return Report("exchange --against", SUMMARY, f"{HOW}; {processors.how}", "µs", PACKAGES, rows, bars)


def _contender(checkout: Path, origin: str) -> Child:
    # -P: the script's own directory stays off the path, where its modules would hide others.
    command = [sys.executable, "-P", str(_HERE / "contender.py"), origin, CLIENT_ID]
    return Child(command, environment={**os.environ, "PYTHONPATH": str(checkout)})


def _check(child: Child, checkout: Path) -> None:
    """Refuse a figure of another package than the checkout's."""
    package = Path(child.ready["package"])
    if package.resolve() != checkout / "passwordless_async" / "__init__.py":
        raise RuntimeError(f"{checkout} has no passwordless_async: {package} was imported")


def _measure(child: Child, operation: str, calls: int) -> float:
    return float(child.ask(operation=operation, calls=calls)["microseconds"])
