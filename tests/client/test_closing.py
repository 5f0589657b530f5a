"""Closing a client: requests on the wire finish within the grace period, and the rest is reported."""

from __future__ import annotations

import asyncio

import pytest

from helpers.clients import PATIENT, START, TOKEN, arrived, cancelled, kept_waiting, opened, until
from passwordless_async import (
    Email,
    NotSent,
    Orphan,
    OutcomeUnknown,
    RateLimited,
    UsageError,
)
from passwordless_async.testing import Fault

ADA, BOB = Email("ada@example.com"), Email("bob@example.com")
SCOPE = "openid offline_access"


async def test_closing_finishes_what_has_left() -> None:
    """Within the grace period it ends, and its caller gets the tokens; nothing is abandoned."""
    async with opened(grace=20.0) as (tenant, client):
        await client.start(ADA)
        exchanging, answer = await kept_waiting(tenant, client.exchange(ADA, tenant.outbox.code_for(ADA)))
        closing = asyncio.create_task(client.aclose())
        await asyncio.sleep(0)
        answer.set()
        assert (await closing).exchanges == ()
        assert (await exchanging).token_type == "DPoP"


async def test_closing_reports_what_it_abandons() -> None:
    """What is not answered in time ends as an outcome that nobody knows; what had not left was not sent."""
    async with opened(grace=0.0, max_in_flight=1) as (tenant, client):
        await asyncio.gather(client.start(ADA), client.start(BOB))
        left, answer = await kept_waiting(tenant, client.exchange(ADA, tenant.outbox.code_for(ADA)))
        waits = asyncio.create_task(client.exchange(BOB, tenant.outbox.code_for(BOB)))
        await asyncio.sleep(0)
        report = await client.aclose()
        assert (report.exchanges, report.refreshes, report.factors) == ((ADA,), 0, 0)
        with pytest.raises(OutcomeUnknown, match="closed"):
            await left
        with pytest.raises(NotSent, match="closed"):
            await waits
        answer.set()


async def test_closing_waits_for_starts_and_takes_no_more() -> None:
    """What has left is given its time, be it a start; who comes after that is told that the client is closed."""
    async with opened(grace=20.0) as (tenant, client):
        starting, answer = await kept_waiting(tenant, client.start(ADA), START)
        closing = asyncio.create_task(client.aclose())
        for _ in range(5):
            await asyncio.sleep(0)
        with pytest.raises(UsageError, match="is not open"):
            await client.start(BOB)
        answer.set()
        assert (await starting).who == ADA
        assert (await closing).others == 0


async def test_closing_cuts_what_takes_too_long() -> None:
    """A start that is not answered in time is named, and its caller told that nobody knows."""
    async with opened(grace=0.01) as (tenant, client):
        starting, answer = await kept_waiting(tenant, client.start(ADA), START)
        assert (await client.aclose()).others == 1
        with pytest.raises(OutcomeUnknown, match="the client was closed"):
            await starting
        answer.set()


async def test_closing_sends_away_who_waits() -> None:
    """A pause or a full gate holds nobody in a client that is closed."""
    async with opened(single=PATIENT, grace=20.0) as (tenant, client):
        await client.start(ADA)
        tenant.faults.add(Fault.RATE_LIMITED_RETRY_AFTER, path=TOKEN, times=1, retry_after=9)
        calls: list[asyncio.Task[object]] = [asyncio.create_task(client.exchange(ADA, tenant.outbox.code_for(ADA)))]
        await until(lambda: arrived(tenant, TOKEN))
        calls += [asyncio.create_task(client.start(Email(f"user{number}@example.com"))) for number in range(3)]
        await until(lambda: client._dispatcher.gate.waiting == 4)
        async with asyncio.timeout(5):
            await client.aclose()
            results = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(result, NotSent | RateLimited) for result in results), results


async def test_closing_twice_is_one_closing() -> None:
    """Both wait for the same end, and have the same report; one that is cancelled does not hurry the other."""
    async with opened(grace=20.0) as (tenant, client):
        await client.start(ADA)
        exchanging, answer = await kept_waiting(tenant, client.exchange(ADA, tenant.outbox.code_for(ADA)))
        first, second, impatient = [asyncio.create_task(client.aclose()) for _ in range(3)]
        await asyncio.sleep(0)
        await cancelled(impatient)
        answer.set()
        assert await first is await second
        assert (await exchanging).token_type == "DPoP"


async def test_closing_waits_for_on_orphan() -> None:
    """What is being handed over when the client closes is handed over to the end."""
    handed: list[Orphan] = []
    go_on = asyncio.Event()

    async def keep(orphan: Orphan) -> None:
        await go_on.wait()
        handed.append(orphan)

    async with opened(grace=20.0, on_orphan=keep) as (tenant, client):
        await client.start(ADA)
        exchanging, answer = await kept_waiting(tenant, client.exchange(ADA, tenant.outbox.code_for(ADA)))
        await cancelled(exchanging)
        answer.set()
        await until(lambda: client._logins._flights._handovers)
        closing = asyncio.create_task(client.aclose())
        await asyncio.sleep(0)
        go_on.set()
        assert (await closing).exchanges == ()
        assert [orphan.who for orphan in handed] == [ADA]
