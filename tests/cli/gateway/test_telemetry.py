"""What OpenTelemetry is told by a gateway: by each of its workers, and nothing is lost when they end."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

import click
import pytest

from passwordless_async.cli.gateway import telemetry
from passwordless_async.cli.gateway.reading import read

if TYPE_CHECKING:
    from collections.abc import Callable

    from cli.gateway.conftest import Program
    from passwordless_async.testing import LocalTenant

REQUIRED = {"domain": "acme.eu.auth0.com", "client_id": "app", "base_url": "https://app.example"}
# As `opentelemetry-instrument` does: the providers are made before the program begins. They export in an hour.
INSTRUMENTED = """
import json, os, sys
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

def line(**members):
    return json.dumps({"process": os.getpid(), **members}) + "\\n"

def names(data):
    return [metric.name for of in data.resource_metrics for scope in of.scope_metrics for metric in scope.metrics]

spans = ConsoleSpanExporter(formatter=lambda span: line(span=span.attributes["passwordless.operation"]))
figures = ConsoleMetricExporter(formatter=lambda data: line(metrics=names(data)))
tracing = TracerProvider()
tracing.add_span_processor(BatchSpanProcessor(spans, schedule_delay_millis=3_600_000))
trace.set_tracer_provider(tracing)
metrics.set_meter_provider(MeterProvider([PeriodicExportingMetricReader(figures, 3_600_000)]))
from passwordless_async.cli import main
sys.exit(main())
"""


async def test_of_workers(two_workers: Callable[..., Program], tenant: LocalTenant) -> None:
    """What they have not exported yet is exported when they end."""
    program = two_workers("--telemetry", "opentelemetry", script=INSTRUMENTED)
    async with program.browser(tenant) as browser:
        await browser.log_in()
    program.process.send_signal(signal.SIGTERM)
    out, err = program.process.communicate()
    assert (program.process.returncode, "Traceback" in err) == (0, False)
    told = [json.loads(line) for line in out.splitlines()]
    assert {each["span"] for each in told if "span" in each} >= {"start", "exchange"}
    assert "passwordless.operation.duration" in {name for each in told for name in each.get("metrics", ())}
    assert program.process.pid not in {each["process"] for each in told if "span" in each}


def test_nothing_is_told_unless_it_is_asked_for() -> None:
    """Nor is anything exported."""
    values = read(REQUIRED, {}, None)
    assert telemetry.hooks(values) == ()
    telemetry.shut_down(values)


def test_providers_of_the_api_alone() -> None:
    """They have nothing to export."""
    telemetry.shut_down(read({**REQUIRED, "telemetry": "opentelemetry"}, {}, None))


def test_the_extra_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence has the command that installs it."""

    def missing(_name: str) -> None:
        raise ModuleNotFoundError('opentelemetry is not installed: pip install "passwordless-async[otel]"')

    monkeypatch.setattr(telemetry, "import_module", missing)
    with pytest.raises(click.ClickException) as raised:
        telemetry.hooks(read({**REQUIRED, "telemetry": "opentelemetry"}, {}, None))
    assert raised.value.message == 'opentelemetry is not installed: pip install "passwordless-async[otel]".'
