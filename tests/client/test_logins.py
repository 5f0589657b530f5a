"""Logins: a code is presented once, the codes of a user go in order, and the store knows how each attempt ended."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from helpers.clients import TOKEN, arrived, cancelled, kept_waiting, opened, until
from helpers.remote_store import RemoteStore
from helpers.values import present
from passwordless_async import (
    TESTING,
    CodeSpent,
    Email,
    Login,
    OAuthError,
    PasswordlessClient,
    RateLimited,
    TokenSet,
    TooManyAttempts,
    UsageError,
    WrongCode,
)
from passwordless_async.testing import Fault, LocalTenant

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ADA, BOB = Email("ada@example.com"), Email("bob@example.com")
SCOPE, CALLBACK = "openid offline_access", "https://app.example/callback"


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
        assert present((await first).claims)["email"] == "ada@example.com"
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


@pytest.mark.parametrize("grant", ["code", "link"])
async def test_without_proofs_no_login_waits_for_a_first_nonce(grant: str) -> None:
    """A cold client with ``dpop="off"`` sends a second user's code while the first is not answered."""

    async def log_in(who: Email) -> TokenSet:
        if grant == "code":
            await client.start(who)
            return await client.exchange(who, tenant.outbox.code_for(who))
        pending = await client.start_link(who, redirect_uri=CALLBACK)
        return await client.exchange_link(pending, f"{CALLBACK}?code=made-up&state={pending.state}")

    async with (
        LocalTenant() as tenant,
        PasswordlessClient(tenant.url, tenant.public_client_id, profile=TESTING, dpop="off") as client,
    ):
        first, answer = await kept_waiting(tenant, log_in(ADA))
        second = asyncio.create_task(log_in(BOB))
        await asyncio.wait([second], timeout=2.0)  # a first nonce is waited for longer
        assert (second.done(), first.done()) == (True, False)
        answer.set()
        ends = await asyncio.gather(first, second, return_exceptions=True)
        assert {type(end) for end in ends} == {TokenSet if grant == "code" else OAuthError}


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


@asynccontextmanager
async def with_remote_store() -> AsyncIterator[tuple[LocalTenant, PasswordlessClient, RemoteStore]]:
    """Run a tenant, and a client whose store is elsewhere; Ada has a code."""
    store = RemoteStore()
    async with (
        LocalTenant() as tenant,
        PasswordlessClient(
            tenant.url,
            tenant.public_client_id,
            profile=TESTING,
            store=store,  # type: ignore[arg-type] # it has all methods, by __getattr__
        ) as client,
    ):
        await client.start(ADA)
        tenant.requests.clear()
        yield tenant, client, store


async def test_the_errors_of_wrong_codes_count_down() -> None:
    """After three failures the code is dead: nothing more is sent."""
    async with opened() as (tenant, client):
        await client.start(ADA)
        for number, left in enumerate([2, 1]):
            with pytest.raises(WrongCode) as refused:
                await client.exchange(ADA, f"00000{number}")
            assert refused.value.attempts_left == left
        with pytest.raises(TooManyAttempts):
            await client.exchange(ADA, "000002")
        with pytest.raises(CodeSpent):
            await client.exchange(ADA, tenant.outbox.code_for(ADA))
        assert arrived(tenant, TOKEN) == 3


@pytest.mark.slow
async def test_a_code_that_was_refused_before_it_was_looked_at_is_presented_again() -> None:
    """A 429 spends neither the code nor an attempt."""
    async with opened() as (tenant, client):
        await client.start(ADA)
        tenant.faults.add(Fault.RATE_LIMITED_RETRY_AFTER, path=TOKEN, times=1, retry_after=0)
        with pytest.raises(RateLimited):
            await client.exchange(ADA, tenant.outbox.code_for(ADA))
        await client.exchange(ADA, tenant.outbox.code_for(ADA))
        assert arrived(tenant, TOKEN) == 2


async def test_a_failed_login_of_many_is_an_outcome() -> None:
    """It has an error and the login with its tag; it does not raise."""
    async with opened() as (tenant, client):
        await asyncio.gather(client.start(ADA), client.start(BOB))
        logins = [Login(ADA, "wrong", tag="a"), Login(BOB, tenant.outbox.code_for(BOB), tag="b")]
        outcomes = {outcome.login.tag: outcome async for outcome in client.exchange_many(logins)}
        assert isinstance(outcomes["a"].error, WrongCode)
        assert (outcomes["a"].tokens, outcomes["a"].error.attempts_left) == (None, 2)
        assert (present(outcomes["b"].tokens).token_type, outcomes["b"].error) == ("DPoP", None)


async def test_a_login_asks_the_store_for_leave_and_nonces_in_one_round_trip() -> None:
    """Both questions leave before either is answered, and nothing is sent before that."""
    async with with_remote_store() as (tenant, client, store):
        store.asked.clear()
        store.answers.clear()
        exchanging = asyncio.create_task(client.exchange(ADA, tenant.outbox.code_for(ADA)))
        await until(lambda: len(store.asked) == 2)
        assert sorted(store.asked) == ["begin_attempt", "nonce"]
        assert arrived(tenant, TOKEN) == 0
        store.answers.set()
        await exchanging


@pytest.mark.parametrize("where", ["on its way", "on its way back"])
async def test_a_login_that_is_cancelled_while_it_asks_for_leave_is_undone(where: str) -> None:
    """Wherever the question is: the code is as good as before."""
    async with with_remote_store() as (tenant, client, store):
        arrives = store.hold("begin_attempt")
        store.answers.clear()
        if where == "on its way back":
            arrives.set()
        exchanging = asyncio.create_task(client.exchange(ADA, tenant.outbox.code_for(ADA)))
        await until(lambda: "begin_attempt" in store.asked)
        for _ in range(10):
            await asyncio.sleep(0)
        await cancelled(exchanging)
        assert arrived(tenant, TOKEN) == 0
        arrives.set()
        store.answers.set()
        await until(lambda: "undo_attempt" in store.asked)
        await client.exchange(ADA, tenant.outbox.code_for(ADA))


@pytest.mark.slow
async def test_a_login_that_is_cancelled_while_it_reports_that_nothing_was_sent_is_undone() -> None:
    """The store hears of it all the same: the code is as good as before."""
    async with with_remote_store() as (tenant, client, store):
        arrives = store.hold("undo_attempt")
        tenant.faults.add(Fault.RATE_LIMITED_RETRY_AFTER, path=TOKEN, times=1, retry_after=0)
        exchanging = asyncio.create_task(client.exchange(ADA, tenant.outbox.code_for(ADA)))
        await until(lambda: "undo_attempt" in store.asked)
        await cancelled(exchanging)
        arrives.set()
        await client.exchange(ADA, tenant.outbox.code_for(ADA))


async def test_a_login_does_not_wait_for_its_report_to_a_remote_store() -> None:
    """The tokens are there before the store knows that the code was right."""
    async with with_remote_store() as (tenant, client, store):
        code = tenant.outbox.code_for(ADA)
        exchanging, answer = await kept_waiting(tenant, client.exchange(ADA, code))
        store.answers.clear()
        answer.set()
        async with asyncio.timeout(10):
            await exchanging
        store.answers.set()
        with pytest.raises(CodeSpent):
            await client.exchange(ADA, code)


async def test_a_network_of_ipv6_is_one_caller() -> None:
    """A user who is refused from one address of a network is held back at all of them, and makes no crowd of it."""
    async with opened(confidential=True) as (tenant, client):
        tenant.faults.add(Fault.REFUSAL, path=TOKEN, times=1, status=429, error="too_many_logins", description="No.")
        with pytest.raises(RateLimited):
            await client.exchange(ADA, "000000", forwarded_for="2001:db8::1")
        now, callers = asyncio.get_running_loop().time(), client._dispatcher._callers
        assert callers.delay((ADA, "2001:db8::"), now) > 0
        assert callers.delay((ADA, "2001:db8:0:1::"), now) == 0
