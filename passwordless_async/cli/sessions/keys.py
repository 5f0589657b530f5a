"""``sessions keys``: the file with the keys that sessions are sealed with, and their rotation. No key is printed."""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from passwordless_async.cli.terminal import show
from passwordless_async.cli.terminal.questions import secret_from
from passwordless_async.errors import UsageError
from passwordless_async.stores.key_file import KeyFile

if TYPE_CHECKING:
    from collections.abc import Iterator

_OWNER_ONLY = 0o600
_STEPS = {"add": KeyFile.add, "promote": KeyFile.promote, "drop": KeyFile.drop}
_DONE = {
    "make": "the first is new",
    "add": "the second is new; the first seals",
    "promote": "the first is the one that was added, and seals",
    "drop": "the oldest is gone",
}
_NEXT = {
    "make": "Give it to the application on all machines, which reads it by KeyRing.from_json.",
    "add": "Give it to all machines and restart the application there. When all have it: --promote.",
    "promote": "Give it to all machines and restart the application there. When all have had it for as long as a"
    " session may be idle: --drop.",
    "drop": "Give it to all machines and restart the application there.",
}


def read(path: Path) -> KeyFile:
    """Read a key ring's file; of what is wrong with it, nothing of its content is told."""
    text = secret_from("keys", f"file:{path}", kinds=("file",), what="key ring")
    try:
        return KeyFile.from_json(text)
    except UsageError as error:
        problem = _problem(error)
    raise click.ClickException(f"{show.plain(str(path))} is no key ring: {problem}.")


@click.command("keys")
@click.option("--add", is_flag=True, help="Put a new key behind the one that seals: all machines can open with it.")
@click.option("--promote", is_flag=True, help="Bring the key that was added to the front: it seals.")
@click.option("--drop", is_flag=True, help="Take the oldest key away: what it sealed opens no more.")
@click.argument("file", type=click.Path(dir_okay=False))
def make_keys(*, file: str, **flags: bool) -> None:
    """Make a key ring that its owner alone can read, or rotate its keys.

    A rotation takes three steps, each on one machine, after which the file goes to all of them: --add, --promote, and
    when what the old key sealed has been read or has ended --drop. No session is lost by that, and none is refused
    meanwhile. Owner and mode of the file stay.
    """
    steps = [step for step, given in flags.items() if given] or ["make"]
    if len(steps) > 1:
        raise click.UsageError("One step at a time: --add, --promote or --drop.", click.get_current_context())
    path, step = Path(file).resolve(), steps[0]
    try:
        ring = _make(path) if step == "make" else _rotate(path, step)
    except FileExistsError:
        raise click.ClickException(
            f"{show.plain(file)} exists and stays as it is: without its keys no session opens. To rotate them: --add."
        ) from None
    except OSError as error:
        raise click.ClickException(f"The key ring cannot be written to {show.plain(file)}: {error.strerror}.") from None
    number = len(ring.keys)
    click.echo(f"{show.plain(file)}: {number:,} key{'' if number == 1 else 's'}, {_DONE[step]}")
    click.echo(f"Next: {_NEXT[step]}")


def _make(path: Path) -> KeyFile:
    ring = KeyFile.random()
    with _made(path) as file:
        file.write(ring.to_json())
    return ring


def _rotate(path: Path, step: str) -> KeyFile:
    # Always the same name: of two rotations at once, one would undo the other.
    new = path.with_name(f"{path.name}.new")
    try:
        with _made(new, becomes=path) as file:
            ring = _step(path, step)
            _make_like(file.fileno(), path)
            file.write(ring.to_json())
    except FileExistsError:
        raise click.ClickException(
            f"{show.plain(str(new))} exists: the key ring is being rotated, or that was broken off and it can go."
        ) from None
    return ring


def _step(path: Path, step: str) -> KeyFile:
    ring = read(path)
    try:
        return _STEPS[step](ring)
    except UsageError as error:
        problem = _problem(error)
    raise click.ClickException(f"{show.plain(str(path))} stays as it is: {problem}.")


def _problem(error: UsageError) -> str:
    return str(error).removeprefix(f"{error.argument}: ")


@contextmanager
def _made(path: Path, *, becomes: Path | None = None) -> Iterator[IO[str]]:
    """Make a file that its owner alone can read, to take the place of another; of what fails nothing is left."""
    # Made with its mode: a file that is narrowed afterwards was open for a moment.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            yield file
            # On the disk before it has its name: keys that are lost take with them all that they sealed.
            file.flush()
            os.fsync(file.fileno())
        if becomes is not None:
            path.replace(becomes)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _make_like(descriptor: int, path: Path) -> None:
    """Give a file the owner and the mode of another: who reads that one has to read this one next."""
    if hasattr(os, "fchown"):
        before = path.stat()
        os.fchown(descriptor, before.st_uid, before.st_gid)
        os.fchmod(descriptor, stat.S_IMODE(before.st_mode))
