"""The group of commands. Each ends with an exit status and, if it fails, one line."""

from __future__ import annotations

import os
import sys

import click

from passwordless_async import __version__
from passwordless_async.cli.demo.command import demo
from passwordless_async.cli.doctor.command import doctor
from passwordless_async.cli.gateway.command import gateway
from passwordless_async.cli.login.command import login
from passwordless_async.cli.proof import keygen, proof
from passwordless_async.cli.sessions.command import sessions
from passwordless_async.cli.tenant import tenant
from passwordless_async.cli.terminal import interrupt

_EXAMPLES = """\
\b
Examples:
  passwordless-async demo
  passwordless-async gateway --demo
  passwordless-async tenant
  passwordless-async doctor --domain acme.eu.auth0.com --client-id ID

Each command has examples: passwordless-async COMMAND --help
"""


@click.group(epilog=_EXAMPLES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(prog)s %(version)s")
def app() -> None:
    """Log users in with one-time codes, and bind their tokens to keys (DPoP, RFC 9449)."""


for _command in (demo, gateway, tenant, login, doctor, keygen, proof, sessions):
    app.add_command(_command)


def run(arguments: list[str] | None = None) -> int:
    """Run a command with the arguments after the program's name; those of this process unless given.

    Returns 0, 1 for a failure, 2 for wrong usage, 130 for Ctrl-C.
    """
    try:
        status = app.main(arguments, prog_name="passwordless-async", standalone_mode=False)
    except click.Abort:
        return interrupt.EXIT_STATUS
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except OSError as error:
        _discard_output()
        click.echo(f"Error: {error.strerror or type(error).__name__}.", err=True)
        return 1
    return status if isinstance(status, int) else 0


def _discard_output() -> None:
    """Discard buffered output that cannot be written: Python would try again at exit and print a traceback."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.__stdout__.fileno() if sys.__stdout__ else 1)
    os.close(null)
