"""One rule for a code: a code that may be spent is presented again through no door."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from passwordless_async import (
    TESTING,
    CodeSpent,
    Email,
    Login,
    MemoryStore,
    OutcomeUnknown,
    PasswordlessClient,
    PasswordlessError,
)
from passwordless_async.testing import Fault, LocalTenant

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from passwordless_async.stores import Store

    Door = Callable[[PasswordlessClient, str], Awaitable[PasswordlessError | None]]

ADA = Email("ada@example.com")


async def by_exchange(client: PasswordlessClient, code: str) -> PasswordlessError | None:
    try:
        await client.exchange(ADA, code)
    except PasswordlessError as error:
        return error
    return None


async def by_exchange_many(client: PasswordlessClient, code: str) -> PasswordlessError | None:
    (outcome,) = [outcome async for outcome in client.exchange_many([Login(ADA, code)])]
    return outcome.error


@pytest.mark.parametrize("second", [by_exchange, by_exchange_many])
@pytest.mark.parametrize("first", [by_exchange, by_exchange_many])
@pytest.mark.parametrize("make_store", [lambda: None, MemoryStore], ids=["no store", "memory store"])
async def test_a_code_whose_answer_was_lost_is_not_presented_again(
    tenant: LocalTenant, make_store: Callable[[], Store | None], first: Door, second: Door
) -> None:
    """The second call raises CodeSpent and sends nothing, whichever call presented the code first."""
    async with PasswordlessClient(tenant.url, tenant.public_client_id, profile=TESTING, store=make_store()) as client:
        await client.start(ADA)
        code = tenant.outbox.code_for(ADA)
        tenant.faults.add(Fault.DROP_AFTER_PROCESSING, path="/oauth/token", times=1)
        assert isinstance(await first(client, code), OutcomeUnknown)
        assert isinstance(await second(client, code), CodeSpent)
    assert tenant.stats.presented_again == 0
