"""Sessions as the store has them: what they are bound to, how keys rotate, and when they end."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from helpers.session_clients import (
    ADA,
    BOB,
    SCOPE,
    before_call,
    log_in,
    names_of,
    opened,
    user_of,
    with_claims,
)
from helpers.store_fixtures import NEW, OLD, RING, USERS
from helpers.values import present
from passwordless_async import (
    BrokenSeal,
    DPoPKey,
    InvalidSession,
    KeyRing,
    Lifetimes,
    MemoryStore,
    PasswordlessClient,
    TokenSet,
)
from passwordless_async._common import clock as _clock
from passwordless_async._common.secret import Secret, SecretBytes
from passwordless_async.client.sessions.records import SessionRecords, Wanted, place_of, sid_of
from passwordless_async.client.sessions.values import SessionInfo
from passwordless_async.stores.protocols import Place
from passwordless_async.stores.redis import RedisStore

if TYPE_CHECKING:
    from conftest import Clock


NOW = 1_800_000_000.0
UNBOUND = TokenSet(Secret("access"), "Bearer", None, "", None, None, None, None)
BOUND = TokenSet(Secret("access"), "DPoP", None, "", Secret("refresh"), None, None, DPoPKey.generate())


async def test_another_application_or_tenant_cannot_unseal_a_session(store: Any) -> None:
    """The identifier and the store alone are not enough."""
    async with opened(store) as (tenant, (client,)):
        identifier = await client.sessions.open(await log_in(tenant, client))
        for domain, client_id in ((tenant.url, "another"), ("other.example", tenant.public_client_id)):
            stranger = PasswordlessClient(domain, client_id, store=store)
            with pytest.raises(BrokenSeal) as refused:
                await stranger.sessions.get(identifier)
            assert refused.value.failed == "place"


async def test_keys_rotate_without_a_stop(store: Any) -> None:
    """A ring that has the old key unseals, and seals again with the newest: then the old key is not needed."""
    async with opened(store) as (tenant, (client,)):
        identifier = await client.sessions.open(await log_in(tenant, client))
        rotated, newest = KeyRing(NEW, OLD, users=USERS), KeyRing(NEW, users=USERS)
        client.sessions._records.keys = newest
        with pytest.raises(BrokenSeal) as refused:
            await client.sessions.get(identifier)
        assert refused.value.failed == "key"
        client.sessions._records.keys = rotated
        await client.sessions.get(identifier)
        client.sessions._records.keys = newest
        client.sessions._records.cache.clear()
        await client.sessions.get(identifier)


async def test_a_value_that_was_moved_cannot_be_unsealed(redis_url: str) -> None:
    """A writer of the database cannot give one user another user's session."""
    async with RedisStore(redis_url, keys=RING) as store, opened(store) as (tenant, (client,)):
        mine, his = [await client.sessions.open(await log_in(tenant, client, who)) for who in (ADA, BOB)]
        raw: Any = store._batches._redis
        names = sorted([name async for name in raw.scan_iter("pa:*:session:*")])
        second = await raw.get(names[1])
        await raw.set(names[0], second)
        await raw.set(names[1], second[:-8] + b"AAAAAAAA")
        failures = []
        for identifier in (mine, his):
            with pytest.raises(BrokenSeal) as refused:
                await client.sessions.get(identifier)
            failures.append(refused.value.failed)
        assert set(failures) == {"place", "seal"}


async def test_the_database_holds_no_secret_in_the_clear(redis_server: Any) -> None:
    """No code, token, key, address or identifier is in it, in any usable spelling."""
    async with RedisStore(redis_server.url, keys=RING) as store, opened(store) as (tenant, (client,)):
        await client.start(ADA)
        code = tenant.outbox.code_for(ADA)
        tokens = await client.exchange(ADA, code, scope=SCOPE)
        identifier = await client.sessions.open(tokens)
        renewed = (await client.sessions.refresh(identifier)).tokens
        kept = bytes(redis_server.written())
        assert b"pa:{" in kept
        words = [code, ADA.address, identifier, identifier[:43], user_of(tokens), present(tokens.key).to_bytes().hex()]
        for each in (tokens, renewed):
            words += [str(each.access_token), str(each.refresh_token), str(each.id_token)]
        assert [word for word in words if word.encode() in kept] == []
        assert present(tokens.key).to_bytes() not in kept


async def test_a_list_says_when_sessions_end(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening, idle end and end are told, the oldest first; to look is no use, and the end bounds the idle end."""
    async with opened(store, lifetimes=Lifetimes(idle=50, absolute=100)) as (tenant, (client,)):
        tokens = await log_in(tenant, client)
        start = _clock.now()
        await client.sessions.open(tokens)
        monkeypatch.setattr(_clock, "now", lambda: start + 60)
        await client.sessions.open(tokens)
        first, second = await client.sessions.list(user_of(tokens))
        assert tuple(await names_of(client, user_of(tokens))) == (first.name, second.name)
        assert [first.opened_at, second.opened_at] == [pytest.approx(start, abs=1), start + 60]
        assert [first.ends_at, second.ends_at] == [pytest.approx(start + 100, abs=1), start + 160]
        assert [first.idle_ends_at, second.idle_ends_at] == [first.ends_at, pytest.approx(start + 110, abs=2)]
        async with asyncio.timeout(20):
            while (await client.sessions.list(user_of(tokens)))[1].idle_ends_at >= second.idle_ends_at:  # noqa: ASYNC110 - the store's time has to pass
                await asyncio.sleep(0.005)


@pytest.mark.parametrize("use", ["get", "update", "refresh", "api"])
async def test_each_use_restarts_the_idle_time(use: str, clock: Clock) -> None:
    """Whichever way a session is used."""
    store = MemoryStore(keys=RING)
    async with opened(store, lifetimes=Lifetimes(idle=100.0, absolute=500.0)) as (tenant, (client,)):
        identifier = await client.sessions.open(await log_in(tenant, client))
        clock.time += 60.0
        if use == "api":
            async with client.sessions.api(identifier, origins=[tenant.url]):
                pass
        else:
            await getattr(client.sessions, use)(identifier, **({"data": {"seen": 1}} if use == "update" else {}))
        assert present(await store.peek(place_of(identifier)))[1] == 100.0


async def test_a_session_has_ended_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not only after it."""
    async with opened(MemoryStore()) as (tenant, (client,)):
        session = await client.sessions.get(await client.sessions.open(await log_in(tenant, client)))
        monkeypatch.setattr(_clock, "now", lambda: session.ends_at)
        with pytest.raises(InvalidSession):
            await client.sessions.get(session.id)


async def test_a_user_s_list_outlasts_each_session_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the idle time, as a machine's clock may be wrong; the entry for a sid lasts as long."""
    store, kept, now = MemoryStore(keys=RING), list[tuple[float, float]](), _clock.now()
    keep = store.open

    async def noting(*arguments: Any, seconds: float, user_seconds: float, **named: Any) -> None:
        kept.append((seconds, user_seconds))
        await keep(*arguments, seconds=seconds, user_seconds=user_seconds, **named)

    monkeypatch.setattr(store, "open", noting)
    monkeypatch.setattr(_clock, "now", lambda: now)
    async with opened(store, lifetimes=Lifetimes(idle=100.0, absolute=500.0)) as (tenant, (client,)):
        await client.sessions.open(with_claims(await log_in(tenant, client), sid="one"), by_sid=True)
    assert kept == [(100.0, 600.0), (600.0, 600.0)]


@pytest.mark.parametrize("use", ["get", "refresh"])
async def test_tokens_that_were_read_are_refreshed_by_their_session(use: str) -> None:
    """Also on a machine that has not opened it."""
    async with opened(MemoryStore(), clients=2) as (tenant, (here, there)):
        identifier = await here.sessions.open(await log_in(tenant, here))
        renewed = await there.refresh((await getattr(there.sessions, use)(identifier)).tokens)
        assert (await here.sessions.get(identifier)).tokens == renewed


async def test_the_sid_of_a_session_is_found_without_an_entry_for_it() -> None:
    """Where the user is named: a session that has another sid stays, one without a sid does not."""
    async with opened(MemoryStore()) as (tenant, (client,)):
        tokens = await log_in(tenant, client)
        with_sid, without = [await client.sessions.open(with_claims(tokens, sid=sid)) for sid in ("one", None)]
        names = [(await client.sessions.get(identifier)).name for identifier in (with_sid, without)]
        ended = [await client.sessions.close_at_provider(user=user_of(tokens), sid=sid) for sid in ("two", "one")]
        assert ended == [(names[1],), (names[0],)]


async def test_what_ends_while_a_sid_is_looked_up_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a session nor the entry that leads to its user."""
    store = MemoryStore(keys=RING)
    async with opened(store) as (tenant, (client,)):
        records = client.sessions._records
        identifier = await client.sessions.open(with_claims(await log_in(tenant, client), sid="one"), by_sid=True)
        place = place_of(identifier)
        assert await records.sid_at(place) == "one"
        before_call(monkeypatch, store, "peek", lambda: records.close_at(place))
        assert (await records.user_of("one"), await records.sid_at(place)) == (None, None)


@pytest.mark.parametrize("sid", ["1", "x" * 512, "", "x" * 513, 5, None, ["one"]])
def test_a_sid_is_a_text_of_bounded_length(sid: Any) -> None:
    """Anything else is none."""
    assert sid_of(with_claims(UNBOUND, sid=sid)) == (sid if sid in ("1", "x" * 512) else None)


async def test_ended_sessions_are_not_listed(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Idle sessions and old sessions are missing from the list, and soon from the store's."""
    async with opened(store, clients=2) as (tenant, (client, other)):
        tokens = await log_in(tenant, client)
        user, now = user_of(tokens), _clock.now()
        other.sessions._records._lifetimes = Lifetimes(idle=0.05)
        await other.sessions.open(tokens)
        client.sessions._records._lifetimes = Lifetimes(absolute=50)
        await client.sessions.open(tokens)
        async with asyncio.timeout(20):
            while len(await client.sessions.list(user)) > 1:  # noqa: ASYNC110 - the store's time has to pass
                await asyncio.sleep(0.005)
        (place,) = await client.sessions._records.places(user)
        monkeypatch.setattr(_clock, "now", lambda: now + 60)
        assert await client.sessions.list(user) == ()
        assert await store.sessions_of(place.user) == ()


async def test_a_session_that_cannot_be_unsealed_is_listed_by_name(store: Any) -> None:
    """Operators see that it exists and can close it; they do not see what is sealed in it."""
    async with opened(store, clients=2) as (tenant, (client, operator)):
        tokens = await log_in(tenant, client)
        user = user_of(tokens)
        client.sessions._records.keys = KeyRing(NEW, users=USERS)
        await client.sessions.open(tokens)
        opens = await operator.sessions.open(tokens)
        first, second = await operator.sessions.list(user)
        assert (second.opened_at, second.ends_at) == (None, None)
        assert second.idle_ends_at > (first.opened_at or 0)
        assert await operator.sessions.close_named(user, second.name)
        assert await names_of(operator, user) == [first.name]
        assert await operator.sessions.get(opens)


async def test_a_longer_lifetime_counts_for_new_sessions_only(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's list of sessions was made to last as long as the lifetime at the opening."""
    async with opened(store, clients=2) as (tenant, (client, changed)):
        client.sessions._records._lifetimes = Lifetimes(idle=3600, absolute=7200)
        identifier = await client.sessions.open(await log_in(tenant, client))
        changed.sessions._records._lifetimes = Lifetimes(idle=3600, absolute=9999)
        now = _clock.now()
        monkeypatch.setattr(_clock, "now", lambda: now + 7201)
        with pytest.raises(InvalidSession):
            await changed.sessions.get(identifier)


@pytest.fixture
def records(monkeypatch: pytest.MonkeyPatch) -> SessionRecords:
    """Make the records of a client, and stop the machine's clock."""
    monkeypatch.setattr(_clock, "now", lambda: NOW)
    lifetimes = Lifetimes(idle=100.0, absolute=500.0)
    client = PasswordlessClient("tenant.example", "client", store=MemoryStore(keys=RING), lifetimes=lifetimes)
    return client.sessions._records


@pytest.mark.parametrize("tokens", [BOUND, UNBOUND], ids=["bound", "unbound"])
def test_the_header_of_a_session_names_the_key_of_its_tokens(records: SessionRecords, tokens: TokenSet) -> None:
    """If there is one; and they come back."""
    record = records.new(tokens, "ada", Wanted(user=None, data={}))
    header = record.sealed.partition(".")[0]
    jkt = None if tokens.key is None else tokens.key.thumbprint
    assert json.loads(base64.urlsafe_b64decode(f"{header}===")).get("jkt") == jkt
    found = records._unseal(record.place, record.sealed).tokens
    assert (found.access_token, found.token_type, found.key) == (tokens.access_token, tokens.token_type, tokens.key)


def test_sealed_bytes_that_are_no_session_are_refused(records: SessionRecords) -> None:
    """The seal alone makes no session."""
    place = Place("shard", "name", "")
    sealed = records.keys.seal(SecretBytes(b"{}"), {**records._bound_to, "sid": place.session})
    with pytest.raises(BrokenSeal) as refused:
        records._unseal(place, sealed)
    assert refused.value.failed == "form"


def test_what_is_sealed_with_the_tokens(records: SessionRecords) -> None:
    """No data where there is none, and a sid only if the ID token has one and it is to lead to the session."""
    always, tokens = {"user", "opened_at", "ends_at"}, with_claims(UNBOUND, sid="one")
    wanted = Wanted(user=None, data={"a": 1})
    record = records.new(tokens, "ada", wanted)
    assert set(record.members) == {*always, "data"}
    assert set(records.with_data(record, {}).members) == always
    by_sid = Wanted(user=None, data={}, by_sid=True)
    assert [set(records.new(each, "ada", by_sid).members) for each in (tokens, UNBOUND)] == [{*always, "sid"}, always]
    shown = repr([record, Wanted(user="ada@example.com", data={"a": "a value"})])
    assert [secret for secret in (record.sealed, "ada@", "a value") if secret in shown] == []


def test_sessions_of_one_refresh_token_are_one_login(records: SessionRecords) -> None:
    """Without one, each is a login of its own."""
    first, second = [[records.new(each, "ada", Wanted(user=None, data={})) for each in (BOUND, UNBOUND)] for _ in "ab"]
    assert first[0].login == second[0].login != first[0].place.session
    assert [each[1].login for each in (first, second)] == [each[1].place.session for each in (first, second)]


@pytest.mark.parametrize(("lifetime", "seconds", "to_end"), [(60.0, 60.0, 160.0), (None, 100.0, 600.0)])
def test_how_long_a_session_is_kept(
    records: SessionRecords, lifetime: float | None, seconds: float, to_end: float
) -> None:
    """If it is not used, no longer than until its end; what is stored about it, longer by the idle time."""
    record = records.new(UNBOUND, "ada", Wanted(user=None, data={}, lifetime=lifetime))
    assert (records.seconds(record), records.seconds_to_end(record)) == (seconds, to_end)


async def test_the_information_about_a_session(
    records: SessionRecords, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When it was used and when it ends, with its data; none once it has ended, or was closed."""
    record = records.new(UNBOUND, "ada", Wanted(user=None, data={"a": 1}))
    await records.keep(record)
    clock.time += 30.0
    monkeypatch.setattr(_clock, "now", lambda: NOW + 30.0)
    await records.use(record.session.id)
    known = SessionInfo(record.place.session, NOW, NOW + 130.0, NOW + 500.0, last_used_at=NOW + 30.0, data={"a": 1})
    assert await records.info(record.place) == known
    monkeypatch.setattr(_clock, "now", lambda: NOW + 500.0)
    assert (await records.info(record.place), records.seconds_to_end(record)) == (None, 100.0)
    await records.close(record.place, record.members)
    assert await records.info(record.place) is None


@pytest.mark.parametrize(
    ("identifier", "opens"),
    [("x" * 44, True), ("x" * 86, True), ("x" * 43, False), ("x" * 87, False), ("é" * 51, False)],
)
def test_the_form_of_an_identifier(identifier: str, *, opens: bool) -> None:
    """A secret and a shard; anything else is refused before the store is asked."""
    if opens:
        assert place_of(Secret(identifier)).shard == identifier[43:]
        return
    with pytest.raises(InvalidSession):
        place_of(Secret(identifier))


# A session as 0.1's first stores have it, written before tokens could be without a key. Keys are bytes 0 to 63.
FROZEN_AT = 1_790_000_000.0
FROZEN_ID = "reSsVV83aWCWIxZKLXDEydJLB1XQNSYOPObiiUZs1DEd6pmXzTW"
FROZEN_LOGIN = "91gH1U5F5N6LImNRFIgdbz2aPWEX"
FROZEN_PLACE = Place(FROZEN_ID[-8:], "1Xy2hlPNYIBfO3WoGWqmdzUxYWw3", "d6pmXzTWf2SNovbH5QJVENBMjpvKcFO0nWTlb4dAE-4")
FROZEN_KEY = "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U"  # the thumbprint of RFC 7515's example key, appendix A.3
FROZEN = (
    "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIiwia2lkIjoibm9XdnVkUUVMSHJ0UUNfOSIsInR5cCI6InNlc3Npb24randlIiwi"
    "aXNzIjoiaHR0cHM6Ly9hY21lLmV1LmF1dGgwLmNvbS8iLCJjbGllbnRfaWQiOiJhcHAiLCJzaWQiOiIxWHkyaGxQTllJQmZPM1dv"
    "R1dxbWR6VXhZV3czIiwidXNyIjoiZDZwbVh6VFdmMlNOb3ZiSDVRSlZFTkJNanB2S2NGTzBuV1RsYjRkQUUtNCIsImprdCI6Im9L"
    "SXl3dkdVcFRWVHl4TVEzYndJSWVRVXVkZnJfQ2tMTWpDRTE5RUNELVUifQ..KYGTciXFJA92J6cD.BrhH2tOixZLq4cgATTF4o8l"
    "kMG8iMBu__Qmy3zFIHOz-8ZRteVl1u4cmFu7Ctd6Fgr6IfII1-Z247Ab7pTgEkrfhofx45AKdVFTscQhqNd5oeeoBrCjhs00gSZt"
    "LmQTO8j2y6nkNPePQsDwfLSeFBrBiCvWcGz0rAYQDyAsv2loowMaUtaSzEOnJMPFzcwVF9Qfe8KuX0DOeIxAw_FO1RmXUsmsaYvI"
    "-3FjqVVno6rifhbkAOqpWfQpUXnkBiEqhgDsx44HI0HHxR--yrj3voZVWIGJG7O08An9cp__Z8d5WngdZmCE22KOdSDQo-0CjQpl"
    "hNLKs39UuUewhogKlfFBanfCp7b_OOu2VaKntqQ290MwsYyikmiZ8xSb8czRd6oLRRpcFuc9-Q_On-5QHT1feeyqSJurVTIzeLnV"
    "UwfvV008jtCjszbIG8ivaWX0ElETY5mMxyi2Bfklk66XCZErsrgyDTuLBVC0J9O9311R49XPNdVOG_Saqyqot6HPNqlfBO8HYFTh"
    "nA2KoxznyzuFn1FVs_LblTB6JyfoWTvCDXrPOTx1g7bGTBZylAjIepng25Li-fVaNHiqoWzV_XRgpDc7B7HB51a46jz8Yq9vPc7t"
    "AQ_S1cMxwigk9EEhv10VfftmwS8E.czaf3qDqEeSLYHZvqTxQcQ"
)


async def test_a_session_of_an_older_version_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stored session outlasts an update: whole, bound to its key, and readable by its user's name."""
    monkeypatch.setattr(_clock, "now", lambda: FROZEN_AT + 60)
    store = MemoryStore(keys=KeyRing(bytes(range(32)), users=bytes(range(32, 64))))
    await store.open(FROZEN_PLACE, FROZEN, login=FROZEN_LOGIN, seconds=600.0, user_seconds=600.0)
    async with PasswordlessClient("acme.eu.auth0.com", "app", store=store) as client:
        session = await client.sessions.get(FROZEN_ID)
        tokens = session.tokens
        assert (session.user, session.opened_at, dict(session.data)) == ("email|ada", FROZEN_AT, {"device": "Firefox"})
        assert (str(tokens.access_token), str(present(tokens.refresh_token))) == ("an-access-token", "a-refresh-token")
        assert (tokens.bound, tokens.jkt, present(tokens.key).thumbprint) == (True, FROZEN_KEY, FROZEN_KEY)
        assert (tokens.audience, tokens.expires_at, tokens.refresh_key) == ("https://api.example", 1_790_003_600, None)
        assert user_of(tokens) == "email|ada"
        assert [info.name for info in await client.sessions.list("email|ada")] == [session.name]
