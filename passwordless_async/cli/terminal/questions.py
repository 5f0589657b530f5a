"""What commands ask for: a secret from where it is kept, and the code that was sent."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from passwordless_async._common.secret import Secret
from passwordless_async.cli.terminal import show

if TYPE_CHECKING:
    from collections.abc import Sequence

_MAX_SECRET_FILE = 8192  # bytes; what is larger is another file than the one that was meant
_FORMS = {"env": "env:NAME", "file": "file:PATH", "prompt": "prompt"}


def secret_from(name: str, source: str, *, kinds: Sequence[str], what: str) -> Secret:
    """Return a secret from where it is kept; it never stands on the command line.

    Args:
        name: The name of the option that says where.
        source: What it says.
        kinds: Which of ``env``, ``file`` and ``prompt`` it may say.
        what: What the secret is.
    """
    kind, colon, place = source.partition(":")
    if kind in kinds and source == "prompt":
        return hidden(what.capitalize())
    if kind in kinds and kind != "prompt" and colon and place:
        return _from_environment(place) if kind == "env" else _from_file(place, what)
    ways = [_FORMS[kind] for kind in kinds]
    problem = f"must be {', '.join(ways[:-1])} or {ways[-1]}; the {what} itself does not belong on a command line"
    raise click.BadParameter(problem, click.get_current_context(), param_hint=f"--{name.replace('_', '-')}")


def hidden(question: str) -> Secret:
    """Ask for a secret, which is typed unseen."""
    return Secret(click.prompt(question, hide_input=True, err=True))


def _from_environment(name: str) -> Secret:
    secret = os.environ.get(name)
    if secret is None:
        raise click.ClickException(f"The environment variable {show.plain(name)} is not set.")
    return Secret(secret)


def _from_file(path: str, what: str) -> Secret:
    try:
        with Path(path).open("rb") as file:
            content = file.read(_MAX_SECRET_FILE + 1)
        # A file that was written by hand ends with a line break.
        return Secret(content.decode().rstrip("\r\n"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
    raise click.ClickException(f"The {what} cannot be read from {show.plain(path)}: {reason}.")


def ask(question: str) -> Secret:
    """Ask for the code that was sent."""
    # Not click.prompt: it writes to standard output, which is for what was asked for.
    click.echo(question, nl=False, err=True)
    try:
        answer = Secret(sys.stdin.readline() if sys.stdin else "")
    except UnicodeDecodeError:
        answer = None
    if not (answer and answer.endswith("\n") and sys.stdin.isatty()):
        click.echo(err=True)  # nobody pressed return
    if answer is None:
        raise click.ClickException("What was typed is not text.")
    if not answer.strip():
        raise click.ClickException("No code was given.")
    return Secret(answer.strip())
