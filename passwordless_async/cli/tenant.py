"""``tenant``: runs a tenant on this machine and prints the messages that it would send."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import attrs
import click

from passwordless_async.cli.tenant_config import ConfigError, TenantConfig, read_config
from passwordless_async.cli.terminal import interrupt, show
from passwordless_async.cli.terminal.failure import cannot_listen, one_line, renamed
from passwordless_async.testing import ApiPolicy, LocalTenant, Message, TenantSettings, ThrowAwayCa

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

_CA_FILE = "tenant-ca.pem"
_MAX_CONFIG_BYTES = 1_048_576
_EMAIL = "ada@example.com"
_GRANT = "http://auth0.com/oauth/grant-type/passwordless/otp"
_PEM = b"-----BEGIN CERTIFICATE-----"
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@attrs.frozen
class _Options:
    host: str | None
    port: int
    ca_file: Path | None  # where to write the CA; None: no TLS
    as_json: bool


_HELP = """\
Run a tenant on this machine and print each code instead of sending it.

It behaves like Auth0's passwordless API, verifies every proof, and forgets everything when you stop it with Ctrl-C.

\b
A file for --config:
  [settings]
  requests_per_second = 25
  [settings.apis]
  "https://api.example" = "required"
  [[clients]]
  client_id = "web"
  secret = "a fixed secret"
  [[users]]
  email = "ada@example.com"
  mfa = ["email"]
  [[faults]]
  fault = "slow"
  path = "/oauth/token"
  delay = 0.5
"""

_EXAMPLES = """\
\b
Examples:
  passwordless-async tenant
  passwordless-async tenant --port 9000 --config tenant.toml
  passwordless-async tenant --host 0.0.0.0 --tls ca.pem \\
    --public-url https://tenant.test:8080 --json
"""


@click.command(help=_HELP, epilog=_EXAMPLES, short_help="Run a tenant on this machine, and print its codes.")
@click.option("--host", help="The address to listen on. Default: loopback, 127.0.0.1 and ::1.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="The port; 0 chooses a free one."
)
@click.option(
    "--public-url",
    multiple=True,
    metavar="URL",
    help="Another URL of the tenant; may be given several times.",
)
@click.option(
    "--tls",
    is_flag=False,
    flag_value=_CA_FILE,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="[FILE]",
    help=f"Serve https, with a new certificate authority that is written to FILE. Default: {_CA_FILE}.",
)
@click.option("--config", type=_FILE, metavar="FILE", help="Settings, applications, users and faults, as TOML.")
@click.option("--json", "as_json", is_flag=True, help="Print each message as a line of JSON, and nothing else.")
def tenant(
    *, host: str | None, port: int, public_url: tuple[str, ...], tls: Path | None, config: Path | None, as_json: bool
) -> None:
    """Run a tenant on this machine and print each code instead of sending it."""
    options = _Options(host, port, tls, as_json)
    with one_line(), renamed(host="--host", public_url="--public-url", ssl="--tls"):
        try:
            given = TenantConfig() if config is None else read_config(_read(config))
            interrupt.run(_serve(options, attrs.evolve(given, public_url=(*public_url, *given.public_url))))
        except ConfigError as error:
            raise click.BadParameter(str(error), click.get_current_context(), param_hint="--config") from None


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_CONFIG_BYTES + 1)
    except OSError as error:
        raise click.ClickException(f"{show.plain(str(path))} cannot be read: {error.strerror}.") from None
    if len(raw) > _MAX_CONFIG_BYTES:
        raise ConfigError(f"is over {_MAX_CONFIG_BYTES:,} bytes: it is the wrong file")
    return raw


async def _serve(options: _Options, config: TenantConfig) -> None:
    sent: asyncio.Queue[Message] = asyncio.Queue()
    tenant = LocalTenant(
        config.settings,
        host=options.host,
        port=options.port,
        ssl=None if options.ca_file is None else _tls(options.ca_file, _hosts(options, config)),
        public_url=config.public_url,
    )
    config.prepare(tenant)
    # Queued, not printed by the request: a request must not fail because standard output does.
    tenant.outbox.on_send = tenant.mfa.on_send = sent.put_nowait
    await _listen(tenant, options)
    async with contextlib.aclosing(tenant):
        _introduce(tenant, config, options)
        while True:
            message = await sent.get()
            click.echo(_as_json(message) if options.as_json else as_line(message))


async def _listen(tenant: LocalTenant, options: _Options) -> None:
    try:
        await tenant.__aenter__()
    except OSError as error:
        at = f"port {options.port}" if options.host is None else f"{options.host}, port {options.port}"
        advice = " Choose another --port." if error.errno == errno.EADDRINUSE else ""
        raise click.ClickException(f"The tenant {cannot_listen(at, error)}{advice}") from None


def _hosts(options: _Options, config: TenantConfig) -> list[str]:
    """Return what a certificate is for, beside loopback."""
    named = [urlsplit(url).hostname or "" for url in config.public_url]
    return [host for host in (options.host, *named) if host]


def _tls(ca_file: Path, hosts: list[str]) -> ssl.SSLContext:
    ca = ThrowAwayCa()
    try:
        # Another run's certificate may be replaced, a file of the user's own may not.
        if ca_file.exists() and not ca_file.read_bytes().startswith(_PEM):
            raise click.BadParameter(
                "the file exists and is not a certificate", click.get_current_context(), param_hint="--tls"
            )
        ca_file.write_bytes(ca.pem)
    except OSError as error:
        raise click.ClickException(
            f"The CA cannot be written to {show.plain(str(ca_file))}: {error.strerror}."
        ) from None
    return ca.server_context(hosts=hosts)


def _introduce(tenant: LocalTenant, config: TenantConfig, options: _Options) -> None:
    confidential = tenant.confidential_client
    rows = [
        ("Tenant", tenant.url),
        *(("  also", url) for url in config.public_url),
        *([] if options.ca_file is None else [("  its CA", str(options.ca_file))]),
        ("Public client", tenant.public_client_id),
        ("Confidential client", confidential.client_id),
        ("  its secret", str(confidential.secret)),
        *(("Client", client.client_id) for client in tenant.settings.clients),
        *((f"API, DPoP {policy}", audience) for audience, policy in tenant.settings.apis.items()),
        (f"API, DPoP {tenant.settings.userinfo_policy}", "(no audience: only for /userinfo)"),
        *(("User", _user(user)) for user in config.users),
        *(("Fault", str(fault["fault"])) for fault in config.faults),
    ]
    for name, value in rows:
        click.echo(f"{name:<20} {show.plain(value)}", err=options.as_json)
    click.echo(_how_to_log_in(tenant, options), err=options.as_json)


def _user(user: Mapping[str, Any]) -> str:
    factors = ", ".join(user.get("mfa", ()))
    return f"{user.get('email') or user.get('phone')}{f'  (second factors: {factors})' if factors else ''}"


def _how_to_log_in(tenant: LocalTenant, options: _Options) -> str:
    client_id, ca = tenant.public_client_id, shlex.quote(str(options.ca_file or ""))
    trusted, curl = (f"SSL_CERT_FILE={ca} ", f"curl --cacert {ca}") if options.ca_file else ("", "curl")
    mode = " --dpop preferred" if tenant.settings.userinfo_policy is ApiPolicy.NONE else ""
    return (
        "\nStop it with Ctrl-C. Log in from another terminal, for example with:\n\n"
        f"  {trusted}passwordless-async login --domain {tenant.url} \\\n"
        f"    --client-id {shlex.quote(client_id)} --email {_EMAIL}{mode}\n"
        f"{_with_curl(tenant, curl)}"
    )


def _with_curl(tenant: LocalTenant, curl: str) -> str:
    """Return how to log in with curl, at an API that does not demand a proof; there may be none."""
    found, audience = _api_without_proof(tenant.settings)
    if not found:
        return "\nEvery API here requires a proof. Make one with passwordless-async keygen and proof.\n"
    client_id, url = tenant.public_client_id, tenant.url
    start = {"client_id": client_id, "connection": "email", "email": _EMAIL, "send": "code"}
    form = {"grant_type": _GRANT, "client_id": client_id, "realm": "email", "username": _EMAIL, "scope": "openid"}
    form |= {} if audience is None else {"audience": audience}
    fields = "".join(f" \\\n    --data-urlencode {shlex.quote(f'{name}={value}')}" for name, value in form.items())
    return (
        "\nOr use curl; its token is not bound to a key. Request a code, then exchange it:\n\n"
        f"  {curl} {url}/passwordless/start -H 'Content-Type: application/json' \\\n"
        f"    -d {shlex.quote(json.dumps(start))}\n"
        f"  {curl} {url}/oauth/token{fields} \\\n    --data-urlencode otp=THE-CODE\n"
    )


def _api_without_proof(settings: TenantSettings) -> tuple[bool, str | None]:
    """Return whether an API takes logins without a proof, and its audience; one without DPoP comes first."""
    apis: list[tuple[str | None, ApiPolicy]] = [*settings.apis.items(), (None, settings.userinfo_policy)]
    for wanted in (ApiPolicy.NONE, ApiPolicy.OPTIONAL):
        for audience, policy in apis:
            if policy is wanted:
                return True, audience
    return False, None


def as_line(message: Message) -> str:
    """Return a message as a line for people."""
    at = time.strftime("%H:%M:%S", time.localtime(message.at))
    code = _link(message) if message.code is None else message.code
    factor = "" if message.factor is None else f"  (second factor: {message.factor})"
    return f"{at}  {show.plain(message.username)}  {code}{factor}"


def _link(message: Message) -> str:
    if message.factor is None:
        return f"link: {message.link}"
    return f"approve: {message.link}  deny: {message.link}&decision=deny"


def _as_json(message: Message) -> str:
    return json.dumps(attrs.asdict(message))
