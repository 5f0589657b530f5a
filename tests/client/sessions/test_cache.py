"""Sessions that were unsealed: which of them are kept, and that the store has the last word."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from helpers.session_clients import BOB, log_in, opened, user_of
from passwordless_async import InvalidSession, MemoryStore
from passwordless_async._common import clock as _clock
from passwordless_async._common.secret import SecretDict
from passwordless_async.client.sessions import cache
from passwordless_async.client.sessions.cache import SessionCache, Unsealed
from passwordless_async.stores import Place

if TYPE_CHECKING:
    from passwordless_async import PasswordlessClient, TokenSet

API = ["https://api.example"]


def place(name: str) -> Place:
    return Place("shard", name, "user")


def unsealed(tokens: Any = None) -> Unsealed:
    return Unsealed(tokens, place("a"), SecretDict(), is_stale=False)


def count_unsealing(client: PasswordlessClient, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that grows with each text that a client unseals."""
    seen: list[str] = []
    records, unseal = client.sessions._records, client.sessions._records._unseal

    def counting(at: Place, sealed: str) -> Unsealed:
        seen.append(sealed)
        return unseal(at, sealed)

    monkeypatch.setattr(records, "_unseal", counting)
    return seen


def test_a_text_counts_for_its_own_place_alone() -> None:
    """Another text, as after a refresh, is not known; nor is the same text elsewhere."""
    kept, value = SessionCache(), unsealed()
    kept.put(place("a"), "text", value)
    assert kept.get(place("a"), "text") is value
    assert (kept.get(place("a"), "other"), kept.get(place("b"), "text")) == (None, None)
    kept.forget(place("a"))
    kept.forget(place("a"))
    assert kept.get(place("a"), "text") is None


def test_so_many_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that was not used longest makes room."""
    monkeypatch.setattr(cache, "_MAX_SESSIONS", 2)
    kept = SessionCache()
    for name in ("a", "b"):
        kept.put(place(name), "text", unsealed())
    kept.get(place("a"), "text")
    kept.put(place("c"), "text", unsealed())
    assert [kept.get(place(name), "text") is not None for name in ("a", "b", "c")] == [True, False, True]


def test_what_is_not_used_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the next use of any."""
    now = 1000.0
    monkeypatch.setattr(_clock, "monotonic", lambda: now)
    kept = SessionCache()
    for name in ("a", "b", "c"):
        kept.put(place(name), "text", unsealed())
    now += 40
    kept.get(place("b"), "text")
    now += 30
    assert (kept.get(place("b"), "text") is not None, len(kept)) == (True, 1)


def test_nothing_of_it_is_printed() -> None:
    """Tokens have a repr of their own."""
    kept = SessionCache()
    kept.put(place("a"), "sealed-text", Unsealed("tokens", place("a"), SecretDict(user="ada"), is_stale=False))  # type: ignore[arg-type]
    assert "ada" not in repr(kept) + repr(list(kept._entries.values()))
    assert "sealed-text" not in repr(list(kept._entries.values()))


async def test_the_next_use_unseals_nothing(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """And gives the same tokens, and the same caller of APIs for the same origins."""
    async with opened(store) as (tenant, (client,)):
        identifier = await client.sessions.open(await log_in(tenant, client))
        seen = count_unsealing(client, monkeypatch)
        first, second = [await client.sessions.get(identifier) for _ in range(2)]
        assert (first == second, first.tokens is second.tokens, len(seen)) == (True, True, 1)
        async with (
            client.sessions.api(identifier, origins=API) as api,
            client.sessions.api(identifier, origins=iter(API)) as again,
            client.sessions.api(identifier, origins=["https://other.example"]) as other,
        ):
            assert (again is api, other is api, api.tokens is first.tokens) == (True, False, True)
        assert len(seen) == 1


async def test_what_another_process_does_counts_at_once(store: Any) -> None:
    """It refreshes, changes data, closes: the next use here sees it."""
    async with opened(store, clients=2) as (tenant, (here, there)):
        identifier = await here.sessions.open(await log_in(tenant, here))
        await here.sessions.get(identifier)
        renewed = (await there.sessions.refresh(identifier)).tokens
        assert (await here.sessions.get(identifier)).tokens == renewed
        async with here.sessions.api(identifier, origins=API) as api:
            assert api.tokens == renewed
        await there.sessions.update(identifier, data={"seen": 1})
        assert dict((await here.sessions.get(identifier)).data) == {"seen": 1}
        await there.sessions.close(identifier, revoke=False)
        with pytest.raises(InvalidSession):
            await here.sessions.get(identifier)
        assert len(here.sessions._records.cache) == 0


async def test_users_do_not_cross(store: Any) -> None:
    """Each identifier gives its own user's tokens, however often and in which order."""
    async with opened(store) as (tenant, (client,)):
        given: list[tuple[Any, TokenSet]] = []
        for who in ((), (BOB,)):
            tokens = await log_in(tenant, client, *who)
            given.append((await client.sessions.open(tokens), tokens))
        for identifier, tokens in given * 2:
            session = await client.sessions.get(identifier)
            assert (session.tokens, session.user) == (tokens, user_of(tokens))


async def test_what_a_caller_does_with_its_data_stays_there() -> None:
    """Another use of the session does not see it."""
    async with opened(MemoryStore()) as (tenant, (client,)):
        tokens = await log_in(tenant, client)
        identifier = await client.sessions.open(tokens, data={"list": [1]})
        (await client.sessions.get(identifier)).data["list"].append(2)
        assert dict((await client.sessions.get(identifier)).data) == {"list": [1]}


async def test_nothing_is_kept_of_a_session_or_a_client_that_was_closed() -> None:
    """Its tokens and its key go with it."""
    async with opened(MemoryStore()) as (tenant, (client,)):
        first, second = [await client.sessions.open(await log_in(tenant, client, who)) for who in (BOB, BOB)]
        for identifier in (first, second):
            await client.sessions.get(identifier)
        assert len(client.sessions._records.cache) == 2
        await client.sessions.close(first, revoke=False)
        assert len(client.sessions._records.cache) == 1
        await client.aclose()
        assert len(client.sessions._records.cache) == 0


async def test_tokens_are_noted_once(store: Any) -> None:
    """However often a session is used, nothing grows."""
    async with opened(store) as (tenant, (client,)):
        identifier = await client.sessions.open(await log_in(tenant, client))
        session = await client.sessions.get(identifier)
        stored = client._refreshes._stored
        noted: list[None] = []
        note = stored.note
        stored.note = lambda *given: noted.append(note(*given))  # type: ignore[method-assign]
        for _ in range(10):
            await client.sessions.get(identifier)
        assert (noted, session.user) == ([], user_of(session.tokens))
