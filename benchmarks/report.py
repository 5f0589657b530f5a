"""What a benchmark found: a table for people, JSON for programs, a plot for a page.

The JSON object has these members:

- ``benchmark``, ``summary``, ``how`` it was measured, ``unit``, ``rounds``, and ``calls``, how many in a round;
- ``environment``: ``python``, ``system``, ``machine``, ``cpus``, ``load`` (of one minute, at the end), ``openssl`` and
  ``packages``, their versions by name;
- ``results``: for each contender its ``name``, ``median``, ``q1``, ``q3``, ``min`` and ``max``; ``ratios``, by the name
  of what it is compared with, round by round, each with ``median``, ``q1`` and ``q3``; ``notes``, what it does and does
  not do, in words;
- ``bars``: what was to be reached: ``measure``, ``value``, ``must``, ``goal``, and in ``reached`` "goal", "must" or
  "nothing";
- ``absent``: the contenders whose library is not installed.
"""

# ruff: noqa: PLC0415 - rich and matplotlib are imported where they draw: JSON needs neither

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
from cryptography.hazmat.backends.openssl import backend

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.table import Table

    from benchmarks.measure import Series

PLOT_SUFFIXES = (".svg", ".png", ".pdf")

_LARGE = 10  # figures from here on are shown with one decimal
_MIN_NAME = 21  # columns: the longest word in a name
_PIPED_WIDTH = 200  # columns, where there is no terminal


@attrs.frozen
class Row:
    """What was measured of one contender.

    Attributes:
        name: The contender.
        figures: Its figures, in the unit of the report.
        ratios: Its figures divided by another contender's, by a name for that one.
        notes: What it does and does not do, where that is not the same for all.
    """

    name: str
    figures: Series
    ratios: Mapping[str, Series] = attrs.field(factory=dict)
    notes: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the members of a result."""
        spread = {"min": min(self.figures.samples), "max": max(self.figures.samples)}
        ratios = {name: _middle(ratio) for name, ratio in self.ratios.items()}
        return {"name": self.name, **_middle(self.figures), **spread, "ratios": ratios, "notes": self.notes}


@attrs.frozen
class Bar:
    """What was to be reached, and what was.

    Attributes:
        measure: What is measured.
        figures: What was measured; its median counts.
        must: The worst value that passes.
        goal: The value to strive for.
        higher: Whether a higher value is a better one.
    """

    measure: str
    figures: Series
    must: float
    goal: float
    higher: bool = attrs.field(default=False, kw_only=True)

    @property
    def reached(self) -> str:
        """The better of both bars that the value reaches."""
        value, must, goal = (number if self.higher else -number for number in (self.value, self.must, self.goal))
        return "goal" if value >= goal else "must" if value >= must else "nothing"

    @property
    def value(self) -> float:
        """The value that counts."""
        return self.figures.median

    def as_json(self) -> dict[str, Any]:
        """Return the members of a bar."""
        names = ("measure", "value", "must", "goal", "reached")
        return {name: getattr(self, name) for name in names}


@attrs.frozen
class Report:
    """All that a benchmark found.

    Attributes:
        benchmark: Its name on the command line.
        summary: What was measured, in words.
        how: How it was measured, in words.
        unit: The unit of the rows' figures.
        packages: The distributions whose versions matter.
        rows: The contenders, in the order in which they are shown.
        bars: What was to be reached.
        absent: The contenders whose library is not installed.
    """

    benchmark: str
    summary: str
    how: str
    unit: str
    packages: Sequence[str]
    rows: Sequence[Row]
    bars: Sequence[Bar]
    absent: Sequence[str] = ()

    def as_json(self, rounds: int, calls: int) -> dict[str, Any]:
        """Return what is described at the top of this module."""
        return {
            "benchmark": self.benchmark,
            "summary": self.summary,
            "how": self.how,
            "unit": self.unit,
            "rounds": rounds,
            "calls": calls,
            "environment": _environment(self.packages),
            "results": [row.as_json() for row in self.rows],
            "bars": [bar.as_json() for bar in self.bars],
            "absent": list(self.absent),
        }


def print_table(found: Mapping[str, Any]) -> None:
    """Print a report for people; ``found`` is the JSON object."""
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, _PIPED_WIDTH)
    console.print(_table(found))
    for bar in found["bars"]:
        reached = {"nothing": "not reached", "must": "must", "goal": "goal"}[bar["reached"]]
        line = f"{bar['measure']}: {_shown(bar['value'])} (must {bar['must']:,}, goal {bar['goal']:,}): {reached}"
        console.print(line, soft_wrap=True)
    for name in found["absent"]:
        console.print(f"not installed: {name}")
    console.print(_circumstances(found), soft_wrap=True)


def _table(found: Mapping[str, Any]) -> Table:
    from rich import box
    from rich.table import Table

    compared = list(dict.fromkeys(name for result in found["results"] for name in result["ratios"]))
    noted = any(result["notes"] for result in found["results"])
    table = Table(title=found["summary"], title_justify="left", box=box.SIMPLE)
    # In a narrow terminal the names are wrapped: a figure that is cut would be another figure.
    table.add_column("contender", overflow="fold", min_width=_MIN_NAME)
    for heading in (f"median {found['unit']}", "middle half", *(f"÷ {name}" for name in compared)):
        table.add_column(heading, justify="right", no_wrap=True)
    if noted:
        table.add_column("what it does", overflow="fold", min_width=_MIN_NAME)
    for result in found["results"]:
        ratios = (f"{result['ratios'][name]['median']:.2f}" if name in result["ratios"] else "" for name in compared)
        table.add_row(result["name"], *_figures(result), *ratios, *([result["notes"]] if noted else []))
    return table


def _figures(result: Mapping[str, Any]) -> tuple[str, str]:
    digits = 1 if abs(result["median"]) >= _LARGE else 2
    median, first, third = (f"{result[name]:,.{digits}f}" for name in ("median", "q1", "q3"))
    return median, f"{first}-{third}"


def _shown(value: float) -> str:
    # A small value has a decimal more than its bar, so that 1.504 is not shown as the 1.5 that it misses.
    return f"{value:,.{1 if abs(value) >= _LARGE else 3}f}"


def plot(found: Mapping[str, Any], path: str) -> None:
    """Draw the medians with their spread into a file; its suffix names the format, such as .svg or .png."""
    from matplotlib.figure import Figure

    results = found["results"][::-1]  # the first one on top
    medians = [result["median"] for result in results]
    spread = [
        [result["median"] - result["q1"] for result in results],
        [result["q3"] - result["median"] for result in results],
    ]
    figure = Figure(figsize=(9, 0.5 * len(results) + 1.5), layout="constrained")
    axes = figure.subplots()
    colors = ["C0" if result["name"].startswith("passwordless-async") else "0.7" for result in results]
    bars = axes.barh([result["name"] for result in results], medians, xerr=spread, color=colors, capsize=3)
    axes.bar_label(bars, fmt="{:,.0f}", padding=6)
    axes.set_xlabel(f"{found['unit']}: median and middle half of {found['rounds']} rounds")
    axes.set_title(found["summary"], loc="left", fontsize="medium")
    axes.margins(x=0.12)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)


def _middle(series: Series) -> dict[str, float]:
    first, third = series.quartiles
    return {"median": series.median, "q1": first, "q3": third}


def _environment(packages: Sequence[str]) -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "machine": _processor(),
        "cpus": os.cpu_count(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "openssl": backend.openssl_version_text(),
        "packages": {name: version for name in packages if (version := _version(name)) is not None},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _circumstances(found: Mapping[str, Any]) -> str:
    environment = found["environment"]
    rounds = f"{found['rounds']} round{'s' if found['rounds'] > 1 else ''}"
    versions = ", ".join(f"{name} {version}" for name, version in environment["packages"].items())
    return (
        f"{rounds} of {found['calls']:,}: {found['how']}. Python {environment['python']}, "
        f"{environment['machine']}, {environment['cpus']} CPUs, {environment['openssl']}; {versions}"
    )
