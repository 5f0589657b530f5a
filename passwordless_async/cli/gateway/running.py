"""How many processes serve: this one, or several that share the socket."""

from __future__ import annotations

import asyncio
import os
import signal
from functools import partial
from typing import TYPE_CHECKING

import click

from passwordless_async.cli.gateway.listening import url_of
from passwordless_async.cli.gateway.reading import WrongSettings
from passwordless_async.cli.gateway.serving import Run, Stop, serve
from passwordless_async.cli.gateway.supervising import CrashLoop, Supervisor

if TYPE_CHECKING:
    import socket

    from passwordless_async.cli.gateway.plan import Plan
    from passwordless_async.cli.gateway.reading import Values

_MORE_SECONDS = 5.0  # than a worker gives its calls, before it is killed


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
    if values.of["store_from"] is None and values.of["store"] == "memory":
        raise WrongSettings(
            f"{source}: {number} processes need a store that they share, and memory is that of one: "
            f"name a Redis with {values.sources['store']} or {values.sources['store_from']}."
        )


def run(plan: Plan, bound: socket.socket) -> None:
    """Serve until a signal comes. Raises ``KeyboardInterrupt`` if it was that of Ctrl-C."""
    number = _run_alone(plan, bound) if plan.values.of["workers"] == 1 else _run_several(plan, bound)
    if number == signal.SIGINT:
        raise KeyboardInterrupt


def _run_alone(plan: Plan, bound: socket.socket) -> int | None:
    stop = Stop()

    async def main() -> None:
        with stop.watched():
            on_stop = partial(_say_stopping, plan)
            await serve(plan, bound, Run(stop.event, partial(_say, f"Listening on {url_of(bound)}"), on_stop))

    asyncio.run(main())
    return stop.number


def _run_several(plan: Plan, bound: socket.socket) -> int:
    number, seconds = plan.values.of["workers"], plan.values.of["shutdown_seconds"] + _MORE_SECONDS
    children = {f"Worker {each}": partial(_work, plan, bound) for each in range(1, number + 1)}

    def close() -> None:
        bound.close()
        _say_stopping(plan)

    # Connections wait in the socket until the workers are there.
    _say(f"Listening on {url_of(bound)}")
    try:
        return Supervisor(children, _say, seconds, close).run()
    except CrashLoop as error:
        problem = str(error)
    raise click.ClickException(problem)


def _work(plan: Plan, bound: socket.socket, parent: int) -> None:
    """Serve as one of several processes, until a signal comes or the parent has died."""
    stop = Stop()

    async def main() -> None:
        with stop.watched():
            asyncio.get_running_loop().add_reader(parent, _see_parent_die, parent, stop)
            await serve(plan, bound, Run(stop.event, lambda: None, lambda: None))

    asyncio.run(main())


def _see_parent_die(parent: int, stop: Stop) -> None:
    asyncio.get_running_loop().remove_reader(parent)
    stop.event.set()


def _say(text: str) -> None:
    click.echo(text, err=True)


def _say_stopping(plan: Plan) -> None:
    _say(f"Stopping: calls in flight have {plan.values.of['shutdown_seconds']:g} s.")
