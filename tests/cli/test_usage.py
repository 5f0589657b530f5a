"""How the program is called, and what it says when it is called wrongly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from passwordless_async.cli.app import app, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from subprocess import CompletedProcess

LOGIN = ["login", "--domain", "acme.eu.auth0.com", "--client-id", "app"]
ADA = ["--email", "ada@example.com"]

WRONG = [
    (["nothing"], "No such command 'nothing'"),
    (["demo", "--users", "0"], "'--users': 0 is not in the range"),
    (["demo", "--users", "many"], "'--users': 'many' is not a valid integer"),
    (["demo", "--concurrency", "0"], "'--concurrency': 0 is not in the range"),
    (["tenant", "--port", "65536"], "'--port': 65536 is not in the range"),
    (["login", "--client-id", "app", *ADA], "Missing option '--domain'"),
    (["login", "--domain", "acme.eu.auth0.com", *ADA], "Missing option '--client-id'"),
    (LOGIN, "--email or --phone, one of them"),
    ([*LOGIN, *ADA, "--phone", "+4930901820"], "--email or --phone, one of them"),
    ([*LOGIN, "--email", "ada"], "--email: must be of the form name@domain"),
    ([*LOGIN, "--email", ""], "--email: must not be empty"),
    ([*LOGIN, "--email", "a da@example.com"], "--email: must not contain spaces"),
    ([*LOGIN, "--phone", "030901820"], "--phone: must be E.164"),
    ([*LOGIN, *ADA, "--scope", 'a"b'], "--scope: must be visible ASCII words"),
    ([*LOGIN, *ADA, "--audience", "a\nb"], "--audience: must not contain spaces"),
    ([*LOGIN, *ADA, "--domain", "http://acme.eu.auth0.com"], "--domain: must be https"),
    ([*LOGIN, *ADA, "--domain", "acme.eu.auth0.com/path"], "--domain: must be a host name"),
    ([*LOGIN, *ADA, "--client-id", ""], "--client-id: must not be empty"),
]


@pytest.mark.parametrize(("arguments", "problem"), WRONG)
def test_wrong_usage(arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]):
    """Wrong usage is status 2 and names the option; nothing is sent."""
    assert 2 == run(arguments)
    out, err = capsys.readouterr()
    assert "" == out
    assert problem in err


@pytest.mark.parametrize("source", ["hunter2-the-secret", "env:", "file:", "hunter2:the-secret", "", "prompt:"])
def test_a_secret_is_no_argument(source: str, capsys: pytest.CaptureFixture[str]):
    """What is not a source of a secret is refused and, as it may be the secret itself, not repeated."""
    assert 2 == run([*LOGIN, *ADA, "--client-secret-from", source])
    out, err = capsys.readouterr()
    assert "must be env:NAME, file:PATH or prompt" in err
    assert "hunter2" not in out + err


@pytest.mark.parametrize("command", [[], *([name] for name in app.commands)])
def test_help(command: list[str]):
    """Every command explains itself."""
    result = CliRunner().invoke(app, [*command, "--help"])
    assert 0 == result.exit_code
    assert result.output.startswith("Usage: ")


def test_version(program: Callable[..., CompletedProcess[str]]):
    """``--version`` names the program."""
    ended = program("--version")
    assert (0, "") == (ended.returncode, ended.stderr)
    assert ended.stdout.startswith("passwordless-async ")


def test_without_a_command(program: Callable[..., CompletedProcess[str]]):
    """Called without a command it shows its help."""
    ended = program()
    assert "Traceback" not in ended.stderr
    assert "Commands:" in ended.stderr + ended.stdout


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_a_missing_extra(missing: str, program: Callable[..., CompletedProcess[str]]):
    """Without its libraries it says in one line what to install."""
    script = f"import sys; sys.modules['{missing}'] = None; from passwordless_async.cli import main; sys.exit(main())"
    ended = program("demo", script=script)
    assert (1, "") == (ended.returncode, ended.stdout)
    assert (
        "passwordless-async: the command line needs its libraries: pip install 'passwordless-async[cli]'\n"
        == ended.stderr
    )


def test_another_missing_module(program: Callable[..., CompletedProcess[str]]):
    """A module of our own that is missing is a defect, and no hint hides it."""
    script = (
        "import sys; sys.modules['passwordless_async.cli.demo.command'] = None;"
        "from passwordless_async.cli import main; sys.exit(main())"
    )
    ended = program("demo", script=script)
    assert 1 == ended.returncode
    assert "pip install" not in ended.stderr
    assert "ModuleNotFoundError" in ended.stderr
