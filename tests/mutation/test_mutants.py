"""The mutants of a module, and the tests that are run for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mutation.mutants import mutants_of
from mutation.running import mirror, stages


def changes(statement: str) -> set[str]:
    """Return what becomes of a statement in a function."""
    return {mutant.after for mutant in mutants_of("m.py", f"async def f():\n    {statement}\n")}


@pytest.mark.parametrize(
    ("statement", "mutants"),
    [
        ("task.cancel()", {"pass"}),
        ("await closed", {"pass"}),
        ("x = 1", {"x = 2"}),
        ("self.x = y", {"pass"}),
        ("raise Gone", {"pass"}),
        ("del self.x[y]", {"pass"}),
        ("del unused", set()),
        ("return x", {"return None"}),
        ("return None", set()),
        ("return True", {"return False"}),
        ("f(x, grace=y)", {"pass", "f(x)"}),
        ("x = a < b", {"x = a <= b"}),
        ("x = a is None", {"x = a is not None"}),
        ("x = a or b", {"x = a", "x = b"}),
        ("x = not a", {"x = a"}),
        ("x = a if b else c", {"x = a", "x = c", "x = a if True else c", "x = a if False else c"}),
        ("x = {a for a in b if c}", {"x = {a for a in b}"}),
        ("x: Literal[1] = y", set()),
        ('"""Cancel 1."""', set()),
    ],
)
def test_a_statement_has_its_mutants(statement: str, mutants: set[str]) -> None:
    """What is called, raised, returned, compared and chosen; not types, and not what people read alone."""
    assert changes(statement) == mutants


def test_each_branch_is_forced_and_each_handler_taken_away() -> None:
    """Whether a condition or an exception matters is asked for each."""
    text = """def f():
    if x:
        y = z
    try:
        y = z
    except E:
        y = None
    while x:
        y = z
"""
    found = {(mutant.line, mutant.before, mutant.after) for mutant in mutants_of("m.py", text)}
    assert found == {
        (2, "if x:", "if True:"),
        (2, "if x:", "if False:"),
        (6, "y = None", "raise"),
        (8, "while x:", "while False:"),
    }


def test_a_mutant_is_a_whole_module_with_one_change() -> None:
    """Each is made of the original, not of the mutant before it."""
    text = "def f():\n    a()\n    b()\n"
    first, second = mutants_of("m.py", text)
    assert [first.source, second.source] == ["def f():\n    pass\n    b()", "def f():\n    a()\n    pass"]
    assert str(second) == "m.py:3 f: `b()` -> `pass`"


def test_the_scripts_of_a_server_have_mutants_line_by_line() -> None:
    """What they write, and under which condition: leases and codes are decided there."""
    script = "local left = redis.call('PTTL', KEYS[1])\nif left > 0 then return end\nredis.call('DEL', KEYS[1])\n"
    found = [(mutant.before, mutant.after) for mutant in mutants_of("m.py", f"_END = {script!r}\n_TEXT = 'a == b'\n")]
    assert found == [
        ("if left > 0 then return end", "if true then return end"),
        ("if left > 0 then return end", "if false then return end"),
        ("if left > 0 then return end", "if left >= 0 then return end"),
        ("redis.call('DEL', KEYS[1])", ""),
    ]


def test_the_tests_of_a_module_are_run_first() -> None:
    """Then those that count as its own, others near it, and those beside them; a test that fails ends it."""
    module = Path("passwordless_async/client/traffic/single_flight.py")
    tables = {
        "own": {"passwordless_async/client/traffic/": ["tests/client/test_events.py"]},
        "also": {
            "passwordless_async/client/traffic/": ["tests/client/test_closing.py"],
            "passwordless_async/stores/": ["tests/client/sessions"],
        },
    }
    quick = ("-m", "not slow")
    own, alike, near, beside = stages(module, tables)
    assert own == (str(mirror(module)),) == ("tests/client/traffic/test_single_flight.py",)
    assert (alike, near) == (("tests/client/test_events.py", *quick), ("tests/client/test_closing.py", *quick))
    assert "tests/client/traffic/test_gate.py" in beside
    assert stages(module, tables, own_only=True) == [own, alike]


def test_a_module_without_tests_of_its_own_has_those_beside_it() -> None:
    """As an ``__init__`` has."""
    tables: dict[str, dict[str, list[str]]] = {"own": {}, "also": {}}
    module = Path("passwordless_async/cli/__init__.py")
    assert [stage[-2:] for stage in stages(module, tables)] == [("-m", "not slow")]
    assert stages(module, tables, own_only=True) == []
