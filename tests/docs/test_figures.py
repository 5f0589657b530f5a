"""Figures that several pages have: README and capacity repeat what the page of measurements says."""

from __future__ import annotations

import re

import pytest

from benchmarks import capacity
from helpers.pages import DOCS, README

MEASURED = (DOCS / "explanation" / "measured.md").read_text(encoding="utf-8")
CAPACITY = (DOCS / "explanation" / "capacity.md").read_text(encoding="utf-8")


def rows(text: str) -> dict[str, list[str]]:
    """Return the cells of each row of the tables in a text, by its first cell."""
    lines = [
        [cell.strip(" *") for cell in line.strip("|").split("|")]
        for line in re.findall(r"^\|.*\|$", text, re.MULTILINE)
    ]
    return {name: cells for name, *cells in lines}


SPEED = {name: cells for name, cells in rows(README.read_text(encoding="utf-8")).items() if cells[0].endswith(" µs")}


@pytest.mark.parametrize("name", SPEED)
def test_a_figure_of_the_readme_is_measured(name: str) -> None:
    """Each of a row's microseconds is in a table of the section of the row's command."""
    ours, others, command = SPEED[name]
    section = next(part for part in MEASURED.split("\n## ") if f"{command[:-1]}`" in part or f"{command[:-1]} " in part)
    cells = {cell for each in rows(section).values() for cell in each}
    figures = re.findall(r"[\d.,]+(?= µs)", f"{ours}; {others}")
    assert len(figures) >= 2
    assert [figure for figure in figures if figure not in cells] == []


def test_costs_from_other_measurements() -> None:
    """The rows of the capacity page that have a footnote; the figures are those of the measurements, and rounded."""
    costs, measured = rows(CAPACITY), rows(MEASURED)
    assert costs["both, through the gateway's pages"][-1] == f"{measured['in a browser**, on Redis'][0]} ¹"
    assert costs["call through the gateway's proxy"][-1] == f"{measured['through the gateway'][0]} ²"
    check = float(measured["passwordless-async**, replay store included"][0].strip("* "))
    assert costs["check a proof, in an API"][-1] == f"{check:.0f} ³"


def test_the_program_computes_with_the_costs_of_the_table() -> None:
    """Requests, commands and microseconds of an operation: one figure in the table and in the program."""
    costs = {
        name: [re.sub(r"[^\d]", "", cell.rstrip(" ¹²³")) for cell in cells] for name, cells in rows(CAPACITY).items()
    }
    login, call, refresh = (
        costs[name] for name in ("both, through the gateway's pages", "call through the gateway's proxy", "refresh")
    )
    check = costs["check a proof, in an API"]
    for line in (
        f"redis = logins * {login[3]} + calls * {call[3]} + refreshes * {refresh[3]} ",
        f"gateway = logins * {login[4]} + calls * {call[4]} + refreshes * {refresh[4]}\n",
        f"{{logins * {login[2]} + calls + refreshes * {refresh[2]}:",
        f"{{calls * {check[4]} / 1e4:",
        f"{{logins * {login[0]} + refreshes:",
        f"tenant = logins * {login[0]} + refreshes * {refresh[0]}\n".replace(" * 1\n", "\n"),
        f"trips = logins * {login[1]} + refreshes * {refresh[1]} + calls\n",
        f"redis = (logins * {login[3]} + refreshes * {refresh[3]} + calls * {call[3]}) ",
        f"gateway = (logins * {login[4]} + refreshes * {refresh[4]} + calls * {call[4]}) ",
    ):
        assert line in CAPACITY


def test_the_benchmark_compares_with_the_costs_of_the_table() -> None:
    """What ``python -m benchmarks capacity`` takes for the plan is what the page says."""
    costs = rows(CAPACITY)
    operations = ("start, with `forwarded_for`", "log in: `sessions.login`", "API call of a stored session", "refresh")
    plan = [capacity.START_US, capacity.LOGIN_US, capacity.READ_US, capacity.REFRESH_US]
    assert [int(costs[name][3]) for name in operations] == plan
    assert costs["a session with 2 KB of tokens in Redis, with its user's list"][0] == f"{capacity.SESSION_BYTES:,}"
