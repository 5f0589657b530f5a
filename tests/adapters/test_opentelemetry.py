"""What OpenTelemetry is told of a client's events."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader, NumberDataPoint
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from yarl import URL

from passwordless_async import (
    TESTING,
    ClientSecretPost,
    DPoPKey,
    Email,
    OutcomeUnknown,
    PasswordlessClient,
    TokenSet,
    WrongCode,
)
from passwordless_async._common import clock as _clock
from passwordless_async.adapters.opentelemetry import OpenTelemetry
from passwordless_async.client.events import Challenged, Done, Operation, Orphaned, Paced, Retried, Sent, UnboundTokens
from passwordless_async.testing import BOUND_API, Fault, LocalTenant, TenantSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from opentelemetry.sdk.metrics.export import Metric
    from opentelemetry.sdk.trace import ReadableSpan

    from passwordless_async.client.events import Event

ADA = Email("ada.lovelace@example.com")
START, TOKEN, JWKS = "/passwordless/start", "/oauth/token", "/.well-known/jwks.json"
NOW = 1_700_000_000.5  # seconds since the UNIX epoch
SECRET = "a-client-secret-that-must-not-show"
SENT = Sent(
    operation=Operation.EXCHANGE,
    method="POST",
    origin="https://acme.example",
    path=TOKEN,
    status=200,
    error=None,
    seconds=0.25,
    transmission=1,
)


@attrs.frozen(eq=False)
class Telemetry:
    """An adapter and what it exports."""

    spans: InMemorySpanExporter = attrs.field(factory=InMemorySpanExporter)
    reader: InMemoryMetricReader = attrs.field(factory=InMemoryMetricReader)
    tracers: TracerProvider = attrs.field(factory=TracerProvider)
    meters: MeterProvider = attrs.field(init=False)
    hook: OpenTelemetry = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.tracers.add_span_processor(SimpleSpanProcessor(self.spans))
        object.__setattr__(self, "meters", MeterProvider([self.reader]))
        object.__setattr__(self, "hook", OpenTelemetry(self.tracers, self.meters))

    def take(self, *events: Event) -> None:
        for event in events:
            self.hook(event)

    def span(self) -> ReadableSpan:
        (span,) = self.spans.get_finished_spans()
        return span

    def own_spans(self) -> list[ReadableSpan]:
        return [span for span in self.spans.get_finished_spans() if span.kind is SpanKind.CLIENT]

    def instruments(self) -> dict[str, Metric]:
        data = self.reader.get_metrics_data()
        scopes = [scope for resource in data.resource_metrics for scope in resource.scope_metrics] if data else []
        return {metric.name: metric for scope in scopes for metric in scope.metrics}

    def histogram(self, name: str) -> list[HistogramDataPoint]:
        points = self.instruments()[name].data.data_points
        return [point for point in points if isinstance(point, HistogramDataPoint)]

    def points(self) -> dict[str, list[tuple[dict[str, Any], Any]]]:
        """Every series: its attributes, and its value or the count of its records."""
        return {
            name: [
                (dict(point.attributes or {}), point.value if isinstance(point, NumberDataPoint) else point.count)
                for point in metric.data.data_points
            ]
            for name, metric in self.instruments().items()
        }

    def exported(self) -> str:
        metrics_data = self.reader.get_metrics_data()
        assert metrics_data is not None
        data = json.loads(metrics_data.to_json())
        spans = [json.loads(span.to_json()) for span in self.spans.get_finished_spans()]
        return "\n".join(texts([data, spans]))


# Random or a time: six digits of a code may be among theirs by chance.
BY_CHANCE = {"trace_id", "span_id", "parent_id", "start_time", "end_time", "time_unix_nano", "start_time_unix_nano"}
BY_CHANCE |= {"sum", "min", "max"}


def texts(exported: Any) -> Iterator[str]:
    """Every name and value of an export but those by chance."""
    if isinstance(exported, dict):
        for name, value in exported.items():
            yield name
            yield from () if name in BY_CHANCE else texts(value)
    elif isinstance(exported, list):
        for value in exported:
            yield from texts(value)
    else:
        yield str(exported)


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    """Make an adapter with providers of its own."""
    made = Telemetry()
    yield made
    made.meters.shutdown()
    made.tracers.shutdown()


@pytest.fixture
async def client(tenant: LocalTenant, telemetry: Telemetry) -> AsyncIterator[PasswordlessClient]:
    """Open a public client of the tenant that tells the adapter."""
    async with PasswordlessClient(
        tenant.url, tenant.public_client_id, profile=TESTING, on_event=telemetry.hook
    ) as opened:
        yield opened


async def log_in(client: PasswordlessClient, tenant: LocalTenant, **parameters: Any) -> TokenSet:
    """Start and exchange."""
    await client.start(ADA)
    return await client.exchange(ADA, tenant.outbox.code_for(ADA), **parameters)


def attributes_of(tenant: LocalTenant, operation: str, method: str, path: str, status: int | None) -> dict[str, Any]:
    """The attributes of the span of a request to the tenant."""
    url = URL(tenant.url)
    answered = {} if status is None else {"http.response.status_code": status}
    return {
        "http.request.method": method,
        "server.address": "127.0.0.1",
        "server.port": url.port,
        "url.full": f"http://127.0.0.1:{url.port}{path}",
        "passwordless.operation": operation,
        **answered,
    }


def of_metric(span: dict[str, Any]) -> dict[str, Any]:
    """Those attributes of a span that its metric has, too."""
    return {name: value for name, value in span.items() if name not in {"url.full", "passwordless.operation"}}


EXCHANGE = {"passwordless.operation": "exchange"}
FAILED = {**EXCHANGE, "error.type": "rate_limited"}
REQUEST = {"http.request.method": "POST", "server.address": "acme.example", "server.port": 443}
OK = {**REQUEST, "http.response.status_code": 200}
EVENTS: list[tuple[Event, dict[str, Any]]] = [
    (SENT, {"http.client.request.duration": [(OK, 1)]}),
    (Challenged(Operation.EXCHANGE), {"passwordless.nonce.challenges": [(EXCHANGE, 1)]}),
    (Paced(Operation.EXCHANGE, 2.5), {"passwordless.paced.duration": [(EXCHANGE, 1)]}),
    (Retried(Operation.EXCHANGE, 1, "rate_limited", 0.5), {"passwordless.retries": [(FAILED, 1)]}),
    (
        Done(Operation.EXCHANGE, None, 2.5, 3),
        {"passwordless.operation.duration": [(EXCHANGE, 1)], "passwordless.operation.requests": [(EXCHANGE, 1)]},
    ),
    (
        Done(Operation.EXCHANGE, "rate_limited", 2.5, 3),
        {"passwordless.operation.duration": [(FAILED, 1)], "passwordless.operation.requests": [(FAILED, 1)]},
    ),
    (Orphaned(Operation.EXCHANGE, None), {"passwordless.orphans": [(EXCHANGE, 1)]}),
    (Orphaned(Operation.EXCHANGE, "rate_limited"), {"passwordless.orphans": [(FAILED, 1)]}),
    (UnboundTokens(Operation.EXCHANGE, "https://api.example"), {"passwordless.tokens.unbound": [(EXCHANGE, 1)]}),
]


@pytest.mark.parametrize(("event", "expected"), EVENTS, ids=lambda value: type(value).__name__)
def test_each_event_is_counted(telemetry: Telemetry, event: Event, expected: dict[str, Any]) -> None:
    """Every kind of event adds to the metrics that are named for it, and to no other."""
    telemetry.take(event)
    assert telemetry.points() == expected


@pytest.mark.parametrize("event", [event for event, _ in EVENTS[1:]], ids=lambda value: type(value).__name__)
def test_only_a_transmission_makes_a_span(telemetry: Telemetry, event: Event) -> None:
    """Whatever did not go on the wire makes no span, and adds nothing to that of the application."""
    with telemetry.tracers.get_tracer("application").start_as_current_span("theirs"):
        telemetry.take(event)
    assert (telemetry.span().name, telemetry.span().events) == ("theirs", ())


def test_seconds_and_counts_are_recorded_as_they_are(telemetry: Telemetry) -> None:
    """The sums of the histograms are those of the events."""
    telemetry.take(SENT, SENT, Paced(Operation.START, 2.5), Done(Operation.START, None, 3.5, 2))
    sums = {name: [p.sum for p in telemetry.histogram(name)] for name in telemetry.instruments()}
    assert sums == {
        "http.client.request.duration": [0.5],
        "passwordless.paced.duration": [2.5],
        "passwordless.operation.duration": [3.5],
        "passwordless.operation.requests": [2],
    }


def test_units_and_boundaries(telemetry: Telemetry) -> None:
    """Durations are in seconds with the boundaries of the conventions, and counts name what is counted."""
    telemetry.take(*(event for event, _ in EVENTS))
    found = telemetry.instruments()
    assert {name: metric.unit for name, metric in found.items()} == {
        "http.client.request.duration": "s",
        "passwordless.operation.duration": "s",
        "passwordless.operation.requests": "{request}",
        "passwordless.paced.duration": "s",
        "passwordless.nonce.challenges": "{challenge}",
        "passwordless.retries": "{retry}",
        "passwordless.orphans": "{orphan}",
        "passwordless.tokens.unbound": "{answer}",
    }
    (requests,) = telemetry.histogram("http.client.request.duration")
    assert tuple(requests.explicit_bounds) == (
        0.005,
        0.01,
        0.025,
        0.05,
        0.075,
        0.1,
        0.25,
        0.5,
        0.75,
        1,
        2.5,
        5,
        7.5,
        10,
    )
    assert telemetry.histogram("passwordless.operation.duration")[0].explicit_bounds[-1] == 300
    assert telemetry.histogram("passwordless.operation.requests")[0].explicit_bounds[0] == 0


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, {"http.response.status_code": 200}),
        ({"status": 302}, {"http.response.status_code": 302}),
        ({"status": 403}, {"http.response.status_code": 403, "error.type": "403"}),
        ({"status": 503}, {"http.response.status_code": 503, "error.type": "503"}),
        ({"status": None, "error": "not_sent"}, {"error.type": "not_sent"}),
    ],
)
def test_how_a_span_ends(telemetry: Telemetry, change: dict[str, Any], expected: dict[str, Any]) -> None:
    """An answer from 400 on and a failure are errors by their type; any other answer leaves the status unset."""
    telemetry.take(attrs.evolve(SENT, **change))
    span = telemetry.span()
    attributes = {**REQUEST, "url.full": "https://acme.example/oauth/token", **EXCHANGE, **expected}
    status = StatusCode.ERROR if "error.type" in expected else StatusCode.UNSET
    assert (span.attributes, span.status.status_code, span.status.description) == (attributes, status, None)
    assert (span.name, span.kind) == ("POST", SpanKind.CLIENT)
    assert telemetry.points()["http.client.request.duration"] == [(of_metric(attributes), 1)]


@pytest.mark.parametrize(
    ("origin", "address", "port"),
    [
        ("https://acme.example:8443", "acme.example", 8443),
        ("http://localhost", "localhost", 80),
        ("http://[::1]:8080", "::1", 8080),
        ("https://bücher.example", "xn--bcher-kva.example", 443),
    ],
)
def test_where_a_request_went(telemetry: Telemetry, origin: str, address: str, port: int) -> None:
    """The address is the host of the request as it is sent, and the port is the scheme's where none is named."""
    telemetry.take(attrs.evolve(SENT, origin=origin))
    attributes = telemetry.span().attributes or {}
    assert (attributes["server.address"], attributes["server.port"]) == (address, port)
    assert str(URL(origin).with_path(TOKEN)) == attributes["url.full"]


def test_a_span_took_as_long_as_the_transmission(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    """A span ends when its event comes, and began so many seconds before."""
    monkeypatch.setattr(_clock, "now", lambda: NOW)
    telemetry.take(SENT)
    assert (
        telemetry.span().start_time,
        telemetry.span().end_time,
    ) == (1_700_000_000_250_000_000, 1_700_000_000_500_000_000)


def test_resend_is_the_same_request_again(telemetry: Telemetry) -> None:
    """A resend is the same request of the same operation; a key set before it and the next operation are none."""
    key_set = attrs.evolve(SENT, method="GET", path=JWKS)
    first, second, third = (attrs.evolve(SENT, transmission=number) for number in (2, 3, 4))
    revocation = attrs.evolve(SENT, path="/oauth/revoke", transmission=5)
    done = Done(Operation.EXCHANGE, None, 1.0, 5)
    telemetry.take(key_set, first, Challenged(Operation.EXCHANGE), second, third, revocation, done, first, SENT)
    resends = [(span.attributes or {}).get("http.request.resend_count") for span in telemetry.own_spans()]
    assert resends == [None, None, 1, 2, None, None, None]


def test_the_global_providers_are_the_default(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a provider the API's own global ones are taken."""
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: telemetry.tracers)
    monkeypatch.setattr("opentelemetry.metrics._internal.get_meter_provider", lambda: telemetry.meters)
    OpenTelemetry()(SENT)
    scope = telemetry.span().instrumentation_scope
    assert scope is not None
    assert scope.name == "passwordless_async"
    assert telemetry.points()["http.client.request.duration"] == [(OK, 1)]


def test_no_operation_providers_take_everything() -> None:
    """Where the application has set nothing up, nothing is made of any event, and nothing raised."""
    hook = OpenTelemetry(trace.NoOpTracerProvider(), metrics.NoOpMeterProvider())
    for event, _ in EVENTS:
        hook(event)


def test_other_objects_are_refused(telemetry: Telemetry) -> None:
    """Anything but an event raises AssertionError."""
    with pytest.raises(AssertionError):
        telemetry.hook("an event")  # type: ignore[arg-type] # what a type checker would say


def test_package_does_not_import_opentelemetry() -> None:
    """Without the adapter, OpenTelemetry is not imported."""
    code = "import sys, passwordless_async; sys.exit('opentelemetry' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0  # noqa: S603 - our own code


async def test_a_login(client: PasswordlessClient, tenant: LocalTenant, telemetry: Telemetry) -> None:
    """A login on a cold client: a start, a key set, a challenge and the exchange that answers it, each as it was."""
    await log_in(client, tenant, scope="openid")
    start = attributes_of(tenant, "start", "POST", START, 200)
    key_set = attributes_of(tenant, "exchange", "GET", JWKS, 200)
    challenged = {**attributes_of(tenant, "exchange", "POST", TOKEN, 400), "error.type": "400"}
    exchanged = attributes_of(tenant, "exchange", "POST", TOKEN, 200)
    spans = telemetry.own_spans()
    assert [s.attributes for s in spans] == [start, key_set, challenged, {**exchanged, "http.request.resend_count": 1}]
    assert [span.name for span in spans] == ["POST", "GET", "POST", "POST"]
    assert [span.status.status_code is StatusCode.ERROR for span in spans] == [False, False, True, False]
    begun = {"passwordless.operation": "start"}
    points = telemetry.points()
    requests = sorted(points.pop("http.client.request.duration"), key=str)
    assert requests == sorted([(of_metric(exchanged), 2), (of_metric(key_set), 1), (of_metric(challenged), 1)], key=str)
    assert points == {
        "passwordless.operation.duration": [(begun, 1), (EXCHANGE, 1)],
        "passwordless.operation.requests": [(begun, 1), (EXCHANGE, 1)],
        "passwordless.nonce.challenges": [(EXCHANGE, 1)],
    }


async def test_the_callers_span_is_the_parent(
    client: PasswordlessClient, tenant: LocalTenant, telemetry: Telemetry
) -> None:
    """Each of two logins at once has its own requests below its own span, and no others."""
    tracer = telemetry.tracers.get_tracer("application")
    await log_in(client, tenant)
    telemetry.spans.clear()

    async def view(who: Email) -> trace.SpanContext:
        with tracer.start_as_current_span("view") as span:
            await client.start(who)
            await client.exchange(who, tenant.outbox.code_for(who))
        return span.get_span_context()

    views = await asyncio.gather(view(ADA), view(Email("grace@example.com")))
    below = Counter((span.parent.span_id, span.parent.trace_id) for span in telemetry.own_spans() if span.parent)
    assert below == {(view.span_id, view.trace_id): 2 for view in views}


async def test_a_wrong_code(client: PasswordlessClient, tenant: LocalTenant, telemetry: Telemetry) -> None:
    """A refusal is the status of its span, and of its operation the code of the error."""
    await log_in(client, tenant)
    telemetry.spans.clear()
    await client.start(ADA)
    with pytest.raises(WrongCode):
        await client.exchange(ADA, "a-wrong-code")
    refused = {**attributes_of(tenant, "exchange", "POST", TOKEN, 403), "error.type": "403"}
    assert telemetry.own_spans()[-1].attributes == refused
    assert ({**EXCHANGE, "error.type": "wrong_code"}, 1) in telemetry.points()["passwordless.operation.duration"]


async def test_no_answer(client: PasswordlessClient, tenant: LocalTenant, telemetry: Telemetry) -> None:
    """Where no answer comes, span and operation have the code of the error, and the span no status of an answer."""
    tenant.faults.add(Fault.DROP_AFTER_PROCESSING, path=START)
    with pytest.raises(OutcomeUnknown):
        await client.start(ADA)
    lost = {**attributes_of(tenant, "start", "POST", START, None), "error.type": "outcome_unknown"}
    assert (telemetry.span().attributes, telemetry.span().status.status_code) == (lost, StatusCode.ERROR)
    ended = {"passwordless.operation": "start", "error.type": "outcome_unknown"}
    assert telemetry.points()["passwordless.operation.duration"] == [(ended, 1)]


async def test_nothing_of_a_user_is_exported(telemetry: Telemetry) -> None:
    """Neither code, token, key, proof, nonce, client secret nor address is anywhere in what is exported."""
    key = DPoPKey.generate()
    async with LocalTenant(TenantSettings(confidential_client_secret=SECRET)) as tenant:
        client_id, secret = tenant.confidential_client
        async with PasswordlessClient(
            tenant.url, client_id, client_auth=ClientSecretPost(secret), profile=TESTING, on_event=telemetry.hook
        ) as client:
            await client.start(ADA)
            otp = tenant.outbox.code_for(ADA)
            with pytest.raises(WrongCode):
                await client.exchange(ADA, "a-wrong-code")
            scope = "openid email profile offline_access"
            tokens = await client.exchange(ADA, otp, scope=scope, audience=BOUND_API, key=key)
            renewed = await client.refresh(tokens)
            await client.revoke(renewed)
        proofs = [request.proof for request in tenant.requests if request.proof]
    exported = telemetry.exported()
    held = [str(getattr(made, name)) for made in (tokens, renewed) for name in ("access_token", "refresh_token")]
    secrets = [SECRET, secret, client_id, otp, "a-wrong-code", key.thumbprint, key.to_jwk(private=True)["d"]]
    personal = [ADA.address, "lovelace", (tokens.claims or {})["sub"]]
    assert TOKEN in exported
    assert 4 == len(set(held)) == len([text for text in held if len(text) > 20])
    assert [text for text in (*held, *proofs, *secrets, *personal) if text in exported] == []
    assert "eyJ" not in exported
