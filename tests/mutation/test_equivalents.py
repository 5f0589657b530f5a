"""The list of the mutants that do the same as the original."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mutation.equivalents import LIST, Equivalents
from mutation.mutants import mutants_of

MODULE = "m/gates.py"
LISTED = {
    f"{MODULE} ": {"A = 1 -> A = 2": "a round number"},
    f"{MODULE} Gate.opens": {"return x -> return None": "no caller reads it"},
    "m/gone.py ": {"A = 1 -> A = 2": "a round number"},
    "n/other.py ": {"A = 1 -> A = 2": "a round number"},
}


@pytest.mark.parametrize(
    ("function", "path", "stale"),
    [
        ("opens", MODULE, []),
        ("is_open", MODULE, [f"{MODULE} Gate.opens: return x -> return None"]),
        ("opens", "m", ["m/gone.py : A = 1 -> A = 2"]),
    ],
    ids=["as listed", "a renamed function", "a deleted module"],
)
def test_an_entry_that_is_no_mutant_is_stale(function: str, path: str, stale: list[str]) -> None:
    """It would hide nothing, and its mutant would survive again. Of other modules nothing is known."""
    text = f"A = 1\nclass Gate:\n    def {function}(self):\n        return x\n"
    mutants = list(mutants_of(MODULE, text))
    equivalents = Equivalents(LISTED)
    assert equivalents.stale([Path(path)], mutants) == stale
    assert [mutant in equivalents for mutant in mutants] == [True, function == "opens"]


def test_a_stale_list_is_refused(tmp_path: Path) -> None:
    """The command tries no mutant, and names the entries in one line: here all, of a package that has no module."""
    (tmp_path / "passwordless_async").mkdir()
    (tmp_path / "passwordless_async" / "__init__.py").touch()
    (tmp_path / "pyproject.toml").write_text("[tool.mutation]\n", encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(LIST.parents[2])}
    command = [sys.executable, "-m", "tests.mutation", "passwordless_async"]
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)  # noqa: S603 - this interpreter
    stale = Equivalents.read().stale([Path("passwordless_async")], [])
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == f"equivalents.toml lists what is no mutant: {'; '.join(stale)}\n"
