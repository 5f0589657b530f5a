"""``sessions``: what operators do about sessions in a store, and the file with the keys that these are sealed with.

Nothing that opens a session is printed, no key, and no part of the store's URL: that may hold a password.
"""

from __future__ import annotations

import functools
import json
import os
import secrets
import stat
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

import attrs
import click

from passwordless_async import _base64url
from passwordless_async._secret import Secret, SecretBytes, SecretDict, redacted
from passwordless_async.cli import interrupt, show
from passwordless_async.cli.failure import one_line, renamed
from passwordless_async.cli.questions import secret_from
from passwordless_async.client import PasswordlessClient
from passwordless_async.stores import KeyRing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from typing import IO

    from passwordless_async.sessions import Sessions
    from passwordless_async.stores.redis import RedisStore

T = TypeVar("T")

_STORE = "PASSWORDLESS_ASYNC_STORE"
_OWNER_ONLY = 0o600
_KEY = 32  # bytes
_KEY_FORM = f"must be {_KEY} bytes in base64url without padding: 43 characters"
_RING_FORM = 'must be one JSON object: {"keys": [the newest, ...], "users": ...}'
_OF_ANOTHER = "With another tenant, client id, prefix or key ring than the application's, nobody has any."


@click.group()
def sessions() -> None:
    """Look at users' sessions in a store, close them, and make the key ring that they are sealed with."""


@attrs.frozen
class _Ring:
    """The keys in a file: those of a :class:`KeyRing`, the newest first."""

    keys: tuple[SecretBytes, ...] = attrs.field(repr=redacted)
    users: SecretBytes = attrs.field(repr=redacted)

    @classmethod
    def random(cls) -> Self:
        return cls((_random(),), _random())

    @classmethod
    def read(cls, path: Path) -> Self:
        text = secret_from("keys", f"file:{path}", kinds=("file",), what="key ring")
        try:
            return cls._of(_members(text))
        except ValueError as error:
            problem = str(error)
        raise click.ClickException(f"{show.plain(str(path))} is no key ring: {problem}.")

    @classmethod
    def _of(cls, members: SecretDict) -> Self:
        for name in ("keys", "users"):
            if name not in members:
                raise ValueError(f"{name} is missing; it {_RING_FORM}")
        keys = members["keys"]
        if len(members) > len(("keys", "users")):
            raise ValueError(f"there is more in it than keys and users; it {_RING_FORM}")
        if not isinstance(keys, list) or not keys:
            raise ValueError("keys must be a list of at least one key, the newest first")
        each = tuple(_key(f"number {number} of keys", key) for number, key in enumerate(keys, start=1))
        return cls(each, _key("users", members["users"]))

    def rotated(self) -> Self:
        return attrs.evolve(self, keys=(_random(), *self.keys))

    def to_key_ring(self) -> KeyRing:
        return KeyRing(*self.keys, users=self.users)

    def to_json(self) -> Secret:
        keys = [_base64url.encode_text(key) for key in self.keys]
        return Secret(json.dumps({"keys": keys, "users": _base64url.encode_text(self.users)}, indent=2) + "\n")


def _random() -> SecretBytes:
    return SecretBytes(secrets.token_bytes(_KEY))


def _members(text: Secret) -> SecretDict:
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        read = None
    if not isinstance(read, dict):
        raise ValueError(f"it {_RING_FORM}")  # noqa: TRY004 - the file is wrong, not our code
    return SecretDict(read)


def _key(name: str, given: object) -> SecretBytes:
    key = SecretBytes(_base64url.decode(given) if isinstance(given, str) else b"")
    if len(key) != _KEY:
        raise ValueError(f"{name} {_KEY_FORM}")
    return key


@attrs.frozen
class _Whose:
    """Whose sessions, and where they are."""

    store: Secret = attrs.field(repr=redacted)
    prefix: str
    ring: KeyRing
    tenant: str
    client_id: str
    user: str

    def ask(self, question: Callable[[Sessions], Awaitable[T]]) -> T:
        """Return what the store says to a question about sessions."""
        with renamed(redis="--store", prefix="--prefix", domain="TENANT", client_id="CLIENT_ID", user="USER"):
            return interrupt.run(self._answer(question))

    async def _answer(self, question: Callable[[Sessions], Awaitable[T]]) -> T:
        async with (
            _redis_store()(self.store, keys=self.ring, prefix=self.prefix) as store,
            PasswordlessClient(self.tenant, self.client_id, store=store) as client,
        ):
            return await question(client.sessions)

    def names(self) -> tuple[str, ...]:
        return tuple(info.name for info in self.ask(lambda sessions: sessions.list(self.user)))

    def close(self) -> int:
        return self.ask(lambda sessions: sessions.close_all(self.user))


def _redis_store() -> type[RedisStore]:
    try:
        # Here and not at the top: its library is an extra of its own.
        from passwordless_async.stores.redis import RedisStore  # noqa: PLC0415
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] != "redis":
            raise
    else:
        return RedisStore
    raise click.ClickException("The store needs its library: pip install 'passwordless-async[redis]'.")


_OPTIONS = (
    click.option(
        "--store",
        required=True,
        envvar=_STORE,
        metavar="URL",
        help=f"The store: redis://, rediss:// or unix://. Where it holds a password, give it in ${_STORE}.",
    ),
    click.option("--prefix", default="pa", show_default=True, help="What all names in the store begin with."),
    click.option(
        "--keys",
        required=True,
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        metavar="FILE",
        help="The application's key ring; see sessions keys.",
    ),
    click.argument("tenant"),
    click.argument("client_id"),
    click.argument("user"),
)


def _of_a_user(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say whose sessions; it is called with ``whose`` in their place."""

    @functools.wraps(command)
    def called(*, store: str, prefix: str, keys: Path, tenant: str, client_id: str, user: str, **more: bool) -> None:
        context = click.get_current_context()
        if context.args:
            raise click.UsageError("There are more arguments than TENANT CLIENT_ID USER.", context)
        if any("\ud800" <= character <= "\udfff" for character in user):
            raise click.BadParameter("must be text", context, param_hint="USER")
        with one_line():
            ring = _Ring.read(keys).to_key_ring()
            command(whose=_Whose(Secret(store), prefix, ring, tenant, client_id, user), **more)

    decorated: Callable[..., None] = called
    for option in reversed(_OPTIONS):  # the last to be put on is the first in the help
        decorated = option(decorated)
    return decorated


# click would repeat an argument that is too many, and that may be the URL with its password.
_MORE_ARGUMENTS = {"allow_extra_args": True}


@sessions.command("list", context_settings=_MORE_ARGUMENTS)
@_of_a_user
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def list_sessions(*, whose: _Whose, as_json: bool) -> None:
    """List a user's sessions, by names that open none.

    TENANT is a domain such as acme.eu.auth0.com, CLIENT_ID the application, and USER whom the application opened them
    for: unless it says otherwise, the "sub" of the ID token. Listed are also sessions that ended unused.
    """
    names = whose.names()
    if as_json:
        click.echo(json.dumps({"user": whose.user, "sessions": names}))
    elif names:
        show.table("Sessions", [(str(number), name) for number, name in enumerate(names, start=1)])
        click.echo(f"{show.plain(whose.user)} has {_counted(len(names), 'session')}; some may have ended unused.")
    else:
        _say_none(whose)


@sessions.command("close", context_settings=_MORE_ARGUMENTS)
@_of_a_user
@click.option("--yes", is_flag=True, help="Do not ask first.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a sentence.")
def close_sessions(*, whose: _Whose, yes: bool, as_json: bool) -> None:
    """Close all sessions of a user. The tokens in them are not revoked at the tenant.

    TENANT is a domain such as acme.eu.auth0.com, CLIENT_ID the application, and USER whom the application opened them
    for: unless it says otherwise, the "sub" of the ID token.
    """
    closed = whose.close() if yes or _confirmed(whose) else 0
    if as_json:
        click.echo(json.dumps({"user": whose.user, "closed": closed}))
    elif closed:
        click.echo(f"Closed {_counted(closed, 'session')} of {show.plain(whose.user)}.")
    else:
        _say_none(whose)


def _confirmed(whose: _Whose) -> bool:
    if not (sys.stdin and sys.stdin.isatty()):
        raise click.UsageError("Nobody is there to be asked: give --yes.", click.get_current_context())
    names = whose.names()
    if not names:
        return False
    asked = f"Close all sessions of {show.plain(whose.user)}, {len(names)} at the most?"
    # Not click.confirm: it writes to standard output, which is for what was asked for.
    click.echo(f"{asked} [y/N]: ", nl=False, err=True)
    try:
        answer = sys.stdin.readline()
    except UnicodeDecodeError:
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        raise click.ClickException("Nothing was closed.")
    return True


def _say_none(whose: _Whose) -> None:
    click.echo(f"{show.plain(whose.user)} has no sessions.")
    click.echo(_OF_ANOTHER, err=True)


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


@sessions.command("keys")
@click.option("--rotate", is_flag=True, help="Put a new key in front of those in the file.")
@click.argument("file", type=click.Path(dir_okay=False))
def make_keys(*, file: str, rotate: bool) -> None:
    """Make a key ring that its owner alone can read, or rotate one.

    With --rotate, owner and mode stay, and the old keys, which what they sealed is opened with. A process that still
    has the old file cannot open what one with the new file seals.
    """
    path = Path(file).resolve()
    try:
        ring = _rotate(path) if rotate else _make(path)
    except OSError as error:
        raise click.ClickException(f"The key ring cannot be written to {show.plain(file)}: {error.strerror}.") from None
    click.echo(f"{show.plain(file)}: {_counted(len(ring.keys), 'key')}, the first is new")


def _make(path: Path) -> _Ring:
    ring = _Ring.random()
    with _made(path) as file:
        file.write(ring.to_json())
    return ring


def _rotate(path: Path) -> _Ring:
    # Always the same name: of two rotations at once, one would undo the other.
    new = path.with_name(f"{path.name}.new")
    try:
        with _made(new, becomes=path) as file:
            ring = _Ring.read(path).rotated()
            _make_like(file.fileno(), path)
            file.write(ring.to_json())
    except FileExistsError:
        raise click.ClickException(
            f"{show.plain(str(new))} exists: the key ring is being rotated, or that was broken off and it can go."
        ) from None
    return ring


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
