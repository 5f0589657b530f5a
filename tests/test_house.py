"""The rules that CONTRIBUTING gives: for functions and suppressions in the package, and for waiting in tests."""

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
TESTS = Path(__file__).parent
VIRTUAL = "the event loop's time is virtual"
# Where a test sleeps outside a loop that polls a condition, or asserts by a clock, and why.
MAY_WAIT = {
    "simulation/world.py": VIRTUAL,
    "simulation/network.py": VIRTUAL,
    "simulation/promises.py": VIRTUAL,
    "client/traffic/test_single_flight.py": VIRTUAL,
    "client/traffic/test_shared_pace.py": VIRTUAL,
    "client/traffic/test_gate.py": VIRTUAL,
    "client/test_quota_kept.py": VIRTUAL,
    "client/sessions/test_refreshing.py": "a server ends sessions by its own clock",
    "client/shared/test_peers.py": "a bound from below: a busy machine takes longer, and passes",
    "stores/redis/test_codes.py": "what may happen grows with the time that was taken",
}
CLOCKS = {"time", "monotonic", "perf_counter"}
WAITS = re.compile(r"sleep\(|(time|monotonic|perf_counter)\(\) -")
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


def sleeps(tree: ast.AST) -> list[int]:
    """Return the lines that sleep for a time, outside a loop that polls a condition."""
    polls = {id(node) for loop in ast.walk(tree) if isinstance(loop, ast.While) for node in ast.walk(loop)}
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and (node.func.attr, id(node) in polls) == ("sleep", False)
        and not (isinstance(node.args[0], ast.Constant) and node.args[0].value == 0)
    ]


def timed_assertions(tree: ast.AST) -> list[int]:
    """Return the lines that assert how much time has passed: a clock's time less another one."""
    return [
        node.lineno
        for each in ast.walk(tree)
        if isinstance(each, ast.Assert)
        for node in ast.walk(each.test)
        if isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.Sub)
        and isinstance(node.left, ast.Call)
        and isinstance(node.left.func, ast.Attribute)
        and node.left.func.attr in CLOCKS
        and not isinstance(node.right, ast.Constant)
    ]


def test_no_test_waits_on_the_clock() -> None:
    """Tests wait for events, or poll a condition under a generous bound; so a busy machine fails none.

    ``helpers.timing`` compares with a timer of the same loop. What waits all the same has its reason in ``MAY_WAIT``.
    """
    found: dict[str, list[int]] = {}
    for path in sorted(TESTS.rglob("*.py")):
        text = path.read_text("utf-8")
        if not WAITS.search(text):
            continue
        tree = ast.parse(text)
        if at := sleeps(tree) + timed_assertions(tree):
            found[path.relative_to(TESTS).as_posix()] = at
    assert {module: at for module, at in found.items() if module not in MAY_WAIT} == {}
    assert sorted(found) == sorted(MAY_WAIT)


@pytest.mark.parametrize(
    ("code", "number"),
    [
        ("await asyncio.sleep(0.1)", 1),
        ("time.sleep(1)", 1),
        ("await asyncio.sleep(0)", 0),
        ("while not done: await asyncio.sleep(0.1)", 0),
        ("assert loop.time() - began < 1.0", 1),
        ("assert 0.5 < time.monotonic() - began", 1),
        ("assert claims['exp'] < time.time() - 50", 0),
        ("assert abs(claims['iat'] - time.time()) < 5", 0),
    ],
)
def test_waits_are_found(code: str, number: int) -> None:
    """By what the code says: a sleep outside a loop, and a difference of times in an assertion."""
    tree = ast.parse(f"async def test():\n    {code}")
    assert len(sleeps(tree) + timed_assertions(tree)) == number
