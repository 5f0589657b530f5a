"""``gateway --demo``: a tenant, a protected service behind a gateway, and what to try; all on this machine.

Codes are printed as they are "sent". Everything is forgotten when it ends.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click
from aiohttp import web

from passwordless_async.adapters.aiohttp_web import AUTHORIZED, protect
from passwordless_async.auth0.identity import Email
from passwordless_async.cli.gateway.listening import listening, serve_beside, url_of
from passwordless_async.cli.gateway.plan import Plan, plan
from passwordless_async.cli.gateway.reading import read
from passwordless_async.cli.gateway.serving import Run, Stop, serve
from passwordless_async.cli.gateway.settings import OFF
from passwordless_async.cli.tenant import as_line
from passwordless_async.dpop.server.replay import MemoryReplayStore
from passwordless_async.resource_server.server import ResourceServer
from passwordless_async.testing import LocalTenant

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from passwordless_async.testing import Message

AUDIENCE = "https://api.example"
GRACE = Email("grace@example.com")  # has a second factor
_SCOPE = "openid email offline_access read:messages"
_PAGES = Path(__file__).with_name("pages")


def demonstrate(port: str | None) -> None:
    """Show the gateway until a signal comes. Raises ``KeyboardInterrupt`` if it was that of Ctrl-C."""
    stop = Stop()
    asyncio.run(_run(port, stop))
    if stop.number == signal.SIGINT:
        raise KeyboardInterrupt


async def _run(port: str | None, stop: Stop) -> None:
    sent: asyncio.Queue[Message] = asyncio.Queue()
    with stop.watch_signals():
        async with AsyncExitStack() as stack:
            tenant = LocalTenant()
            tenant.outbox.on_send = tenant.mfa.on_send = sent.put_nowait
            tenant.users.add(GRACE, mfa=["sms", "recovery-code"])
            await stack.enter_async_context(tenant)
            service = await stack.enter_async_context(_service(tenant))
            made = _plan(tenant, service, port)
            bound = stack.enter_context(listening(made.values))
            url = url_of(bound)
            values = attrs.evolve(made.values, of={**made.values.of, "base_url": url})
            printing = asyncio.create_task(_print(sent))
            stack.callback(printing.cancel)
            introduction = _introduction(url, tenant.mfa.recovery_code_for(GRACE))
            run = Run(stop.event, lambda: click.echo(introduction), lambda: None)
            await serve(attrs.evolve(made, values=values), bound, run)


def _plan(tenant: LocalTenant, service: str, port: str | None) -> Plan:
    flags = {
        "domain": tenant.url,
        "client_id": tenant.public_client_id,
        "base_url": "http://127.0.0.1",
        "audience": AUDIENCE,
        "scope": _SCOPE,
        "upstreams": (f"/api/={service}",),
        "brand": "Demonstration",
        "templates": str(_PAGES),
        "access_log": OFF,
        "port": port,
    }
    return plan(read(flags, {}, None))


@asynccontextmanager
async def _service(tenant: LocalTenant) -> AsyncIterator[str]:
    """Serve a protected API; yields its URL."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        url = url_of(bound)
        async with serve_beside(_api(tenant, url), bound, shutdown_seconds=0.2):
            yield url


def _api(tenant: LocalTenant, url: str) -> web.Application:
    server = ResourceServer(issuer=tenant.issuer, audience=AUDIENCE, base_url=url, replay=MemoryReplayStore())

    @protect(server, scopes={"read:messages"})
    async def messages(request: web.Request) -> web.Response:
        return web.json_response({"of": request[AUTHORIZED].subject, "messages": ["Hello.", "It works."]})

    @protect(server)
    async def me(request: web.Request) -> web.Response:
        allowed = request[AUTHORIZED]
        bound_to = None if allowed.proof is None else allowed.proof.thumbprint
        return web.json_response(
            {"subject": allowed.subject, "scopes": sorted(allowed.scopes), "token_is_bound_to_key": bound_to}
        )

    app = web.Application()
    app.add_routes([web.get("/messages", messages), web.get("/me", me)])
    return app


async def _print(sent: asyncio.Queue[Message]) -> None:
    with suppress(OSError):  # the reader has gone: the demonstration goes on
        while True:
            click.echo(as_line(await sent.get()))


def _introduction(url: str, recovery_code: str) -> str:
    return f"""Open {url}

  1. Log in as ada@example.com, or with any other address or phone number. The code appears here.
  2. Follow the link to /api/messages: the service gets your access token with a proof; the browser never gets it.
  3. Log in again in a private window, then see "Your sessions" and end one of them.
  4. Log in as {GRACE.address}: that needs a second factor. A code by SMS appears here too; the recovery code is
     {recovery_code}.
  5. Log out, and open {url}/api/messages again.

Ctrl-C ends it, and everything is forgotten. Codes:
"""
