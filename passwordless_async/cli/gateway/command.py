"""``gateway``: runs login pages, sessions and a proxy by settings; ``--demo`` shows them without any."""

from __future__ import annotations

import asyncio
import os
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from passwordless_async.cli.gateway.demo import demonstrate
from passwordless_async.cli.gateway.listening import listening
from passwordless_async.cli.gateway.log_files import LOGS, log_file
from passwordless_async.cli.gateway.metrics import metrics_socket
from passwordless_async.cli.gateway.plan import Plan, plan
from passwordless_async.cli.gateway.reading import WrongSettings, read
from passwordless_async.cli.gateway.running import check_workers, run
from passwordless_async.cli.gateway.settings import SECRETS, SETTINGS, Setting
from passwordless_async.cli.gateway.showing import lines
from passwordless_async.cli.options import with_options
from passwordless_async.cli.terminal.failure import one_line
from passwordless_async.stores import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable

_FILE = click.Path(dir_okay=False, path_type=Path)


def _option(setting: Setting) -> Callable[..., Any]:
    default = "" if setting.default in {None, (), False} else f" Default: {_default_text(setting.default)}."
    if setting.is_switch:
        flags = f"{setting.option}/--no-{setting.option.removeprefix('--')}"
        return click.option(flags, setting.name, default=None, help=setting.help)
    return click.option(
        setting.option,
        setting.name,
        metavar=setting.metavar,
        multiple=setting.is_multiple,
        help=f"{setting.help}{default}",
    )


def _default_text(default: object) -> str:
    return ", ".join(default) if isinstance(default, tuple) else str(default)


_OPTIONS = (
    click.option("--demo", is_flag=True, help="Run a demonstration: a tenant, a service and users on this machine."),
    click.option("--config", type=_FILE, metavar="FILE", help="Settings, as TOML; flags and the environment win."),
    click.option("--check", is_flag=True, help="Check the settings, print them without secrets, and exit."),
    *map(_option, SETTINGS.values()),
    # Known, to be refused with the reason.
    *(click.option(f"--{name.replace('_', '-')}", name, hidden=True) for name in SECRETS),
)


_HELP = """\
Run login pages, sessions and a proxy in front of services.

Tokens never reach the browser: it holds a session cookie, and the gateway adds a token and a proof to each forwarded
call. You can set every flag also as an environment variable, PASSWORDLESS_ASYNC_BASE_URL for --base-url, or in the file
of --config: base_url. Flags override variables, and variables override the file. Secrets are read only from variables
and files.

\b
Try it, without any settings:
  passwordless-async gateway --demo

\b
Run it:
  passwordless-async gateway --domain acme.eu.auth0.com --client-id ID \\
    --client-secret-from file:/run/secrets/client \\
    --base-url https://app.example --audience https://api.example \\
    --upstream /api/=https://api.example

\b
Or with a file:
  passwordless-async gateway --config gateway.toml --check

\b
The file:
  domain = "acme.eu.auth0.com"
  client_id = "ID"
  client_secret_from = "file:/run/secrets/client"
  base_url = "https://app.example"
  audience = "https://api.example"
  trusted_proxies = 1
  calling_codes = ["49", "43"]
  store = "redis://cache.internal:6379"
  keys = "/run/secrets/keys.json"
  [budgets]
  starts_per_user = 5
  [[upstreams]]
  prefix = "/api/"
  url = "https://api.example"
  scopes = "read:messages"

GET /healthz says that the process is alive, GET /readyz that it can log users in. SIGTERM and Ctrl-C end the process
after the calls in flight.
"""


def _with_settings(command: Callable[..., None]) -> Callable[..., None]:
    return with_options(command, _OPTIONS)


@click.command(help=_HELP)
@_with_settings
def gateway(*, demo: bool, config: Path | None, check: bool, **flags: object) -> None:
    """Run login pages, sessions and a proxy in front of services."""
    with one_line():
        if demo:
            _refuse_others(flags, config, check=check)
            demonstrate(None if flags["port"] is None else str(flags["port"]))
            return
        values = read(flags, os.environ, config)
        check_workers(values)
        made = plan(values)
        asyncio.run(_examine(made))
        for name in LOGS:
            with log_file(values, name):
                pass
        if check:
            for line in lines(made.values):
                click.echo(line)
            return
        with listening(made.values) as bound, metrics_socket(made.values) or nullcontext() as metrics:
            run(made, bound, metrics)


async def _examine(made: Plan) -> None:
    """Make everything once, to find what the library refuses; nothing is opened."""
    store = made.make_store()
    client = made.make_client(store, [])
    made.make_gateway(client, ())
    if not isinstance(store, MemoryStore):
        await store.aclose()


def _refuse_others(flags: dict[str, object], config: Path | None, *, check: bool) -> None:
    given = [setting.option for name, setting in SETTINGS.items() if name != "port" and flags[name] not in {None, ()}]
    given += [*(["--config"] if config else []), *(["--check"] if check else [])]
    if given:
        raise WrongSettings(f"{given[0]}: cannot be combined with --demo, which has its own settings; only --port can.")
