"""The events of a client as OpenTelemetry spans and metrics; needs the extra ``otel``.

.. code-block:: python

    from passwordless_async import PasswordlessClient
    from passwordless_async.adapters.opentelemetry import OpenTelemetry

    async with PasswordlessClient("acme.eu.auth0.com", "client-id", on_event=OpenTelemetry()) as client:
        ...

To use another function too, pass a list: ``on_event=[OpenTelemetry(), log_event]``.

Spans: each transmission has one of kind CLIENT, by the stable HTTP conventions. Its parent is the current span of
the client's caller. It ends when the body of the response has been read. Its name is the method, as the
conventions demand; ``passwordless.operation`` names the operation. A key set that several callers wait for is fetched
once, below the span of the first caller.

==================================== ========= ============= =======================================================
Metric                               Kind      Unit          Attributes
==================================== ========= ============= =======================================================
``http.client.request.duration``     histogram s             ``http.request.method``, ``server.address``,
                                                             ``server.port``, ``http.response.status_code``,
                                                             ``error.type``
``passwordless.operation.duration``  histogram s             ``passwordless.operation``, ``error.type``
``passwordless.operation.requests``  histogram {request}     ``passwordless.operation``, ``error.type``
``passwordless.paced.duration``      histogram s             ``passwordless.operation``
``passwordless.nonce.challenges``    counter   {challenge}   ``passwordless.operation``
``passwordless.retries``             counter   {retry}       ``passwordless.operation``, ``error.type``
``passwordless.orphans``             counter   {orphan}      ``passwordless.operation``, ``error.type``
``passwordless.tokens.unbound``      counter   {answer}      ``passwordless.operation``
``passwordless.stores.lost``         updown    {store}       ``passwordless.store.use``
==================================== ========= ============= =======================================================

``error.type`` is the ``code`` of a :class:`~passwordless_async.PasswordlessError`, or the status of a response as text
from 400 on; it is missing without an error. No attribute holds data of a user.

If aiohttp's requests are traced already, ``OpenTelemetry(NoOpTracerProvider())`` makes only metrics. No header for the
propagation of traces is sent: the service belongs to a third party.
"""

from __future__ import annotations

from contextvars import ContextVar
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeAlias, assert_never

import attrs
from yarl import URL

from passwordless_async._common import clock as _clock
from passwordless_async._common.extras import missing_extra
from passwordless_async.client.events import (
    Challenged,
    Done,
    Orphaned,
    Paced,
    Retried,
    Sent,
    StoreLost,
    StoreRegained,
    UnboundTokens,
)

try:
    from opentelemetry import metrics, trace
    from opentelemetry.trace import SpanKind, StatusCode, TracerProvider
except ModuleNotFoundError as _missing:
    raise missing_extra("otel", _missing, library="opentelemetry") from None

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider

    from passwordless_async.client.events import Event, Operation

__all__ = ["OpenTelemetry"]

_Attributes: TypeAlias = "dict[str, str | int]"

_NAME = "passwordless_async"
_SCHEMA = "https://opentelemetry.io/schemas/1.23.1"
_NANOSECONDS_PER_SECOND = 1_000_000_000
# Seconds, as in the conventions.
_REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
_OPERATION_BUCKETS = (*_REQUEST_BUCKETS, 30, 60, 120, 300)  # a bulk operation may wait for minutes
_COUNT_BUCKETS = (0, 1, 2, 3, 4, 5, 10)
_HISTOGRAMS = (
    ("http.client.request.duration", "s", "Duration of HTTP client requests.", _REQUEST_BUCKETS),
    ("passwordless.operation.duration", "s", "Duration of operations, waits and tries included.", _OPERATION_BUCKETS),
    ("passwordless.paced.duration", "s", "How long operations waited for their turn.", _OPERATION_BUCKETS),
    ("passwordless.operation.requests", "{request}", "Requests that operations took.", _COUNT_BUCKETS),
)


@attrs.frozen
class _Transmission:
    """The last transmission of an operation in this task, and how often it was sent before."""

    operation: Operation
    path: str
    resends: int


class OpenTelemetry:
    """Turns events into spans and metrics; pass it as ``on_event`` to one client or several.

    Challenges, paces and retries become metrics only: no span of this library is open when they happen, and the current
    span is the application's. The ``http.request.resend_count`` of a span shows them.

    Args:
        tracer_provider: Makes the spans; the global provider if None.
        meter_provider: Makes the metrics; the global provider if None.
    """

    def __init__(
        self, tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None
    ) -> None:
        self._tracer = trace.get_tracer(_NAME, tracer_provider=tracer_provider, schema_url=_SCHEMA)
        meter = metrics.get_meter(_NAME, meter_provider=meter_provider, schema_url=_SCHEMA)
        counter = meter.create_counter
        histograms = [
            meter.create_histogram(name, unit, description, explicit_bucket_boundaries_advisory=buckets)
            for name, unit, description, buckets in _HISTOGRAMS
        ]
        self._requests, self._operations, self._paced, self._transmissions = histograms
        self._counters = {
            Challenged: counter("passwordless.nonce.challenges", "{challenge}", "Nonce challenges of the server."),
            UnboundTokens: counter("passwordless.tokens.unbound", "{answer}", "Tokens that are bound to no key."),
        }
        self._retries = counter("passwordless.retries", "{retry}", "Failed tries that were repeated.")
        self._orphans = counter(
            "passwordless.orphans", "{orphan}", "Operations that ended after their caller had gone."
        )
        self._lost = meter.create_up_down_counter(
            "passwordless.stores.lost", "{store}", "Clients for which a store is unreachable, by use."
        )
        self._last: ContextVar[_Transmission | None] = ContextVar("last", default=None)

    def __call__(self, event: Event) -> None:
        """Record an event."""
        match event:
            case Sent():
                self._sent(event)
            case Challenged() | UnboundTokens():
                self._counters[type(event)].add(1, _attributes(event.operation))
            case Paced():
                self._paced.record(event.seconds, _attributes(event.operation))
            case Retried():
                self._retries.add(1, _attributes(event.operation, event.error))
            case Orphaned():
                self._orphans.add(1, _attributes(event.operation, event.error))
            case Done():
                self._done(event)
            case _:
                self._store(event)

    def _done(self, done: Done) -> None:
        self._last.set(None)
        attributes = _attributes(done.operation, done.error)
        self._operations.record(done.seconds, attributes)
        self._transmissions.record(done.transmissions, attributes)

    def _store(self, event: StoreLost | StoreRegained) -> None:
        if not isinstance(event, StoreLost | StoreRegained):
            assert_never(event)
        self._lost.add(1 if isinstance(event, StoreLost) else -1, {"passwordless.store.use": event.use.value})

    def _sent(self, sent: Sent) -> None:
        url = URL(sent.origin).with_path(sent.path)
        request = _request(sent, url)
        self._requests.record(sent.seconds, request)
        attributes = {**request, "url.full": str(url), **_attributes(sent.operation)}
        resends = self._resends(sent)
        if resends:
            attributes["http.request.resend_count"] = resends
        end = round(_clock.now() * _NANOSECONDS_PER_SECOND)
        span = self._tracer.start_span(
            sent.method,
            kind=SpanKind.CLIENT,
            attributes=attributes,
            start_time=end - round(sent.seconds * _NANOSECONDS_PER_SECOND),
        )
        if "error.type" in request:
            span.set_status(StatusCode.ERROR)
        span.end(end)

    def _resends(self, sent: Sent) -> int:
        # Not the number of the transmission: an operation may also fetch a key set or revoke a token, and a code that
        # was sent once must not look as if it had been sent twice.
        last, resends = self._last.get(), 0
        if last is not None and sent.transmission > 1 and (last.operation, last.path) == (sent.operation, sent.path):
            resends = last.resends + 1
        self._last.set(_Transmission(sent.operation, sent.path, resends))
        return resends


def _request(sent: Sent, url: URL) -> _Attributes:
    # As in the Host header: an internationalised name as its A-label; the default port of the scheme if none is given.
    attributes: _Attributes = {
        "http.request.method": sent.method,
        "server.address": url.raw_host or "",
        "server.port": url.port or 0,
    }
    if sent.status is not None:
        attributes["http.response.status_code"] = sent.status
    if sent.error is not None:
        attributes["error.type"] = sent.error
    elif sent.status is not None and sent.status >= HTTPStatus.BAD_REQUEST:
        attributes["error.type"] = str(sent.status)
    return attributes


def _attributes(operation: Operation, error: str | None = None) -> _Attributes:
    attributes: _Attributes = {"passwordless.operation": operation.value}
    if error is not None:
        attributes["error.type"] = error
    return attributes
