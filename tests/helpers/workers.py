"""Two gateway workers on one Redis behind one origin: of two requests one after the other, each goes to another one."""

from __future__ import annotations

import asyncio
import itertools
import secrets
import socket
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import attrs
from aiohttp import web

from helpers.sites import Clock
from passwordless_async import TESTING, KeyRing, PasswordlessClient
from passwordless_async.gateway import Gateway
from passwordless_async.stores.redis import RedisStore
from passwordless_async.testing import LocalTenant

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from passwordless_async.testing import TenantSettings

MOUNT = "/auth"
_PATIENCE = 30  # seconds, until all of them listen
_PIECE = 65_536  # bytes


@attrs.define
class Workers:
    """The workers, as a browser sees them.

    Attributes:
        origin: Their origin; the gateway is mounted at ``MOUNT``.
        tenant: Their tenant.
        clock: The wall clock of both.
        served: How many requests each has answered.
    """

    origin: str
    tenant: LocalTenant
    clock: Clock = attrs.field(factory=Clock)
    served: list[int] = attrs.field(factory=lambda: [0, 0])

    def application(self, number: int, client: PasswordlessClient, **options: Any) -> web.Application:
        """Return what a worker serves."""
        gateway = Gateway(client, base_url=self.origin, clock=self.clock, **options)
        app = web.Application()
        app.add_subapp(MOUNT, gateway.aiohttp())

        async def count(_request: web.Request, response: web.StreamResponse) -> None:
            self.served[number] += 1
            # The next request has a connection of its own, and so goes to the other worker.
            response.force_close()

        app.on_response_prepare.append(count)
        return app


@contextmanager
def running(redis_url: str, settings: TenantSettings, **options: Any) -> Iterator[Workers]:
    """Run the workers, and their tenant, in another thread."""
    listening: Future[tuple[Workers, Callable[[], object]]] = Future()

    async def serve() -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        async with _opened(redis_url, settings, options) as workers:
            listening.set_result((workers, lambda: loop.call_soon_threadsafe(stop.set)))
            await stop.wait()

    with ThreadPoolExecutor(1) as thread:
        # At its end asyncio.run cancels what is left: connections that the browser keeps open.
        running = thread.submit(asyncio.run, serve())
        workers, stop = listening.result(_PATIENCE)
        try:
            yield workers
        finally:
            stop()
            running.result(_PATIENCE)


@asynccontextmanager
async def _opened(redis_url: str, settings: TenantSettings, options: dict[str, Any]) -> AsyncIterator[Workers]:
    keys = KeyRing(secrets.token_bytes(32), users=secrets.token_bytes(32))
    with socket.create_server(("127.0.0.1", 0)) as front:
        origin = f"http://127.0.0.1:{front.getsockname()[1]}"
        settings = attrs.evolve(settings, callback_urls=[f"{origin}{MOUNT}/link"])
        async with LocalTenant(settings) as tenant, AsyncExitStack() as stack:
            workers = Workers(origin, tenant)
            ports = []
            for number in range(2):
                store = await stack.enter_async_context(RedisStore(redis_url, keys=keys))
                client = PasswordlessClient(tenant.url, tenant.public_client_id, profile=TESTING, store=store)
                app = workers.application(number, await stack.enter_async_context(client), **options)
                runner = web.AppRunner(app, shutdown_timeout=1)
                await runner.setup()
                stack.push_async_callback(runner.cleanup)
                site = web.TCPSite(runner, "127.0.0.1", 0)
                await site.start()
                ports.append(runner.addresses[0][1])
            forwarder = await asyncio.start_server(_Forwarder(ports).forward, sock=front)
            yield workers
            forwarder.close()
            assert (tenant.stats.presented_again, tenant.disagreements) == (0, ())


class _Forwarder:
    """Hands each connection on to the next worker."""

    def __init__(self, ports: list[int]) -> None:
        self._ports = itertools.cycle(ports)

    async def forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        other_reader, other_writer = await asyncio.open_connection("127.0.0.1", next(self._ports))
        try:
            # Cancelled: the workers end, and the browser keeps the connection open.
            with suppress(OSError, asyncio.CancelledError):
                await asyncio.gather(_copied(reader, other_writer), _copied(other_reader, writer))
        finally:
            for each in (writer, other_writer):
                each.close()


async def _copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(_PIECE):
        writer.write(piece)
        await writer.drain()
    writer.write_eof()
