"""``sessions``: what operators do about sessions in a store.

Nothing that opens a session is printed, and no part of the store's URL: that may hold a password.
"""

from __future__ import annotations

import functools
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import attrs
import click

from passwordless_async._common.secret import Secret, redacted
from passwordless_async.cli.sessions.keys import make_keys, read
from passwordless_async.cli.sessions.store import STORE, redis_store
from passwordless_async.cli.terminal import interrupt, show
from passwordless_async.cli.terminal.failure import one_line, renamed
from passwordless_async.client.client import PasswordlessClient
from passwordless_async.stores import KeyRing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from passwordless_async.client.sessions import SessionInfo, Sessions

T = TypeVar("T")

_SCHEMES = (
    "redis://, rediss:// or unix://; redis+sentinel://HOST:PORT,HOST:PORT/NAME for the primary that sentinels know;"
    " redis+cluster://HOST:PORT,HOST:PORT for a cluster"
)
_OF_ANOTHER = "With another tenant, client id, prefix or key ring than the application's, nobody has any."
_LAST = 253_402_300_799  # the last second that a date is written of: in the year 9999


@click.group()
def sessions() -> None:
    """Look at users' sessions in a store, close them, and make the key ring that they are sealed with."""


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
            redis_store(self.store, keys=self.ring, prefix=self.prefix) as store,
            PasswordlessClient(self.tenant, self.client_id, store=store) as client,
        ):
            return await question(client.sessions)

    def all(self) -> tuple[SessionInfo, ...]:
        return self.ask(lambda sessions: sessions.list(self.user))

    def close(self, name: str | None) -> int:
        if name is None:
            return self.ask(lambda sessions: sessions.close_all(self.user))
        return int(self.ask(lambda sessions: sessions.close_named(self.user, name)))


_OPTIONS = (
    click.option(
        "--store",
        required=True,
        envvar=STORE,
        metavar="URL",
        help=f"The store: {_SCHEMES}. Where it holds a password, give it in ${STORE}.",
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
    def called(*, store: str, prefix: str, keys: Path, tenant: str, client_id: str, user: str, **more: object) -> None:
        context = click.get_current_context()
        if context.args:
            raise click.UsageError("There are more arguments than TENANT CLIENT_ID USER.", context)
        if any("\ud800" <= character <= "\udfff" for character in user):
            raise click.BadParameter("must be text", context, param_hint="USER")
        with one_line():
            file = read(keys)
            ring = KeyRing(*file.keys, users=file.users)
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
    for: unless it says otherwise, the "sub" of the ID token. Times are in UTC. Of a session that these keys do not open
    the name is known, and when it ends unused.
    """
    known = whose.all()
    if as_json:
        click.echo(json.dumps({"user": whose.user, "sessions": [_as_json(info) for info in known]}))
    elif known:
        show.table("Sessions", [row for number, info in enumerate(known, start=1) for row in _rows(number, info)])
        click.echo(f"{show.plain(whose.user)} has {_counted(len(known), 'session')}.")
    else:
        _say_none(whose)


def _rows(number: int, info: SessionInfo) -> list[tuple[str, str]]:
    times = {"opened": info.opened_at, "ends unused": info.idle_ends_at, "ends": info.ends_at}
    return [(str(number), info.name), *((f"  {name}", _shown(time)) for name, time in times.items())]


def _shown(time: float | None) -> str:
    return "unknown: these keys do not open it" if time is None else f"{_date(time):%Y-%m-%d %H:%M:%S} UTC"


def _as_json(info: SessionInfo) -> dict[str, str | None]:
    times = {name: value for name, value in attrs.asdict(info).items() if name != "name"}
    return {"name": info.name, **{name: None if time is None else _iso(time) for name, time in times.items()}}


def _iso(time: float) -> str:
    return f"{_date(time):%Y-%m-%dT%H:%M:%S}Z"


def _date(time: float) -> datetime:
    return datetime.fromtimestamp(min(time, _LAST), UTC)


@sessions.command("close", context_settings=_MORE_ARGUMENTS)
@_of_a_user
@click.option("--session", "name", metavar="NAME", help="Close this one alone, by its name in the list.")
@click.option("--yes", is_flag=True, help="Do not ask first.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a sentence.")
def close_sessions(*, whose: _Whose, name: str | None, yes: bool, as_json: bool) -> None:
    """Close all sessions of a user, or one. The tokens in them are not revoked at the tenant.

    TENANT is a domain such as acme.eu.auth0.com, CLIENT_ID the application, and USER whom the application opened them
    for: unless it says otherwise, the "sub" of the ID token.
    """
    closed = whose.close(name) if yes or _confirmed(whose, name) else 0
    if as_json:
        click.echo(json.dumps({"user": whose.user, "closed": closed}))
    elif closed:
        click.echo(f"Closed {_counted(closed, 'session')} of {show.plain(whose.user)}.")
    else:
        _say_none(whose, name)


def _confirmed(whose: _Whose, name: str | None) -> bool:
    if not (sys.stdin and sys.stdin.isatty()):
        raise click.UsageError("Nobody is there to be asked: give --yes.", click.get_current_context())
    names = [info.name for info in whose.all()]
    if not names or name not in {None, *names}:
        return False
    what = f"all sessions of {show.plain(whose.user)}, {len(names)} at the most"
    if name is not None:
        what = f"session {name} of {show.plain(whose.user)}"
    # Not click.confirm: it writes to standard output, which is for what was asked for.
    click.echo(f"Close {what}? [y/N]: ", nl=False, err=True)
    try:
        answer = sys.stdin.readline()
    except UnicodeDecodeError:
        answer = ""
    if not answer.endswith("\n"):
        click.echo(err=True)  # nobody pressed return
    if answer.strip().lower() not in ("y", "yes"):
        raise click.ClickException("Nothing was closed.")
    return True


def _say_none(whose: _Whose, name: str | None = None) -> None:
    click.echo(f"{show.plain(whose.user)} has no {'sessions' if name is None else 'session of that name'}.")
    click.echo(_OF_ANOTHER, err=True)


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


sessions.add_command(make_keys)
