"""What commands ask for: a client secret from where it is kept, and the code that was sent."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from passwordless_async._secret import Secret
from passwordless_async.auth0 import ClientAuth, ClientSecretPost, NoClientAuth
from passwordless_async.cli import show

_MAX_SECRET_FILE = 8192  # bytes; what is larger is another file than the one that was meant
_SOURCES = "must be env:NAME, file:PATH or prompt; the secret itself does not belong on a command line"


def client_auth_from(source: str | None) -> ClientAuth:
    """Return how the application authenticates itself; the secret never stands on the command line."""
    if source is None:
        return NoClientAuth()
    kind, colon, name = source.partition(":")
    read = {"env": _from_environment, "file": _from_file}.get(kind)
    if source == "prompt":
        return ClientSecretPost(click.prompt("Client secret", hide_input=True, err=True))
    if read is None or not colon or not name:
        raise click.BadParameter(_SOURCES, click.get_current_context(), param_hint="--client-secret-from")
    return ClientSecretPost(read(name))


def _from_environment(name: str) -> Secret:
    secret = os.environ.get(name)
    if secret is None:
        raise click.ClickException(f"The environment variable {show.plain(name)} is not set.")
    return Secret(secret)


def _from_file(path: str) -> Secret:
    try:
        with Path(path).open("rb") as file:
            content = file.read(_MAX_SECRET_FILE + 1)
        # A file that was written by hand ends with a line break.
        return Secret(content.decode().rstrip("\r\n"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
    raise click.ClickException(f"The client secret cannot be read from {show.plain(path)}: {reason}.")


def ask(question: str) -> Secret:
    """Ask for the code that was sent."""
    # Not click.prompt: it writes to standard output, which is for what was asked for.
    click.echo(question, nl=False, err=True)
    answer = Secret(sys.stdin.readline() if sys.stdin else "")
    if not (answer.endswith("\n") and sys.stdin.isatty()):
        click.echo(err=True)  # nobody pressed return
    if not answer.strip():
        raise click.ClickException("No code was given.")
    return Secret(answer.strip())
