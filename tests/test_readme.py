"""What the README and the other documents show is what happens."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

import pytest

import passwordless_async
from helpers.pages import PAGES, README, ROOT, Block, python_blocks, run

if TYPE_CHECKING:
    from pathlib import Path

DOCUMENTS = [README, *PAGES, ROOT / ".github" / "CONTRIBUTING.md"]
EXAMPLES = python_blocks(README)


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_an_example_prints_the_output_below_it(example: Block) -> None:
    """Each example runs as it is, in an interpreter of its own."""
    assert run([example]) == [example.output]


def test_every_example_is_run() -> None:
    """Each block of Python has its output below it, and none is marked."""
    assert [example.kind for example in EXAMPLES if example.output] == ["run"] * len(EXAMPLES)
    assert EXAMPLES


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_within_the_repository_lead_somewhere(document: Path) -> None:
    """Each relative link of a document names a file or directory of the repository."""
    targets = set(re.findall(r"\]\(((?!https?:)[^)#]+)\)", document.read_text(encoding="utf-8")))
    assert [target for target in sorted(targets) if not (document.parent / target).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_a_test_that_is_named_exists(document: Path) -> None:
    """Each link whose text is the name of a test leads to the module that has it."""
    links = re.findall(r"\[`(test_\w+)`\]\(([^)]+\.py)\)", document.read_text(encoding="utf-8"))
    missing = [
        name for name, file in links if f"def {name}(" not in (document.parent / file).read_text(encoding="utf-8")
    ]
    assert missing == []


PROMISES = re.findall(
    r"^\| (retries|codes|refreshes|secrets) \| (.+?) \| (.+) \|$", README.read_text(encoding="utf-8"), re.MULTILINE
)


@pytest.mark.parametrize(("promise", "links"), [row[1:] for row in PROMISES], ids=lambda text: text[:40])
def test_a_promise_is_held_by_tests(promise: str, links: str) -> None:
    """Each promise about retries, codes, refreshes and secrets names tests that exist in the modules it links to."""
    tests = re.findall(r"\[`(\w+)`\]\((tests/[\w/]+\.py)\)", links)
    assert tests, promise
    missing = [name for name, file in tests if f"def {name}(" not in (ROOT / file).read_text(encoding="utf-8")]
    assert missing == []


def test_there_are_promises_about_each() -> None:
    """Three at least about each of the four."""
    about = Counter(row[0] for row in PROMISES)
    assert min(about[topic] for topic in ("retries", "codes", "refreshes", "secrets")) >= 3


def test_the_architecture_is_linked_from_the_first_screen() -> None:
    """The map of the code is found within the README's first 40 lines, and from CONTRIBUTING."""
    first_screen = README.read_text(encoding="utf-8").splitlines()[:40]
    assert any("(docs/explanation/architecture.md)" in line for line in first_screen)
    assert "(../docs/explanation/architecture.md)" in DOCUMENTS[-1].read_text(encoding="utf-8")


def test_every_public_name_exists() -> None:
    """Each exported name can be imported, and is exported once."""
    assert len(set(vars(passwordless_async)["__all__"])) == len(vars(passwordless_async)["__all__"])
    assert all(hasattr(passwordless_async, name) for name in vars(passwordless_async)["__all__"])
