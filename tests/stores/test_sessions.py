"""Sessions in a store: the same on memory and on Redis, by one process and by several clients of one store."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from redis.asyncio import Redis, RedisCluster

from passwordless_async import (
    TESTING,
    BrokenSeal,
    Email,
    InvalidRefreshToken,
    InvalidSession,
    KeyRing,
    Lifetimes,
    MemoryStore,
    NotSent,
    OutcomeUnknown,
    PasswordlessClient,
    ProtocolError,
    RateLimited,
    StoreUnavailable,
    TokenSet,
    UsageError,
)
from passwordless_async._common import clock as _clock
from passwordless_async.stores.redis import RedisStore
from passwordless_async.testing import Fault, LocalTenant

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

ADA, BOB = Email("ada@example.com"), Email("bob@example.com")
SCOPE = "openid email offline_access"
TOKEN = "/oauth/token"
OLD, NEW, USERS = (secrets.token_bytes(32) for _ in range(3))
RING = KeyRing(OLD, users=USERS)
STORES = ["memory", "redis", "cluster"]


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    """Make each kind of store, empty."""
    if request.param == "memory":
        yield MemoryStore(keys=RING)
    elif request.param == "redis":
        async with RedisStore(request.getfixturevalue("redis_url"), keys=RING) as kept:
            yield kept
    else:
        async with RedisCluster.from_url(request.getfixturevalue("redis_cluster").url) as cluster:
            yield RedisStore(cluster, keys=RING)


@asynccontextmanager
async def opened(
    store: Any, clients: int = 1, **options: Any
) -> AsyncIterator[tuple[LocalTenant, list[PasswordlessClient]]]:
    """Run a tenant and several clients of one store, as several processes have."""
    async with LocalTenant() as tenant, AsyncExitStack() as stack:
        yield (
            tenant,
            [
                await stack.enter_async_context(
                    PasswordlessClient(tenant.url, tenant.public_client_id, profile=TESTING, store=store, **options)
                )
                for _ in range(clients)
            ],
        )
        assert (0, ()) == (tenant.stats.refresh_reuse_detected, tenant.disagreements)


async def log_in(tenant: LocalTenant, client: PasswordlessClient, who: Email = ADA) -> TokenSet:
    await client.start(who)
    return await client.exchange(who, tenant.outbox.code_for(who), scope=SCOPE)


async def test_what_is_opened_here_is_read_there(store: Any):
    """Tokens, key, claims and user come back on another machine as they were, and are of use there."""
    async with opened(store, clients=2) as (tenant, (here, there)):
        tokens = await log_in(tenant, here)
        found = await there.sessions.get(await here.sessions.open(tokens))
        assert (tokens, dict(tokens.claims), tokens.claims["sub"]) == (
            found.tokens,
            dict(found.tokens.claims),
            found.user,
        )
        assert (await there.userinfo(found.tokens))["sub"] == found.user


async def test_an_identifier_is_all_that_opens_a_session(store: Any):
    """256 random bits, another one each time; what is none, or another's, opens nothing."""
    async with opened(store) as (tenant, (client,)):
        tokens = await log_in(tenant, client)
        first, second = [await client.sessions.open(tokens) for _ in range(2)]
        assert first != second
        assert {51} == {len(first), len(second)}
        for wrong in ("", "x", first[:-1], first[:43], second[:43] + "AAAAAAAA", "é" * 51, None, 5, b"x" * 51):
            with pytest.raises(InvalidSession):
                await client.sessions.get(wrong)
        assert "<redacted>" == repr(first)
        assert first not in repr(await client.sessions.get(first))


async def test_another_application_or_tenant_cannot_read_it(store: Any):
    """A session is bound to whom it was opened for: the identifier and the store alone are not enough."""
    async with opened(store) as (tenant, (client,)):
        identifier = await client.sessions.open(await log_in(tenant, client))
        for domain, client_id in ((tenant.url, "another"), ("other.example", tenant.public_client_id)):
            stranger = PasswordlessClient(domain, client_id, store=store)
            with pytest.raises(BrokenSeal) as refused:
                await stranger.sessions.get(identifier)
            assert "place" == refused.value.failed


async def test_sessions_end(store: Any, monkeypatch: pytest.MonkeyPatch):
    """Closed ones at once, with their tokens at the service; old ones after their absolute lifetime."""
    async with opened(store, lifetimes=Lifetimes(idle=3600, absolute=7200)) as (tenant, (client,)):
        closed, old = [await client.sessions.open(await log_in(tenant, client, who)) for who in (ADA, BOB)]
        await client.sessions.close(closed)
        await client.sessions.close(closed)
        with pytest.raises(InvalidSession):
            await client.sessions.get(closed)
        assert [True, False] == [family.revoked for family in tenant.refresh_families]
        now = _clock.now()
        monkeypatch.setattr(_clock, "now", lambda: now + 7201)
        with pytest.raises(InvalidSession):
            await client.sessions.get(old)


async def test_a_users_sessions(store: Any):
    """They are listed, and closed all at once, and nobody else's are."""
    async with opened(store) as (tenant, (client,)):
        ada, bob = await log_in(tenant, client), await log_in(tenant, client, BOB)
        mine = [await client.sessions.open(ada) for _ in range(3)]
        his = await client.sessions.open(bob)
        user = ada.claims["sub"]
        assert (3, 1) == (
            len(await client.sessions.list(user)),
            len(await client.sessions.list(bob.claims["sub"])),
        )
        assert 3 == await client.sessions.close_all(user)
        assert () == await client.sessions.list(user)
        for identifier in mine:
            with pytest.raises(InvalidSession):
                await client.sessions.get(identifier)
        assert (await client.sessions.get(his)).user == bob.claims["sub"]


async def test_a_hundred_refreshes_on_four_machines(store: Any):
    """One refresh token is spent once, whoever asks; all have the new tokens, and so has the store."""
    async with opened(store, clients=4) as (tenant, clients):
        identifier = await clients[0].sessions.open(await log_in(tenant, clients[0]))
        refreshed = await asyncio.gather(*(clients[n % 4].sessions.refresh(identifier) for n in range(100)))
        assert 1 == len({session.tokens.refresh_token for session in refreshed})
        assert refreshed[0].tokens == (await clients[1].sessions.get(identifier)).tokens
        assert 1 == tenant.stats.refresh_rotations
        assert (await clients[2].sessions.refresh(identifier)).tokens != refreshed[0].tokens


async def test_a_refresh_that_was_not_sent_may_come_again(store: Any):
    """What left nothing leaves no mark: the next one goes."""
    async with opened(store, clients=2) as (tenant, (here, there)):
        identifier = await here.sessions.open(await log_in(tenant, here))
        async with tenant.outage():
            for _ in range(3):
                with pytest.raises((NotSent, OutcomeUnknown)):
                    await log_in(tenant, here, BOB)
            with pytest.raises(NotSent):
                await here.sessions.refresh(identifier)
        await there.sessions.refresh(identifier)
        assert 1 == tenant.stats.refresh_rotations


@pytest.mark.parametrize("fault", [Fault.DROP_AFTER_PROCESSING, Fault.DROP_BEFORE_READ])
async def test_a_refresh_of_unknown_fate_is_not_sent_again(store: Any, fault: Fault):
    """Nobody knows whether the token is spent: another machine does not try, and no family is revoked by us."""
    async with opened(store, clients=2) as (tenant, (here, there)):
        identifier = await here.sessions.open(await log_in(tenant, here))
        tenant.faults.add(fault, path=TOKEN, times=1)
        with pytest.raises(OutcomeUnknown):
            await here.sessions.refresh(identifier)
        tenant.faults.clear()
        before = tenant.stats.token_requests
        with pytest.raises(OutcomeUnknown, match="not sent again"):
            await there.sessions.refresh(identifier)
        assert before == tenant.stats.token_requests
        assert [False] == [family.revoked for family in tenant.refresh_families]


async def test_a_session_that_is_over_at_the_service(store: Any):
    """The refusal is told, and told again: nothing was spent by it."""
    async with opened(store) as (tenant, (client,)):
        tokens = await log_in(tenant, client)
        identifier = await client.sessions.open(tokens)
        await client.revoke(tokens)
        for _ in range(2):
            with pytest.raises(InvalidRefreshToken):
                await client.sessions.refresh(identifier)


async def test_a_session_that_is_closed_while_it_is_refreshed(store: Any):
    """The new tokens do not outlive it."""
    async with opened(store, clients=2) as (tenant, (here, there)):
        identifier = await here.sessions.open(await log_in(tenant, here))
        answer = asyncio.Event()
        tenant.faults.add(Fault.SLOW, path=TOKEN, until=answer, times=1)
        before = tenant.stats.token_requests
        refreshing = asyncio.create_task(here.sessions.refresh(identifier))
        async with asyncio.timeout(10):
            while tenant.stats.token_requests == before:  # noqa: ASYNC110 - the tenant says it by nothing else
                await asyncio.sleep(0.001)
        await there.sessions.close(identifier, revoke=False)
        answer.set()
        with pytest.raises(InvalidSession, match="closed while"):
            await refreshing
        assert [True] == [family.revoked for family in tenant.refresh_families]


async def test_keys_rotate_without_a_stop(store: Any):
    """What an old key sealed opens by a ring that has it, is sealed again by the newest, and needs the old no more."""
    async with opened(store) as (tenant, (client,)):
        identifier = await client.sessions.open(await log_in(tenant, client))
        rotated, newest = KeyRing(NEW, OLD, users=USERS), KeyRing(NEW, users=USERS)
        client.sessions._records.keys = newest
        with pytest.raises(BrokenSeal) as refused:
            await client.sessions.get(identifier)
        assert "key" == refused.value.failed
        client.sessions._records.keys = rotated
        await client.sessions.get(identifier)
        client.sessions._records.keys = newest
        await client.sessions.get(identifier)


async def test_a_value_that_is_moved_does_not_open(redis_url: str):
    """Whoever writes to the database cannot give one user another's session."""
    async with RedisStore(redis_url, keys=RING) as store, opened(store) as (tenant, (client,)):
        mine, his = [await client.sessions.open(await log_in(tenant, client, who)) for who in (ADA, BOB)]
        raw: Redis = store._batches._redis
        names = sorted([name async for name in raw.scan_iter("pa:*:session:*")])
        second = await raw.get(names[1])
        await raw.set(names[0], second)
        await raw.set(names[1], second[:-8] + b"AAAAAAAA")
        failures = []
        for identifier in (mine, his):
            with pytest.raises(BrokenSeal) as refused:
                await client.sessions.get(identifier)
            failures.append(refused.value.failed)
        assert {"place", "seal"} == set(failures)


async def test_the_database_tells_nothing(redis_server: Any):
    """Not a code, token, key, address or identifier is in it, in no spelling that it could be used in."""
    async with RedisStore(redis_server.url, keys=RING) as store, opened(store) as (tenant, (client,)):
        await client.start(ADA)
        code = tenant.outbox.code_for(ADA)
        tokens = await client.exchange(ADA, code, scope=SCOPE)
        identifier = await client.sessions.open(tokens)
        renewed = (await client.sessions.refresh(identifier)).tokens
        kept = bytes(redis_server.written())
        assert b"pa:{" in kept
        words = [code, ADA.address, identifier, identifier[:43], tokens.claims["sub"], tokens.key.to_bytes().hex()]
        words += [
            value for each in (tokens, renewed) for value in (each.access_token, each.refresh_token, each.id_token)
        ]
        assert [] == [word for word in words if word.encode() in kept]
        assert tokens.key.to_bytes() not in kept


async def test_a_store_that_is_away(redis_server: Any):
    """Each call fails in time, by name, and works again when the store is back; nothing that was kept is lost."""
    store = RedisStore(redis_server.url, keys=RING, timeout=0.3)
    async with store, opened(store) as (tenant, (client,)):
        identifier = await client.sessions.open(await log_in(tenant, client))
        redis_server.kill()
        for call in (client.sessions.get(identifier), client.sessions.refresh(identifier)):
            with pytest.raises(StoreUnavailable):
                await call
        redis_server.restart()
        assert (await client.sessions.get(identifier)).user
        redis_server.pause()
        with pytest.raises(StoreUnavailable, match="does not answer in time"):
            await client.sessions.get(identifier)
        redis_server.resume()
        assert (await client.sessions.get(identifier)).user
        assert 0 == tenant.stats.refresh_rotations


@pytest.mark.parametrize(
    ("arguments", "argument"),
    [
        (("redis://127.0.0.1:1", {}), "keys"),
        (("http://127.0.0.1", {"keys": RING}), "redis"),
        ((5, {"keys": RING}), "redis"),
        (("redis://127.0.0.1:1", {"keys": RING, "timeout": 0}), "timeout"),
        (("redis://127.0.0.1:1", {"keys": RING, "prefix": "a b"}), "prefix"),
    ],
)
def test_a_store_that_cannot_be(arguments: Any, argument: str):
    """Without keys nothing is kept, and what is wrong is named."""
    with pytest.raises(UsageError) as refused:
        RedisStore(arguments[0], **{"keys": None, **arguments[1]})
    assert argument == refused.value.argument


async def test_tokens_without_a_user(store: Any):
    """Without an ID token the caller says whose they are."""
    async with opened(store) as (tenant, (client,)):
        tokens = attrs.evolve(await log_in(tenant, client), claims=None, id_token=None)
        with pytest.raises(UsageError, match="user: must be given"):
            await client.sessions.open(tokens)
        assert "ada" == (await client.sessions.get(await client.sessions.open(tokens, user="ada"))).user


def strike(monkeypatch: pytest.MonkeyPatch, store: Any, call: str, *, lost: bool = False, times: int = 1) -> list[str]:
    """Let a call of the store fail so many times: before it is done, or after, so that only the answer is lost."""
    done, ask = [], getattr(store, call)

    async def struck(*arguments: Any, **named: Any) -> Any:
        if len(done) >= times:
            return await ask(*arguments, **named)
        done.append(call)
        if lost:
            await ask(*arguments, **named)
        raise StoreUnavailable("struck")

    monkeypatch.setattr(store, call, struck)
    return done


def meanwhile(monkeypatch: pytest.MonkeyPatch, store: Any, call: str, do: Callable[[], Any]) -> None:
    """Do something between a call of the store and what its caller did before, once."""
    waiting, ask = [do], getattr(store, call)

    async def after(*arguments: Any, **named: Any) -> Any:
        if waiting:
            await waiting.pop()()
        return await ask(*arguments, **named)

    monkeypatch.setattr(store, call, after)


async def refused(awaitable: Any) -> OutcomeUnknown:
    with pytest.raises(OutcomeUnknown) as told:
        await awaitable
    return told.value


async def names_of(client: PasswordlessClient, user: str) -> list[str]:
    return [info.name for info in await client.sessions.list(user)]


async def test_a_list_tells_when_sessions_end(store: Any, monkeypatch: pytest.MonkeyPatch):
    """Opening, idle end and end are told, the oldest first; to look is no use, and the end bounds the idle end."""
    async with opened(store, lifetimes=Lifetimes(idle=50, absolute=100)) as (tenant, (client,)):
        tokens = await log_in(tenant, client)
        start = _clock.now()
        await client.sessions.open(tokens)
        monkeypatch.setattr(_clock, "now", lambda: start + 60)
        await client.sessions.open(tokens)
        first, second = await client.sessions.list(tokens.claims["sub"])
        assert (first.name, second.name) == tuple(await names_of(client, tokens.claims["sub"]))
        assert [pytest.approx(start, abs=1), start + 60] == [first.opened_at, second.opened_at]
        assert [pytest.approx(start + 100, abs=1), start + 160] == [first.ends_at, second.ends_at]
        assert (first.ends_at, pytest.approx(start + 110, abs=2)) == (first.idle_ends_at, second.idle_ends_at)
        await asyncio.sleep(0.05)
        assert (await client.sessions.list(tokens.claims["sub"]))[1].idle_ends_at < second.idle_ends_at


async def test_sessions_that_ended_are_not_listed(store: Any, monkeypatch: pytest.MonkeyPatch):
    """Neither those that were idle nor those of old age are in the list, nor in the store's for long."""
    async with opened(store, clients=2) as (tenant, (client, other)):
        tokens = await log_in(tenant, client)
        user, now = tokens.claims["sub"], _clock.now()
        other.sessions._records._lifetimes = Lifetimes(idle=0.05)
        await other.sessions.open(tokens)
        client.sessions._records._lifetimes = Lifetimes(absolute=50)
        await client.sessions.open(tokens)
        await asyncio.sleep(0.1)
        assert 1 == len(await client.sessions.list(user))
        (place,) = await client.sessions._records.places(user)
        monkeypatch.setattr(_clock, "now", lambda: now + 60)
        assert () == await client.sessions.list(user)
        assert () == await store.sessions_of(place.user)


async def test_a_session_that_does_not_open_is_listed_by_name(store: Any):
    """Operators see that it is there, and can close it; what is sealed in it they do not."""
    async with opened(store, clients=2) as (tenant, (client, operator)):
        tokens = await log_in(tenant, client)
        user = tokens.claims["sub"]
        client.sessions._records.keys = KeyRing(NEW, users=USERS)
        await client.sessions.open(tokens)
        opens = await operator.sessions.open(tokens)
        first, second = await operator.sessions.list(user)
        assert (None, None) == (second.opened_at, second.ends_at)
        assert second.idle_ends_at > first.opened_at
        assert await operator.sessions.close_named(user, second.name)
        assert [first.name] == await names_of(operator, user)
        assert await operator.sessions.get(opens)


async def test_one_session_is_closed_by_its_name(store: Any):
    """The named one, once, and of that user alone; what is no name closes nothing."""
    async with opened(store) as (tenant, (client,)):
        ada, bob = await log_in(tenant, client), await log_in(tenant, client, BOB)
        user, his = ada.claims["sub"], bob.claims["sub"]
        for tokens in (ada, ada, bob):
            await client.sessions.open(tokens)
        name, other = await names_of(client, user)
        assert [False] * 3 == [await client.sessions.close_named(his, wrong) for wrong in (name, "", f"{name}:mark")]
        assert [True, False] == [await client.sessions.close_named(user, name) for _ in range(2)]
        assert [other] == await names_of(client, user)
        assert 1 == len(await client.sessions.list(his))


@pytest.mark.parametrize("store", ["redis", "cluster"], indirect=True)
async def test_names_of_ended_sessions_do_not_gather(store: Any):
    """Who logs in daily and never closes has no list that grows without bound, and loses none that lives."""
    async with opened(store) as (tenant, (client,)):
        tokens = await log_in(tenant, client)
        user = tokens.claims["sub"]
        living = [await client.sessions.open(tokens) for _ in range(4)]
        place, *_ = places = await client.sessions._records.places(user)
        client.sessions._records._lifetimes = Lifetimes(idle=0.05)
        for _ in range(60):
            await client.sessions.open(tokens)
        assert 64 == len(await store.sessions_of(place.user))
        await asyncio.sleep(0.1)
        client.sessions._records._lifetimes = Lifetimes()
        living.append(await client.sessions.open(tokens))
        left = await store.sessions_of(place.user)
        assert {each.session for each in places} < set(left)
        assert 5 == len(left)
        assert all([await client.sessions.get(identifier) for identifier in living])


async def test_a_longer_life_is_for_new_sessions(store: Any, monkeypatch: pytest.MonkeyPatch):
    """Sessions end when they were to end at their opening: the user's list, by which all are closed, lasts as long."""
    async with opened(store, clients=2) as (tenant, (client, changed)):
        client.sessions._records._lifetimes = Lifetimes(idle=3600, absolute=7200)
        identifier = await client.sessions.open(await log_in(tenant, client))
        changed.sessions._records._lifetimes = Lifetimes(idle=3600, absolute=9999)
        now = _clock.now()
        monkeypatch.setattr(_clock, "now", lambda: now + 7201)
        with pytest.raises(InvalidSession):
            await changed.sessions.get(identifier)


async def test_a_refresh_that_ends_between_look_and_refresh(store: Any, monkeypatch: pytest.MonkeyPatch):
    """Who read a refresh token that was spent before they came to spend it has what came of it, and sends nothing."""
    async with opened(store, clients=2) as (tenant, (here, there)):
        identifier = await here.sessions.open(await log_in(tenant, here))
        renewed: list[Any] = []

        async def refresh() -> None:
            renewed.append(await there.sessions.refresh(identifier))

        meanwhile(monkeypatch, store, "begin_refresh", refresh)
        assert (await here.sessions.refresh(identifier)).tokens == renewed[0].tokens
        assert 1 == tenant.stats.refresh_rotations


async def test_a_reseal_between_look_and_refresh(store: Any, monkeypatch: pytest.MonkeyPatch):
    """A session that was only sealed again is refreshed all the same."""
    async with opened(store, clients=2) as (tenant, (here, there)):
        identifier = await here.sessions.open(await log_in(tenant, here))
        here.sessions._records.keys = KeyRing(OLD, NEW, users=USERS)
        there.sessions._records.keys = KeyRing(NEW, OLD, users=USERS)
        meanwhile(monkeypatch, store, "begin_refresh", lambda: there.sessions.get(identifier))
        await here.sessions.refresh(identifier)
        assert 1 == tenant.stats.refresh_rotations


async def test_doubt_lasts_as_long_as_the_session(store: Any):
    """A session that is kept alive by use is not taken for one whose refresh token was never sent."""
    async with opened(store, clients=2, lifetimes=Lifetimes(idle=1.0)) as (tenant, (here, there)):
        identifier = await here.sessions.open(await log_in(tenant, here))
        tenant.faults.add(Fault.DROP_AFTER_PROCESSING, path=TOKEN, times=1)
        await refused(here.sessions.refresh(identifier))
        tenant.faults.clear()
        before = tenant.stats.token_requests
        for _ in range(8):
            await asyncio.sleep(0.15)
            await there.sessions.get(identifier)
        await refused(there.sessions.refresh(identifier))
        assert before == tenant.stats.token_requests


@pytest.mark.parametrize("fault", [Fault.BEARER_TOKEN, Fault.GARBAGE_JSON])
async def test_an_answer_that_must_not_be_trusted_spends(store: Any, fault: Fault):
    """The service has spent the refresh token for it: nobody sends it again."""
    async with opened(store, clients=2) as (tenant, (here, there)):
        identifier = await here.sessions.open(await log_in(tenant, here))
        tenant.faults.add(fault, path=TOKEN, times=1)
        with pytest.raises((ProtocolError, OutcomeUnknown)):
            await here.sessions.refresh(identifier)
        tenant.faults.clear()
        before = tenant.stats.token_requests
        await refused(there.sessions.refresh(identifier))
        assert before == tenant.stats.token_requests


@pytest.mark.parametrize("lost", [True, False])
async def test_a_store_that_is_away_before_a_refresh(store: Any, monkeypatch: pytest.MonkeyPatch, *, lost: bool):
    """Whether the store was told that a token would leave or not: it did not leave, and the next refresh sends it."""
    async with opened(store, clients=2) as (tenant, (here, there)):
        identifier = await here.sessions.open(await log_in(tenant, here))
        strike(monkeypatch, store, "begin_refresh", lost=lost)
        with pytest.raises(StoreUnavailable):
            await here.sessions.refresh(identifier)
        await there.sessions.refresh(identifier)
        assert 1 == tenant.stats.refresh_rotations


async def test_a_caller_that_goes_before_a_refresh(store: Any, monkeypatch: pytest.MonkeyPatch):
    """Whoever stops waiting while the store is told of a refresh leaves no doubt about a token that never left."""
    async with opened(store, clients=2) as (tenant, (here, there)):
        identifier = await here.sessions.open(await log_in(tenant, here))
        told, go, ask = asyncio.Event(), asyncio.Event(), store.begin_refresh

        async def slow(*arguments: Any, **named: Any) -> Any:
            begun = await ask(*arguments, **named)
            told.set()
            await go.wait()
            return begun

        monkeypatch.setattr(store, "begin_refresh", slow)
        refreshing = asyncio.create_task(here.sessions.refresh(identifier))
        await told.wait()
        refreshing.cancel()
        await asyncio.wait([refreshing])
        monkeypatch.setattr(store, "begin_refresh", ask)
        go.set()
        async with asyncio.timeout(10):
            assert (await there.sessions.refresh(identifier)).tokens
        assert 1 == tenant.stats.refresh_rotations


async def test_a_store_that_is_away_after_nothing_was_sent(store: Any, monkeypatch: pytest.MonkeyPatch):
    """What happened is told, and the store hears later that nothing was spent."""
    async with opened(store, clients=2) as (tenant, (here, there)):
        identifier = await here.sessions.open(await log_in(tenant, here))
        struck = strike(monkeypatch, store, "end_refresh", times=3)
        tenant.faults.add(Fault.RATE_LIMITED_SILENT, path=TOKEN)
        with pytest.raises(RateLimited):
            await here.sessions.refresh(identifier)
        tenant.faults.clear()
        async with asyncio.timeout(10):
            await there.sessions.refresh(identifier)
        assert (3, 1) == (len(struck), tenant.stats.refresh_rotations)


async def test_a_store_that_is_away_after_an_unknown_outcome(store: Any, monkeypatch: pytest.MonkeyPatch):
    """That the outcome is unknown is what the caller hears, whatever the store says to it."""
    async with opened(store) as (tenant, (client,)):
        identifier = await client.sessions.open(await log_in(tenant, client))
        strike(monkeypatch, store, "abandon_refresh")
        tenant.faults.add(Fault.DROP_AFTER_PROCESSING, path=TOKEN, times=1)
        await refused(client.sessions.refresh(identifier))


@pytest.mark.parametrize("lost", [True, False])
async def test_a_store_that_is_away_after_a_refresh(store: Any, monkeypatch: pytest.MonkeyPatch, *, lost: bool):
    """New tokens are kept when the store is back, and are taken for nobody else's where it had them already."""
    async with opened(store, clients=2) as (tenant, (here, there)):
        identifier = await here.sessions.open(await log_in(tenant, here))
        strike(monkeypatch, store, "end_refresh", lost=lost, times=2)
        refreshed = await here.sessions.refresh(identifier)
        assert refreshed.tokens == (await there.sessions.get(identifier)).tokens
        assert [False] == [family.revoked for family in tenant.refresh_families]


@pytest.mark.parametrize("then", ["reseal", "refresh"])
async def test_others_go_on_while_an_answer_is_lost(store: Any, monkeypatch: pytest.MonkeyPatch, then: str):
    """New tokens that the store had, and that others went on from since, are not revoked as those of a closed session.

    Others have them sealed again by then, or refreshed.
    """
    async with opened(store, clients=2) as (tenant, (here, there)):
        identifier = await here.sessions.open(await log_in(tenant, here))
        here.sessions._records.keys = KeyRing(OLD, NEW, users=USERS)
        if then == "reseal":
            there.sessions._records.keys = KeyRing(NEW, OLD, users=USERS)
        ask, tries = store.end_refresh, []

        async def end(*arguments: Any, **named: Any) -> bool:
            tries.append(named["token"])
            if tries.count(named["token"]) > 1 or len(set(tries)) > 1:
                return await ask(*arguments, **named)
            await ask(*arguments, **named)
            await (there.sessions.refresh if then == "refresh" else there.sessions.get)(identifier)
            raise StoreUnavailable("the answer is lost")

        monkeypatch.setattr(store, "end_refresh", end)
        refreshed = await here.sessions.refresh(identifier)
        assert refreshed.tokens == (await there.sessions.get(identifier)).tokens
        assert [False] == [family.revoked for family in tenant.refresh_families]
        await there.sessions.refresh(identifier)


async def test_a_session_that_does_not_open_here_is_closed(store: Any):
    """A user who logs out at a machine without the newest key is logged out, on all."""
    async with opened(store, clients=2) as (tenant, (here, there)):
        identifier = await here.sessions.open(await log_in(tenant, here))
        there.sessions._records.keys = KeyRing(NEW, users=USERS)
        await there.sessions.close(identifier)
        with pytest.raises(InvalidSession):
            await here.sessions.get(identifier)


async def test_a_caller_that_goes_while_a_session_is_closed(store: Any, monkeypatch: pytest.MonkeyPatch):
    """Tokens of a session that was closed are revoked though its caller is gone: nobody else could any more."""
    async with opened(store) as (tenant, (client,)):
        identifier = await client.sessions.open(await log_in(tenant, client))
        closed, ask = asyncio.Event(), store.close

        async def close(*arguments: Any) -> bool:
            done = await ask(*arguments)
            closed.set()
            await asyncio.sleep(0.01)
            return done

        monkeypatch.setattr(store, "close", close)
        closing = asyncio.create_task(client.sessions.close(identifier))
        await closed.wait()
        closing.cancel()
        await asyncio.wait([closing])
        async with asyncio.timeout(10):
            while not tenant.refresh_families[0].revoked:  # noqa: ASYNC110 - the tenant says it by nothing else
                await asyncio.sleep(0.001)
