"""The page that compares gateways: each of its rows about ours names a test, and the test exists."""

from __future__ import annotations

import ast
import re

import pytest

from helpers.pages import DOCS, ROOT

PAGE = DOCS / "explanation" / "gateways-compared.md"
ROWS = PAGE.read_text(encoding="utf-8").partition("## Row by row")[2].partition("\n## ")[0].strip().splitlines()[2:]
_TEST = re.compile(r"\[`(test_\w+)`\]\(\.\./\.\./(tests/[\w/]+\.py)\)")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip())
def test_a_row_has_its_test(row: str) -> None:
    """In the column of this gateway, and nowhere else; the function is in the file."""
    cells = row.strip("|").split("|")
    assert len(cells) == 6
    ((name, path),) = _TEST.findall(cells[1])
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    tests = {each.name for each in tree.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert name in tests


def test_what_others_do_better_is_said() -> None:
    """A comparison that has only one winner is an advertisement."""
    better = PAGE.read_text(encoding="utf-8").partition("## When another is the better choice")[2]
    assert all(name in better for name in ("Duende BFF", "auth0-fastapi", "nextjs-auth0", "django-allauth"))
