"""Runs the gateway in this process, or in several that share the socket."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import click

from passwordless_async.cli.gateway import telemetry
from passwordless_async.cli.gateway.figures import Figures
from passwordless_async.cli.gateway.listening import url_of
from passwordless_async.cli.gateway.metrics import serve_metrics
from passwordless_async.cli.gateway.reading import WrongSettings
from passwordless_async.cli.gateway.serving import Run, Stop, serve
from passwordless_async.cli.gateway.settings import MEMORY
from passwordless_async.cli.gateway.supervising import CrashLoop, Supervisor

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from passwordless_async.cli.gateway.plan import Plan
    from passwordless_async.cli.gateway.reading import Values

_MetricsServer: TypeAlias = "Callable[[], AbstractAsyncContextManager[None]]"

_MORE_SECONDS = 5.0  # more than a worker's time for its calls, until it is killed


def check_workers(values: Values) -> None:
    """Refuse several processes where they cannot be.

    Raises:
        WrongSettings: They have no store in common, or the system cannot start them.
    """
    number, source = values.of["workers"], values.sources["workers"]
    if number == 1:
        return
    if not hasattr(os, "fork"):
        raise WrongSettings(f"{source}: this system has one worker; start several gateways behind a load balancer.")
    if values.of["store_from"] is None and values.of["store"] == MEMORY:
        raise WrongSettings(
            f"{source}: {number} processes need a store that they share, and memory is that of one: "
            f"name a Redis with {values.sources['store']} or {values.sources['store_from']}."
        )


def run(plan: Plan, bound: socket.socket, metrics: socket.socket | None = None) -> None:
    """Serve until a signal arrives. Raises ``KeyboardInterrupt`` after Ctrl-C.

    Args:
        plan: The objects to run.
        bound: The listening socket.
        metrics: The socket for ``/metrics``; None: it is not served.
    """
    workers = plan.values.of["workers"]
    figures = None if metrics is None else Figures(_prefixes(plan), workers)
    if metrics is not None:
        _say(f"Metrics on {url_of(metrics)}/metrics")
    metrics_server = nullcontext if figures is None or metrics is None else partial(serve_metrics, figures, metrics)
    if workers == 1:
        number = _run_alone(plan, bound, figures, metrics_server)
    else:
        number = _run_several(plan, bound, figures, metrics_server, metrics)
    if number == signal.SIGINT:
        raise KeyboardInterrupt


def _prefixes(plan: Plan) -> set[str]:
    return {f"{each['prefix'].rstrip('/')}/" for each in plan.values.of["upstreams"]}


def _run_alone(plan: Plan, bound: socket.socket, figures: Figures | None, metrics_server: _MetricsServer) -> int | None:
    stop = Stop()

    async def main() -> None:
        with stop.watch_signals():
            async with metrics_server():
                row = None if figures is None else figures.row(0)
                on_ready = partial(_say, f"Listening on {url_of(bound)}")
                await serve(plan, bound, Run(stop.event, on_ready, partial(_say_stopping, plan), row))

    asyncio.run(main())
    return stop.number


def _run_several(
    plan: Plan,
    bound: socket.socket,
    figures: Figures | None,
    metrics_server: _MetricsServer,
    metrics: socket.socket | None,
) -> int:
    number, seconds = plan.values.of["workers"], plan.values.of["shutdown_seconds"] + _MORE_SECONDS
    children = {f"Worker {each + 1}": partial(_work, plan, bound, figures, metrics, each) for each in range(number)}
    if figures is not None:
        children["Metrics"] = partial(_run_metrics, metrics_server, bound)

    def close() -> None:
        bound.close()
        _say_stopping(plan)

    # Connections wait in the socket until the workers are ready.
    _say(f"Listening on {url_of(bound)}")
    try:
        return Supervisor(children, _say, seconds, close).run()
    except CrashLoop as error:
        problem = str(error)
    raise click.ClickException(problem)


def _work(
    plan: Plan,
    bound: socket.socket,
    figures: Figures | None,
    metrics: socket.socket | None,
    number: int,
    parent: int,
) -> None:
    """Serve as one of several processes."""
    if metrics is not None:
        metrics.close()  # that of another process
    row = None if figures is None else figures.row(number)

    async def main() -> None:
        with _stop_with_parent(parent) as stop:
            await serve(plan, bound, Run(stop.event, lambda: None, lambda: None, row))

    try:
        asyncio.run(main())
    finally:
        telemetry.shut_down(plan.values)


def _run_metrics(metrics_server: _MetricsServer, bound: socket.socket, parent: int) -> None:
    """Serve the figures of all workers."""
    bound.close()  # that of the workers: users would wait in it while they end

    async def main() -> None:
        with _stop_with_parent(parent) as stop:
            async with metrics_server():
                await stop.event.wait()

    asyncio.run(main())


@contextmanager
def _stop_with_parent(parent: int) -> Iterator[Stop]:
    """Yield what a signal ends, and the end of the parent, of which a pipe tells."""
    stop = Stop()
    with stop.watch_signals():
        asyncio.get_running_loop().add_reader(parent, _on_parent_end, parent, stop)
        yield stop


def _on_parent_end(parent: int, stop: Stop) -> None:
    asyncio.get_running_loop().remove_reader(parent)
    stop.event.set()


def _say(text: str) -> None:
    click.echo(text, err=True)


def _say_stopping(plan: Plan) -> None:
    _say(f"Stopping: calls in flight have {plan.values.of['shutdown_seconds']:g} s.")
