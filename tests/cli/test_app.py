"""The program: its commands, wrong usage, its exit status, and output that cannot be written."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest
from click.testing import CliRunner

from helpers.commands import PROGRAM, arguments_of, problem_of
from helpers.pipes import piped
from passwordless_async import __version__
from passwordless_async.cli.app import app, run
from passwordless_async.cli.terminal import interrupt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from subprocess import CompletedProcess, Popen

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
    (LOGIN, "Give either --email or --phone"),
    ([*LOGIN, *ADA, "--phone", "+4930901820"], "Give either --email or --phone"),
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
def test_wrong_usage_names_the_option(arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong usage is status 2 and names the option; nothing is sent."""
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert problem in err


@pytest.mark.parametrize("source", ["hunter2-the-secret", "env:", "file:", "hunter2:the-secret", "", "prompt:"])
def test_a_secret_on_the_command_line_is_refused(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A value that is no source is refused and, as it may be the secret itself, not repeated."""
    assert run([*LOGIN, *ADA, "--client-secret-from", source]) == 2
    out, err = capsys.readouterr()
    assert "must be env:NAME, file:PATH or prompt" in err
    assert "hunter2" not in out + err


def _paths(group: click.Group = app, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the words of each command and group of commands."""
    yield above
    for name, command in group.commands.items():
        below = (*above, name)
        yield from _paths(command, below) if isinstance(command, click.Group) else [below]


@pytest.mark.parametrize("path", list(_paths()), ids=" ".join)
def test_each_command_has_help(path: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """It fits 80 columns, and has an example of the command that the program understands."""
    monkeypatch.setenv("COLUMNS", "80")
    result = CliRunner().invoke(app, [*path, "--help"], prog_name=PROGRAM)
    assert (result.exit_code, result.output.startswith("Usage: ")) == (0, True)
    usage, *lines = result.output.splitlines()
    assert len(usage) <= 80
    assert [line for line in lines if len(line) > 80 or line.endswith("...")] == []
    joined = result.output.replace("\\\n", " ")
    examples = [line.strip() for line in joined.splitlines() if line.strip().startswith(f"{PROGRAM} ")]
    calls = [call for example in examples for call in arguments_of(example)]
    assert [call for call in calls if tuple(call[: len(path)]) == path]
    assert [problem for call in calls if (problem := problem_of(call))] == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes(shell: str, program: Callable[..., CompletedProcess[str]]) -> None:
    """As the reference says: the variable asks for the script, and the script for what completes a word."""
    script = program(_PASSWORDLESS_ASYNC_COMPLETE=f"{shell}_source")
    assert script.returncode == 0
    assert "_PASSWORDLESS_ASYNC_COMPLETE" in script.stdout


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("doc", ["doctor"]),
        ("sessions ", ["close", "keys", "list"]),
        ("login --sh", ["--show-tokens"]),
        ("login --dpop ", ["required", "preferred", "off"]),
    ],
)
def test_words_are_completed(words: str, completed: list[str], program: Callable[..., CompletedProcess[str]]) -> None:
    """Commands, options, and the values of those that have a choice."""
    typed = f"{PROGRAM} {words}"
    index = str(len(typed.split(" ")) - 1)
    found = program(_PASSWORDLESS_ASYNC_COMPLETE="bash_complete", COMP_WORDS=typed, COMP_CWORD=index)
    assert [line.partition(",")[2] for line in found.stdout.splitlines()] == completed


def test_version_names_the_program(program: Callable[..., CompletedProcess[str]]) -> None:
    """``--version`` names the program."""
    ended = program("--version")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == f"passwordless-async {__version__}\n"


def test_the_version_is_stated_once() -> None:
    """What is installed has the version of the package; ``python -m passwordless_async`` is the program."""
    assert metadata.version("passwordless-async") == __version__
    done = subprocess.run(
        [sys.executable, "-m", "passwordless_async", "--version"], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.returncode) == (f"passwordless-async {__version__}\n", 0)


def test_without_a_command_help_is_shown(program: Callable[..., CompletedProcess[str]]) -> None:
    """Without a command the program shows its help."""
    ended = program()
    assert "Traceback" not in ended.stderr
    assert "Commands:" in ended.stderr + ended.stdout


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_a_missing_extra_is_a_hint(missing: str, program: Callable[..., CompletedProcess[str]]) -> None:
    """Without its libraries the program says in one line what to install."""
    script = f"import sys; sys.modules['{missing}'] = None; from passwordless_async.cli import main; sys.exit(main())"
    ended = program("demo", script=script)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert (
        ended.stderr
        == "passwordless-async: the command line needs its libraries: pip install 'passwordless-async[cli]'\n"
    )


def test_another_missing_module_is_an_error(program: Callable[..., CompletedProcess[str]]) -> None:
    """A missing module of our own is a defect: no hint hides it."""
    script = (
        "import sys; sys.modules['passwordless_async.cli.demo.command'] = None;"
        "from passwordless_async.cli import main; sys.exit(main())"
    )
    ended = program("demo", script=script)
    assert ended.returncode == 1
    assert "pip install" not in ended.stderr
    assert "ModuleNotFoundError" in ended.stderr


ARGUMENTS = [["demo", "--users", "2", "--json"], ["demo", "--users", "2"]]


COMMAND = [sys.executable, "-m", "passwordless_async.cli"]


@pytest.mark.slow
@pytest.mark.parametrize("arguments", ARGUMENTS)
def test_a_full_disk_is_one_line(arguments: list[str]) -> None:
    """A full disk is one line and status 1."""
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no device that is always full")
    with full.open("w") as out:
        ended = subprocess.run(  # noqa: S603 - our own program
            [*COMMAND, *arguments], stdout=out, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (ended.returncode, ended.stderr) == (1, "Error: No space left on device.\n")


@pytest.mark.parametrize("arguments", [*ARGUMENTS, ["--help"]])
def test_a_closed_pipe_is_silent(arguments: list[str], started: Callable[..., Popen[str]]) -> None:
    """A closed pipe ends the program without a message."""
    process = started(*arguments)
    piped(process.stdout).close()
    assert piped(process.stderr).read() == ""
    assert process.wait() == 1


@pytest.mark.parametrize("library", ["asyncio", "click", "attrs", "aiohttp", "cryptography", "joserfc"])
def test_ctrl_c_while_loading_is_silent(library: str) -> None:
    """Ctrl-C while the program is imported shows no traceback."""
    code = f"""
import signal, sys
class Press:
    def find_spec(self, name, path=None, target=None):
        if name == {library!r}:
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Press())
sys.argv = ["passwordless-async", "--help"]
from passwordless_async.cli import main
sys.exit(main())
"""
    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr, done.returncode) == ("", "", interrupt.EXIT_STATUS)
