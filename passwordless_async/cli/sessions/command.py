"""``sessions``: lists and closes users' sessions in a store.

Neither identifiers of sessions nor any part of the store's URL, which may hold a password, are printed.
"""

from __future__ import annotations

import functools
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import attrs
import click

from passwordless_async._common import arguments as _check
from passwordless_async._common.secret import Secret, conceal, redacted
from passwordless_async.cli.options import application_options, with_options
from passwordless_async.cli.sessions.keys import make_keys, read
from passwordless_async.cli.terminal import interrupt, show
from passwordless_async.cli.terminal.failure import one_line, renamed
from passwordless_async.cli.terminal.questions import confirmed, require_terminal
from passwordless_async.client.client import PasswordlessClient
from passwordless_async.stores import KeyRing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from passwordless_async.client.sessions.sessions import Sessions
    from passwordless_async.client.sessions.values import SessionInfo
    from passwordless_async.stores.redis import RedisStore

T = TypeVar("T")

_EXAMPLES = """\
\b
Examples:
  passwordless-async sessions keys keys.json
  export PASSWORDLESS_ASYNC_STORE=redis://cache.internal:6379
  passwordless-async sessions list --domain acme.eu.auth0.com \\
    --client-id ID --keys keys.json "email|5f7c8ec7c33c6c004bbafe82"
"""
_LIST_EXAMPLES = """\
\b
Examples:
  passwordless-async sessions list --domain acme.eu.auth0.com \\
    --client-id ID --keys keys.json "email|5f7c8ec7c33c6c004bbafe82"
  passwordless-async sessions list --domain acme.eu.auth0.com \\
    --client-id ID --keys keys.json --store redis://cache.internal:6379 \\
    --json "email|5f7c8ec7c33c6c004bbafe82"
"""
_CLOSE_EXAMPLES = """\
\b
Examples:
  passwordless-async sessions close --domain acme.eu.auth0.com \\
    --client-id ID --keys keys.json "email|5f7c8ec7c33c6c004bbafe82"
  passwordless-async sessions close --domain acme.eu.auth0.com \\
    --client-id ID --keys keys.json --session NAME --yes \\
    "email|5f7c8ec7c33c6c004bbafe82"
"""

STORE = "PASSWORDLESS_ASYNC_STORE"  # environment variable: a URL with a password does not belong on a command line
_SCHEMES = (
    "redis://, rediss:// or unix://; redis+sentinel://HOST:PORT,HOST:PORT/NAME for the primary that sentinels know;"
    " redis+cluster://HOST:PORT,HOST:PORT for a cluster"
)
_IF_UNEXPECTED = "If that is wrong: domain, client ID, prefix and key ring must be the application's."
_MAX_TIME = 253_402_300_799  # seconds since the UNIX epoch: the end of the year 9999, the last that datetime can write


@click.group(epilog=_EXAMPLES, short_help="List and close sessions in a store; make its key ring.")
def sessions() -> None:
    """List and close users' sessions in a store, and make the key ring that seals them."""


def redis_store(url: str, *, keys: KeyRing, prefix: str) -> RedisStore:
    """Return a store, or say that the Redis client, an extra of its own, is not installed."""
    url = conceal(url)
    try:
        from passwordless_async.stores.redis import RedisStore  # noqa: PLC0415 - only this command needs the extra
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] != "redis":
            raise
    else:
        return RedisStore(url, keys=keys, prefix=prefix)
    raise click.ClickException("The store needs its library: pip install 'passwordless-async[redis]'.")


@attrs.frozen
class _UserSessions:
    """One user's sessions in a store."""

    store: Secret = attrs.field(repr=redacted)
    prefix: str
    ring: KeyRing
    domain: str
    client_id: str
    user: str

    def ask(self, question: Callable[[Sessions], Awaitable[T]]) -> T:
        """Return the answer to a question about the client's sessions."""
        with renamed(redis="--store", prefix="--prefix", user="USER"):
            return interrupt.run(self._answer(question))

    async def _answer(self, question: Callable[[Sessions], Awaitable[T]]) -> T:
        async with (
            redis_store(self.store, keys=self.ring, prefix=self.prefix) as store,
            PasswordlessClient(self.domain, self.client_id, store=store) as client,
        ):
            return await question(client.sessions)

    def all(self) -> tuple[SessionInfo, ...]:
        return self.ask(lambda sessions: sessions.list(self.user))

    def close(self, name: str | None) -> int:
        if name is None:
            return self.ask(lambda sessions: sessions.close_all(self.user))
        return int(self.ask(lambda sessions: sessions.close_named(self.user, name)))

    def print_none(self, name: str | None = None) -> None:
        click.echo(f"{show.plain(self.user)} has no {'sessions' if name is None else 'session of that name'}.")
        click.echo(_IF_UNEXPECTED, err=True)


_OPTIONS = (
    application_options,
    click.option(
        "--store",
        required=True,
        envvar=STORE,
        metavar="URL",
        help=f"The store: {_SCHEMES}. If it has a password, put it into ${STORE}.",
    ),
    click.option("--prefix", default="pa", show_default=True, help="The prefix of all keys in the store."),
    click.option(
        "--keys",
        required=True,
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        metavar="FILE",
        help="The application's key ring; see sessions keys.",
    ),
    click.argument("user"),
)


def _of_a_user(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that name a user and a store to a command, which receives them as ``of``."""

    @functools.wraps(command)
    def called(*, domain: str, client_id: str, store: str, prefix: str, keys: Path, user: str, **more: object) -> None:
        context = click.get_current_context()
        if context.args:
            raise click.UsageError("Too many arguments: give USER, and the rest as options.", context)
        if not _check.is_encodable(user):
            raise click.BadParameter("must be text", context, param_hint="USER")
        with one_line():
            file = read(keys)
            ring = KeyRing(*file.keys, users=file.users)
            command(of=_UserSessions(Secret(store), prefix, ring, domain, client_id, user), **more)

    return with_options(called, _OPTIONS)


# click would print a superfluous argument, which may be the URL with its password.
_MORE_ARGUMENTS = {"allow_extra_args": True}


@sessions.command("list", epilog=_LIST_EXAMPLES, context_settings=_MORE_ARGUMENTS)
@_of_a_user
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def list_sessions(*, of: _UserSessions, as_json: bool) -> None:
    """List a user's sessions by name. A name opens no session.

    USER is the user for whom the application opened the sessions: the "sub" of the ID token, unless it chose another
    name. Times are in UTC. If the key of a session was dropped from the ring, only its name and the end of its idle
    time are shown. With the key ring of another application no session is found: it names users differently.
    """
    known = of.all()
    if as_json:
        click.echo(json.dumps({"user": of.user, "sessions": [_as_json(info) for info in known]}))
    elif known:
        show.table("Sessions", [row for number, info in enumerate(known, start=1) for row in _rows(number, info)])
        click.echo(f"{show.plain(of.user)} has {_counted(len(known), 'session')}.")
    else:
        of.print_none()


def _rows(number: int, info: SessionInfo) -> list[tuple[str, str]]:
    times = {"opened": info.opened_at, "ends unused": info.idle_ends_at, "ends": info.ends_at}
    return [(str(number), info.name), *((f"  {name}", _shown(time)) for name, time in times.items())]


def _shown(time: float | None) -> str:
    return "unknown: these keys do not open it" if time is None else f"{_date(time):%Y-%m-%d %H:%M:%S} UTC"


def _as_json(info: SessionInfo) -> dict[str, str | None]:
    times = {name: getattr(info, name) for name in ("opened_at", "idle_ends_at", "ends_at")}
    iso = {name: None if time is None else f"{_date(time):%Y-%m-%dT%H:%M:%S}Z" for name, time in times.items()}
    return {"name": info.name, **iso}


def _date(time: float) -> datetime:
    return datetime.fromtimestamp(min(time, _MAX_TIME), UTC)


@sessions.command("close", epilog=_CLOSE_EXAMPLES, context_settings=_MORE_ARGUMENTS)
@_of_a_user
@click.option("--session", "name", metavar="NAME", help="Close this one only, by its name in the list.")
@click.option("--yes", is_flag=True, help="Close without asking.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a sentence.")
def close_sessions(*, of: _UserSessions, name: str | None, yes: bool, as_json: bool) -> None:
    """Close all sessions of a user, or one. Their tokens are not revoked at the tenant.

    USER is the user for whom the application opened the sessions: the "sub" of the ID token, unless it chose another
    name.
    """
    closed = of.close(name) if yes or _confirmed(of, name) else 0
    if as_json:
        click.echo(json.dumps({"user": of.user, "closed": closed}))
    elif closed:
        click.echo(f"Closed {_counted(closed, 'session')} of {show.plain(of.user)}.")
    else:
        of.print_none(name)


def _confirmed(of: _UserSessions, name: str | None) -> bool:
    """Return whether a person agrees; False without asking if there is no such session."""
    require_terminal("to ask on: give --yes")
    names = [info.name for info in of.all()]
    if not names or name not in {None, *names}:
        return False
    which = f"all sessions of {show.plain(of.user)}, {len(names)} at most"
    if name is not None:
        which = f"session {name} of {show.plain(of.user)}"
    if not confirmed(f"Close {which}?"):
        raise click.ClickException("Nothing was closed.")
    return True


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


sessions.add_command(make_keys)
