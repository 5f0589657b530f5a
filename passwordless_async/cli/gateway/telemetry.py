"""Reports a client's events to the global providers of OpenTelemetry.

Each worker is a fork of the process in which the providers were made. The SDK (1.45) starts their threads again in it,
and gives it a ``service.instance.id`` of its own. But it exports its buffer only in an exit handler, and a worker
ends without its parent's exit handlers.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

import click

from passwordless_async.cli.gateway.settings import OFF

if TYPE_CHECKING:
    from collections.abc import Callable

    from passwordless_async.cli.gateway.reading import Values
    from passwordless_async.client.events import Event


def hooks(values: Values) -> tuple[Callable[[Event], None], ...]:
    """Return the hooks that get the client's events.

    Raises:
        click.ClickException: The extra is not installed.
    """
    if values.of["telemetry"] == OFF:
        return ()
    try:
        return (import_module("passwordless_async.adapters.opentelemetry").OpenTelemetry(),)
    except ModuleNotFoundError as missing:
        problem = f"{missing}."
    raise click.ClickException(problem)


def shut_down(values: Values) -> None:
    """Make the global providers export their buffers, and shut them down."""
    if values.of["telemetry"] == OFF:
        return
    traces, metrics = import_module("opentelemetry.trace"), import_module("opentelemetry.metrics")
    for provider in (traces.get_tracer_provider(), metrics.get_meter_provider()):
        close = getattr(provider, "shutdown", None)  # of the SDK; the API alone has nothing to export
        if close is not None:
            close()
