"""The file of ``tenant --config``: TOML with what a team's tenant always has.

.. code-block:: toml

    public_url = ["https://tenant.test:8443"]

    [settings]                    # any setting of TenantSettings; false where one can be off
    requests_per_second = 25

    [settings.apis]
    "https://api.example" = "required"

    [[clients]]                   # as RegisteredClient
    client_id = "web"
    secret = "a fixed secret"

    [[users]]
    email = "ada@example.com"     # or phone
    mfa = ["otp", "sms"]
    otp_secret = "JBSWY3DPEHPK3PXP"

    [[faults]]                    # as Faults.add
    fault = "slow"
    path = "/oauth/token"
    delay = 0.5

Every name and type is checked. A message names the place and the expected type, never the value: it may be a secret.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from contextlib import contextmanager
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal, get_args, get_type_hints

import attrs

from passwordless_async.auth0.identity import Email, Phone
from passwordless_async.errors import UsageError
from passwordless_async.testing import ClaimFault, Fault, FaultOptions, KeySetFault, RegisteredClient, TenantSettings
from passwordless_async.testing.setting_types import described, did_you_mean, fits
from passwordless_async.testing.state.names import public_origins

if TYPE_CHECKING:
    from collections.abc import Iterator

    from passwordless_async.testing import LocalTenant

    Table = dict[str, Any]

_TOP = {
    "public_url": str | tuple[str, ...],
    "settings": Mapping[str, Any],
    "clients": tuple[Mapping[str, Any], ...],
    "users": tuple[Mapping[str, Any], ...],
    "faults": tuple[Mapping[str, Any], ...],
}
_USER = {
    "email": str,
    "phone": str,
    "mfa": tuple[Literal["otp", "sms", "voice", "email", "push", "recovery-code"], ...],
    "otp_secret": str,
    "blocked": bool,
    "database": bool,
}
_FAULT = {"fault": Literal[(*Fault, *ClaimFault, *KeySetFault)], "path": str, "times": int, "after": int}
_WORDS: Mapping[object, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a string",
    NoneType: "false",
    tuple: "a list",
    Mapping: "a table",
}


class ConfigError(ValueError):
    """The file has a mistake; the message names the place and the expected value."""


@attrs.frozen
class TenantConfig:
    """The content of the file."""

    settings: TenantSettings = attrs.field(factory=TenantSettings)
    public_url: tuple[str, ...] = ()
    users: tuple[Table, ...] = attrs.field(default=(), repr=False)
    faults: tuple[Table, ...] = ()

    def prepare(self, tenant: LocalTenant) -> None:
        """Add the users to a tenant, and switch its faults on.

        Raises:
            ConfigError: A user or a fault is malformed.
        """
        for number, user in enumerate(self.users, 1):
            with _at(f"users, number {number}"):
                _add_user(tenant, user)
        for number, fault in enumerate(self.faults, 1):
            with _at(f"faults, number {number}"):
                tenant.faults.add(**fault)


def read_config(raw: bytes) -> TenantConfig:
    """Return what a file says.

    Raises:
        ConfigError: It is not TOML in UTF-8, has an unknown name, or a value of another type.
    """
    top = _checked(_toml(raw), "the file", _TOP)
    settings = _checked(top.get("settings", {}), "settings", _hints(TenantSettings, without={"clients"}))
    clients = []
    for number, row in enumerate(_rows(top, "clients", _hints(RegisteredClient), needs="client_id"), 1):
        with _at(f"clients, number {number}"):
            clients.append(RegisteredClient(**row))
    with _at("settings"):
        made = TenantSettings(**settings, clients=clients)
    public_url = top.get("public_url", ())
    with _at("public_url"):
        public_urls = public_origins(public_url)
    faults = {**_FAULT, **_hints(FaultOptions, without={"until"})}
    return TenantConfig(
        made,
        public_urls,
        tuple(_rows(top, "users", _USER)),
        tuple(_rows(top, "faults", faults, needs="fault")),
    )


def _toml(raw: bytes) -> Table:
    try:
        return tomllib.loads(raw.decode())
    except tomllib.TOMLDecodeError as error:
        problem = f"is not TOML: {error}"
    except UnicodeDecodeError:
        problem = "is not UTF-8"
    except RecursionError:
        problem = "is nested too deeply"
    raise ConfigError(problem)


def _add_user(tenant: LocalTenant, user: Table) -> None:
    options = dict(user)
    email, phone = options.pop("email", None), options.pop("phone", None)
    if (email is None) == (phone is None):
        raise ConfigError("must have either email or phone")
    if "otp_secret" in options and "otp" not in options.get("mfa", ()):
        raise ConfigError('otp_secret needs mfa = ["otp"]')
    tenant.users.add(Email(email) if phone is None else Phone(phone), **options)


def _hints(kind: type, *, without: frozenset[str] | set[str] = frozenset()) -> Mapping[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in attrs.fields(kind) if field.init and field.name not in without}


def _rows(top: Table, name: str, kinds: Mapping[str, Any], *, needs: str | None = None) -> list[Table]:
    rows = [_checked(row, f"{name}, number {number}", kinds) for number, row in enumerate(top.get(name, ()), 1)]
    for number, row in enumerate(rows, 1):
        if needs is not None and needs not in row:
            raise ConfigError(f"{name}, number {number}: must have {needs}")
    return rows


def _checked(given: Table, where: str, kinds: Mapping[str, Any]) -> Table:
    """Return a table with known names and values of their types; ``false`` is None where that is one."""
    for name, value in given.items():
        if name not in kinds:
            raise ConfigError(f"{where}: the name {name!r} is unknown ({did_you_mean(kinds, name)})")
        if not fits(_as_none(value, kinds[name]), kinds[name]):
            raise ConfigError(f"{where}: {name} must be {described(kinds[name], value, _WORDS)}")
    return {name: _as_none(value, kinds[name]) for name, value in given.items()}


def _as_none(value: object, kind: object) -> object:
    return None if value is False and NoneType in get_args(kind) else value


@contextmanager
def _at(where: str) -> Iterator[None]:
    """Say where a mistake is that was found by the code that takes the value."""
    try:
        yield
    except (ValueError, TypeError) as error:
        problem = f"{where}: {error}"
    except UsageError as error:
        problem = f"{where}: {str(error).removeprefix(f'{where}: ')}"
    else:
        return
    raise ConfigError(problem)
