"""Results whose caller has gone: given to ``on_orphan``, or revoked."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from helpers.clients import TOKEN, arrived, cancelled, kept_waiting, opened, until
from helpers.values import present
from passwordless_async import (
    Email,
    Login,
    Orphan,
)
from passwordless_async.client.events import Event, Operation, Orphaned

ADA, BOB = Email("ada@example.com"), Email("bob@example.com")
SCOPE = "openid offline_access"


async def test_a_sent_exchange_without_caller_goes_to_on_orphan() -> None:
    """Its caller is cancelled; the exchange ends, and ``on_orphan`` receives the tokens once."""
    orphans: list[Orphan] = []
    async with opened(on_orphan=orphans.append) as (tenant, client):
        await client.start(ADA)
        code = tenant.outbox.code_for(ADA)
        exchanging, answer = await kept_waiting(tenant, client.exchange(ADA, code, scope=SCOPE))
        await cancelled(exchanging)
        answer.set()
        await until(lambda: orphans)
        assert [(o.who, present(present(o.tokens).claims)["email"], o.error) for o in orphans] == [
            (ADA, "ada@example.com", None)
        ]
        assert [family.revoked for family in tenant.refresh_families] == [False]


async def test_without_on_orphan_the_tokens_are_revoked() -> None:
    """Tokens without a caller and without ``on_orphan`` do not stay valid at the service."""
    events: list[Event] = []
    async with opened(on_event=events.append) as (tenant, client):
        await client.start(ADA)
        exchanging, answer = await kept_waiting(tenant, client.exchange(ADA, tenant.outbox.code_for(ADA), scope=SCOPE))
        await cancelled(exchanging)
        answer.set()
        await until(lambda: Orphaned(Operation.EXCHANGE, None) in events)
        assert [family.revoked for family in tenant.refresh_families] == [True]


@pytest.mark.parametrize("is_coroutine", [False, True])
async def test_a_failing_on_orphan_leaks_no_secret(*, is_coroutine: bool) -> None:
    """Its exception is reported to the event loop without the code, and the tokens are revoked."""
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: reported.append(context))

    def broken(_orphan: Orphan) -> None:
        raise LookupError("the store is down")

    async def broken_later(orphan: Orphan) -> None:
        broken(orphan)

    async with opened(on_orphan=broken_later if is_coroutine else broken) as (tenant, client):
        await client.start(ADA)
        code = tenant.outbox.code_for(ADA)
        exchanging, answer = await kept_waiting(tenant, client.exchange(ADA, code, scope=SCOPE))
        await cancelled(exchanging)
        answer.set()
        await until(lambda: arrived(tenant, "/oauth/revoke"))
    assert [context["message"] for context in reported] == ["on_orphan of a PasswordlessClient has failed"]
    assert code not in str(reported)


async def test_an_exchange_cancelled_at_the_gate_is_not_sent() -> None:
    """The code stays valid and can be exchanged later."""
    async with opened(max_in_flight=1) as (tenant, client):
        await asyncio.gather(client.start(ADA), client.start(BOB))
        first, answer = await kept_waiting(tenant, client.exchange(BOB, tenant.outbox.code_for(BOB)))
        waiting = asyncio.create_task(client.exchange(ADA, tenant.outbox.code_for(ADA)))
        await asyncio.sleep(0)
        await cancelled(waiting)
        answer.set()
        await first
        assert arrived(tenant, TOKEN) == 1
        await client.exchange(ADA, tenant.outbox.code_for(ADA))


async def test_a_closed_stream_loses_no_tokens() -> None:
    """After ``aclose`` nothing is in flight, and tokens that were not taken went to ``on_orphan``."""
    orphans: list[Orphan] = []
    async with opened(on_orphan=orphans.append) as (tenant, client):
        crowd = [Email(f"user{number}@example.com") for number in range(40)]
        await asyncio.gather(*map(client.start, crowd))
        before, issued = asyncio.all_tasks(), tenant.stats.tokens_issued
        logins = (Login(who, tenant.outbox.code_for(who), scope=SCOPE, tag=who) for who in crowd)
        async with aclosing(client.exchange_many(logins, concurrency=8)) as outcomes:
            taken = [await anext(outcomes) for _ in range(5)]
        assert asyncio.all_tasks() == before
        assert client._dispatcher.gate.in_flight == 0
        kept = [outcome.login.who for outcome in taken] + [orphan.who for orphan in orphans]
        assert len(set(kept)) == len(kept) == tenant.stats.tokens_issued - issued
