"""Rate limits."""

from __future__ import annotations

import pytest

from helpers.tenant_wire import Opener, log_in_offline, start_database
from passwordless_async.auth0.identity import Email
from passwordless_async.testing import TenantClock
from passwordless_async.testing.state.limits import _MAX_WINDOWS, FixedWindows, TokenBuckets


async def test_the_limit(wire_for: Opener) -> None:
    """The refusal has X-RateLimit headers and Retry-After; an hour later a start passes again."""
    wire = await wire_for(challenges_per_hour=1)
    assert (await start_database(wire)).status == 200

    limited = await start_database(wire)

    assert limited.words[:2] == (429, "too_many_requests")
    assert int(limited.headers["Retry-After"]) > 3500
    assert limited.headers["X-RateLimit-Remaining"] == "0"
    assert (await start_database(wire, email="bob@example.com")).status == 200
    wire.tenant.clock.advance(3600)
    assert (await start_database(wire)).status == 200


@pytest.mark.parametrize(
    ("style", "limited", "on_success"),
    [
        ("x-ratelimit", "x-ratelimit-reset", "x-ratelimit-limit"),
        ("auth0-ratelimit", "Auth0-RateLimit", "Auth0-RateLimit"),
        ("retry-after", "Retry-After", None),
        ("silent", None, None),
    ],
)
async def test_the_tenants_limit(wire_for: Opener, style: str, limited: str | None, on_success: str | None) -> None:
    """Over the limit the response is 429 in the chosen style; a second later a request passes again."""
    wire = await wire_for(requests_per_second=1, rate_limit_style=style)
    wire.tenant.clock.advance(1000)
    first, second = await wire.start(), await wire.start()

    if second.status == 200:  # a second passed between the two on a slow machine
        second = await wire.start()
    assert (first.status, second.status) == (200, 429)
    assert limited is None or second.headers[limited]
    assert on_success is None or first.headers[on_success]
    wire.tenant.clock.advance(1)
    assert (await wire.start()).status == 200


def test_limits_have_a_bounded_memory() -> None:
    """Of any number of addresses and users, the least recent is forgotten, the others keep their counts."""
    clock = TenantClock()
    windows, buckets = FixedWindows(clock, 3600.0), TokenBuckets(clock)
    for number in range(_MAX_WINDOWS + 10):
        assert windows.take(str(number), 1)
        assert buckets.take(str(number), 1, 0.001) == 0.0

    assert (len(windows._counts), len(buckets._levels)) == (_MAX_WINDOWS, _MAX_WINDOWS)
    assert (windows.take("10", 1), buckets.take("10", 1, 0.001) > 0) == (None, True)


async def test_starts_per_hour_and_address(wire_for: Opener) -> None:
    """Starts are limited for each address; a trusted forwarded one has a window of its own."""
    wire = await wire_for(starts_per_hour=1)
    client_id, secret = wire.tenant.confidential_client
    gateway = {"client_id": client_id, "client_secret": secret}

    assert [(await wire.start()).status for _ in range(2)] == [200, 429]
    for ip in ("192.0.2.1", "192.0.2.2"):
        assert (await wire.start(headers={"auth0-forwarded-for": ip}, **gateway)).status == 200
    wire.tenant.clock.advance(3600)
    assert (await wire.start()).status == 200


async def test_the_limit_of_userinfo(wire_for: Opener) -> None:
    """Each user has a burst, and then so many requests per minute."""
    wire = await wire_for(userinfo_burst=2, userinfo_per_minute=6, rate_limit_style="retry-after")
    token = (await log_in_offline(wire))["access_token"]

    assert [(await wire.userinfo(token)).status for _ in range(3)] == [200, 200, 429]
    assert (await wire.userinfo(token)).headers["Retry-After"] == "10"
    wire.tenant.clock.advance(10)
    assert [(await wire.userinfo(token)).status for _ in range(2)] == [200, 429]
    await wire.start(email="bob@example.com")
    form = {"username": "bob@example.com", "otp": wire.tenant.outbox.code_for(Email("bob@example.com"))}
    other = (await wire.exchange(**form)).json["access_token"]
    assert (await wire.userinfo(other)).status == 200
