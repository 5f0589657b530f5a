"""Figures: right whichever process counts, whichever dies, and as Prometheus reads them."""

from __future__ import annotations

import os
import re
import signal
from typing import TYPE_CHECKING

import pytest

from passwordless_async.cli.gateway import figures
from passwordless_async.client.events import Challenged, Done, Operation, StoreLost, StoreRegained, Use
from passwordless_async.gateway.audit import AuditEvent, AuditKind

if TYPE_CHECKING:
    from collections.abc import Mapping


def read(made: figures.Figures) -> Mapping[str, float]:
    """Return the figures by the names of their series."""
    lines = [line for line in made.text().splitlines() if not line.startswith("#")]
    return {name: float(number) for name, _, number in (line.rpartition(" ") for line in lines)}


def test_the_text() -> None:
    """Each metric has its help and its kind; each line is a name with labels, and a number."""
    text = figures.Figures(["/api/"], 1).text()
    names = re.findall(r"^# HELP (\w+) \S.*\n# TYPE \1 (?:counter|gauge|histogram)$", text, re.MULTILINE)
    assert len(names) == 8
    line = re.compile(r'(\w+?)(?:_bucket|_sum|_count)?(?:\{\w+="[^"\n]*"(?:,\w+="[^"\n]*")*\})? \d+')
    for each in text.splitlines():
        if not each.startswith("#"):
            match = line.fullmatch(each)
            assert match is not None, each
            assert match[1] in names or match[1].removesuffix("_total") in names


def test_calls_of_several_workers_are_added_up() -> None:
    """Counters and buckets; a bucket has all that took at most as long."""
    made = figures.Figures(["/api/"], 2)
    for number, seconds in ((0, 0.004), (0, 0.3), (1, 99.0)):
        made.row(number).count_call("/api/", 200, seconds)
    made.row(1).count_call("pages", 404, 0.005)
    seen = read(made)
    assert seen['passwordless_gateway_requests_total{route="/api/",status="2xx"}'] == 3
    assert seen['passwordless_gateway_requests_total{route="pages",status="4xx"}'] == 1
    duration = "passwordless_gateway_request_duration_seconds"
    buckets = {
        bound: seen[f'{duration}_bucket{{route="/api/",le="{bound}"}}'] for bound in ("0.005", "0.5", "10", "+Inf")
    }
    assert buckets == {"0.005": 1, "0.5": 2, "10": 2, "+Inf": 3}
    assert seen[f'{duration}_bucket{{route="pages",le="0.005"}}'] == 1
    assert seen[f'{duration}_count{{route="/api/"}}'] == 3
    assert seen[f'{duration}_sum{{route="/api/"}}'] == pytest.approx(99.304)


@pytest.mark.parametrize(("status", "shown"), [(101, "1xx"), (299, "2xx"), (599, "5xx"), (999, "5xx"), (0, "1xx")])
def test_statuses(status: int, shown: str) -> None:
    """By their hundreds; one that is none goes to the nearest."""
    made = figures.Figures([], 1)
    made.row(0).count_call("pages", status, 0.1)
    assert read(made)[f'passwordless_gateway_requests_total{{route="pages",status="{shown}"}}'] == 1


def test_routes() -> None:
    """The longest prefix counts."""
    row = figures.Figures(["/api/", "/api/v2/"], 1).row(0)
    paths = ("/api/v2/x", "/api/x", "/api", "/login", "/apis")
    assert [row.route_of(path) for path in paths] == ["/api/v2/", "/api/", "/api/", "pages", "pages"]


def test_pages_beside_an_upstream_of_everything_else() -> None:
    """The gateway's own pages are pages, though they are below its prefix; the home is the upstream's."""
    row = figures.Figures(["/"], 1).row(0)
    paths = ("/login", "/static/style-x.css", "/sessions/end", "/", "/loginx", "*")
    assert [row.route_of(path) for path in paths] == ["pages", "pages", "pages", "/", "/", "pages"]


def test_what_is_told() -> None:
    """Events of the client and of the audit log."""
    made = figures.Figures([], 1)
    row = made.row(0)
    row.on_audit(AuditEvent(kind=AuditKind.LOGGED_IN, at=0.0))
    for error in (None, "wrong_code", "cancelled"):
        row.on_event(Done(Operation.EXCHANGE, error, 0.2, 1))
    row.on_event(Challenged(Operation.EXCHANGE))
    row.on_event(StoreLost(Use.CODES))
    row.on_event(StoreLost(Use.QUOTA))
    row.on_event(StoreRegained(Use.CODES))
    seen = read(made)
    assert seen['passwordless_gateway_events_total{kind="logged_in"}'] == 1
    operations = "passwordless_gateway_tenant_operations_total"
    assert [seen[f'{operations}{{operation="exchange",outcome="{each}"}}'] for each in ("ok", "error")] == [1, 2]
    assert seen['passwordless_gateway_tenant_operation_duration_seconds_count{operation="exchange"}'] == 3
    assert [seen[f'passwordless_gateway_store_lost{{use="{each}"}}'] for each in ("codes", "quota")] == [0, 1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system does not fork")
def test_a_worker_that_is_killed() -> None:
    """What it has counted stays; what it had in flight is gone when another takes its row."""
    made = figures.Figures([], 2)
    in_flight = 'passwordless_gateway_requests_in_flight{route="pages"}'
    pid = os.fork()
    if not pid:
        row = made.row(1)
        row.count_call("pages", 200, 0.1)
        row.add(figures.IN_FLIGHT, "pages")
        os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL
    assert read(made)[in_flight] == 1
    made.row(1).count_call("pages", 200, 0.1)
    seen = read(made)
    assert (seen['passwordless_gateway_requests_total{route="pages",status="2xx"}'], seen[in_flight]) == (2, 0)
    assert seen["passwordless_gateway_worker_starts_total"] == 2


def test_a_prefix_with_a_quotation_mark() -> None:
    """A label is escaped."""
    assert 'route="/a\\"b\\\\/"' in figures.Figures(['/a"b\\/'], 1).text()
