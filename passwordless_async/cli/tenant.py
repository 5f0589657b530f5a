"""``tenant``: runs a tenant on this machine and prints the messages that it would send."""

from __future__ import annotations

import asyncio
import os
import time

import click

from passwordless_async.cli.terminal import interrupt, show
from passwordless_async.testing import LocalTenant, Message


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    help="Where to listen on 127.0.0.1; 0 takes a free port.",
)
def tenant(port: int) -> None:
    """Run a tenant on this machine and print each code as it is "sent".

    It behaves like Auth0's passwordless API, verifies every proof, and forgets everything when it is stopped with
    Ctrl-C.
    """
    try:
        interrupt.run(_serve(port))
    except BrokenPipeError:
        raise
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise click.ClickException(f"The tenant cannot listen on port {port}: {reason}.") from None


async def _serve(port: int) -> None:
    sent: asyncio.Queue[Message] = asyncio.Queue()
    async with LocalTenant(port=port) as tenant:
        # Queued, not printed by the request: a request must not fail because standard output does.
        tenant.outbox.on_send = sent.put_nowait
        _introduce(tenant)
        while True:
            _print(await sent.get())


def _introduce(tenant: LocalTenant) -> None:
    client_id, client_secret = tenant.confidential_client
    rows = [
        ("Tenant", tenant.url),
        ("Public client", tenant.public_client_id),
        ("Confidential client", client_id),
        ("  its secret", str(client_secret)),
        *((f"API, DPoP {policy}", audience) for audience, policy in tenant.settings.apis.items()),
    ]
    for name, value in rows:
        click.echo(f"{name:<20} {value}")
    click.echo(
        "\nStop it with Ctrl-C. Log in from another terminal, for example with:\n\n"
        f"  passwordless-async login --domain {tenant.url} \\\n"
        f"    --client-id {tenant.public_client_id} --email ada@example.com\n"
    )


def _print(message: Message) -> None:
    at = time.strftime("%H:%M:%S", time.localtime(message.at))
    code = "a link; start with send=code for a code" if message.code is None else message.code
    click.echo(f"{at}  {show.plain(message.username)}  {code}")
