"""What several machines share by a store: their clients keep one another's rules, and go on alone where it is away."""

from __future__ import annotations

import asyncio
import ipaddress
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from passwordless_async import (
    INTERACTIVE,
    TESTING,
    ClientSecretPost,
    CodeSpent,
    CoolingDown,
    Email,
    KeyRing,
    Login,
    NonceCache,
    NotSent,
    OutcomeUnknown,
    PasswordlessClient,
    PasswordlessError,
    QuotaExceeded,
    RateLimited,
    Start,
    TooManyAttempts,
    WrongCode,
)
from passwordless_async.client.events import Challenged, Sent, StoreLost, StoreRegained, Use
from passwordless_async.stores.redis import RedisStore
from passwordless_async.testing import Fault, LocalTenant, TenantSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ADA, BOB = Email("ada@example.com"), Email("bob@example.com")
HERE = ipaddress.ip_address("192.0.2.1")
START, TOKEN = "/passwordless/start", "/oauth/token"
COOL = attrs.evolve(TESTING, cool_down=30.0)


@asynccontextmanager
async def machines(
    stores: Any,
    number: int = 2,
    *,
    profile: Any = TESTING,
    settings: TenantSettings | None = None,
    confidential: bool = False,
    **options: Any,
) -> AsyncIterator[tuple[LocalTenant, list[PasswordlessClient], list[Any]]]:
    """Run a tenant and some machines: each with a client and a connection to the store of its own."""
    events: list[Any] = []
    async with LocalTenant(settings or TenantSettings()) as tenant, AsyncExitStack() as stack:
        client_id, secret = tenant.confidential_client
        if confidential:
            options["client_auth"] = ClientSecretPost(secret)
        clients = [
            await stack.enter_async_context(
                PasswordlessClient(
                    tenant.url,
                    client_id if confidential else tenant.public_client_id,
                    profile=profile,
                    store=stores(),
                    on_event=events.append,
                    **options,
                )
            )
            for _ in range(number)
        ]
        yield tenant, clients, events
        assert () == tenant.disagreements


def refused(events: list[Any]) -> int:
    return sum(isinstance(event, Sent) and event.status == 429 for event in events)


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 10 ** len(code):0{len(code)}}"


async def test_a_code_is_asked_for_here_and_exchanged_there(stores: Any):
    """Users log in though another machine asked for their code."""
    async with machines(stores, 4) as (tenant, clients, _):
        crowd = [Email(f"user{number}@example.com") for number in range(40)]
        await asyncio.gather(*(clients[n % 4].start(who) for n, who in enumerate(crowd)))
        tokens = await asyncio.gather(
            *(clients[(n + 1) % 4].exchange(who, tenant.outbox.code_for(who)) for n, who in enumerate(crowd))
        )
        assert 40 == len({tokens.key.thumbprint for tokens in tokens})


async def test_a_user_cools_down_everywhere(stores: Any):
    """No other machine kills the code that one has just asked for; a login ends the cool-down on all of them."""
    async with machines(stores, profile=COOL) as (tenant, (here, there), _):
        await here.start(ADA)
        with pytest.raises(CoolingDown) as refused:
            await there.start(ADA)
        assert 25 < refused.value.retry_after <= 30
        await there.start(BOB)
        await there.exchange(ADA, tenant.outbox.code_for(ADA))
        await there.start(ADA)
        assert 3 == tenant.stats.start_requests


async def test_of_many_starts_at_once_one_is_sent(stores: Any):
    """A hundred clicks on four machines send one code."""
    async with machines(stores, 4, profile=COOL) as (tenant, clients, _):
        starts = [clients[n % 4].start(ADA) for n in range(100)]
        started = await asyncio.gather(*starts, return_exceptions=True)
        assert {"StartReceipt": 1, "CoolingDown": 99} == Counter(type(each).__name__ for each in started)
        assert 1 == tenant.stats.start_requests


async def test_a_start_that_came_to_nothing_keeps_nobody_back(stores: Any):
    """Where no code was sent another machine may ask for one at once; where one may have been, it may not."""
    async with machines(stores, profile=COOL) as (tenant, (here, there), _):
        tenant.faults.add(Fault.RATE_LIMITED_RETRY_AFTER, path=START, times=1)
        with pytest.raises(RateLimited):
            await here.start(ADA)
        tenant.faults.add(Fault.DROP_AFTER_PROCESSING, path=START, times=1)
        with pytest.raises(OutcomeUnknown):
            await there.start(ADA)
        with pytest.raises(CoolingDown):
            await here.start(ADA)


async def test_a_start_that_was_called_back_keeps_nobody_back(stores: Any, monkeypatch: pytest.MonkeyPatch):
    """Cancelled before it left, it is undone; afterwards a code may be on its way."""
    async with machines(stores, profile=attrs.evolve(COOL, max_in_flight=1)) as (tenant, (here, there), _):
        answer, begun = asyncio.Event(), asyncio.Event()
        tenant.faults.add(Fault.SLOW, path=START, times=1, until=answer)
        blocking = asyncio.create_task(here.start(BOB))
        while not tenant.stats.start_requests:  # noqa: ASYNC110 - the tenant says it by nothing else
            await asyncio.sleep(0.001)
        codes = here._starts._codes
        begin = codes.begin_start

        async def beginning(*arguments: Any, **named: Any) -> Any:
            ticket = await begin(*arguments, **named)
            begun.set()
            return ticket

        monkeypatch.setattr(codes, "begin_start", beginning)
        waiting = asyncio.create_task(here.start(ADA))
        await begun.wait()
        with pytest.raises(CoolingDown):
            await there.start(ADA)
        waiting.cancel()
        blocking.cancel()
        await asyncio.gather(waiting, blocking, return_exceptions=True)
        await asyncio.gather(*here._shared.availability._background)
        await there.start(ADA)
        with pytest.raises(CoolingDown):
            await there.start(BOB)
        answer.set()


async def test_a_code_is_presented_by_one_machine(stores: Any):
    """Twice at once, or again afterwards: the tenant sees it once, and others hear that it is spent."""
    async with machines(stores, 4) as (tenant, clients, _):
        await clients[0].start(ADA)
        code = tenant.outbox.code_for(ADA)
        exchanges = [client.exchange(ADA, code) for client in clients]
        outcomes = await asyncio.gather(*exchanges, return_exceptions=True)
        assert {"TokenSet": 1, "CodeSpent": 3} == Counter(type(outcome).__name__ for outcome in outcomes)
        for client in clients:
            with pytest.raises(CodeSpent, match="presented before"):
                await client.exchange(ADA, code)
        assert (1, 0) == (tenant.stats.tokens_issued, tenant.stats.presented_again)


async def test_attempts_are_counted_everywhere(stores: Any):
    """Each machine tells how many are left, whoever made the others; a code without any is not presented."""
    async with machines(stores, 3) as (tenant, clients, _):
        await clients[0].start(ADA)
        code = tenant.outbox.code_for(ADA)
        tried = wrong(code)
        for left, client in zip((2, 1), clients, strict=False):
            with pytest.raises(WrongCode) as refused:
                await client.exchange(ADA, tried)
            assert left == refused.value.attempts_left
            tried = wrong(tried)
        with pytest.raises(TooManyAttempts):
            await clients[2].exchange(ADA, tried)
        asked = tenant.stats.token_requests
        with pytest.raises(CodeSpent, match="no attempts left"):
            await clients[1].exchange(ADA, code)
        assert asked == tenant.stats.token_requests
        await clients[2].start(ADA)
        assert await clients[1].exchange(ADA, tenant.outbox.code_for(ADA))


async def test_what_was_not_looked_at_may_be_presented_again(stores: Any):
    """A 429, or what never left, spends no code and no attempt: another machine may present it."""
    async with machines(stores) as (tenant, (here, there), _):
        await here.start(ADA)
        code = tenant.outbox.code_for(ADA)
        tenant.faults.add(Fault.RATE_LIMITED_RETRY_AFTER, path=TOKEN, times=1)
        with pytest.raises(RateLimited):
            await here.exchange(ADA, code)
        async with tenant.outage():
            for _ in range(4):
                with pytest.raises(NotSent):
                    await there.exchange(ADA, code)
        assert await here.exchange(ADA, code)


async def test_a_code_of_unknown_fate_is_presented_by_nobody(stores: Any):
    """It may be spent: no machine tries it again."""
    async with machines(stores) as (tenant, (here, there), _):
        await here.start(ADA)
        tenant.faults.add(Fault.DROP_AFTER_PROCESSING, path=TOKEN, times=1)
        with pytest.raises(OutcomeUnknown):
            await here.exchange(ADA, tenant.outbox.code_for(ADA))
        with pytest.raises(CodeSpent):
            await there.exchange(ADA, tenant.outbox.code_for(ADA))


@pytest.mark.parametrize("cancelled_after", [0, 1, 2, 3, 5, 8])
async def test_an_exchange_that_was_called_back_before_it_left(stores: Any, cancelled_after: int):
    """Whenever it is cancelled, either the code is spent at the tenant or another machine may present it."""
    async with machines(stores) as (tenant, (here, there), _):
        await here.start(ADA)
        code = tenant.outbox.code_for(ADA)
        exchange = asyncio.create_task(here.exchange(ADA, code))
        for _ in range(cancelled_after):
            await asyncio.sleep(0)
        exchange.cancel()
        await asyncio.gather(exchange, return_exceptions=True)
        await here.aclose()
        if not tenant.stats.tokens_issued:
            assert await there.exchange(ADA, code)
        assert (1, 0) == (tenant.stats.tokens_issued, tenant.stats.presented_again)


async def test_an_address_has_one_share_on_all_machines(stores: Any):
    """So many starts an hour for an address, wherever they are made; what never left is given back."""
    profile = attrs.evolve(TESTING, starts_per_hour=3)
    async with machines(stores, profile=profile, confidential=True) as (tenant, (here, there), _):
        async with tenant.outage():
            for _ in range(5):
                with pytest.raises(NotSent):
                    await here.start(ADA, forwarded_for=HERE)
        for client in (here, there, here):
            await client.start(ADA, forwarded_for=HERE)
        for client in (here, there):
            with pytest.raises(QuotaExceeded) as refused:
                await client.start(BOB, forwarded_for=HERE)
            assert 3500 < refused.value.retry_after <= 3600
        await there.start(BOB)


async def test_a_quota_is_shared(stores: Any):
    """Four machines together stay within it, and use it; nobody hears a 429."""
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
        assert [] == [outcome.error for outcome in outcomes if outcome.error is not None]
        assert (120, 0) == (tenant.stats.start_requests, refused(events))
        assert 120 / 50 * 0.9 < seconds < 120 / 50 * 2


async def test_a_429_stops_all(stores: Any):
    """The pause that one machine is told of is kept by the others."""
    profile = attrs.evolve(INTERACTIVE, requests_per_second=50, cool_down=0.0)
    async with machines(stores, 2, profile=profile) as (tenant, (here, there), events):
        await here.start(ADA)
        tenant.faults.add(Fault.RATE_LIMITED_RETRY_AFTER, path=TOKEN, times=1, retry_after=1)
        exchange = asyncio.create_task(here.exchange(ADA, tenant.outbox.code_for(ADA)))
        while not refused(events):  # noqa: ASYNC110 - the tenant says it by nothing else
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.05)  # the word of it has to reach the store: nothing else tells when it has
        began = asyncio.get_running_loop().time()
        await there.start(BOB)
        assert 0.5 < asyncio.get_running_loop().time() - began
        await exchange


async def test_one_machine_fetches_the_first_nonce(stores: Any):
    """Four cold machines with a hundred logins at once are challenged once; so are those that come later: never."""
    async with machines(stores, 4) as (tenant, clients, events):
        crowd = [Email(f"user{number}@example.com") for number in range(100)]
        await asyncio.gather(*(clients[0].start(who) for who in crowd))
        logins = [Login(who, tenant.outbox.code_for(who)) for who in crowd]
        tokens = await asyncio.gather(
            *(clients[n % 4].exchange(login.who, login.otp) for n, login in enumerate(logins))
        )
        assert 100 == len(tokens)
        assert 1 == sum(isinstance(event, Challenged) for event in events)
        assert 101 == tenant.stats.token_requests


async def test_a_machine_that_fails_in_front_keeps_nobody_waiting(stores: Any):
    """Where the first nonce could not be fetched, the next machine goes at once."""
    async with machines(stores) as (tenant, (here, there), events):
        await asyncio.gather(here.start(ADA), there.start(BOB))
        tenant.faults.add(Fault.SERVICE_UNAVAILABLE, path=TOKEN, times=1)
        with pytest.raises(PasswordlessError):
            await here.exchange(ADA, tenant.outbox.code_for(ADA))
        began = asyncio.get_running_loop().time()
        await there.exchange(BOB, tenant.outbox.code_for(BOB))
        assert asyncio.get_running_loop().time() - began < 1.5
        assert 1 == sum(isinstance(event, Challenged) for event in events)


async def test_a_nonce_that_one_machine_learned_serves_the_others(stores: Any, monkeypatch: pytest.MonkeyPatch):
    """After a rotation the machine that learned of it is challenged, and no other."""
    async with machines(stores, 4) as (tenant, clients, events):
        for client in clients:
            monkeypatch.setattr(client._shared.nonces, "_poll_seconds", 0.0)
        for turn, client in enumerate([*clients, *clients]):
            await client.start(ADA)
            await client.exchange(ADA, tenant.outbox.code_for(ADA))
            if turn == 3:
                tenant.clock.advance(tenant.settings.nonce_lifetime * 2)
        assert 2 == sum(isinstance(event, Challenged) for event in events)


async def test_a_server_without_nonces_keeps_nobody_waiting(stores: Any):
    """What needs no nonce is learned once, and told to the others."""
    async with machines(stores, 3, settings=TenantSettings(public_nonce_required=False, nonce_in_answers="never")) as (
        tenant,
        clients,
        events,
    ):
        crowd = [Email(f"user{number}@example.com") for number in range(30)]
        await asyncio.gather(*(clients[0].start(who) for who in crowd))
        began = asyncio.get_running_loop().time()
        await asyncio.gather(*(clients[n % 3].exchange(w, tenant.outbox.code_for(w)) for n, w in enumerate(crowd)))
        assert asyncio.get_running_loop().time() - began < 2.5
        assert [] == [event for event in events if isinstance(event, Challenged)]


async def test_nonces_that_are_bound_to_keys_are_not_shared(stores: Any):
    """They would be of use to nobody else."""
    cache = NonceCache(per_key=True)
    async with machines(stores, 1, nonces=cache) as (tenant, (client,), _):
        await client.start(ADA)
        await client.exchange(ADA, tenant.outbox.code_for(ADA))
        assert client._shared.nonces is None


async def test_rubbish_in_the_store_is_no_nonce(stores: Any):
    """What is no nonce is not sent: the server says which one it wants."""
    async with machines(stores, 1) as (tenant, (client,), events):
        shared = client._shared.nonces
        await shared._availability.store.put_nonce(shared._name, 'no "nonce"\r\n', seconds=60)
        await client.start(ADA)
        assert await client.exchange(ADA, tenant.outbox.code_for(ADA))
        assert 1 == sum(isinstance(event, Challenged) for event in events)


async def test_without_the_store_each_goes_on_alone(start_redis: Any, monkeypatch: pytest.MonkeyPatch):
    """Logins succeed while the server is away and after; an event tells of both, once for each use."""
    server = start_redis()
    profile = attrs.evolve(INTERACTIVE, requests_per_second=1000, cool_down=0.0)
    async with RedisStore(server.url, keys=KeyRing(b"k" * 32, users=b"u" * 32), timeout=0.5) as store:
        async with machines(lambda: store, 1, profile=profile) as (tenant, (client,), events):
            monkeypatch.setattr(client._shared.availability, "_retry_seconds", 0.05)
            monkeypatch.setattr(client._shared.nonces, "_poll_seconds", 0.0)

            async def log_in() -> None:
                await client.start(ADA)
                await client.exchange(ADA, tenant.outbox.code_for(ADA))

            await log_in()
            assert [] == [event for event in events if isinstance(event, StoreLost)]
            server.kill()
            for _ in range(3):
                await log_in()
            lost = [event.use for event in events if isinstance(event, StoreLost)]
            assert set(Use) == set(lost)
            assert len(lost) == len(set(lost))
            server.restart()
            async with asyncio.timeout(30):
                while {event.use for event in events if isinstance(event, StoreRegained)} != set(Use):
                    await log_in()
            assert 0 == tenant.stats.presented_again
