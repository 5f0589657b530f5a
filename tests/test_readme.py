"""What the README shows is what happens."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import passwordless_async

README = Path(__file__).parents[1] / "README.md"
EXAMPLES = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize(("code", "output"), EXAMPLES, ids=range(len(EXAMPLES)))
def test_an_example_prints_what_stands_below_it(code: str, output: str) -> None:
    """Each example runs as it is, in an interpreter of its own."""
    done = subprocess.run(  # noqa: S603 - our own README
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (output, "", 0) == (done.stdout, done.stderr, done.returncode)


def test_no_example_is_left_out() -> None:
    """Every block of Python has its output below it, and so is run."""
    assert README.read_text(encoding="utf-8").count("```python\n") == len(EXAMPLES) >= 3


@pytest.mark.parametrize(
    "target", sorted(set(re.findall(r"\]\(((?!https?:)[^)#]+)\)", README.read_text(encoding="utf-8"))))
)
def test_a_link_leads_somewhere(target: str) -> None:
    """What the README links to in the repository is there."""
    assert (README.parent / target).exists()


def test_every_public_name_exists() -> None:
    """What the package exports can be imported."""
    assert len(set(passwordless_async.__all__)) == len(passwordless_async.__all__)
    assert all(hasattr(passwordless_async, name) for name in passwordless_async.__all__)
