"""Makes a plan from settings: the store, the client and the gateway. Opens nothing."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import attrs
import click

from passwordless_async import gateway as _gateway
from passwordless_async._common.secret import Secret, redacted
from passwordless_async.cli.gateway import telemetry
from passwordless_async.cli.gateway.health import PATHS
from passwordless_async.cli.gateway.reading import Values, WrongSettings
from passwordless_async.cli.gateway.settings import MEMORY, SETTINGS
from passwordless_async.cli.options import ClientAuthOptions
from passwordless_async.cli.sessions.command import redis_store
from passwordless_async.cli.sessions.keys import read as read_key_file
from passwordless_async.cli.terminal.failure import problem_of
from passwordless_async.cli.terminal.questions import secret_from
from passwordless_async.cli.terminal.show import plain
from passwordless_async.client.client import PasswordlessClient
from passwordless_async.client.sessions.values import Lifetimes
from passwordless_async.errors import UsageError
from passwordless_async.gateway.captcha import Captcha
from passwordless_async.stores import KeyRing, MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from passwordless_async.auth0.client_auth import ClientAuth
    from passwordless_async.client.events import Event
    from passwordless_async.gateway import AuditEvent, Gateway
    from passwordless_async.stores.redis import RedisStore

_AUTH = [field.name for field in attrs.fields(ClientAuthOptions)]
_HEALTH = frozenset(path.removeprefix("/") for path in PATHS)
# The library's arguments with a setting of another name.
_SETTINGS = {"redis": "store"}


@attrs.frozen(kw_only=True)
class Plan:
    """The objects to run, with their secrets; opens nothing.

    Attributes:
        values: The settings.
        client_auth: How the application authenticates itself.
        store: The URL of the store; None: memory.
        keys: The key ring of the store; None: a new one.
        telemetry: The hooks that get the client's events.
    """

    values: Values
    client_auth: ClientAuth = attrs.field(repr=redacted)
    store: Secret | None = attrs.field(repr=redacted)
    keys: KeyRing | None = attrs.field(repr=redacted)
    telemetry: tuple[Callable[[Event], None], ...] = ()

    def make_store(self) -> MemoryStore | RedisStore:
        """Make the store."""
        with name_source(self.values):
            if self.store is None:
                return MemoryStore(keys=self.keys)
            if self.keys is None:
                raise WrongSettings(
                    "keys is missing: a store in Redis needs the key ring that seals what it keeps; "
                    "give --keys FILE, which `passwordless-async sessions keys FILE` makes."
                )
            return redis_store(self.store, keys=self.keys, prefix=self.values.of["prefix"])

    def make_client(
        self, store: MemoryStore | RedisStore, on_event: Sequence[Callable[[Event], None]]
    ) -> PasswordlessClient:
        """Make the client, which is to be opened."""
        of = self.values.of
        with name_source(self.values):
            return PasswordlessClient(
                of["domain"],
                of["client_id"],
                client_auth=self.client_auth,
                dpop=of["dpop"],
                store=store,
                lifetimes=self._lifetimes(),
                on_event=on_event,
            )

    def _lifetimes(self) -> Lifetimes:
        """Return lifetimes with which a store forgets a session soon after its end, and not a week later.

        A store keeps a session for ``idle`` after its last use, whenever it ends.
        """
        stock, of = Lifetimes(), self.values.of
        longest = max(of["session_for"] or stock.absolute, of["remember_for"] or 0.0)
        return attrs.evolve(stock, idle=min(stock.idle, longest))

    def make_gateway(self, client: PasswordlessClient, on_audit: Sequence[Callable[[AuditEvent], None]]) -> Gateway:
        """Make the gateway of an open client."""
        of = self.values.of
        same = ("base_url", "scope", "audience", "identifiers", "magic_link", "return_to", "home", "trusted_proxies")
        lasting = ("session_for", "remember_for", "max_sessions")
        options: dict[str, Any] = {name: of[name] for name in (*same, *lasting)}
        with name_source(self.values):
            return _gateway_class()(
                client,
                **options,
                brand=of["brand"] or "",
                templates=None if of["templates"] is None else str(of["templates"]),
                css=_css(self.values),
                captcha=_captcha(self.values),
                upstreams=_upstreams(self.values),
                budgets=_gateway.Budgets(**(of["budgets"] or {})),
                sms=_gateway.Sms(calling_codes=of["calling_codes"], **(of["sms"] or {})),
                on_audit=on_audit,
            )


def plan(values: Values) -> Plan:
    """Read the files and variables that settings name, such as secrets and keys, and return the plan.

    Raises:
        WrongSettings: Something is wrong, or a file cannot be read.
    """
    url = _store(values)
    file = values.of["keys"]
    keys = None
    if file is not None:
        with _name_setting(values, "keys"):
            ring = read_key_file(file)
        keys = KeyRing(*ring.keys, users=ring.users)
    return Plan(
        values=values, client_auth=_client_auth(values), store=url, keys=keys, telemetry=telemetry.hooks(values)
    )


def _gateway_class() -> type[Gateway]:
    """Return the class, or say which command installs what its pages need."""
    try:
        return _gateway.Gateway
    except ModuleNotFoundError as missing:
        problem = f"{missing}."
    raise click.ClickException(problem)


def _client_auth(values: Values) -> ClientAuth:
    given = {name: values.of[name] for name in _AUTH}
    try:
        with name_source(values), _name_setting(values, _file_setting(given)):
            return ClientAuthOptions(**given).read()
    except click.BadParameter as error:
        name = str(error.param_hint or "").removeprefix("--").replace("-", "_")
        problem = f"{values.sources.get(name, name)}: {error.message}."
    raise WrongSettings(problem)


def _file_setting(given: dict[str, Any]) -> str:
    """Return the setting that names what has to be read."""
    names = ("client_secret_from", "client_key_from", "client_certificate")
    return next((name for name in names if given[name] is not None), "client_auth")


def _store(values: Values) -> Secret | None:
    place, url = values.of["store_from"], values.of["store"]
    if place is None:
        return None if url == MEMORY else Secret(url)
    if "store" in values.given:
        raise WrongSettings(
            f"{values.sources['store_from']}: cannot be combined with {values.sources['store']}: give one of them."
        )
    with _name_setting(values, "store_from"):
        return secret_from("store_from", place, kinds=("env", "file"), what="store's URL")


def _css(values: Values) -> str | None:
    file = values.of["css"]
    if file is None:
        return None
    try:
        return str(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
    raise WrongSettings(f"{values.sources['css']}: {plain(str(file))} cannot be read: {reason}.")


def _captcha(values: Values) -> Captcha | None:
    given = values.of["captcha"]
    if given is None:
        return None
    try:
        return Captcha(**given)
    except UsageError as error:
        problem = f"{values.sources['captcha']}: {error}."
    raise WrongSettings(problem)


def _upstreams(values: Values) -> list[_gateway.Upstream]:
    made = []
    for number, given in enumerate(values.of["upstreams"], 1):
        try:
            made.append(_upstream(given))
        except UsageError as error:
            problem = f"{values.sources['upstreams']}: number {number}: {error}."
        else:
            continue
        raise WrongSettings(problem)
    return made


def _upstream(given: dict[str, Any]) -> _gateway.Upstream:
    upstream = _gateway.Upstream(**given)
    if upstream.prefix.split("/")[1] in _HEALTH:
        raise UsageError("prefix", f"must not be {upstream.prefix}: the gateway answers there itself")
    return upstream


@contextmanager
def _name_setting(values: Values, name: str) -> Iterator[None]:
    """Say of a file or a variable that cannot be read which setting names it."""
    try:
        yield
    except click.UsageError:
        raise
    except click.ClickException as error:
        problem = f"{values.sources[name]}: {error.message}"
    else:
        return
    raise WrongSettings(problem)


@contextmanager
def name_source(values: Values) -> Iterator[None]:
    """Add the source of a setting to an error of the library about it."""
    try:
        yield
    except UsageError as error:
        name = _SETTINGS.get(error.argument, error.argument)
        where = values.sources.get(name, name if name in SETTINGS else error.argument)
        problem = f"{where}: {problem_of(error)}."
    else:
        return
    raise WrongSettings(problem)
