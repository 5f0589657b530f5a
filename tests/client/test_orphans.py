"""Results whose caller has gone: given to ``on_orphan``, or revoked."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from helpers.clients import TOKEN, arrived, cancelled, kept_waiting, opened, until
from helpers.values import present
from passwordless_async import (
    CodeSpent,
    DPoPKey,
    Email,
    Login,
    MfaRequired,
    Orphan,
    OutcomeUnknown,
    TokenSet,
    WrongCode,
)
from passwordless_async._common.secret import Secret
from passwordless_async.client.events import Event, Operation, Orphaned
from passwordless_async.client.orphans import orphan_of
from passwordless_async.testing import Fault

ADA, BOB = Email("ada@example.com"), Email("bob@example.com")
SCOPE = "openid offline_access"
REVOKE = "/oauth/revoke"


async def test_a_sent_exchange_without_caller_goes_to_on_orphan() -> None:
    """Its caller is cancelled; the exchange ends, and ``on_orphan`` receives the tokens once. They stay valid."""
    orphans: list[Orphan] = []
    events: list[Event] = []
    async with opened(on_orphan=orphans.append, on_event=events.append) as (tenant, client):
        await client.start(ADA)
        code = tenant.outbox.code_for(ADA)
        exchanging, answer = await kept_waiting(tenant, client.exchange(ADA, code, scope=SCOPE))
        await cancelled(exchanging)
        answer.set()
        await until(lambda: Orphaned(Operation.EXCHANGE, None) in events)
        assert [(o.who, present(present(o.tokens).claims)["email"], o.error) for o in orphans] == [
            (ADA, "ada@example.com", None)
        ]
        assert arrived(tenant, REVOKE) == 0
        assert [family.revoked for family in tenant.refresh_families] == [False]


async def test_without_on_orphan_the_tokens_are_revoked() -> None:
    """Tokens without a caller and without ``on_orphan`` do not stay valid at the service; that is no failure."""
    events: list[Event] = []
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: reported.append(context))
    async with opened(on_event=events.append) as (tenant, client):
        await client.start(ADA)
        exchanging, answer = await kept_waiting(tenant, client.exchange(ADA, tenant.outbox.code_for(ADA), scope=SCOPE))
        await cancelled(exchanging)
        answer.set()
        await until(lambda: Orphaned(Operation.EXCHANGE, None) in events)
        assert [family.revoked for family in tenant.refresh_families] == [True]
    assert reported == []


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


async def test_a_closed_stream_waits_until_its_tokens_are_kept() -> None:
    """``on_orphan`` may be slow: leaving the stream waits until the hook has kept the tokens."""
    kept: list[Orphan] = []

    async def keep(orphan: Orphan) -> None:
        for _ in range(20):
            await asyncio.sleep(0)
        kept.append(orphan)

    async with opened(on_orphan=keep) as (tenant, client):
        await asyncio.gather(client.start(ADA), client.start(BOB))
        logins = [Login(who, tenant.outbox.code_for(who), scope=SCOPE) for who in (ADA, BOB)]
        async with aclosing(client.exchange_many(logins)) as outcomes:
            taken = await anext(outcomes)
            await until(lambda: len(client._logins._held) == 1)
        assert {taken.login.who, *(orphan.who for orphan in kept)} == {ADA, BOB}


async def test_an_outcome_that_was_taken_leaves_nothing_behind() -> None:
    """Its code is spent: a later call does not share the exchange."""
    async with opened() as (tenant, client):
        await client.start(ADA)
        code = tenant.outbox.code_for(ADA)
        assert [outcome.error async for outcome in client.exchange_many([Login(ADA, code)])] == [None]
        with pytest.raises(CodeSpent):
            await client.exchange(ADA, code)


async def test_a_hook_whose_own_awaitable_was_cancelled_has_taken_nothing() -> None:
    """The handover goes on: the tokens are revoked."""
    events: list[Event] = []

    async def take(_orphan: Orphan) -> None:
        gone = asyncio.get_running_loop().create_future()
        gone.cancel()
        await gone

    async with opened(on_orphan=take, on_event=events.append) as (tenant, client):
        await client.start(ADA)
        exchanging, answer = await kept_waiting(tenant, client.exchange(ADA, tenant.outbox.code_for(ADA), scope=SCOPE))
        await cancelled(exchanging)
        answer.set()
        await until(lambda: Orphaned(Operation.EXCHANGE, None) in events)
        assert [family.revoked for family in tenant.refresh_families] == [True]


async def test_an_orphan_without_a_refresh_token_is_not_revoked() -> None:
    """There is nothing to revoke it by; its access token expires."""
    events: list[Event] = []
    async with opened(on_event=events.append) as (tenant, client):
        await client.start(ADA)
        exchanging, answer = await kept_waiting(
            tenant, client.exchange(ADA, tenant.outbox.code_for(ADA), scope="openid")
        )
        await cancelled(exchanging)
        answer.set()
        await until(lambda: Orphaned(Operation.EXCHANGE, None) in events)
        assert arrived(tenant, REVOKE) == 0


async def test_a_revocation_that_fails_is_in_the_event() -> None:
    """The event names why the tokens live on."""
    events: list[Event] = []
    async with opened(on_event=events.append) as (tenant, client):
        await client.start(ADA)
        exchanging, answer = await kept_waiting(tenant, client.exchange(ADA, tenant.outbox.code_for(ADA), scope=SCOPE))
        tenant.faults.add(Fault.ACCESS_DENIED, path=REVOKE)
        await cancelled(exchanging)
        answer.set()
        await until(lambda: any(isinstance(event, Orphaned) for event in events))
        assert Orphaned(Operation.EXCHANGE, "access_denied") in events
        assert [family.revoked for family in tenant.refresh_families] == [False]


async def test_a_hand_over_that_closing_ends_is_in_the_event() -> None:
    """The event says so: the tokens may still be valid."""
    began = asyncio.Event()
    events: list[Event] = []

    async def hook(_orphan: Orphan) -> None:
        began.set()
        await asyncio.get_running_loop().create_future()

    async with opened(on_orphan=hook, on_event=events.append) as (_, client):
        taking = asyncio.create_task(client._logins._orphans.take(Operation.EXCHANGE, orphan_of(CodeSpent("spent"))))
        await began.wait()
        await cancelled(taking)
    assert [event for event in events if isinstance(event, Orphaned)] == [Orphaned(Operation.EXCHANGE, "cancelled")]


async def test_an_error_whose_caller_has_gone_is_an_orphan() -> None:
    """The application hears how the login ended, and nothing is revoked."""
    orphans: list[Orphan] = []
    events: list[Event] = []
    async with opened(on_orphan=orphans.append, on_event=events.append) as (tenant, client):
        await client.start(ADA)
        exchanging, answer = await kept_waiting(tenant, client.exchange(ADA, "000000"))
        await cancelled(exchanging)
        answer.set()
        await until(lambda: orphans)
        (orphan,) = orphans
        assert (orphan.who, orphan.tokens, type(orphan.error)) == (ADA, None, WrongCode)
        await until(lambda: Orphaned(Operation.EXCHANGE, "wrong_code") in events)
        assert arrived(tenant, REVOKE) == 0


async def test_an_error_without_on_orphan_is_in_the_event() -> None:
    """There is nothing to revoke, and the event says how the login ended."""
    events: list[Event] = []
    async with opened(on_event=events.append) as (tenant, client):
        await client.start(ADA)
        exchanging, answer = await kept_waiting(tenant, client.exchange(ADA, "000000"))
        await cancelled(exchanging)
        answer.set()
        await until(lambda: any(isinstance(event, Orphaned) for event in events))
        assert [event for event in events if isinstance(event, Orphaned)] == [
            Orphaned(Operation.EXCHANGE, "wrong_code")
        ]
        assert arrived(tenant, REVOKE) == 0


async def test_tokens_of_a_refresh_are_not_revoked() -> None:
    """A caller that asks again in time receives them, so they stay without a hook."""
    events: list[Event] = []
    async with opened(on_event=events.append) as (tenant, client):
        await client.start(ADA)
        tokens = await client.exchange(ADA, tenant.outbox.code_for(ADA), scope=SCOPE)
        tenant.requests.clear()
        refreshing, answer = await kept_waiting(tenant, client.refresh(tokens))
        await cancelled(refreshing)
        answer.set()
        await until(lambda: Orphaned(Operation.REFRESH, None) in events)
        await client.refresh(tokens)
        assert (arrived(tenant, TOKEN), arrived(tenant, REVOKE)) == (1, 0)


async def test_tokens_of_a_second_factor_go_to_on_orphan_and_stay_for_the_next_caller() -> None:
    """With the user of the login; a caller that sends the same factor in time has the same tokens."""
    orphans: list[Orphan] = []
    async with opened(on_orphan=orphans.append) as (tenant, client):
        tenant.users.add(ADA, mfa=["otp"])
        await client.start(ADA)
        with pytest.raises(MfaRequired) as required:
            await client.exchange(ADA, tenant.outbox.code_for(ADA), scope=SCOPE)
        state, otp = present(required.value.state), tenant.mfa.otp_for(ADA)
        tenant.requests.clear()
        verifying, answer = await kept_waiting(tenant, client.mfa.verify_otp(state, otp))
        await cancelled(verifying)
        answer.set()
        await until(lambda: orphans)
        assert [(orphan.who, orphan.error) for orphan in orphans] == [(ADA, None)]
        assert await client.mfa.verify_otp(state, otp) is orphans[0].tokens
        assert (arrived(tenant, TOKEN), arrived(tenant, REVOKE)) == (1, 0)


def test_an_orphan_of_a_result() -> None:
    """It has the tokens or the error, and what is known of the caller."""
    error = WrongCode(status=403, error="invalid_grant")
    orphan = orphan_of(error, who=ADA, tag="tag")
    assert (orphan.who, orphan.tokens, orphan.error, orphan.tag, orphan.spent) == (ADA, None, error, "tag", None)
    tokens = TokenSet(Secret("access"), "DPoP", None, "", Secret("refresh"), None, None, DPoPKey.generate())
    orphan = orphan_of(tokens, spent=tokens)
    assert (orphan.who, orphan.tokens, orphan.error, orphan.tag, orphan.spent) == (None, tokens, None, None, tokens)


async def test_tokens_that_another_caller_has_are_no_orphan() -> None:
    """Of two lines with one code the first outcome is taken: the second has the same tokens, and revokes none."""
    orphans: list[Orphan] = []
    async with opened(on_orphan=orphans.append) as (tenant, client):
        await client.start(ADA)
        logins = [Login(ADA, tenant.outbox.code_for(ADA), scope=SCOPE, tag=tag) for tag in "ab"]
        async with aclosing(client.exchange_many(logins)) as outcomes:
            taken = present((await anext(outcomes)).tokens)
            await until(lambda: len(client._logins._held) == 1)
        assert (orphans, arrived(tenant, REVOKE)) == ([], 0)
        assert client._logins._held == {}
        await client.refresh(taken)


async def test_tokens_that_a_single_call_has_are_no_orphan() -> None:
    """It shared the exchange with a line of a list whose outcome is not taken."""
    async with opened() as (tenant, client):
        await client.start(ADA)
        login = Login(ADA, tenant.outbox.code_for(ADA), scope=SCOPE)
        single, answer = await kept_waiting(tenant, client.exchange(ADA, login.otp, scope=SCOPE))
        async with aclosing(client.exchange_many([login, Login(BOB, "1")])) as outcomes:
            first = asyncio.ensure_future(anext(outcomes))
            assert (await first).login.who == BOB
            answer.set()
            tokens = await single
            await until(lambda: client._logins._held)
        assert arrived(tenant, REVOKE) == 0
        await client.refresh(tokens)


async def test_an_error_that_is_not_taken_is_an_orphan() -> None:
    """Its code may be spent: ``on_orphan`` learns of it as of a login whose caller was cancelled, and once."""
    orphans: list[Orphan] = []
    async with opened(on_orphan=orphans.append) as (tenant, client):
        tenant.faults.add(Fault.DROP_AFTER_PROCESSING, path=TOKEN, times=2)
        await asyncio.gather(client.start(ADA), client.start(BOB))
        logins = [Login(who, tenant.outbox.code_for(who), scope=SCOPE, tag=who) for who in (ADA, BOB)]
        async with aclosing(client.exchange_many(logins)) as outcomes:
            taken = await anext(outcomes)
            await until(lambda: len(client._logins._held) == 1)
        (left,) = {ADA, BOB} - {taken.login.who}
        assert [(orphan.who, orphan.tag, type(orphan.error)) for orphan in orphans] == [(left, left, OutcomeUnknown)]
        assert (client._logins._held, client._logins._flights._flights) == ({}, {})


async def test_an_error_that_is_not_taken_is_no_orphan_if_nothing_was_sent() -> None:
    """A code that was presented before, for example: the service has seen nothing of this login."""
    orphans: list[Orphan] = []
    async with opened(on_orphan=orphans.append) as (tenant, client):
        await asyncio.gather(client.start(ADA), client.start(BOB))
        logins = [Login(who, tenant.outbox.code_for(who)) for who in (ADA, BOB)]
        assert [outcome.error async for outcome in client.exchange_many(logins)] == [None, None]
        async with aclosing(client.exchange_many(logins)) as outcomes:
            assert type((await anext(outcomes)).error) is CodeSpent
            await until(lambda: len(client._logins._held) == 1)
        assert (orphans, client._logins._held) == ([], {})


async def test_tokens_of_two_lines_that_are_not_taken_are_one_orphan() -> None:
    """They are handed over once."""
    orphans: list[Orphan] = []
    async with opened(on_orphan=orphans.append) as (tenant, client):
        await client.start(ADA)
        logins = [Login(BOB, "1"), *(Login(ADA, tenant.outbox.code_for(ADA), scope=SCOPE, tag=tag) for tag in "ab")]
        async with aclosing(client.exchange_many(logins)) as outcomes:
            assert (await anext(outcomes)).login.who == BOB
            await until(lambda: len(client._logins._held) == 2)
        assert [(orphan.who, orphan.tag) for orphan in orphans] == [(ADA, "a")]
        assert client._logins._flights._flights == {}
