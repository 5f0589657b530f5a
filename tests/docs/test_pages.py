"""Each page of the site shows what happens: its Python runs, its files parse, and its commands exist."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest
import yaml

from helpers import pages
from helpers.commands import arguments_of, commands_of, problem_of
from helpers.pages import DOCS, PAGES, README, ROOT, Block, blocks_of, python_blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

BLOCKS = [block for page in PAGES for block in blocks_of(page)]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
WITH_PYTHON = [page for page in PAGES if python_blocks(page)]
PARSERS: dict[str, Callable[[str], object]] = {
    "json": json.loads,
    "toml": tomllib.loads,
    "yaml": lambda text: list(yaml.safe_load_all(text)),
}
# Of applications, and known to no extra of the package.
LIBRARIES = ("django", "prometheus_client", "quart", "structlog")
# Names of languages whose blocks would not be found; shells are shown as consoles, with a prompt.
OTHER_NAMES = {"", "py", "python3", "pycon", "sh", "bash", "shell", "yml"}

SERVERS = ("passwordless-async gateway", "passwordless-async tenant", "uvicorn ")


def _place(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_PYTHON, ids=_place)
def test_the_python_of_a_page_runs(page: Path) -> None:
    """In order and in one process; where the page shows an output, that is what is printed."""
    blocks = blocks_of(page)
    missing = [name for name in LIBRARIES if _imports(blocks, name) and find_spec(name) is None]
    if missing and "PASSWORDLESS_ASYNC_REQUIRE_SERVERS" not in os.environ:
        pytest.skip(f"needs {' '.join(missing)}: pip install {' '.join(missing)}")
    assert pages.differences(blocks, pages.run(blocks)) == []


def _imports(blocks: Iterable[Block], name: str) -> bool:
    return any(re.search(rf"^(from|import) {name}\b", block.text, re.MULTILINE) for block in blocks)


@pytest.mark.parametrize("page", WITH_PYTHON, ids=_place)
def test_the_python_of_a_page_compiles(page: Path) -> None:
    """Those blocks that are not run, too; each has a reason."""
    for block in python_blocks(page):
        compile(block.padded, str(page), "exec", pages.COMPILER_FLAGS, dont_inherit=True)
        assert block.kind == "run" or block.detail, str(block)


@pytest.mark.slow
def test_the_python_of_the_pages_has_no_type_errors(tmp_path: Path) -> None:
    """As mypy sees it, in its default mode; names that a fragment takes from its reader's program are unknown."""
    for example in python_blocks(pages.README):
        (tmp_path / f"README_{example.line}.py").write_text(example.padded, encoding="utf-8")
    for page in WITH_PYTHON:
        _write_modules(page, tmp_path / "_".join(page.relative_to(ROOT).with_suffix("").parts).replace("-", "_"))
    command = [sys.executable, "-m", "mypy", "--config-file=", "--check-untyped-defs", "--no-error-summary"]
    command += ["--disable-error-code=top-level-await", "--disable-error-code=no-redef", "--ignore-missing-imports"]
    command += ["--explicit-package-bases", "--cache-dir", str(ROOT / ".mypy_cache" / "pages"), "."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)  # noqa: S603 - ours
    assert (done.stdout, done.returncode) == ("", 0), done.stderr


def _write_modules(page: Path, folder: Path) -> None:
    """Write what runs in one process as one module, each file as one, and each fragment as one."""
    folder.mkdir()
    blocks = python_blocks(page)
    lines = [""] * page.read_text(encoding="utf-8").count("\n")
    for block in blocks:
        if block.kind == "run":
            code = block.text.splitlines()
            lines[block.line - 1 : block.line - 1 + len(code)] = code
        elif block.kind == "not-run":
            header = '# mypy: disable-error-code="name-defined"'
            (folder / f"line_{block.line}.py").write_text(f"{header}\n{block.text}", encoding="utf-8")
        else:
            path = folder / block.detail
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
    if any(lines):
        (folder / "page.py").write_text("\n".join(_future_first(lines)) + "\n", encoding="utf-8")


def _future_first(lines: list[str]) -> list[str]:
    """Keep the statement that must be a module's first, and where each line is."""
    future = "from __future__ import annotations"
    found = future in lines
    kept = ["" if line == future else line for line in lines]
    return [future, *kept[1:]] if found else kept


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language in PARSERS], ids=str)
def test_a_file_parses(block: Block) -> None:
    """JSON, TOML and YAML are what they say they are."""
    assert PARSERS[block.language](block.text) is not None


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "console"], ids=str)
def test_a_command_exists(block: Block) -> None:
    """Commands of the program have names and flags that it knows, and what they need."""
    commands = commands_of(block.text)
    assert commands, "no line begins with a prompt"
    calls = [arguments for command in commands for arguments in arguments_of(command)]
    assert [problem for arguments in calls if (problem := problem_of(arguments))] == []


def test_a_command_that_keeps_the_terminal_ends_its_block() -> None:
    """A reader who pastes the block would wait for ever at it; what follows is for another terminal."""
    followed = [command for block in BLOCKS if block.language == "console" for command in commands_of(block.text)[:-1]]
    servers = [command for command in followed if command.startswith(SERVERS)]
    assert [command for command in servers if " --check" not in command and not command.endswith("&")] == []


def test_a_file_of_a_guide_is_named_above_it() -> None:
    """Commands below name it: a reader has to save it by this name."""
    mark = re.compile(r"(.*)\n\n<!-- (?:file|pytest): (\w+\.py) -->")
    named = [
        (_place(page), name, name in above)
        for page in PAGES
        if page.parent.name == "how-to"
        for above, name in mark.findall(page.read_text(encoding="utf-8"))
    ]
    assert [(place, name) for place, name, is_named in named if not is_named] == []
    assert named


@pytest.mark.parametrize("page", PAGES, ids=_place)
def test_the_extras_of_a_page_exist(page: Path) -> None:
    """What is to be installed can be installed."""
    named = re.findall(r"passwordless-async\[([\w,-]+)\]", page.read_text(encoding="utf-8"))
    assert {extra for names in named for extra in names.split(",")} <= EXTRAS.keys()


def test_every_block_names_its_language() -> None:
    """By the one name that finds it; a block without a language would not be tested."""
    assert [str(block) for block in BLOCKS if block.language in OTHER_NAMES] == []


def test_the_marks_of_a_page_stand_above_blocks() -> None:
    """A mark that is above no block, or is misspelt, would be silent."""
    mark = re.compile(r"<!--\s*(not-run|file|pytest|python|run|test|skip)\b")
    written = sum(len(mark.findall(page.read_text(encoding="utf-8"))) for page in PAGES)
    hidden = sum(len(re.findall(r"^<!-- python\n", page.read_text(encoding="utf-8"), re.MULTILINE)) for page in PAGES)
    assert written == hidden + sum(block.kind != "run" for block in BLOCKS)


EXAMPLE = """\
# A page

<!-- file: values.py -->
```python
VALUE = 1
```

<!-- python
import asyncio
-->

```python
from values import VALUE
await asyncio.sleep(0)
print(VALUE)
```

```text
2
```

1. In a list:

   ```python
   print(VALUE + 1)
   ```

<!-- not-run: needs a tenant of yours -->
```python
await client.start(ada)
```

<!-- pytest: test_values.py -->
```python
from values import VALUE
def test_value() -> None:
    assert VALUE == 1
```
"""


def test_how_blocks_are_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files first, then what is run, in order; an output that differs is found; tests last."""
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text(EXAMPLE, encoding="utf-8")
    blocks = blocks_of(page)
    assert [(block.line, block.kind) for block in blocks if block.language == "python"] == [
        *((5, "file"), (9, "run"), (13, "run"), (25, "run"), (30, "not-run"), (35, "pytest"))
    ]
    outputs = pages.run(blocks)
    assert outputs == ["", "1\n", "2\n"]
    assert pages.differences(blocks, outputs) == [("page.md:13", "1\n", "2\n")]
    with pytest.raises(AssertionError, match=r"page.md\", line 25"):
        pages.run([block for block in blocks if block.line >= 25])


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("passwordless-async demo --users 10", None),
        ("X=1 .venv/bin/passwordless-async gateway --demo  # shows it", None),
        ("python -m passwordless_async --version", None),
        ("passwordless-async sessions --help | less", None),
        ("passwordless-async nothing", "passwordless-async: no such command: ['nothing']"),
        ("passwordless-async", "passwordless-async: no such command: []"),
        ("echo; passwordless-async demo --nothing", "passwordless-async demo: No such option '--nothing'."),
        ("passwordless-async proof", "passwordless-async proof: missing"),
    ],
)
def test_how_commands_are_read(command: str, problem: str | None) -> None:
    """Shell around a call is not part of it; what the program would refuse is found."""
    (arguments,) = arguments_of(command)
    found = problem_of(arguments)
    assert found is None if problem is None else str(found).startswith(problem), found


def test_the_site_begins_as_the_readme_does() -> None:
    """With one example, so that a reader of both learns it once."""
    assert python_blocks(DOCS / "index.md")[0].text == python_blocks(README)[0].text
