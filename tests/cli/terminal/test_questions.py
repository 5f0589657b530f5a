"""Prompts, and secrets from where they are kept."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING

import click
import pytest

from passwordless_async.cli.terminal.questions import (
    ask,
    choose,
    confirmed,
    file_secret,
    require_input,
    require_terminal,
    secret_from,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KINDS = ("env", "file", "prompt")


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    """Return a function that sets what standard input holds."""

    def give(content: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"))

    return give


def test_each_source_of_a_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret comes from a variable or a file; its repr does not show it."""
    file = tmp_path / "se:cret"
    file.write_text("hunter2\n")
    monkeypatch.setenv("THE_SECRET", "hunter2")
    for source in ("env:THE_SECRET", f"file:{file}"):
        secret = secret_from("client_secret_from", source, kinds=KINDS, what="client secret")
        assert secret == "hunter2"
        assert "hunter2" not in repr(secret)


@pytest.mark.parametrize("source", ["", "env", "env:", "file:", "prompt:", "hunter2", "other:hunter2"])
def test_another_form_is_refused(source: str) -> None:
    """A value of another form may be the secret itself: it is refused and not repeated."""
    with click.Context(click.Command("any")), pytest.raises(click.BadParameter) as refused:
        secret_from("client_secret_from", source, kinds=KINDS, what="client secret")
    assert refused.value.message.startswith("must be env:NAME, file:PATH or prompt; the client secret itself")
    assert refused.value.param_hint == "--client-secret-from"


def test_a_source_must_be_allowed() -> None:
    """A key is not typed at a prompt."""
    with click.Context(click.Command("any")), pytest.raises(click.BadParameter, match="must be env:NAME or file:PATH;"):
        secret_from("client_key_from", "prompt", kinds=("env", "file"), what="client key")


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """The error names the file and the reason, and has no context that would hold the content."""
    (tmp_path / "binary").write_bytes(b"\xffhunter2")
    for name, reason in (("binary", "it is not text"), ("missing", "No such file")):
        with pytest.raises(click.ClickException) as failed:
            file_secret(str(tmp_path / name), "key ring")
        assert reason in failed.value.message
        assert failed.value.__context__ is None


@pytest.mark.parametrize(("content", "expected"), [(b" 123456 \n", "123456"), (b"123456", "123456")])
def test_a_code_is_stripped(content: bytes, expected: str, typed: Callable[[bytes], None]) -> None:
    """Spaces around a code are not part of it."""
    typed(content)
    assert ask("Code: ") == expected


@pytest.mark.parametrize(
    ("content", "problem"), [(b"", "No code was given."), (b" \n", "No code was given."), (b"\xff\n", "is not text")]
)
def test_no_code_is_an_error(content: bytes, problem: str, typed: Callable[[bytes], None]) -> None:
    """An empty line, the end of the input and bytes that are not text are no code."""
    typed(content)
    with pytest.raises(click.ClickException, match=problem):
        ask("Code: ")


@pytest.mark.parametrize(
    ("content", "expected"),
    [(b"y\n", True), (b" YES \n", True), (b"\n", False), (b"", False), (b"no\n", False), (b"\xff\n", False)],
)
def test_only_yes_confirms(
    *, content: bytes, expected: bool, typed: Callable[[bytes], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """The question goes to standard error, and everything but a yes is a no."""
    typed(content)
    assert confirmed("Close it?") is expected
    out, err = capsys.readouterr()
    assert (out, err) == ("", "Close it? [y/N]: \n")


@pytest.mark.parametrize(("content", "index"), [(b"2\n", 1), (b"0\n3\nx\n\xc2\xb2\n 1 \n", 0)])
def test_a_choice_is_asked_for_until_it_is_one(
    content: bytes, index: int, typed: Callable[[bytes], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """By its number; what a server names is shown without control characters."""
    typed(content)
    assert choose("Which", ["one", "t\x1bwo"]) == index
    out, err = capsys.readouterr()
    assert (out, err.startswith("Which:\n  1  one\n  2  t\N{REPLACEMENT CHARACTER}wo\nNumber, 1 to 2: ")) == ("", True)


def test_the_only_choice_is_not_asked_for(typed: Callable[[bytes], None]) -> None:
    """It is shown; where there are several, an empty line is none."""
    typed(b"\n")
    assert choose("Which", ["one"]) == 0
    with pytest.raises(click.ClickException, match="No number was given"):
        choose("Which", ["one", "two"])


def test_a_pipe_that_is_empty_is_found_without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is still open may bring something; what is in it stays."""
    reading, writing = os.pipe()
    with os.fdopen(reading) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        require_input("to type the code on")
        os.write(writing, b"123456\n")
        require_input("to type the code on")
        os.close(writing)
        require_input("to type the code on")
        assert stdin.read() == "123456\n"
        with pytest.raises(click.UsageError, match="no terminal to type the code on, and standard input is empty"):
            require_input("to type the code on")


def test_a_closed_standard_input_brings_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a daemon has it."""
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(click.UsageError):
        require_input("to type the code on")


def test_no_terminal_is_wrong_usage(typed: Callable[[bytes], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe is no terminal, nor is a closed standard input."""
    typed(b"123456\n")
    with pytest.raises(click.UsageError, match=r"^There is no terminal to ask on\.$"):
        require_terminal("to ask on")
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(click.UsageError):
        require_terminal("to ask on")
