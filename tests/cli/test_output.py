"""Output that cannot be written, and text that a terminal would obey."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from passwordless_async.cli.terminal import show

if TYPE_CHECKING:
    from collections.abc import Callable
    from subprocess import Popen

ARGUMENTS = [["demo", "--users", "2", "--json"], ["demo", "--users", "2"]]
COMMAND = [sys.executable, "-m", "passwordless_async.cli"]


@pytest.mark.parametrize("arguments", ARGUMENTS)
def test_a_full_disk(arguments: list[str]):
    """A full disk is one line and status 1."""
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no device that is always full")
    with full.open("w") as out:
        ended = subprocess.run(  # noqa: S603 - our own program
            [*COMMAND, *arguments], stdout=out, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (1, "Error: No space left on device.\n") == (ended.returncode, ended.stderr)


@pytest.mark.parametrize("arguments", [*ARGUMENTS, ["--help"]])
def test_nobody_reads(arguments: list[str], started: Callable[..., Popen[str]]):
    """A pipe that nobody reads ends it without a word."""
    process = started(*arguments)
    process.stdout.close()
    assert "" == process.stderr.read()
    assert 1 == process.wait()


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain", "plain"),
        ("ünï €", "ünï €"),
        ("\x1b]0;title\x07", "\N{REPLACEMENT CHARACTER}]0;title\N{REPLACEMENT CHARACTER}"),
        ("\x9b31m\r\n\u202e", "\N{REPLACEMENT CHARACTER}31m" + "\N{REPLACEMENT CHARACTER}" * 3),
        (True, "true"),
        (1.5, "1.5"),
        (["a", {"b": None}], '["a", {"b": null}]'),
    ],
)
def test_plain(value: object, shown: str):
    """What a server says is text, never a command to the terminal."""
    assert shown == show.plain(value)


def test_a_table_is_no_markup(capsys: pytest.CaptureFixture[str]):
    """Square brackets are shown as they are, and nothing is cut off."""
    show.table("Claims", [("[red]name[/red]", "[link=x]" + "long" * 60)])
    out = "".join(capsys.readouterr().out.split())
    assert "[red]name[/red]" in out
    assert "[link=x]" + "long" * 60 in out
