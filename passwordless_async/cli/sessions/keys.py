"""``sessions keys``: makes and rotates the file with the keys that seal sessions. No key is printed."""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from passwordless_async.cli.terminal import show
from passwordless_async.cli.terminal.failure import problem_of
from passwordless_async.cli.terminal.questions import file_secret
from passwordless_async.errors import UsageError
from passwordless_async.stores.key_file import KeyFile

if TYPE_CHECKING:
    from collections.abc import Iterator

_OWNER_ONLY = 0o600
_STEPS = {"add": KeyFile.add, "promote": KeyFile.promote, "drop": KeyFile.drop}
_DONE = {
    "make": "the first is new",
    "add": "the second is new; the first seals",
    "promote": "the added key is now the first, and seals",
    "drop": "the oldest was removed",
}
_COPY = "Copy the file to all machines and restart the application there."
_NEXT = {
    "make": "Copy it to all machines; the application reads it with KeyRing.from_json.",
    "add": f"{_COPY} When all have it: --promote.",
    "promote": f"{_COPY} When all have had it for as long as a session may be idle: --drop.",
    "drop": _COPY,
}


def read(path: Path) -> KeyFile:
    """Read a key ring's file; no error quotes its content."""
    text = file_secret(str(path), "key ring")
    try:
        return KeyFile.from_json(text)
    except UsageError as error:
        problem = problem_of(error)
    raise click.ClickException(f"{show.plain(str(path))} is not a key ring: {problem}.")


_EXAMPLES = """\
\b
Examples:
  passwordless-async sessions keys keys.json
  passwordless-async sessions keys --add keys.json
  passwordless-async sessions keys --promote keys.json
  passwordless-async sessions keys --drop keys.json
"""


@click.command("keys", epilog=_EXAMPLES)
@click.option(
    "--add", is_flag=True, help="Add a new key that does not seal yet, so that all machines can open what it will seal."
)
@click.option("--promote", is_flag=True, help="Make the added key the one that seals.")
@click.option("--drop", is_flag=True, help="Remove the oldest key; nothing can open what it sealed any more.")
@click.argument("file", type=click.Path(dir_okay=False))
def make_keys(*, file: str, **flags: bool) -> None:
    """Make a key ring that only its owner can read, or rotate its keys.

    A rotation takes three steps: --add, --promote and, once all sessions that the old key sealed have been read or
    have ended, --drop. Run each step on one machine, then copy the file to all of them. No session is lost or refused
    meanwhile. The file keeps its owner and mode.
    """
    steps = [step for step, given in flags.items() if given] or ["make"]
    if len(steps) > 1:
        raise click.UsageError("One step at a time: --add, --promote or --drop.", click.get_current_context())
    path, step = Path(file).resolve(), steps[0]
    try:
        ring = _make(path) if step == "make" else _rotate(path, step)
    except FileExistsError:
        raise click.ClickException(
            f"{show.plain(file)} exists and is unchanged: without its keys no session opens. To rotate them: --add."
        ) from None
    except OSError as error:
        raise click.ClickException(f"The key ring cannot be written to {show.plain(file)}: {error.strerror}.") from None
    number = len(ring.keys)
    click.echo(f"{show.plain(file)}: {number:,} key{'' if number == 1 else 's'}, {_DONE[step]}")
    click.echo(f"Next: {_NEXT[step]}")


def _make(path: Path) -> KeyFile:
    ring = KeyFile.random()
    with _new_file(path) as file:
        file.write(ring.to_json())
    return ring


def _rotate(path: Path, step: str) -> KeyFile:
    # The fixed name is a lock: of two rotations at once, one would undo the other.
    new = path.with_name(f"{path.name}.new")
    try:
        with _new_file(new, becomes=path) as file:
            ring = _step(path, step)
            _make_like(file.fileno(), path)
            file.write(ring.to_json())
    except FileExistsError:
        raise click.ClickException(
            f"{show.plain(str(new))} exists: a rotation is running. If one was interrupted, delete the file."
        ) from None
    return ring


def _step(path: Path, step: str) -> KeyFile:
    ring = read(path)
    try:
        return _STEPS[step](ring)
    except UsageError as error:
        problem = problem_of(error)
    raise click.ClickException(f"{show.plain(str(path))} is unchanged: {problem}.")


@contextmanager
def _new_file(path: Path, *, becomes: Path | None = None) -> Iterator[IO[str]]:
    """Make a file that only its owner can read, to replace another; after a failure nothing is left of it."""
    # Created with its mode: between a later chmod and the creation others could open the file.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            yield file
            # Flushed to the disk before it gets its name: without the keys, all sealed values are lost.
            file.flush()
            os.fsync(file.fileno())
        if becomes is not None:
            path.replace(becomes)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _make_like(descriptor: int, path: Path) -> None:
    """Give a file the owner and mode of the one that it replaces, so that the same users can read it."""
    if hasattr(os, "fchown"):
        before = path.stat()
        os.fchown(descriptor, before.st_uid, before.st_gid)
        os.fchmod(descriptor, stat.S_IMODE(before.st_mode))
