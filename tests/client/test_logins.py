"""One user's codes: each is sent once, and they go in order."""

from __future__ import annotations

import asyncio

import pytest

from helpers.clients import TOKEN, arrived, cancelled, kept_waiting, opened
from passwordless_async import (
    Email,
    UsageError,
    WrongCode,
)

ADA, BOB = Email("ada@example.com"), Email("bob@example.com")
SCOPE = "openid offline_access"


async def test_concurrent_exchanges_of_one_code_share_one_request() -> None:
    """Both callers receive the same tokens."""
    async with opened() as (tenant, client):
        await client.start(ADA)
        code = tenant.outbox.code_for(ADA)
        first, second = await asyncio.gather(*(client.exchange(ADA, code, scope=SCOPE) for _ in range(2)))
        assert (second, arrived(tenant, TOKEN)) == (first, 1)


async def test_one_code_with_other_parameters_is_refused() -> None:
    """The second call raises ``UsageError``, and the first is not disturbed."""
    async with opened() as (tenant, client):
        await client.start(ADA)
        code = tenant.outbox.code_for(ADA)
        first, answer = await kept_waiting(tenant, client.exchange(ADA, code, scope=SCOPE))
        with pytest.raises(UsageError, match="otp: is being exchanged already"):
            await client.exchange(ADA, code, scope="openid")
        answer.set()
        assert (await first).claims["email"] == "ada@example.com"
        assert arrived(tenant, TOKEN) == 1


async def test_codes_of_one_user_are_sent_in_order() -> None:
    """The second code is sent after the first is answered; another user's code does not wait."""
    async with opened() as (tenant, client):
        await asyncio.gather(client.start(ADA), client.start(BOB))
        first, answer = await kept_waiting(tenant, client.exchange(ADA, tenant.outbox.code_for(ADA)))
        second = asyncio.create_task(client.exchange(ADA, "wrong"))
        await client.exchange(BOB, tenant.outbox.code_for(BOB))
        assert arrived(tenant, TOKEN) == 2
        answer.set()
        await first
        with pytest.raises(WrongCode):
            await second


async def test_a_cancelled_code_does_not_open_the_queue() -> None:
    """A third code still waits for the first after the second was cancelled in the queue."""
    async with opened() as (tenant, client):
        await client.start(ADA)
        first, answer = await kept_waiting(tenant, client.exchange(ADA, tenant.outbox.code_for(ADA)))
        second = asyncio.create_task(client.exchange(ADA, "second"))
        for _ in range(5):
            await asyncio.sleep(0)
        await cancelled(second)
        third = asyncio.create_task(client.exchange(ADA, "third"))
        for _ in range(50):
            await asyncio.sleep(0)
        assert arrived(tenant, TOKEN) == 1
        answer.set()
        await first
        with pytest.raises(WrongCode):
            await third
