"""Prompts: for a secret, for the code that was sent, and for a yes.

Questions go to standard error; standard output is for results. That is why ``click.prompt`` and ``click.confirm`` are
not used for visible answers.
"""

from __future__ import annotations

import os
import re
import select
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from passwordless_async._common.secret import Secret
from passwordless_async.cli.terminal import show

if TYPE_CHECKING:
    from collections.abc import Sequence

_MAX_SECRET_FILE_BYTES = 8192  # a larger file is the wrong one
_FORMS = {"env": "env:NAME", "file": "file:PATH", "prompt": "prompt"}
_SOURCE = re.compile(r"(?:(?P<kind>env|file):(?P<place>.+))|(?P<prompt>prompt)", re.DOTALL)


def secret_from(name: str, source: str, *, kinds: Sequence[str], what: str) -> Secret:
    """Return a secret from where it is kept, such as ``env:NAME``; it never stands on the command line.

    Messages call the secret ``what``, and the option that names its source ``name``; other sources than ``kinds`` are
    refused.
    """
    match = _SOURCE.fullmatch(source)
    kind = match and (match["kind"] or match["prompt"])
    if match is None or kind not in kinds:
        *others, last = (_FORMS[kind] for kind in kinds)
        problem = f"must be {', '.join(others)} or {last}; the {what} itself does not belong on a command line"
        raise click.BadParameter(
            problem, click.get_current_context(silent=True), param_hint=f"--{name.replace('_', '-')}"
        )
    if kind == "prompt":
        return hidden(what.capitalize())
    return _from_environment(match["place"]) if kind == "env" else file_secret(match["place"], what)


def hidden(question: str) -> Secret:
    """Ask for a secret without showing what is typed."""
    return Secret(click.prompt(question, hide_input=True, err=True))


def file_secret(path: str, what: str) -> Secret:
    """Return a secret from a text file, without the line break that editors put at the end."""
    try:
        with Path(path).open("rb") as file:
            content = file.read(_MAX_SECRET_FILE_BYTES + 1)
        return Secret(content.decode().rstrip("\r\n"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
    # Outside the handler: its context would keep the content.
    raise click.ClickException(f"The {what} cannot be read from {show.plain(path)}: {reason}.")


def _from_environment(name: str) -> Secret:
    secret = os.environ.get(name)
    if secret is None:
        raise click.ClickException(f"The environment variable {show.plain(name)} is not set.")
    return Secret(secret)


def require_terminal(why: str) -> None:
    """Refuse to go on if standard input is no terminal to ask on."""
    if not has_terminal():
        raise click.UsageError(f"There is no terminal {why}.", click.get_current_context(silent=True))


def has_terminal() -> bool:
    """Return whether standard input is a terminal."""
    return bool(sys.stdin and sys.stdin.isatty())


def require_input(why: str) -> None:
    """Refuse to go on if standard input is no terminal and has nothing to read: what comes later may be piped."""
    if not (has_terminal() or _may_be_read()):
        raise click.UsageError(
            f"There is no terminal {why}, and standard input is empty.", click.get_current_context(silent=True)
        )


def _may_be_read() -> bool:
    """Return whether standard input can still bring something, without waiting for it."""
    if not sys.stdin:
        return False
    try:
        ends_or_has_more = bool(select.select([sys.stdin], [], [], 0)[0])
        return not ends_or_has_more or bool(sys.stdin.buffer.peek(1))  # type: ignore[union-attr] # mostly it has one
    except (OSError, ValueError, AttributeError):  # it has no descriptor, or is none that can be polled
        return True


def ask(question: str, *, what: str = "code") -> Secret:
    """Ask for the code that was sent, or another answer; refuse an empty one, and what is not text."""
    answer = _answer(question)
    if answer is None:
        raise click.ClickException("What was typed is not text.")
    if not answer.strip():
        raise click.ClickException(f"No {what} was given.")
    return Secret(answer.strip())


def choose(question: str, choices: Sequence[str]) -> int:
    """Return the index of a choice; one that stands alone is not asked for."""
    click.echo(f"{question}:", err=True)
    for number, choice in enumerate(choices, start=1):
        click.echo(f"  {number}  {show.plain(choice)}", err=True)
    if len(choices) == 1:
        return 0
    while True:
        answer = ask(f"Number, 1 to {len(choices)}: ", what="number")
        if answer.isascii() and answer.isdecimal() and 1 <= int(answer) <= len(choices):
            return int(answer) - 1


def confirmed(question: str) -> bool:
    """Return whether the answer to a question is yes."""
    answer = _answer(f"{question} [y/N]: ")
    return answer is not None and answer.strip().lower() in ("y", "yes")


def _answer(question: str) -> Secret | None:
    """Return the line that was typed; None if it is not text."""
    click.echo(question, nl=False, err=True)
    try:
        answer = Secret(sys.stdin.readline() if sys.stdin else "")
    except UnicodeDecodeError:
        answer = None
    if not (answer and answer.endswith("\n") and has_terminal()):
        click.echo(err=True)  # no return was echoed
    return answer
