"""Stored sessions, the same on memory, a server and a cluster: opening, reading, listing and closing."""

from __future__ import annotations

import asyncio
import gc
from functools import partial
from http.cookies import SimpleCookie
from typing import Any, cast

import attrs
import pytest

from helpers.clients import kept_waiting
from helpers.leaks import lines_with, shown
from helpers.session_clients import (
    ADA,
    BOB,
    TOKEN,
    before_call,
    log_in,
    names_of,
    opened,
    user_of,
    with_claims,
)
from helpers.store_fixtures import NEW, RING, USERS
from passwordless_async import (
    TESTING,
    DPoPKey,
    Email,
    InvalidDPoPProof,
    InvalidRefreshToken,
    InvalidSession,
    KeyRing,
    Lifetimes,
    MemoryStore,
    OAuthError,
    PasswordlessClient,
    StoreUnavailable,
    TokenSet,
    UsageError,
)
from passwordless_async._common import clock as _clock
from passwordless_async.client import refreshes
from passwordless_async.client.sessions import sessions
from passwordless_async.stores.redis import RedisStore
from passwordless_async.testing import Fault, LocalTenant, TenantSettings


async def test_a_session_opened_on_one_machine_is_read_on_another(store: Any) -> None:
    """Tokens, key, claims and user come back on another machine as they were, and work there."""
    async with opened(store, clients=2) as (tenant, (here, there)):
        tokens = await log_in(tenant, here)
        found = await there.sessions.get(await here.sessions.open(tokens))
        assert (tokens, dict(tokens.claims or {}), user_of(tokens)) == (
            found.tokens,
            dict(found.tokens.claims or {}),
            found.user,
        )
        assert (await there.userinfo(found.tokens))["sub"] == found.user


async def test_only_the_identifier_opens_a_session(store: Any) -> None:
    """It holds 256 random bits, new ones each time; nothing else opens the session."""
    async with opened(store) as (tenant, (client,)):
        tokens = await log_in(tenant, client)
        first, second = [await client.sessions.open(tokens) for _ in range(2)]
        assert first != second
        assert {len(first), len(second)} == {51}
        wrong: Any
        for wrong in ("", "x", first[:-1], first[:43], second[:43] + "AAAAAAAA", "é" * 51, None):
            with pytest.raises(InvalidSession):
                await client.sessions.get(wrong)
        cookies = SimpleCookie({"session": first})
        for wrong in (await client.sessions.get(first), cookies["session"], 5, b"x" * 51):
            with pytest.raises(UsageError, match="identifier: must be a str, such as the session's id, not") as raised:
                await client.sessions.close(wrong)
            assert lines_with({str(first)}, shown(raised.value)) == []
        assert repr(first) == "<redacted>"
        assert first not in repr(await client.sessions.get(first))


async def test_sessions_end_when_closed_and_with_age(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A closed session ends at once, with its tokens at the service; an old one after its absolute lifetime."""
    async with opened(store, lifetimes=Lifetimes(idle=3600, absolute=7200)) as (tenant, (client,)):
        closed, old = [await client.sessions.open(await log_in(tenant, client, who)) for who in (ADA, BOB)]
        await client.sessions.close(closed)
        await client.sessions.close(closed)
        with pytest.raises(InvalidSession):
            await client.sessions.get(closed)
        assert [family.revoked for family in tenant.refresh_families] == [True, False]
        now = _clock.now()
        monkeypatch.setattr(_clock, "now", lambda: now + 7201)
        with pytest.raises(InvalidSession):
            await client.sessions.get(old)


async def test_the_sessions_of_one_user_are_listed_and_closed(store: Any) -> None:
    """Listing and closing all touch no other user's sessions."""
    async with opened(store) as (tenant, (client,)):
        ada, bob = await log_in(tenant, client), await log_in(tenant, client, BOB)
        mine = [await client.sessions.open(ada) for _ in range(3)]
        his = await client.sessions.open(bob)
        user = user_of(ada)
        assert (
            len(await client.sessions.list(user)),
            len(await client.sessions.list(user_of(bob))),
        ) == (3, 1)
        assert await client.sessions.close_all(user) == 3
        assert await client.sessions.list(user) == ()
        for identifier in mine:
            with pytest.raises(InvalidSession):
                await client.sessions.get(identifier)
        assert (await client.sessions.get(his)).user == user_of(bob)


async def test_tokens_without_an_id_token_need_a_user(store: Any) -> None:
    """Without an ID token the caller names the user."""
    async with opened(store) as (tenant, (client,)):
        tokens = attrs.evolve(await log_in(tenant, client), claims=None, id_token=None)
        with pytest.raises(UsageError, match="user: must be given"):
            await client.sessions.open(tokens)
        assert (await client.sessions.get(await client.sessions.open(tokens, user="ada"))).user == "ada"


async def test_one_session_is_closed_by_its_public_name(store: Any) -> None:
    """The named session is closed, once, and only if it is that user's."""
    async with opened(store) as (tenant, (client,)):
        ada, bob = await log_in(tenant, client), await log_in(tenant, client, BOB)
        user, his = user_of(ada), user_of(bob)
        for tokens in (ada, ada, bob):
            await client.sessions.open(tokens)
        name, other = await names_of(client, user)
        assert [await client.sessions.close_named(his, wrong) for wrong in (name, "", f"{name}:mark")] == [False] * 3
        assert [await client.sessions.close_named(user, name) for _ in range(2)] == [True, False]
        assert await names_of(client, user) == [other]
        assert len(await client.sessions.list(his)) == 1


async def test_sessions_are_logged_out_by_their_public_names(store: Any) -> None:
    """The named sessions are closed and revoked, if they are that user's; each once."""
    async with opened(store) as (tenant, (client,)):
        ada, bob = [await log_in(tenant, client) for _ in range(3)], await log_in(tenant, client, BOB)
        user, his = user_of(ada[0]), user_of(bob)
        for tokens in (*ada, bob):
            await client.sessions.open(tokens)
        names = await names_of(client, user)
        assert await client.sessions.log_out(his, [*names, "", "x"]) == {}
        assert await client.sessions.log_out(user, [names[0], names[0], names[1]]) == dict.fromkeys(names[:2])
        assert await client.sessions.log_out(user, names[:2]) == {}
        assert (await names_of(client, user), len(await client.sessions.list(his))) == (names[2:], 1)
        assert [family.revoked for family in tenant.refresh_families].count(True) == 2


async def test_a_session_that_could_not_be_revoked_is_closed(store: Any) -> None:
    """The error of each revocation is told; the others are revoked."""
    async with opened(store) as (tenant, (client,)):
        tokens = [await log_in(tenant, client) for _ in range(2)]
        identifiers = [await client.sessions.open(each) for each in tokens]
        user = user_of(tokens[0])
        tenant.faults.add(Fault.ENDPOINT_DISABLED, path="/oauth/revoke", times=1)
        told = await client.sessions.log_out(user, await names_of(client, user))
        assert [isinstance(error, OAuthError) for error in told.values()].count(True) == 1
        assert list(told.values()).count(None) == 1
        for identifier in identifiers:
            with pytest.raises(InvalidSession):
                await client.sessions.get(identifier)


async def test_closing_tells_whether_there_was_a_session(store: Any) -> None:
    """Once; an identifier that cannot be one is none."""
    async with opened(store) as (tenant, (client,)):
        identifier = await client.sessions.open(await log_in(tenant, client))
        assert [await client.sessions.close(each) for each in (identifier, identifier, "x")] == [True, False, False]


async def test_a_session_may_be_closed_without_a_revocation() -> None:
    """So its tokens may be kept; without a refresh token there is nothing to revoke."""
    async with opened(MemoryStore()) as (tenant, (client,)):
        tokens = await log_in(tenant, client)
        assert await client.sessions.close(await client.sessions.open(tokens), revoke=False)
        unrefreshed = attrs.evolve(tokens, refresh_token=None)
        assert await client.sessions.close(await client.sessions.open(unrefreshed))
        await client.sessions.open(unrefreshed)
        (name,) = await names_of(client, user_of(tokens))
        assert await client.sessions.log_out(user_of(tokens), [name]) == {name: None}
        assert tenant.stats.revoke_requests == 0


async def test_a_session_that_two_machines_end_at_once_ends_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that comes later says that there was none, and revokes nothing."""
    store = MemoryStore()
    async with opened(store, clients=2) as (tenant, (here, there)):
        tokens = await log_in(tenant, here)
        user = user_of(tokens)
        for way, expected in (("log_out", {}), ("close_named", False)):
            identifier = await here.sessions.open(tokens)
            (name,) = await names_of(here, user)
            names: Any = [name] if way == "log_out" else name
            before_call(monkeypatch, store, "close", partial(there.sessions.close, identifier, revoke=way == "log_out"))
            assert await getattr(here.sessions, way)(user, names) == expected
        assert tenant.stats.revoke_requests == 1


async def test_an_error_of_the_store_is_raised_when_all_its_calls_have_ended() -> None:
    """Otherwise calls would go on that no caller waits for."""
    ended = []

    async def later() -> None:
        for _ in range(5):
            await asyncio.sleep(0)
        ended.append("later")

    async def lost() -> None:
        raise StoreUnavailable("lost")

    with pytest.raises(StoreUnavailable):
        await sessions._all([lost(), later()])
    assert ended == ["later"]


@pytest.mark.parametrize(("call", "path"), [("close", "/oauth/revoke"), ("refresh", TOKEN)])
async def test_a_closing_client_waits_for_what_it_does_with_sessions(call: str, path: str) -> None:
    """For the grace period, and then forgets the sessions that it has read."""
    async with opened(MemoryStore()) as (tenant, (client,)):
        stays, identifier = [await client.sessions.open(await log_in(tenant, client)) for _ in range(2)]
        await client.sessions.get(stays)
        tenant.requests.clear()
        calling, answer = await kept_waiting(tenant, getattr(client.sessions, call)(identifier), path)
        closing = asyncio.create_task(client.aclose(grace=20.0))
        for _ in range(50):
            await asyncio.sleep(0)
        answer.set()
        await closing
        assert await calling
        assert len(client.sessions._records.cache) == 0


async def test_an_unreachable_store_fails_each_call_in_time(redis_server: Any) -> None:
    """Each call raises StoreUnavailable in time and works again when the store is back; nothing kept is lost."""
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
        assert tenant.stats.refresh_rotations == 0


async def test_a_session_that_cannot_be_unsealed_is_closed(store: Any) -> None:
    """A logout on a machine without the newest key is a logout on all machines."""
    async with opened(store, clients=2) as (tenant, (here, there)):
        identifier = await here.sessions.open(await log_in(tenant, here))
        user = (await here.sessions.get(identifier)).user
        there.sessions._records.keys = KeyRing(NEW, users=USERS)
        assert await there.sessions.close(identifier)
        with pytest.raises(InvalidSession):
            await here.sessions.get(identifier)
        identifier = await here.sessions.open(await log_in(tenant, here))
        (name,) = await names_of(here, user)
        assert await there.sessions.log_out(user, [name]) == {name: None}
        with pytest.raises(InvalidSession):
            await here.sessions.get(identifier)


async def test_what_is_no_public_name_is_refused() -> None:
    """A ``SessionInfo`` in place of its name would silently end nothing. One name is not split into letters."""
    async with opened(MemoryStore()) as (tenant, (client,)):
        user = user_of(tokens := await log_in(tenant, client))
        await client.sessions.open(tokens)
        (info,) = await client.sessions.list(user)
        wrong: Any = info
        for call, argument in (
            (client.sessions.log_out(user, [wrong]), "names"),
            (client.sessions.log_out(user, wrong), "names"),
            (client.sessions.close_named(user, wrong), "name"),
            (client.sessions.close_at_provider(sid=cast("Any", 5)), "sid"),
            (client.sessions.close_at_provider(user=cast("Any", 0), sid="sid"), "user"),
        ):
            with pytest.raises(UsageError, match=f"^{argument}: must be a str"):
                await call
        assert await client.sessions.log_out(user, info.name) == {info.name: None}


@pytest.mark.parametrize("way", ["close", "log_out"])
async def test_tokens_are_revoked_although_the_closing_caller_is_cancelled(
    store: Any, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """After the session was closed no other caller could revoke its tokens."""
    async with opened(store) as (tenant, (client,)):
        identifier = await client.sessions.open(await log_in(tenant, client))
        ending = await client.sessions.get(identifier)
        closed, go_on, ask = asyncio.Event(), asyncio.Event(), store.close

        async def close(*arguments: Any) -> Any:
            done = await ask(*arguments)
            closed.set()
            await go_on.wait()
            return done

        monkeypatch.setattr(store, "close", close)
        arguments: Any = {"close": (identifier,), "log_out": (ending.user, [ending.name])}[way]
        closing = asyncio.create_task(getattr(client.sessions, way)(*arguments))
        await closed.wait()
        closing.cancel()
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.wait([closing])
        async with asyncio.timeout(10):
            while not tenant.refresh_families[0].revoked:  # noqa: ASYNC110 - only polling tells
                await asyncio.sleep(0.001)


# API calls of stored sessions


def userinfo(api: Any, tenant: LocalTenant) -> Any:
    return api.request("GET", f"{tenant.url}/userinfo")


SHORT = TenantSettings(access_token_lifetime=20)  # each call is preceded by a refresh, but for tokens just refreshed


async def test_api_calls_of_a_session_refresh_through_the_store(store: Any) -> None:
    """On two machines at once: what one refreshes the other uses, and the store has it."""
    async with opened(store, clients=2, settings=SHORT) as (tenant, (here, there)):
        identifier = await here.sessions.open(await log_in(tenant, here))
        async with (
            here.sessions.api(identifier, origins=[tenant.url]) as one,
            there.sessions.api(identifier, origins=[tenant.url]) as other,
        ):
            for api in (one, other, one, other):
                async with userinfo(api, tenant) as response:
                    assert response.status == 200
            kept = (await here.sessions.get(identifier)).tokens
            assert kept in (one.tokens, other.tokens)
        assert tenant.stats.refresh_rotations <= 2


async def test_api_calls_use_what_another_machine_has_refreshed(store: Any) -> None:
    """Nothing is refreshed twice."""
    async with opened(store, clients=2) as (tenant, (here, there)):
        identifier = await here.sessions.open(await log_in(tenant, here))
        async with here.sessions.api(identifier, origins=[tenant.url]) as api:
            refreshed = await there.sessions.refresh(identifier)
            assert await api.renew(api.tokens) == refreshed.tokens
        assert tenant.stats.refresh_rotations == 1


async def test_api_calls_use_no_tokens_of_another_machine_that_end_soon() -> None:
    """They are refreshed once more."""
    async with opened(MemoryStore(), clients=2, settings=SHORT) as (tenant, (here, there)):
        identifier = await here.sessions.open(await log_in(tenant, here))
        async with here.sessions.api(identifier, origins=[tenant.url]) as api:
            refreshed = await there.sessions.refresh(identifier)
            assert await api.renew(api.tokens) != refreshed.tokens
        assert tenant.stats.refresh_rotations == 2


async def test_api_calls_of_a_closed_session_end_with_its_access_token() -> None:
    """They raise InvalidSession instead of refreshing, and there is none for an unknown session."""
    async with opened(MemoryStore(), clients=2, settings=SHORT) as (tenant, (here, _)):
        identifier = await here.sessions.open(await log_in(tenant, here))
        async with here.sessions.api(identifier, origins=[tenant.url]) as api:
            await here.sessions.close(identifier, revoke=False)
            with pytest.raises(InvalidSession):
                async with userinfo(api, tenant):
                    pass
        with pytest.raises(InvalidSession):
            async with here.sessions.api(identifier, origins=[tenant.url]):
                pass
        assert tenant.stats.refresh_rotations == 0


@pytest.mark.parametrize("whence", ["taken", "given"])
@pytest.mark.parametrize("door", ["session", "refresh"])
async def test_tokens_of_a_session_are_refreshed_by_the_session(store: Any, whence: str, door: str) -> None:
    """Whichever way they are refreshed, the session has the new ones, on every machine."""
    async with opened(store, clients=2) as (tenant, (here, there)):
        tokens = await log_in(tenant, here)
        identifier = await here.sessions.open(tokens)
        if whence == "given":
            tokens = (await here.sessions.get(identifier)).tokens
        kept: list[TokenSet] = []
        if door == "session":
            renewed = await here.session(tokens, origins=[tenant.url], on_refresh=kept.append).renew(tokens)
            assert kept == [renewed]
        else:
            renewed = await here.refresh(tokens)
        assert (await there.sessions.get(identifier)).tokens == renewed
        assert (await here.refresh(tokens)) == renewed
        await there.sessions.refresh(identifier)
        assert tenant.stats.refresh_rotations == 2
        with pytest.raises(UsageError, match="scope"):
            await here.refresh(renewed, scope="openid")


async def test_tokens_of_a_closed_session_are_refreshed_as_any_others() -> None:
    """No session can lose what replaces them."""
    async with opened(MemoryStore()) as (tenant, (client,)):
        tokens = await log_in(tenant, client)
        await client.sessions.close(await client.sessions.open(tokens), revoke=False)
        assert (await client.refresh(tokens)).refresh_token != tokens.refresh_token


async def test_api_calls_of_two_sessions_of_one_login_leave_neither_behind(store: Any) -> None:
    """Renewed at the same moment, both sessions have the new tokens, and both go on from them."""
    async with opened(store, clients=2) as (tenant, (here, there)):
        tokens = await log_in(tenant, here)
        identifiers = [await here.sessions.open(tokens) for _ in range(2)]
        async with (
            here.sessions.api(identifiers[0], origins=[tenant.url]) as one,
            here.sessions.api(identifiers[1], origins=[tenant.url]) as other,
        ):
            both = await asyncio.gather(*(api.renew(api.tokens) for api in (one, other)))
            assert [(await there.sessions.get(each)).tokens for each in identifiers] == both
            newer = await other.renew(other.tokens)
            assert newer.access_token not in {tokens.access_token, both[1].access_token}
            assert (await there.sessions.get(identifiers[1])).tokens == newer
        assert tenant.stats.refresh_rotations == 2


async def test_a_session_that_others_of_its_login_have_left_behind_gives_no_older_tokens(store: Any) -> None:
    """Its own are older than those that an API has just refused: it refreshes the newest."""
    async with opened(store) as (tenant, (client,)):
        tokens = await log_in(tenant, client)
        first, second = [await client.sessions.open(tokens) for _ in range(2)]
        refused = (await client.sessions.refresh(first)).tokens
        newer = await client.sessions._session_refreshes.renew(second, refused)
        assert newer.access_token not in {tokens.access_token, refused.access_token}
        assert (await client.sessions.get(second)).tokens == newer


async def test_on_refresh_hears_of_tokens_that_api_calls_of_their_session_renewed() -> None:
    """Whichever was first: each new token set is handed over once."""
    async with opened(MemoryStore()) as (tenant, (client,)):
        tokens, kept = await log_in(tenant, client), list[TokenSet]()
        identifier = await client.sessions.open(tokens)
        own = client.session(tokens, origins=[tenant.url], on_refresh=kept.append)
        async with client.sessions.api(identifier, origins=[tenant.url]) as api:
            renewed = await asyncio.gather(api.renew(api.tokens), own.renew(tokens))
        assert [*kept, *kept] == list(renewed)


async def test_the_sessions_of_tokens_are_known_while_the_tokens_are_in_use(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many there are, and whichever of them was closed: none is left with a spent refresh token."""
    monkeypatch.setattr(refreshes, "_REMEMBERED", 1)
    async with opened(store, clients=2) as (tenant, (here, there)):
        tokens, others = await log_in(tenant, here), await log_in(tenant, here, BOB)
        stays, closed = [await here.sessions.open(tokens) for _ in range(2)]
        await here.sessions.open(others)
        await here.sessions.close(closed, revoke=False)
        renewed = await here.refresh(tokens)
        assert (await there.sessions.get(stays)).tokens == renewed


async def test_the_sessions_of_tokens_are_forgotten_with_the_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """All but the last ones."""
    monkeypatch.setattr(refreshes, "_REMEMBERED", 3)
    async with opened(MemoryStore()) as (tenant, (client,)):
        for number in range(10):
            identifier = await client.sessions.open(await log_in(tenant, client, Email(f"u{number}@example.com")))
            for _ in range(3):
                await client.sessions.get(identifier)
        client.sessions._records.cache.clear()
        gc.collect()
        assert len(client._refreshes._stored) == 3


async def test_the_tokens_of_a_session_are_given_to_no_other_key() -> None:
    """The refresh token alone gives no tokens."""
    async with opened(MemoryStore()) as (tenant, (client,)):
        tokens = await log_in(tenant, client)
        await client.sessions.open(tokens)
        with pytest.raises((InvalidDPoPProof, InvalidRefreshToken)):
            await client.refresh(attrs.evolve(tokens, key=DPoPKey.generate(), jkt=None))


async def test_data_changes_by_its_members(store: Any) -> None:
    """One replaces that of its name, None removes one, the others stay; every machine sees it."""
    async with opened(store, clients=2) as (tenant, (here, there)):
        tokens = await log_in(tenant, here)
        identifier, other = [await here.sessions.open(tokens, data={"a": 1, "b": 2, "n": None}) for _ in range(2)]
        changed = await there.sessions.update(identifier, data={"b": [3], "c": {"d": None}})
        assert changed.data == {"a": 1, "b": [3], "n": None, "c": {"d": None}}
        assert await here.sessions.get(identifier) == changed
        assert (await here.sessions.update(identifier, data={"a": None, "x": None})).data.keys() == {"b", "n", "c"}
        assert (await here.sessions.get(other)).data == {"a": 1, "b": 2, "n": None}
        assert (await here.userinfo((await there.sessions.refresh(identifier)).tokens))["sub"] == changed.user
        everything: dict[str, None] = dict.fromkeys("bnc")
        assert (await here.sessions.update(identifier, data=everything)).data == {}


@pytest.mark.parametrize("data", [None, [], "x", {"a": float("nan")}, {"a": b""}, {"b": "x" * 2100}])
async def test_data_that_cannot_be_kept_changes_nothing(data: Any) -> None:
    """No JSON object, or too much with what is there."""
    async with opened(MemoryStore()) as (tenant, (client,)):
        identifier = await client.sessions.open(await log_in(tenant, client), data={"a": "x" * 2000})
        if data is not None:
            with pytest.raises(UsageError, match="data"):
                await client.sessions.update(identifier, data=data)
        assert (await client.sessions.get(identifier)).data == {"a": "x" * 2000}


async def test_no_data_of_a_session_that_has_ended() -> None:
    """It does not come to life."""
    async with opened(MemoryStore()) as (tenant, (client,)):
        identifier = await client.sessions.open(await log_in(tenant, client))
        await client.sessions.close(identifier)
        for ended in (identifier, "", "A" * 51):
            with pytest.raises(InvalidSession):
                await client.sessions.update(ended, data={"a": 1})


async def test_concurrent_changes_all_count(stores: Any) -> None:
    """Of several machines, and with a refresh between them."""
    store = stores()
    async with opened(store, clients=3) as (tenant, clients):
        identifier = await clients[0].sessions.open(await log_in(tenant, clients[0]))
        changes = [clients[n % 3].sessions.update(identifier, data={f"m{n}": n}) for n in range(12)]
        await asyncio.gather(*changes, clients[1].sessions.refresh(identifier))
        session = await clients[2].sessions.get(identifier)
        assert session.data == {f"m{n}": n for n in range(12)}
        assert (await clients[0].userinfo(session.tokens))["sub"] == session.user


async def test_reading_need_not_count_as_use(store: Any) -> None:
    """A page that asks how long a session lasts does not make it last longer."""
    async with opened(store, lifetimes=Lifetimes(idle=100.0, absolute=500.0)) as (tenant, (client,)):
        identifier = await client.sessions.open(await log_in(tenant, client), data={"a": 1})
        used = await client.sessions.get(identifier)
        seen = await client.sessions.get(identifier, counts_as_use=False)
        assert (seen, seen.ends_at) == (used, used.opened_at + 500.0)
        assert used.idle_ends_at is not None
        assert seen.idle_ends_at is not None
        assert 0 <= used.idle_ends_at - used.opened_at - 100.0 < 10
        place = (await client.sessions._records.find(identifier)).place
        await store.read(place, seconds=20.0)
        late = await client.sessions.get(identifier, counts_as_use=False)
        assert late.idle_ends_at is not None
        assert late.idle_ends_at - used.opened_at < 40
        assert (await store.peek(place))[1] <= 20.0
        await client.sessions.close(identifier)
        with pytest.raises(InvalidSession):
            await client.sessions.get(identifier, counts_as_use=False)


async def is_open(client: Any, identifier: str) -> bool:
    try:
        await client.sessions.get(identifier)
    except InvalidSession:
        return False
    return True


@pytest.mark.parametrize("door", ["open", "login"])
async def test_a_session_may_have_a_lifetime_of_its_own(store: Any, monkeypatch: Any, door: str) -> None:
    """It ends by then however much it is used; the application's longest is the most."""
    async with opened(store, lifetimes=Lifetimes(idle=1000, absolute=7200)) as (tenant, (client,)):
        began, made = _clock.now(), {}
        for lifetime, who in ((3600, ADA), (99_999, BOB)):
            if door == "open":
                tokens = await log_in(tenant, client, who)
                made[lifetime] = await client.sessions.open(tokens, lifetime=lifetime)
            else:
                await client.start(who)
                code = tenant.outbox.code_for(who)
                session = await client.sessions.login(who, code, scope="openid", lifetime=lifetime)
                made[lifetime] = session.identifier
        for passed, expected in ((3500, [True, True]), (3700, [False, True]), (7300, [False, False])):
            monkeypatch.setattr(_clock, "now", lambda passed=passed: began + passed)
            assert [await is_open(client, identifier) for identifier in made.values()] == expected


@pytest.mark.parametrize("scope", [["openid"], 5, "profile"])
async def test_a_login_without_openid_is_refused(scope: Any) -> None:
    """A list is no scope; nothing is sent."""
    async with PasswordlessClient("tenant.example", "client", profile=TESTING) as client:
        with pytest.raises(UsageError, match="scope"):
            await client.sessions.login(ADA, "123456", scope=scope)


@pytest.mark.parametrize(
    ("argument", "wrong"),
    [
        ("who", {"who": "123456", "lifetime": 0}),
        ("otp", {"otp": ADA, "lifetime": 0}),
        ("scope", {"lifetime": 0}),
        ("lifetime", {"scope": "openid", "lifetime": 0}),
    ],
)
async def test_the_first_wrong_argument_is_named(argument: str, wrong: dict[str, Any]) -> None:
    """Arguments in the wrong order: the error is about the first of them, not about a scope that is absent."""
    async with PasswordlessClient("tenant.example", "client", profile=TESTING) as client:
        with pytest.raises(UsageError) as refused:
            await client.sessions.login(**{"who": ADA, "otp": "123456", **wrong})
    assert refused.value.argument == argument


async def test_the_tokens_are_named_before_what_follows_them() -> None:
    """Tokens of the wrong class, such as a login's code, in a call with another wrong argument."""
    wrong: Any = "123456"
    async with PasswordlessClient("tenant.example", "client", profile=TESTING) as client:
        for call in (client.sessions.open(wrong, user=""), client.sessions.keep(wrong, who=wrong, user="")):
            with pytest.raises(UsageError, match=r"^tokens: must be a TokenSet, not str$"):
                await call


@pytest.mark.parametrize("lifetime", [0, -1, float("nan"), True, "1"])
async def test_a_lifetime_is_checked_before_anything_is_sent(lifetime: Any) -> None:
    """Seconds above 0; the code is not spent."""
    async with opened(MemoryStore()) as (tenant, (client,)):
        await client.start(ADA)
        before = tenant.stats.wire_requests
        with pytest.raises(UsageError, match="lifetime"):
            await client.sessions.login(ADA, tenant.outbox.code_for(ADA), scope="openid", lifetime=lifetime)
        assert tenant.stats.wire_requests == before


async def test_a_user_that_cannot_be_encoded_is_refused_before_the_code_is_spent() -> None:
    """JSON may have half of a surrogate pair in a text. No store can name such a user."""
    async with opened(MemoryStore()) as (tenant, (client,)):
        await client.start(ADA)
        before = tenant.stats.wire_requests
        sessions, user = client.sessions, "ada\ud800"
        for call, argument in (
            (sessions.login(ADA, tenant.outbox.code_for(ADA), scope="openid", user=user), "user"),
            (sessions.list(user), "user"),
            (sessions.close_at_provider(user=user), "user"),
            (sessions.close_at_provider(sid=user), "sid"),
        ):
            with pytest.raises(UsageError, match=f"^{argument}: must not contain lone surrogates"):
                await call
        assert tenant.stats.wire_requests == before


@pytest.mark.parametrize(
    ("claim", "is_over"),
    [(60, True), (60.5, True), (99_999, False), (float("nan"), False), ("60", False), (True, False)],
)
async def test_a_session_ends_with_the_provider_s(store: Any, monkeypatch: Any, claim: Any, *, is_over: bool) -> None:
    """``session_expiry`` of the ID token is the last moment, in seconds since the UNIX epoch; no number is none."""
    async with opened(store) as (tenant, (client,)):
        now = _clock.now()
        expiry = now + claim if isinstance(claim, (int, float)) and not isinstance(claim, bool) else claim
        tokens = with_claims(await log_in(tenant, client), session_expiry=expiry)
        identifier = await client.sessions.open(tokens)
        assert await is_open(client, identifier)
        monkeypatch.setattr(_clock, "now", lambda: now + 61)
        assert await is_open(client, identifier) is not is_over


async def test_a_refresh_may_bring_the_end_nearer_but_not_off() -> None:
    """By the ``session_expiry`` of the new ID token."""
    async with opened(MemoryStore()) as (tenant, (client,)):
        records = client.sessions._records
        tokens, now = await log_in(tenant, client), _clock.now()
        record = await records.find(await client.sessions.open(tokens, lifetime=1000))
        for expiry, ends in ((now + 500, 500), (now + 5000, 1000)):
            sealed = records.seal_refreshed(record, with_claims(tokens, session_expiry=expiry))
            members = records._unseal(record.place, sealed).members
            assert ends - 5 < members["ends_at"] - now < ends + 5


async def test_the_newest_sessions_of_a_user_are_kept(store: Any) -> None:
    """So many; another user's stay, and the others are revoked."""
    async with opened(store, clients=2) as (tenant, (here, there)):
        mine = [await here.sessions.open(await log_in(tenant, here)) for _ in range(4)]
        others = await here.sessions.open(await log_in(tenant, here, BOB))
        user = (await here.sessions.get(mine[0])).user
        names = {info.name for info in await there.sessions.list(user)}
        ended = [await there.sessions.keep_newest(user, number) for number in (5, 4, 2, 2)]
        assert [len(each) for each in ended] == [0, 0, 2, 0]
        assert tenant.stats.revoke_requests == 2
        assert names - {info.name for info in await there.sessions.list(user)} == set(ended[2])
        assert [await is_open(here, identifier) for identifier in (*mine, others)] == [False, False, True, True, True]
        with pytest.raises(UsageError, match="number"):
            await there.sessions.keep_newest(user, 0)


@pytest.mark.parametrize("run", range(3))
async def test_logins_at_once_keep_exactly_so_many(store: Any, run: int) -> None:
    """Each ends the oldest that it sees: in the end the newest are there, none too few."""
    del run
    async with opened(store, clients=2) as (tenant, clients):
        tokens = await log_in(tenant, clients[0])

        async def one(n: int) -> str:
            sessions = clients[n % 2].sessions
            identifier = await sessions.open(tokens)
            await sessions.keep_newest(user_of(tokens), 3)
            return str(identifier)

        identifiers = await asyncio.gather(*(one(n) for n in range(12)))
        alive = [await is_open(clients[0], identifier) for identifier in identifiers]
        assert sum(alive) == 3


async def test_sessions_end_with_those_of_the_provider(store: Any) -> None:
    """By sid alone, by sid and user, by user alone; what has another sid, or is another user's, stays."""
    async with opened(store, clients=2) as (tenant, (here, there)):

        async def fresh() -> dict[str, Any]:
            made = {}
            for name, who, sid in (("a1", ADA, "one"), ("a2", ADA, "two"), ("b1", BOB, "three"), ("a3", ADA, None)):
                tokens = with_claims(await log_in(tenant, here, who), sid=sid)
                made[name] = await here.sessions.open(tokens, by_sid=True)
            return made

        ada = (await here.sessions.get((await fresh())["a1"])).user
        await here.sessions.close_all(ada)
        for arguments, left in (
            ({"sid": "one"}, {"a2", "b1"}),
            ({"sid": "two", "user": ada}, {"a1", "b1"}),
            ({"sid": "three", "user": ada}, {"a1", "a2", "b1"}),
            ({"user": ada}, {"b1"}),
            ({"sid": "unknown"}, {"a1", "a2", "b1", "a3"}),
            ({"user": "unknown"}, {"a1", "a2", "b1", "a3"}),
        ):
            made = await fresh()
            ended = await there.sessions.close_at_provider(**arguments)
            open_now = {name for name, identifier in made.items() if await is_open(here, identifier)}
            assert (open_now, len(ended)) == (left, 4 - len(left))
            for identifier in made.values():
                await here.sessions.close(identifier, revoke=False)
        with pytest.raises(UsageError, match="sid"):
            await there.sessions.close_at_provider()


async def test_a_sid_leads_to_a_session_only_where_that_is_wanted(store: Any) -> None:
    """Otherwise there is no entry for it; a refresh keeps the sid that the session was opened with."""
    async with opened(store) as (tenant, (client,)):
        tokens = with_claims(await log_in(tenant, client), sid="one")
        identifier = await client.sessions.open(tokens)
        assert await client.sessions.close_at_provider(sid="one") == ()
        assert await is_open(client, identifier)
        wanted = await client.sessions.open(tokens, by_sid=True)
        await client.sessions.refresh(wanted)
        assert await client.sessions.close_at_provider(sid="one")
        assert not await is_open(client, wanted)


@pytest.mark.parametrize("way", ["close", "log_out", "close_named", "close_all", "close_at_provider", "over"])
async def test_what_a_sid_leads_by_goes_with_its_session(store: Any, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two sessions with one sid each has its own: what is left is still found, and nothing outlasts the last one."""
    async with opened(store) as (tenant, (client,)):
        records, now = client.sessions._records, _clock.now()
        tokens = with_claims(await log_in(tenant, client), sid="one")
        stays, goes = [await client.sessions.open(tokens, by_sid=True, lifetime=n) for n in (900, 60)]
        user, name = user_of(tokens), (await client.sessions.get(goes)).name
        assert await records.user_of("one") == user
        if way == "over":
            monkeypatch.setattr(_clock, "now", lambda: now + 61)
            assert not await is_open(client, goes)
        elif way in {"close", "log_out", "close_named"}:
            arguments = {"close": (goes,), "log_out": (user, [name]), "close_named": (user, name)}
            await getattr(client.sessions, way)(*arguments[way])
            assert await records.user_of("one") == user
        else:
            await getattr(client.sessions, way)(user=user)
        await client.sessions.close(stays, revoke=False)
        assert await records.user_of("one") is None


@pytest.mark.parametrize(("by_sid", "calls"), [(True, 2), (False, 1)])
async def test_a_store_that_is_lost_in_a_closing(monkeypatch: pytest.MonkeyPatch, calls: int, *, by_sid: bool) -> None:
    """The session has ended and is revoked: what is left of its sid leads to none. Without a sid there is one call."""
    async with opened(MemoryStore()) as (tenant, (client,)):
        tokens = with_claims(await log_in(tenant, client), sid="one")
        identifier, store, closed = await client.sessions.open(tokens, by_sid=by_sid), client.sessions._store, []
        close = store.close

        async def once(place: Any) -> bool:
            closed.append(place)
            if len(closed) > 1:
                raise StoreUnavailable("lost")
            return await close(place)

        monkeypatch.setattr(store, "close", once)
        assert await client.sessions.close(identifier)
        assert (len(closed), tenant.stats.revoke_requests) == (calls, 1)
        assert not await is_open(client, identifier)


@pytest.mark.parametrize("sid", [5, "", "x" * 513, "\ud800", None, ["one"]])
async def test_an_unusable_sid_is_none(sid: Any) -> None:
    """The login goes on: a sid is no more than a name for its end."""
    async with opened(MemoryStore()) as (tenant, (client,)):
        tokens = with_claims(await log_in(tenant, client), sid=sid)
        assert await is_open(client, await client.sessions.open(tokens, by_sid=True))
