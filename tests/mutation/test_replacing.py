"""Mutants in functions that are imported already."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import pytest

from mutation.mutants import mutants_of
from mutation.replacing import Imported

if TYPE_CHECKING:
    from pathlib import Path

MODULE = """import functools

BOUND = 3

class Gate:
    is_open: bool = True

    @functools.cache
    def admits(self, number):
        def fits():
            return number < BOUND
        return self.is_open and fits()

    def doubled(self, number=2):
        return number * 2

def counted(number):
    def count():
        return number + 1
    return count

COUNT = counted(1)
"""


@pytest.fixture
def imported(tmp_path: Path) -> Any:
    """Import the module."""
    path = tmp_path / "gates.py"
    path.write_text(MODULE, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("gates", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def source_of(change: str) -> str:
    """Return the module with the mutant of this name."""
    return next(each.source for each in mutants_of("gates.py", MODULE) if f"{each.before} -> {each.after}" == change)


@pytest.mark.parametrize(
    ("change", "answers"),
    [
        ("return number < BOUND -> return number <= BOUND", (True, 4)),
        ("return self.is_open and fits() -> return self.is_open", (True, 4)),
        ("return number * 2 -> return number * 3", (False, 6)),
    ],
)
def test_a_function_has_the_code_of_the_mutant(imported: Any, change: str, answers: tuple[bool, int]) -> None:
    """Functions within it too, and behind a decorator."""
    assert Imported(imported.__file__, MODULE).replace(source_of(change))
    assert (imported.Gate().admits(3), imported.Gate().doubled()) == answers


@pytest.mark.parametrize(
    "change",
    [
        "is_open: bool = True -> is_open: bool = False",
        "def doubled(self, number=2): -> def doubled(self, number=3):",
        "BOUND = 3 -> BOUND = 4",
        "return number + 1 -> return number - 1",
    ],
)
def test_what_an_import_decides_is_not_replaced(imported: Any, change: str) -> None:
    """Fields, defaults and constants, and functions that another has made."""
    assert not Imported(imported.__file__, MODULE).replace(source_of(change))


def test_a_module_that_is_not_imported_has_nothing_to_replace() -> None:
    """A process that tests start may import it."""
    assert not Imported("elsewhere.py", MODULE).replace(source_of("return number * 2 -> return number * 3"))
