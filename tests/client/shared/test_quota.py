"""A quota that several machines share."""

from __future__ import annotations

import asyncio
from typing import Any

import attrs
import pytest

from helpers.machines import ADA, BOB, TOKEN, machines, too_many_requests
from passwordless_async import (
    INTERACTIVE,
    Email,
    PasswordlessClient,
    Start,
)
from passwordless_async.testing import Fault, TenantSettings


@pytest.mark.slow
async def test_four_machines_together_use_one_quota(stores: Any) -> None:
    """They stay within it and use it; no request is answered by a 429."""
    profile = attrs.evolve(INTERACTIVE, requests_per_second=50, cool_down=0.0)
    # A fifth to spare: on a busy machine some requests come late, and meet the next ones.
    settings = TenantSettings(requests_per_second=60)
    async with machines(stores, 4, profile=profile, settings=settings) as (tenant, clients, events):
        loop = asyncio.get_running_loop()
        began = loop.time()
        crowd = [[Start(Email(f"user{number}.{n}@example.com")) for number in range(30)] for n in range(4)]

        async def start(client: PasswordlessClient, starts: list[Start]) -> list[Any]:
            return [outcome async for outcome in client.start_many(starts)]

        outcomes = [outcome for each in await asyncio.gather(*map(start, clients, crowd)) for outcome in each]
        seconds = loop.time() - began
        assert [outcome.error for outcome in outcomes if outcome.error is not None] == []
        assert (tenant.stats.start_requests, too_many_requests(events)) == (120, 0)
        assert 120 / 50 * 0.9 < seconds < 120 / 50 * 2


@pytest.mark.slow
async def test_a_429_pauses_all_machines(stores: Any) -> None:
    """The pause that one machine was told of is kept by the others."""
    profile = attrs.evolve(INTERACTIVE, requests_per_second=50, cool_down=0.0)
    async with machines(stores, 2, profile=profile) as (tenant, (here, there), events):
        await here.start(ADA)
        tenant.faults.add(Fault.RATE_LIMITED_RETRY_AFTER, path=TOKEN, times=1, retry_after=1)
        exchange = asyncio.create_task(here.exchange(ADA, tenant.outbox.code_for(ADA)))
        while not too_many_requests(events):  # noqa: ASYNC110 - only polling tells
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.05)  # the word of it has to reach the store: nothing else tells when it has
        began = asyncio.get_running_loop().time()
        await there.start(BOB)
        assert asyncio.get_running_loop().time() - began > 0.5
        await exchange
