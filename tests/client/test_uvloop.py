"""The client on uvloop: everything above is loop-neutral, and this holds it."""

from __future__ import annotations

import asyncio

import uvloop

from helpers.values import present
from passwordless_async import TESTING, Email, Login, PasswordlessClient
from passwordless_async.testing import BOUND_API, LocalTenant


async def a_hundred_logins() -> tuple[int, int]:
    async with (
        LocalTenant() as tenant,
        PasswordlessClient(tenant.url, tenant.public_client_id, profile=TESTING) as client,
    ):
        users = [Email(f"user{number}@example.com") for number in range(100)]
        await asyncio.gather(*map(client.start, users))
        logins = [Login(who, tenant.outbox.code_for(who), scope="openid", audience=BOUND_API) for who in users]
        outcomes = [outcome async for outcome in client.exchange_many(logins, concurrency=50)]
        assert isinstance(asyncio.get_running_loop(), uvloop.Loop)
        assert tenant.disagreements == ()
        keys = {present(outcome.tokens).jkt for outcome in outcomes}
        return len(keys), tenant.stats.token_requests


def test_many_logins_on_uvloop() -> None:
    """A hundred logins from a cold start: a hundred keys, a hundred and one token requests, as on asyncio's loop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(a_hundred_logins()) == (100, 101)
