"""The rules that CONTRIBUTING gives for functions and suppressions, held by the whole package."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TypeAlias

import pytest

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef

PACKAGE = Path(__file__).parents[1] / "passwordless_async"
MODULES = sorted(PACKAGE.rglob("*.py"))
MAX_LINES, MAX_COMPLEXITY, MAX_SUPPRESSIONS = 40, 8, 50
BRANCHES = (
    *(ast.If, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler),
    *(ast.IfExp, ast.Assert, ast.comprehension, ast.match_case),
)


def complexity(function: Function) -> int:
    """Return the cyclomatic complexity, in which each further operand of ``and`` and ``or`` counts as a branch."""
    nodes = list(ast.walk(function))
    operands = sum(len(node.values) - 1 for node in nodes if isinstance(node, ast.BoolOp))
    return 1 + sum(isinstance(node, BRANCHES) for node in nodes) + operands


def lines(function: Function) -> int:
    """Return the number of lines, those of the docstring aside."""
    first = function.body[0]
    documented = ast.get_docstring(function) is not None
    docstring = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
    return (function.end_lineno or 0) - function.lineno + 1 - docstring


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_functions_fit_on_a_screen(module: Path) -> None:
    """At most 40 lines without the docstring, and a complexity of at most 8."""
    functions = [node for node in ast.walk(ast.parse(module.read_text("utf-8"))) if isinstance(node, Function)]
    too_much = [
        (function.name, lines(function), complexity(function))
        for function in functions
        if lines(function) > MAX_LINES or complexity(function) > MAX_COMPLEXITY
    ]
    assert too_much == []


def test_every_suppression_has_its_reason() -> None:
    """``# noqa: CODE - reason``; and there are few of them."""
    suppressions = [line for path in MODULES for line in path.read_text("utf-8").splitlines() if "# noqa" in line]
    assert [line.strip() for line in suppressions if not re.search(r"# noqa: [A-Z0-9, ]+ - \S", line)] == []
    assert len(suppressions) <= MAX_SUPPRESSIONS
