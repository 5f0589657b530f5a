"""Nonces and a quota that several machines share."""

from __future__ import annotations

import asyncio
from typing import Any

import attrs
import pytest

from helpers.machines import ADA, BOB, TOKEN, machines, too_many_requests
from passwordless_async import (
    INTERACTIVE,
    Email,
    Login,
    NonceCache,
    PasswordlessClient,
    PasswordlessError,
    Start,
)
from passwordless_async.client.events import Challenged
from passwordless_async.client.shared import peers
from passwordless_async.testing import Fault, TenantSettings


@pytest.mark.slow
async def test_one_machine_fetches_the_first_nonce(stores: Any) -> None:
    """Four cold machines with a hundred concurrent logins are challenged once."""
    async with machines(stores, 4) as (tenant, clients, events):
        crowd = [Email(f"user{number}@example.com") for number in range(100)]
        await asyncio.gather(*(clients[0].start(who) for who in crowd))
        logins = [Login(who, tenant.outbox.code_for(who)) for who in crowd]
        tokens = await asyncio.gather(
            *(clients[n % 4].exchange(login.who, login.otp) for n, login in enumerate(logins))
        )
        assert len(tokens) == 100
        assert sum(isinstance(event, Challenged) for event in events) == 1
        assert tenant.stats.token_requests == 101


async def test_machines_that_send_no_proofs_share_no_nonces(stores: Any) -> None:
    """They wait for none, and do not ask the store for any."""
    async with machines(stores, dpop="off") as (tenant, (here, there), events):
        assert [client._peers.nonces for client in (here, there)] == [None, None]
        await asyncio.gather(here.start(ADA), there.start(BOB))
        for client, who in ((here, ADA), (there, BOB)):
            assert (await client.exchange(who, tenant.outbox.code_for(who))).bound is False
        assert [event for event in events if isinstance(event, Challenged)] == []
        assert tenant.stats.token_requests == 2


async def test_a_failed_first_request_passes_the_turn_on(stores: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next machine sends at once: it does not wait until the turn ends by itself."""
    monkeypatch.setattr(peers, "_TURN_SECONDS", 60.0)
    async with machines(stores) as (tenant, (here, there), events):
        await asyncio.gather(here.start(ADA), there.start(BOB))
        tenant.faults.add(Fault.SERVICE_UNAVAILABLE, path=TOKEN, times=1)
        with pytest.raises(PasswordlessError):
            await here.exchange(ADA, tenant.outbox.code_for(ADA))
        async with asyncio.timeout(20):
            await there.exchange(BOB, tenant.outbox.code_for(BOB))
        assert sum(isinstance(event, Challenged) for event in events) == 1


async def test_a_nonce_that_one_machine_learned_serves_the_others(stores: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a rotation one machine is challenged, and no other."""
    async with machines(stores, 4) as (tenant, clients, events):
        for client in clients:
            monkeypatch.setattr(client._peers.nonces, "_poll_seconds", 0.0)
        for turn, client in enumerate([*clients, *clients]):
            await client.start(ADA)
            await client.exchange(ADA, tenant.outbox.code_for(ADA))
            if turn == 3:
                tenant.clock.advance(tenant.settings.nonce_lifetime * 2)
        assert sum(isinstance(event, Challenged) for event in events) == 2


async def test_nonces_of_a_token_endpoint_elsewhere_are_shared(stores: Any) -> None:
    """Where metadata names an endpoint at another origin, its nonces are those that are shared."""
    async with machines(stores) as (tenant, clients, events):
        for client in clients:
            application, elsewhere = client._tenant.application, {"127.0.0.1": "localhost", "localhost": "127.0.0.1"}
            moved = application.token_url.with_host(elsewhere[str(application.token_url.host)])
            client._tenant.application = application.at({"token_url": moved})
        for client in clients:
            await client.start(ADA)
            await client.exchange(ADA, tenant.outbox.code_for(ADA))
        assert sum(isinstance(event, Challenged) for event in events) == 1


async def test_a_server_without_nonces_holds_no_machine_back(stores: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """That no nonce is demanded is learned once, and shared: no machine waits until a turn ends by itself."""
    monkeypatch.setattr(peers, "_TURN_SECONDS", 60.0)
    async with machines(stores, 3, settings=TenantSettings(public_nonce_required=False, nonce_in_answers="never")) as (
        tenant,
        clients,
        events,
    ):
        crowd = [Email(f"user{number}@example.com") for number in range(30)]
        await asyncio.gather(*(clients[0].start(who) for who in crowd))
        async with asyncio.timeout(20):
            await asyncio.gather(*(clients[n % 3].exchange(w, tenant.outbox.code_for(w)) for n, w in enumerate(crowd)))
        assert [event for event in events if isinstance(event, Challenged)] == []


async def test_nonces_bound_to_keys_are_not_shared(stores: Any) -> None:
    """Other machines have other keys."""
    cache = NonceCache(per_key=True)
    async with machines(stores, 1, nonces=cache) as (tenant, (client,), _):
        await client.start(ADA)
        await client.exchange(ADA, tenant.outbox.code_for(ADA))
        assert client._peers.nonces is None


async def test_an_invalid_nonce_in_the_store_is_not_sent(stores: Any) -> None:
    """The server demands a nonce by a challenge."""
    async with machines(stores, 1) as (tenant, (client,), events):
        shared = client._peers.nonces
        assert shared is not None
        await shared._availability.store.put_nonce(shared._name, 'no "nonce"\r\n', seconds=60)
        await client.start(ADA)
        assert await client.exchange(ADA, tenant.outbox.code_for(ADA))
        assert sum(isinstance(event, Challenged) for event in events) == 1


@pytest.mark.slow
async def test_four_machines_together_use_one_quota(stores: Any) -> None:
    """They stay within it: in the simulation, which no other process delays, they use it as well."""
    profile = attrs.evolve(INTERACTIVE, requests_per_second=50, cool_down=0.0)
    async with machines(stores, 4, profile=profile) as (tenant, clients, _):
        loop = asyncio.get_running_loop()
        began = loop.time()
        crowd = [[Start(Email(f"user{number}.{n}@example.com")) for number in range(30)] for n in range(4)]

        async def start(client: PasswordlessClient, starts: list[Start]) -> list[Any]:
            return [outcome async for outcome in client.start_many(starts)]

        outcomes = [outcome for each in await asyncio.gather(*map(start, clients, crowd)) for outcome in each]
        seconds = loop.time() - began
        assert [outcome.error for outcome in outcomes if outcome.error is not None] == []
        assert tenant.stats.start_requests == 120
        assert seconds > 120 / 50 * 0.9


@pytest.mark.slow
async def test_a_429_pauses_all_machines(stores: Any) -> None:
    """The pause that one machine was told of is kept by the others."""
    profile = attrs.evolve(INTERACTIVE, requests_per_second=50, cool_down=0.0)
    async with machines(stores, 2, profile=profile) as (tenant, (here, there), events):
        await here.start(ADA)
        tenant.faults.add(Fault.RATE_LIMITED_RETRY_AFTER, path=TOKEN, times=1, retry_after=1)
        began = asyncio.get_running_loop().time()
        exchange = asyncio.create_task(here.exchange(ADA, tenant.outbox.code_for(ADA)))
        while not too_many_requests(events):  # noqa: ASYNC110 - only polling tells
            await asyncio.sleep(0.001)
        await asyncio.gather(*here._peers.availability._background)  # the report of it to the store
        await there.start(BOB)
        assert asyncio.get_running_loop().time() - began >= 1.0
        await exchange
