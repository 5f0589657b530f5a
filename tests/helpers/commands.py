"""The commands that documents show: each has to be one that the program understands."""

from __future__ import annotations

import shlex
from pathlib import PurePosixPath

import click

from passwordless_async.cli.app import app

PROGRAM = "passwordless-async"
_OPERATORS = frozenset("|&;<>()")


def commands_of(console: str) -> list[str]:
    """Return the commands of a transcript: what follows each prompt, with the lines that continue it."""
    lines = console.replace("\\\n", " ").splitlines()
    return [line.lstrip().removeprefix("$ ") for line in lines if line.lstrip().startswith("$ ")]


def arguments_of(command: str) -> list[list[str]]:
    """Return the arguments of each call of the program in a command of a shell."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    calls: list[list[str]] = []
    inside = False
    for word in lexer:
        if set(word) <= _OPERATORS:
            inside = False
        elif not inside and PurePosixPath(word).name in {PROGRAM, "passwordless_async"}:
            inside = True
            calls.append([])
        elif inside:
            calls[-1].append(word)
    return calls


def problem_of(arguments: list[str], context: click.Context | None = None) -> str | None:
    """Return what is wrong with the arguments of the program: an unknown command or flag, or one that is missing."""
    context = context or click.Context(app, info_name=PROGRAM, **app.context_settings)
    command, name = context.command, context.command_path
    try:
        values, rest, _ = command.make_parser(context).parse_args(list(arguments))
    except click.UsageError as error:
        return f"{name}: {error.format_message()}"
    if any(values.get(str(p.name)) for p in command.get_params(context) if p.is_eager):  # --help and --version
        return None
    if isinstance(command, click.Group):
        child = command.get_command(context, rest[0]) if rest else None
        if child is None:
            return f"{name}: no such command: {rest[:1]}"
        return problem_of(rest[1:], click.Context(child, context, info_name=rest[0]))
    missing = [str(p.name) for p in command.params if p.required and not p.envvar and values.get(str(p.name)) is None]
    return f"{name}: missing {missing}" if missing else None
