"""When a user may be sent a code: the cool-down and the budget of an address, through a tenant."""

from __future__ import annotations

import asyncio
import ipaddress

import pytest

from helpers.clients import START, arrived, cancelled, kept_waiting, opened
from helpers.values import present
from passwordless_async import (
    CodeExpired,
    CoolingDown,
    Email,
    OutcomeUnknown,
    QuotaExceeded,
    RateLimited,
    TemporarilyUnavailable,
    UsageError,
)
from passwordless_async.testing import Fault, TenantSettings

ADA, BOB = Email("ada@example.com"), Email("bob@example.com")
SCOPE = "openid offline_access"


async def test_a_second_start_within_the_cool_down_is_not_sent() -> None:
    """It raises ``CoolingDown`` with the remaining seconds: a new code would invalidate the first."""
    async with opened(cool_down=30.0) as (tenant, client):
        await client.start(ADA)
        with pytest.raises(CoolingDown) as refused:
            await client.start(ADA)
        assert 25 < present(refused.value.retry_after) <= 30
        assert arrived(tenant, START) == 1
        await client.start(BOB)


async def test_a_concurrent_start_is_refused() -> None:
    """The second start raises ``CoolingDown`` while the first is on the wire."""
    async with opened(cool_down=30.0) as (tenant, client):
        results = await asyncio.gather(client.start(ADA), client.start(ADA), return_exceptions=True)
        assert [isinstance(result, CoolingDown) for result in results] == [False, True]
        assert arrived(tenant, START) == 1


@pytest.mark.parametrize(
    ("fault", "error", "cools"),
    [
        (Fault.SERVICE_UNAVAILABLE, TemporarilyUnavailable, False),
        (Fault.RATE_LIMITED_SILENT, RateLimited, False),
        (Fault.DROP_AFTER_PROCESSING, OutcomeUnknown, True),
    ],
)
async def test_a_failed_start_cools_down_only_if_a_code_may_be_sent(
    fault: Fault, error: type[Exception], *, cools: bool
) -> None:
    """After a refusal another start may follow at once; after a lost response it may not."""
    async with opened(cool_down=30.0) as (tenant, client):
        tenant.faults.add(fault, path=START, times=1)
        with pytest.raises(error):
            await client.start(ADA)
        again = await asyncio.gather(client.start(ADA), return_exceptions=True)
        assert cools is isinstance(again[0], CoolingDown)


async def test_a_used_or_expired_code_ends_the_cool_down() -> None:
    """After a login, or ``CodeExpired``, the user may request another code at once."""
    async with opened(TenantSettings(nonce_replaces_iat=True), cool_down=30.0) as (tenant, client):
        await client.start(ADA)
        await client.exchange(ADA, tenant.outbox.code_for(ADA))
        await client.start(ADA)
        tenant.clock.advance(181)
        with pytest.raises(CodeExpired):
            await client.exchange(ADA, tenant.outbox.code_for(ADA))
        await client.start(ADA)


async def test_an_unsent_start_counts_for_nothing() -> None:
    """A start that was cancelled in the queue, or refused, changes neither cool-down nor the share of the address."""
    home = ipaddress.ip_address("192.0.2.1")
    async with opened(confidential=True, cool_down=30.0, starts_per_hour=1, max_in_flight=1) as (tenant, client):
        first, answer = await kept_waiting(tenant, client.start(BOB), START)
        waiting = asyncio.create_task(client.start(ADA, forwarded_for=home))
        await asyncio.sleep(0)
        await cancelled(waiting)
        answer.set()
        await first
        with pytest.raises(UsageError):
            await client.start(ADA, forwarded_for=home, language="not a tag")
        await client.start(ADA, forwarded_for=home)
        with pytest.raises(QuotaExceeded):
            await client.start(Email("c@example.com"), forwarded_for=home)


async def test_each_address_has_its_own_share() -> None:
    """When the share of one address is used up, starts for other addresses are sent."""
    home, office = ipaddress.ip_address("192.0.2.1"), ipaddress.ip_address("192.0.2.2")
    async with opened(confidential=True, starts_per_hour=2) as (tenant, client):
        await client.start(Email("a@example.com"), forwarded_for=home)
        await client.start(Email("b@example.com"), forwarded_for=home)
        with pytest.raises(QuotaExceeded) as refused:
            await client.start(Email("c@example.com"), forwarded_for=home)
        assert 3500 < present(refused.value.retry_after) <= 3600
        tenant.faults.add(Fault.RATE_LIMITED_RETRY_AFTER, path=START, times=1, retry_after=1800)
        with pytest.raises(RateLimited):
            await client.start(Email("d@example.com"), forwarded_for=office)
        with pytest.raises(QuotaExceeded):
            await client.start(Email("e@example.com"), forwarded_for=office)
        await client.start(Email("f@example.com"))
        assert arrived(tenant, START) == 4
