"""The blocks of code in Markdown, and how they are run: for the README, the policies, and every page of the site.

A block is run as Python's ``-i`` would: the blocks of a page one after the other, in one process and one namespace, in
an empty folder. ``await`` outside of functions works. A comment directly above a block says what is different:

- ``<!-- not-run: REASON -->``: the block is compiled and type-checked, and not run.
- ``<!-- file: NAME -->``: the block, in whatever language, is a file of that name in the folder. It is not run by
  itself; the other blocks can import or read it.
- ``<!-- pytest: NAME -->``: a file as well; the folder's tests are run by pytest after all other blocks.

``<!-- python`` on a line of its own begins a block that readers do not see, and ``-->`` ends it. A block of ``text``
directly below one of Python is what it prints, to the letter.

``nox -s counts`` counts the blocks.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCS = ROOT / "docs"
POLICIES = [ROOT / name for name in ("AGENTS.md", "CODE_OF_CONDUCT.md", "SECURITY.md")]
PAGES = [*sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts), *POLICIES]
RUN_SECONDS = 120
COMPILER_FLAGS = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT

_BLOCK = re.compile(
    r"""
    (?: ^[ ]*<!--[ ]*(?P<kind>not-run|file|pytest):[ ]*(?P<detail>.*?)[ ]*-->\n+ )?
    (?: ^(?P<indent>[ ]*)(?P<fence>```+|~~~+|:::+)[ ]*(?P<language>[^\n`]*)\n (?P<text>.*?) ^[ ]*(?P=fence)[ ]*$
      | ^<!--[ ]python\n (?P<hidden>.*?) ^-->$
    )
    """,
    re.MULTILINE | re.DOTALL | re.VERBOSE,
)


@attrs.frozen
class Block:
    """A block of code of a page."""

    page: Path
    line: int  # of its first line of code, from 1
    language: str
    text: str
    kind: str = "run"  # or "not-run", "file", "pytest"
    detail: str = ""  # the reason, or the name of the file
    output: str | None = None  # what it prints, if the page says so

    def __str__(self) -> str:
        """Say where the block is."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def padded(self) -> str:
        """The code in the line that it has on the page, so that a traceback names it."""
        return "\n" * (self.line - 1) + self.text


def blocks_of(page: Path) -> list[Block]:
    """Return a page's blocks in order."""
    source = page.read_text(encoding="utf-8")
    blocks: list[Block] = []
    end = 0
    for match in _BLOCK.finditer(source):
        hidden = match["hidden"] is not None
        text = match["hidden"] if hidden else match["text"]
        line = source.count("\n", 0, match.start("hidden" if hidden else "text")) + 1
        language = "python" if hidden else match["language"].strip()
        follows = not source[end : match.start("indent") if not hidden else match.start()].strip() and blocks
        if language == "text" and follows and blocks[-1].language == "python" and blocks[-1].kind == "run":
            blocks[-1] = attrs.evolve(blocks[-1], output=_dedent(text, match["indent"]))
        code = text if hidden else _dedent(text, match["indent"])
        blocks.append(Block(page, line, language, code, match["kind"] or "run", match["detail"] or ""))
        end = match.end()
    return blocks


def hidden_blocks(source: str) -> list[str]:
    """Return the text of the blocks that readers of a page do not see."""
    return [match["hidden"] for match in _BLOCK.finditer(source) if match["hidden"] is not None]


def _dedent(text: str, indent: str) -> str:
    return "".join(line.removeprefix(indent) for line in text.splitlines(keepends=True))


def python_blocks(page: Path) -> list[Block]:
    """Return a page's blocks of Python in order, those that are not run too."""
    return [block for block in blocks_of(page) if block.language == "python"]


_RUNNER = """
import ast, asyncio, contextlib, inspect, io, json, sys, types

def run(blocks):
    module = sys.modules["__main__"] = types.ModuleType("__main__")
    outputs = []
    with asyncio.Runner() as runner:
        for page, code in blocks:
            compiled = compile(code, page, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
            output = io.StringIO()
            try:
                with contextlib.redirect_stdout(output):
                    result = eval(compiled, vars(module))
                    if inspect.iscoroutine(result):
                        runner.run(result)
            finally:
                outputs.append(output.getvalue())
                sys.stderr.write("" if sys.exc_info()[0] is None else "".join(outputs))
    return outputs

sys.path.insert(0, "")
outputs = run(json.load(sys.stdin))
sys.__stdout__.write(json.dumps(outputs))
"""


def run(blocks: Sequence[Block]) -> list[str]:
    """Run blocks in a process of their own, and return what each of Python printed.

    Asserts that all of it succeeds and that nothing is written to the standard error.
    """
    with tempfile.TemporaryDirectory(prefix="page") as folder:
        for block in blocks:
            if block.kind in {"file", "pytest"}:
                path = Path(folder, block.detail)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(block.text, encoding="utf-8")
        running = [(str(block.page), block.padded) for block in blocks if _runs(block)]
        done = _succeeds([sys.executable, "-W", "error", "-c", _RUNNER], folder, running)
        assert done.stderr == ""
        if any(block.kind == "pytest" for block in blocks):
            # Named, for a checkout that is not installed; an installed one has it by this name, too.
            named = ["-p", "passwordless_async.testing.plugin", "-p", "no:cacheprovider", "--no-cov"]
            _succeeds([sys.executable, "-m", "pytest", "-q", *named, folder], folder)
    outputs: list[str] = json.loads(done.stdout)
    return outputs


def _runs(block: Block) -> bool:
    return block.language == "python" and block.kind == "run"


def _succeeds(command: list[str], folder: str, given: object = None) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(  # noqa: S603 - our own pages
        command,
        input=json.dumps(given),
        cwd=folder,
        timeout=RUN_SECONDS,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done


def differences(blocks: Iterable[Block], outputs: Iterable[str]) -> list[tuple[str, str, str | None]]:
    """Return place, output and the output that the page promises, of each block that prints something else."""
    ran = [block for block in blocks if _runs(block)]
    pairs = zip(ran, outputs, strict=True)
    return [(str(block), out, block.output) for block, out in pairs if block.output not in {None, out}]
