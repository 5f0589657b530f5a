"""The parts of the reference that are made from the code: they are complete, and nothing in them is empty."""

from __future__ import annotations

import importlib
import inspect
import re
from typing import TYPE_CHECKING, Any

import attrs
import click
import pytest

from helpers.pages import DOCS
from passwordless_async import BULK, INTERACTIVE, TESTING, PasswordlessError, Policy, Profile, errors
from passwordless_async.cli.app import app
from passwordless_async.gateway.problems import problem_of
from passwordless_async.gateway.texts.catalogs import built_in

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def generated() -> Iterator[Any]:
    """Import the site's extension, as Sphinx does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(DOCS / "_ext"))
        yield importlib.import_module("generated")


def rows(table: str) -> list[list[str]]:
    """Return the cells of a Markdown table's rows, without its head."""
    lines = [line for line in table.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


ERRORS = {kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, PasswordlessError)}


def test_every_error_has_its_row(generated: Any) -> None:
    """Its code, a cause, what to do, the gateway's status, and a text for people."""
    texts = built_in()["en"]["problem"]
    table = {re.findall(r"`(\w+)`", name)[0]: (name, *cells) for name, *cells in rows(generated.error_table())}
    assert table.keys() == {kind.__name__ for kind in ERRORS}
    for kind in ERRORS:
        name, cause, advice, status, text = table[kind.__name__]
        problem, http_status = problem_of(kind.__new__(kind))
        assert f"`{kind.code}`" in name
        assert ("retryable" in name) == kind.retryable
        assert cause == " ".join(str(kind.__doc__).split("\n\n")[0].replace("``", "`").split())
        assert (advice, status) == (kind.advice, str(http_status.value))
        assert text == texts[problem.key].replace("{wait}", "20 seconds")
        assert all((cause, advice, text))


def test_the_tree_of_errors_names_each(generated: Any) -> None:
    """With its cause in a few words."""
    lines = re.findall(r"^[│├└─ ]*(\w+) *(.*)$", generated.error_tree().partition("\n")[2], re.MULTILINE)
    assert {name for name, _ in lines} == {kind.__name__ for kind in ERRORS}
    assert [name for name, words in lines if not words] == ["PasswordlessError"]


def test_every_setting_has_its_meaning_and_its_reason(generated: Any) -> None:
    """And the values of the profiles; durations have their unit."""
    profiles = {cells[0].strip("`"): cells for cells in rows(generated.profiles())}
    policies = {cells[0].strip("`"): cells for cells in rows(generated.policies())}
    of_profile = [field.name for field in attrs.fields(Profile)]
    assert [*profiles] == [name for name in of_profile if name not in {"single", "many"}]
    assert [*policies] == [field.name for field in attrs.fields(Policy)]
    assert [name for name, cells in {**profiles, **policies}.items() if not (cells[1] and cells[-1])] == []
    for name, cells in profiles.items():
        assert cells[2:-1] == [f"`{getattr(of, name)!r}`" for of in (INTERACTIVE, BULK, TESTING)]
    lasting = {"timeout", "cool_down", "outage_window", "outage_rest", "outage_rest_at_most", "grace"}
    lasting |= {"patience", "backoff", "backoff_at_most"}
    assert [name for name in lasting if "econds" not in {**profiles, **policies}[name][1]] == []


def commands(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield a command and all below it, each with the words that call it."""
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from commands(child, (*path, name))


def test_every_command_has_its_section(generated: Any) -> None:
    """With a row for each option that its help shows, and an example."""
    parts = re.split(r"^## `(.+)`$", generated.command_line(), flags=re.MULTILINE)[1:]
    sections = dict(zip(parts[::2], parts[1::2], strict=True))
    found = {" ".join(path): command for path, command in commands(app, ("passwordless-async",))}
    assert sections.keys() == found.keys()
    for name, command in found.items():
        options = [each for each in command.params if isinstance(each, click.Option) and not each.hidden]
        shown = " ".join(cells[0] for cells in rows(sections[name]))
        assert [option.opts[0] for option in options if option.opts[0] not in shown] == []
        assert [cells[0] for cells in rows(sections[name]) if not cells[1] and cells[0].startswith("`-")] == []
        assert re.search(rf"^ +{name} ", sections[name], re.MULTILINE)
