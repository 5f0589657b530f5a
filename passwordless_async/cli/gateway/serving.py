"""Serves in one process, from the listening socket to the end of the last call.

Invariants:

- A signal closes the socket first; calls in flight end, within ``shutdown_seconds``, before the client is closed.
- No log line about a call has a secret.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, cast

import attrs
from aiohttp import web

from passwordless_async.cli.gateway import access_log
from passwordless_async.cli.gateway.health import Health
from passwordless_async.cli.gateway.listening import BACKLOG
from passwordless_async.cli.gateway.log_files import LogStream, log_file
from passwordless_async.cli.gateway.metrics import counting_middleware
from passwordless_async.cli.gateway.supervising import ENDING
from passwordless_async.gateway import JsonLines
from passwordless_async.stores import MemoryStore

if TYPE_CHECKING:
    import logging
    import socket
    from collections.abc import Callable, Iterator
    from types import FrameType
    from typing import TextIO

    from passwordless_async.cli.gateway.figures import Row
    from passwordless_async.cli.gateway.plan import Plan
    from passwordless_async.client.client import PasswordlessClient
    from passwordless_async.gateway import AuditEvent, Gateway

_ACCEPTED_AT_ONCE = 16  # connections, before a call is served: other processes take the rest
_KEEP_ALIVE_SECONDS = 75.0  # longer than load balancers keep a connection: they close it, not this side
_LAST_SECONDS = 2.0  # to close connections after the time of calls in flight is over


def ending_signals() -> tuple[signal.Signals, ...]:
    """Return the signals that end a process in order: not one that is ignored, as ``nohup`` has it."""
    known = [signal.Signals[name] for name in ENDING if name in signal.Signals.__members__]
    return tuple(number for number in known if signal.getsignal(number) is not signal.SIG_IGN)


@attrs.define(eq=False)
class Stop:
    """The signal that ends a process.

    Attributes:
        number: Its number; None until one arrives.
    """

    event: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    number: int | None = attrs.field(default=None, init=False)

    @contextlib.contextmanager
    def watch_signals(self) -> Iterator[None]:
        """Take the signals in the context."""
        loop = asyncio.get_running_loop()

        def stop(number: int, _frame: FrameType | None) -> None:
            self.number = self.number or number
            with contextlib.suppress(RuntimeError):  # the loop is closed already
                loop.call_soon_threadsafe(self.event.set)

        before = {number: signal.signal(number, stop) for number in ending_signals()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@attrs.frozen
class Run:
    """The end of a serving process, and its callbacks.

    Attributes:
        stop: Ends it.
        on_ready: Is called once calls are accepted.
        on_stop: Is called once no more calls are accepted; those in flight continue.
        row: The figures to count in; None: nothing is counted.
    """

    stop: asyncio.Event
    on_ready: Callable[[], None]
    on_stop: Callable[[], None]
    row: Row | None = None


async def serve(plan: Plan, listening: socket.socket, run: Run) -> None:
    """Serve until an event is set, then shut down in order."""
    async with AsyncExitStack() as stack:
        store = plan.make_store()
        if not isinstance(store, MemoryStore):
            stack.push_async_callback(store.aclose)
        counted = () if run.row is None else (run.row.on_event,)
        client = await stack.enter_async_context(plan.make_client(store, (*plan.telemetry, *counted)))
        audit, access = (stack.enter_context(log_file(plan.values, name)) for name in ("audit_log", "access_log"))
        gateway = plan.make_gateway(client, _audit(audit, run.row))
        seconds = plan.values.of["shutdown_seconds"]
        await run_application(application(gateway, client, run.row), listening, run, access=access, seconds=seconds)


def application(gateway: Gateway, client: PasswordlessClient, row: Row | None = None) -> web.Application:
    """Return the gateway's application, with health checks, and with figures if requested."""
    app = gateway.aiohttp()
    app.middlewares.append(Health(client).middleware())
    if row is not None:
        app.middlewares.append(counting_middleware(row))
    app.on_response_prepare.append(access_log.name_request)
    return app


async def run_application(
    app: web.Application, listening: socket.socket, run: Run, *, access: logging.Logger | None, seconds: float
) -> None:
    """Serve an application until an event is set; calls in flight end, within the seconds that they have."""
    runner = web.AppRunner(
        app,
        access_log_class=access_log.AccessLog,
        access_log=access,
        keepalive_timeout=_KEEP_ALIVE_SECONDS,
        shutdown_timeout=seconds,
    )
    await runner.setup()
    try:
        site = web.SockSite(runner, listening, backlog=_ACCEPTED_AT_ONCE)
        await site.start()
        listening.listen(BACKLOG)  # the site has lowered it
        run.on_ready()
        await run.stop.wait()
        await site.stop()
        run.on_stop()
    finally:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds + _LAST_SECONDS):
                await runner.cleanup()


def _audit(logger: logging.Logger | None, row: Row | None) -> list[Callable[[AuditEvent], None]]:
    sinks: list[Callable[[AuditEvent], None]] = [] if row is None else [row.on_audit]
    if logger is not None:
        sinks.append(JsonLines(cast("TextIO", LogStream(logger))))
    return sinks
