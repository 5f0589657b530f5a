"""The benchmarks run, and report what they say they report; how fast anything is, no test asks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parent.parent.parent
SMALL = {
    "proof": ["--rounds", "5", "--calls", "2"],
    "verify": ["--rounds", "5", "--calls", "2"],
    "memory": ["--rounds", "1", "--calls", "20"],
}
ALWAYS_THERE = {
    "proof": {
        "passwordless-async",
        "passwordless-async, new key",
        "bare signature",
        "joserfc jwt.encode",
    },
    "verify": {
        "passwordless-async",
        "passwordless-async, new key",
        "bare verification",
        "joserfc jwt.decode, rest by hand",
    },
    "memory": {
        f"{kind}, {meter}"
        for kind in ("idle, from a store", "idle, used before", "live, generated", "live, used")
        for meter in ("resident", "traced by Python")
    },
}
BARS = {
    "proof": [("proof ÷ bare signature", 1.35, 1.15), ("joserfc jwt.encode ÷ proof", 1.5, 1.8)],
    "verify": [("verify ÷ bare verification", 1.6, 1.3)],
    "memory": [("bytes of an idle session's key, resident", 600, 300)],
}


def benchmark(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, encoding="utf-8", check=False)  # noqa: S603


@pytest.fixture(scope="module", params=SMALL)
def found(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Run a benchmark at a tiny size."""
    ended = benchmark(request.param, *SMALL[request.param], "--json")
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_the_members_of_a_report(found: dict[str, Any]):
    """A program finds in the JSON object what the documentation of reports promises."""
    expected = {
        "benchmark", "summary", "how", "unit", "rounds", "calls", "environment", "results", "bars", "absent",
    }  # fmt: skip
    assert expected == found.keys()
    rounds, calls = (int(SMALL[found["benchmark"]][index]) for index in (1, 3))
    assert (rounds, calls) == (found["rounds"], found["calls"])
    expected = {"python", "system", "machine", "cpus", "load", "openssl", "packages"}
    assert expected == found["environment"].keys()


def test_the_contenders(found: dict[str, Any]):
    """Ours and those of the dependencies are always there; any other is measured, or named as absent."""
    names = [result["name"] for result in found["results"]]
    assert len(names) == len(set(names))
    assert ALWAYS_THERE[found["benchmark"]] <= set(names)
    assert set(names).isdisjoint(found["absent"])
    for result in found["results"]:
        assert {"name", "median", "q1", "q3", "min", "max", "ratios"} == result.keys()
        assert result["min"] <= result["q1"] <= result["median"] <= result["q3"] <= result["max"]
        for ratio in result["ratios"].values():
            assert {"median", "q1", "q3"} == ratio.keys()
            assert 0 < ratio["q1"] <= ratio["median"] <= ratio["q3"]


def test_the_bars(found: dict[str, Any]):
    """What was to be reached stands beside what was."""
    assert BARS[found["benchmark"]] == [(bar["measure"], bar["must"], bar["goal"]) for bar in found["bars"]]
    for bar in found["bars"]:
        assert {"measure", "value", "must", "goal", "reached"} == bar.keys()
        better = -1 if bar["must"] > bar["goal"] else 1
        passed = [name for name in ("goal", "must") if better * bar["value"] >= better * bar[name]]
        assert (passed or ["nothing"])[0] == bar["reached"]


def test_a_table_and_a_plot(tmp_path: Path):
    """People are shown a table, with the bars below, and a plot in the file and the format that they name."""
    file = tmp_path / "proof.svg"
    ended = benchmark("proof", *SMALL["proof"], "--plot", str(file))
    assert ended.returncode == 0, ended.stderr
    assert "passwordless-async, new key" in ended.stdout
    assert "proof ÷ bare signature: " in ended.stdout
    assert "<svg" in file.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["proof", "--rounds", "4"], "--rounds: must be at least 5"),
        (["nonsense"], "invalid choice: 'nonsense'"),
    ],
)
def test_what_is_refused(arguments: list[str], problem: str):
    """Too few rounds have no spread, and what is no benchmark is named."""
    ended = benchmark(*arguments)
    assert ended.returncode == 2
    assert problem in ended.stderr
