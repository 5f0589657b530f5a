"""Logging a crowd in, timed: the figures and how they are taken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import pytest

from passwordless_async import TESTING, Email, PasswordlessClient, TemporarilyUnavailable
from passwordless_async.cli.demo import measure
from passwordless_async.testing import BOUND_API, PLAIN_API, Fault, LocalTenant

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from passwordless_async.auth0.tenant import DPoPMode

PEOPLE = [Email(f"user{number}@example.com") for number in range(3)]


@pytest.fixture
async def client(tenant: LocalTenant) -> AsyncIterator[PasswordlessClient]:
    """Return a client of the tenant."""
    async with PasswordlessClient(tenant.url, tenant.public_client_id, profile=TESTING) as client:
        yield client


@pytest.mark.parametrize(("dpop", "api"), [("off", PLAIN_API), ("preferred", BOUND_API), ("required", BOUND_API)])
def test_each_mode_has_an_api(dpop: DPoPMode, api: str) -> None:
    """Without proofs, one that takes unbound tokens."""
    assert measure.audience_of(dpop) == api


async def test_a_crowd_logs_in(tenant: LocalTenant, client: PasswordlessClient) -> None:
    """Each user has an outcome and each success a latency; every step is counted."""
    steps: list[None] = []
    await measure.send_codes(client, PEOPLE, concurrency=2, tick=lambda: steps.append(None))
    codes = [tenant.outbox.code_for(who) for who in PEOPLE]
    codes[0] = "000000" if codes[0] != "000000" else "000001"
    outcomes, latencies, seconds = await measure.log_in(
        client, PEOPLE, codes, concurrency=2, tick=lambda: steps.append(None)
    )
    assert (len(outcomes), len(latencies), len(steps)) == (3, 2, 6)
    assert latencies == sorted(latencies)
    assert 0 < latencies[-1] <= seconds
    logins = measure.CrowdLogins(PEOPLE, outcomes, seconds, latencies, attrs.evolve(tenant.stats))
    assert (logins.logins, logins.failures) == (2, 1)


async def test_the_first_refusal_is_raised(tenant: LocalTenant, client: PasswordlessClient) -> None:
    """A start that is refused ends the others, and is raised as it is."""
    tenant.faults.add(Fault.SERVICE_UNAVAILABLE, path="/passwordless/start")
    with pytest.raises(TemporarilyUnavailable):
        await measure.send_codes(client, PEOPLE, concurrency=2, tick=lambda: None)


@pytest.mark.parametrize(
    ("milliseconds", "expected"),
    [
        (range(1, 101), {"p50": 50, "p95": 95, "p99": 99}),
        ([7], {"p50": 7, "p95": 7, "p99": 7}),
        ([], {"p50": None, "p95": None, "p99": None}),
    ],
)
def test_percentiles_are_by_nearest_rank(milliseconds: Any, expected: dict[str, float | None]) -> None:
    """A percentile is a latency that was measured; without logins there is none."""
    stats: Any = attrs.make_class("Stats", ["wire_requests", "token_requests", "nonce_challenges", "distinct_keys"])
    latencies = [value / 1000 for value in milliseconds]
    logins = measure.CrowdLogins(PEOPLE, [], 2.0, latencies, stats(6, 4, 1, 3))
    assert logins.figures()["latency_ms"] == expected
