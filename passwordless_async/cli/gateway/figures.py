"""Metrics of all processes of a gateway, in the format of Prometheus.

Each process writes to its own row of shared memory, and ``/metrics`` returns the sums. If a worker is killed, its
successor continues in its row, so the sums stay right. The series are fixed when the memory is made: no flood of calls
makes it grow.

Why not prometheus_client: with several processes it needs a folder for their files, named in the environment before it
is imported and emptied at each start. The format is some lines of text.
"""

from __future__ import annotations

import bisect
import mmap
from itertools import accumulate, product
from typing import TYPE_CHECKING

import attrs

from passwordless_async.client.events import Done, Event, Operation, StoreLost, StoreRegained, Use
from passwordless_async.gateway.audit import AuditEvent, AuditKind
from passwordless_async.gateway.routes import RESERVED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

REQUESTS = "passwordless_gateway_requests_total"
SECONDS = "passwordless_gateway_request_duration_seconds"
IN_FLIGHT = "passwordless_gateway_requests_in_flight"
EVENTS = "passwordless_gateway_events_total"
STARTS = "passwordless_gateway_worker_starts_total"
OPERATIONS = "passwordless_gateway_tenant_operations_total"
OPERATION_SECONDS = "passwordless_gateway_tenant_operation_duration_seconds"
LOST = "passwordless_gateway_store_lost"

PAGES = "pages"  # the route of the gateway's own
_STATUSES = ("1xx", "2xx", "3xx", "4xx", "5xx")
_OUTCOMES = ("ok", "error")
# Seconds, as in the conventions of OpenTelemetry.
_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
_BYTES = 8  # of a number


@attrs.frozen
class _Metric:
    """A metric: its kind, what it says, and the values of its labels."""

    name: str
    kind: str
    help: str
    labels: Mapping[str, Iterable[str]] = attrs.field(factory=dict)

    @property
    def series(self) -> list[tuple[str, ...]]:
        return list(product(*self.labels.values()))

    @property
    def width(self) -> int:
        """How many numbers a series has: of a histogram a count for each bucket, and the sum."""
        return len(_BOUNDS) + 2 if self.kind == "histogram" else 1


def _metrics(routes: Iterable[str]) -> tuple[_Metric, ...]:
    where = {"route": tuple(routes)}
    what = {"operation": tuple(each.value for each in Operation)}
    return (
        _Metric(REQUESTS, "counter", "Calls, by status.", {**where, "status": _STATUSES}),
        _Metric(SECONDS, "histogram", "Duration of calls.", where),
        _Metric(IN_FLIGHT, "gauge", "Calls in flight.", where),
        _Metric(EVENTS, "counter", "Logins and sessions.", {"kind": tuple(each.value for each in AuditKind)}),
        _Metric(STARTS, "counter", "Process starts; more than the number of workers means that some died."),
        _Metric(OPERATIONS, "counter", "Operations at the tenant, by outcome.", {**what, "outcome": _OUTCOMES}),
        _Metric(OPERATION_SECONDS, "histogram", "Duration of these operations, with waits and retries.", what),
        _Metric(LOST, "gauge", "Processes that cannot reach the store.", {"use": tuple(each.value for each in Use)}),
    )


class Figures:
    """The figures of a gateway.

    Args:
        prefixes: The prefixes of its upstreams, which have their own figures.
        workers: The number of processes.
    """

    def __init__(self, prefixes: Iterable[str], workers: int) -> None:
        self.routes: tuple[str, ...] = (PAGES, *sorted(prefixes, key=len, reverse=True))
        self._metrics = _metrics(self.routes)
        widths = [metric.width for metric in self._metrics for _ in metric.series]
        keys = [(metric.name, *labels) for metric in self._metrics for labels in metric.series]
        self._places = dict(zip(keys, accumulate(widths, initial=0), strict=False))
        self._width = sum(widths)
        self._workers = workers
        # Anonymous and shared: children have the same memory, not a copy.
        self._numbers = memoryview(mmap.mmap(-1, workers * self._width * _BYTES)).cast("d")

    def row(self, worker: int) -> Row:
        """Return the row of a worker, by its number from 0; the worker has just started, with nothing in flight."""
        numbers = self._numbers[worker * self._width : (worker + 1) * self._width]
        for metric in self._metrics:
            if metric.kind == "gauge":
                for labels in metric.series:
                    numbers[self._places[metric.name, *labels]] = 0.0
        row = Row(numbers, self._places, self.routes)
        row.add(STARTS)
        return row

    def text(self) -> str:
        """Return all figures in the text format of Prometheus (0.0.4)."""
        return "".join(f"{line}\n" for metric in self._metrics for line in self._lines(metric))

    def _lines(self, metric: _Metric) -> Iterator[str]:
        yield f"# HELP {metric.name} {metric.help}"
        yield f"# TYPE {metric.name} {metric.kind}"
        for labels in metric.series:
            named = list(zip(metric.labels, labels, strict=True))
            numbers = self._sums(self._places[metric.name, *labels], metric.width)
            if metric.kind != "histogram":
                yield f"{metric.name}{_labels(named)} {numbers[0]:.17g}"
                continue
            *counts, total = numbers
            for bound, count in zip((*map(str, _BOUNDS), "+Inf"), accumulate(counts), strict=True):
                yield f"{metric.name}_bucket{_labels([*named, ('le', bound)])} {count:.17g}"
            yield f"{metric.name}_sum{_labels(named)} {total:.17g}"
            yield f"{metric.name}_count{_labels(named)} {sum(counts):.17g}"

    def _sums(self, place: int, width: int) -> list[float]:
        rows = range(self._workers)
        return [sum(self._numbers[row * self._width + place + each] for row in rows) for each in range(width)]


@attrs.frozen(eq=False, repr=False)
class Row:
    """The figures of one process, which alone writes to them."""

    _numbers: memoryview[float]
    _places: Mapping[tuple[str, ...], int]
    _routes: tuple[str, ...]

    def add(self, *key: str, amount: float = 1.0) -> None:
        """Add to a counter, or to a gauge."""
        self._numbers[self._places[key]] += amount

    def observe(self, *key: str, seconds: float) -> None:
        """Add a duration to a histogram."""
        place = self._places[key]
        self._numbers[place + bisect.bisect_left(_BOUNDS, seconds)] += 1.0
        self._numbers[place + len(_BOUNDS) + 1] += seconds

    def route_of(self, path: str) -> str:
        """Return what a path belongs to: the prefix of an upstream, or the pages."""
        if path.removeprefix("/").partition("/")[0] in RESERVED:
            return PAGES
        for prefix in self._routes[1:]:
            if f"{path}/".startswith(prefix):
                return prefix
        return PAGES

    def count_call(self, route: str, status: int, seconds: float) -> None:
        """Count a call."""
        self.add(REQUESTS, route, _STATUSES[min(max(status // 100, 1), len(_STATUSES)) - 1])
        self.observe(SECONDS, route, seconds=seconds)

    def on_audit(self, event: AuditEvent) -> None:
        """Count the events of the audit log."""
        self.add(EVENTS, event.kind.value)

    def on_event(self, event: Event) -> None:
        """Count what the client emits."""
        match event:
            case Done():
                self.add(OPERATIONS, event.operation.value, "ok" if event.error is None else "error")
                self.observe(OPERATION_SECONDS, event.operation.value, seconds=event.seconds)
            case StoreLost():
                self.add(LOST, event.use.value)
            case StoreRegained():
                self.add(LOST, event.use.value, amount=-1.0)
            case _:
                pass


def _labels(named: Iterable[tuple[str, str]]) -> str:
    text = ",".join(f'{name}="{_escape(value)}"' for name, value in named)
    return f"{{{text}}}" if text else ""


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
