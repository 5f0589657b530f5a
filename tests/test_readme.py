"""What the README and the other documents show is what happens."""

from __future__ import annotations

import itertools
import re
import tomllib
from collections import Counter
from typing import TYPE_CHECKING

import pytest

import passwordless_async
from helpers.pages import PAGES, README, ROOT, Block, python_blocks, run

if TYPE_CHECKING:
    from pathlib import Path

REPOSITORY = "https://github.com/passwordless-async/passwordless-async"
PROMISED = ROOT / "docs" / "explanation" / "promises.md"
MEASURED = ROOT / "docs" / "explanation" / "measured.md"
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


def test_links_of_the_readme_work_on_the_package_page() -> None:
    """Each is absolute; one into the repository names a file or directory of it, and each label has its link."""
    text = README.read_text(encoding="utf-8")
    targets = [*re.findall(r"\]\(([^)]+)\)", text), *re.findall(r"^\[[\w-]+\]: (\S+)$", text, re.MULTILINE)]
    assert [target for target in targets if not target.startswith("https://")] == []
    ours = [re.fullmatch(rf"{REPOSITORY}(?:/(blob|tree)/main/([^#]+)(?:#.+)?)?", url) for url in targets]
    paths = [(match[1], ROOT / match[2]) for match in ours if match and match[2]]
    assert [path for kind, path in paths if not (path.is_dir() if kind == "tree" else path.is_file())] == []
    assert len(paths) > 20
    labels = set(re.findall(r"\]\[([\w-]+)\]", text))
    assert labels == set(re.findall(r"^\[([\w-]+)\]: ", text, re.MULTILINE))


def test_the_readme_is_short() -> None:
    """At most 200 lines and three tables: the rest is in the documentation."""
    text = README.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 200
    assert len(re.findall(r"^\|[-:|]+\|$", text, re.MULTILINE)) <= 3


def test_the_readme_claims_the_figures_that_were_measured() -> None:
    """Each figure of a row about speed stands in the section of its command."""
    rows = re.findall(r"^\|(.+)\| `(python -m benchmarks .+)` \|$", README.read_text(encoding="utf-8"), re.MULTILINE)
    sections = MEASURED.read_text(encoding="utf-8").replace("**", "").split("\n## ")
    lacking = [
        (command, figure)
        for claim, command in rows
        for figure in re.findall(r"[\d,.]*\d(?= )", claim)
        if not any(f"`{command}`" in text and f" {figure} " in text for text in sections)
    ]
    assert lacking == []
    assert len(rows) == 5


def test_the_readme_names_the_lowest_versions() -> None:
    """As the package demands them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    required = [*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values())]
    table = README.read_text(encoding="utf-8").partition("## Compatibility")[2].partition("\n\n`pip")[0]
    named = re.findall(r"(aiohttp|httpx2|FastAPI|Starlette|OpenTelemetry) (\d+\.\d+)", table)
    names = {"opentelemetry": "opentelemetry-api"}
    lowest = [f"{names.get(name.lower(), name.lower())}>={version}" for name, version in named]
    assert set(lowest) - set(required) == set()
    assert len(named) == 5


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_a_test_that_is_named_exists(document: Path) -> None:
    """Each link whose text is the name of a test leads to the module that has it."""
    links = re.findall(r"\[`(test_\w+)`\]\(([^)]+\.py)\)", document.read_text(encoding="utf-8"))
    missing = [
        name for name, file in links if f"def {name}(" not in (document.parent / file).read_text(encoding="utf-8")
    ]
    assert missing == []


PROMISES = re.findall(
    r"^\| (retries|codes|refreshes|secrets) \| (.+?) \| (.+) \|$", PROMISED.read_text(encoding="utf-8"), re.MULTILINE
)


@pytest.mark.parametrize(("promise", "links"), [row[1:] for row in PROMISES], ids=lambda text: text[:40])
def test_a_promise_is_held_by_tests(promise: str, links: str) -> None:
    """Each promise about retries, codes, refreshes and secrets names tests that exist in the modules it links to."""
    tests = re.findall(r"\[`(\w+)`\]\(\.\./\.\./(tests/[\w/]+\.py)\)", links)
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
    assert any(f"({REPOSITORY}/blob/main/docs/explanation/architecture.md)" in line for line in first_screen)
    assert "(../docs/explanation/architecture.md)" in DOCUMENTS[-1].read_text(encoding="utf-8")


def test_every_public_name_exists() -> None:
    """Each exported name can be imported, and is exported once."""
    assert len(set(vars(passwordless_async)["__all__"])) == len(vars(passwordless_async)["__all__"])
    assert all(hasattr(passwordless_async, name) for name in vars(passwordless_async)["__all__"])
