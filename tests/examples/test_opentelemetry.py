"""The example with OpenTelemetry: one trace for each login, metrics beside it, and no data of a user in either."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp.test_utils import TestClient, TestServer
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from helpers.examples import load
from passwordless_async import Email
from passwordless_async.testing import LocalTenant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace import ReadableSpan

ADA = Email("ada@example.com")


def family(spans: tuple[ReadableSpan, ...]) -> Iterator[tuple[str, list[object]]]:
    """Yield the name of each span that has no parent, with the operations and statuses of its children."""
    for span in spans:
        if span.parent is None and span.context is not None:
            mine = [each for each in spans if each.parent and each.parent.span_id == span.context.span_id]
            names = ("passwordless.operation", "http.response.status_code")
            yield span.name, [tuple((each.attributes or {}).get(name) for name in names) for each in mine]


async def test_a_login_is_one_trace() -> None:
    """A wrong code and the right one; the tenant's requests are below them, and the metrics count both."""
    spans, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracing, metering = TracerProvider(), MeterProvider([reader])
    tracing.add_span_processor(SimpleSpanProcessor(spans))
    async with LocalTenant() as tenant:
        app = load("opentelemetry").make_app(tenant.url, tenant.public_client_id, tracing, metering)
        async with TestClient(TestServer(app)) as browser:
            user = {"email": ADA.address}
            assert (await browser.post("/start", data=user)).status == 204
            wrong = await browser.post("/login", data={**user, "code": "000000"})
            assert (wrong.status, await wrong.json()) == (400, {"error": "wrong_code"})
            code = tenant.outbox.code_for(ADA)
            right = await browser.post("/login", data={**user, "code": code})
            assert (right.status, await right.json()) == (200, {"bound": True})
            measured = reader.get_metrics_data()
    assert list(family(spans.get_finished_spans())) == [
        ("POST /start", [("start", 200)]),
        ("POST /login", [("exchange", 200), ("exchange", 400), ("exchange", 403)]),
        ("POST /login", [("exchange", 200)]),
    ]
    assert measured is not None
    attributes = [dict(span.attributes or {}) for span in spans.get_finished_spans()]
    attributes += [
        dict(point.attributes or {})
        for resource in measured.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
    ]
    assert {"passwordless.operation": "exchange", "error.type": "wrong_code"} in attributes
    assert [each for each in (ADA.address, code, "000000") if each in repr(attributes)] == []
