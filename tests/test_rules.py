"""The rules of DPoP that the tests state by number, each of them by at least one."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

TESTS = Path(__file__).parent
STATED = re.compile(r"\brules? ((?:\d+(?:-\d+)?(?:, | and )?)+)", re.IGNORECASE)


def stated(docstring: str) -> Iterator[int]:
    for numbers in STATED.findall(docstring):
        for first, last in re.findall(r"(\d+)(?:-(\d+))?", numbers):
            yield from range(int(first), int(last or first) + 1)


def docstrings() -> Iterator[str]:
    for path in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                yield ast.get_docstring(node) or ""


RULES = {number for docstring in docstrings() for number in stated(docstring)}


@pytest.mark.parametrize("number", range(1, 32))
def test_each_rule_is_stated_by_a_test(number: int) -> None:
    """What is numbered is tested, and what a test is for can be found by its number."""
    assert number in RULES


def test_every_test_states_a_fact() -> None:
    """A test without a docstring does not say what it holds."""
    assert all(docstrings())
