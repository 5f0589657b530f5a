"""A login and its session in one step: whatever fails, tokens are in a session, with the application, or revoked."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any

import pytest

from helpers.clients import arrived, cancelled, until
from helpers.remote_store import RemoteStore
from helpers.session_clients import ADA, SCOPE, TOKEN, fail_call, opened, user_of
from passwordless_async import (
    AccessDenied,
    CodeSpent,
    InvalidSession,
    MemoryStore,
    Orphan,
    OutcomeUnknown,
    PasswordlessClient,
    StoredSession,
    StoreError,
    StoreUnavailable,
    UsageError,
)
from passwordless_async._common import clock as _clock
from passwordless_async.client.sessions import opening
from passwordless_async.client.sessions.sessions import Sessions
from passwordless_async.client.traffic import single_flight
from passwordless_async.client.traffic.single_flight import SingleFlight
from passwordless_async.testing import Fault, LocalTenant

if TYPE_CHECKING:
    from collections.abc import Coroutine

DATA = {"device": "Firefox on Linux", "numbers": [1, None]}


async def code(tenant: LocalTenant, client: PasswordlessClient) -> str:
    await client.start(ADA)
    return str(tenant.outbox.code_for(ADA))


def log_in(client: PasswordlessClient, otp: str, **more: Any) -> Any:
    return client.sessions.login(ADA, otp, scope=SCOPE, **more)


async def test_a_login_is_a_session_that_every_machine_reads(store: Any) -> None:
    """With the application's data, which is sealed with it and survives a refresh."""
    async with opened(store, clients=2) as (tenant, (here, there)):
        session = await log_in(here, await code(tenant, here), data=DATA)
        assert isinstance(session, StoredSession)
        assert await there.sessions.get(session.identifier) == session
        assert (session.data, session.user) == (DATA, user_of(session.tokens))
        assert (await there.sessions.refresh(session.identifier)).data == DATA
        assert "Firefox" not in repr(session)
        (info,) = await there.sessions.list(session.user)
        assert (info.name, dict(info.data)) == (session.name, DATA)
        assert info.last_used_at is not None
        assert session.opened_at <= info.last_used_at <= _clock.now()
        assert "Firefox" not in repr(info)
        opened_alone = await here.sessions.open(session.tokens, data=DATA)
        assert (await there.sessions.get(opened_alone)).data == DATA


async def test_a_login_takes_what_an_exchange_takes() -> None:
    """Each parameter of the grant, under the same name; the tenant gets those that it reads itself too."""
    exchange = inspect.signature(PasswordlessClient.exchange).parameters
    assert list(inspect.signature(Sessions.login).parameters)[: len(exchange)] == list(exchange)
    async with opened(MemoryStore()) as (tenant, (client,)):
        await log_in(client, await code(tenant, client), extra_parameters={"acr_values": "gold"})
        assert tenant.requests[-1].form["acr_values"] == "gold"


async def test_concurrent_logins_with_one_code_are_one_session() -> None:
    """A double click."""
    async with opened(MemoryStore()) as (tenant, (client,)):
        otp = await code(tenant, client)
        sessions = await asyncio.gather(*(log_in(client, otp) for _ in range(5)))
        assert len({session.id for session in sessions}) == 1
        assert len(await client.sessions.list(sessions[0].user)) == 1
        with pytest.raises(CodeSpent):
            await log_in(client, otp)


@pytest.mark.parametrize(
    "other",
    [{"user": "u2", "data": {"d": 1}}, {"user": "u1", "data": {"d": True}}, {"user": "u1"}, {"data": {"d": 1}}],
)
async def test_concurrent_logins_with_one_code_agree_on_the_session(other: dict[str, Any]) -> None:
    """The later one is refused, as it is where it asks for other tokens; the same arguments are one session."""
    async with opened(MemoryStore()) as (tenant, (client,)):
        otp, first = await code(tenant, client), {"user": "u1", "data": {"d": 1}}
        calls = [log_in(client, otp, **arguments) for arguments in (first, other, first)]
        results: Any = await asyncio.gather(*calls, return_exceptions=True)
        session, refused, same = results
        assert (session.user, dict(session.data), session.id == same.id) == ("u1", {"d": 1}, True)
        assert isinstance(refused, UsageError)
        assert (len(tenant.refresh_families), len(await client.sessions.list("u1"))) == (1, 1)


async def test_the_order_of_data_makes_no_other_session() -> None:
    """Two logins with the same members share one session, whichever member each names first."""
    async with opened(MemoryStore()) as (tenant, (client,)):
        otp = await code(tenant, client)
        calls = [log_in(client, otp, data=data) for data in ({"a": 1, "b": 2}, {"b": 2, "a": 1})]
        first, second = await asyncio.gather(*calls)
        assert first.id == second.id


async def test_the_address_of_a_user_goes_with_the_exchange() -> None:
    """A public client cannot pass one on, and says so before the code is spent."""
    async with opened(MemoryStore()) as (tenant, (client,)):
        otp = await code(tenant, client)
        with pytest.raises(UsageError, match="forwarded_for"):
            await log_in(client, otp, forwarded_for="203.0.113.7")
        assert (await log_in(client, otp)).user


@pytest.mark.parametrize(
    "arguments",
    [
        {"scope": "email"},
        {"scope": None},
        {"data": "text"},
        {"data": {"a": "x" * 5000}},
        {"data": {"a": object()}},
        {"data": {"a": float("nan")}},
        {"user": ""},
        {"max_age": -1},
    ],
)
async def test_a_login_that_could_not_be_a_session_spends_no_code(arguments: dict[str, Any]) -> None:
    """It is refused before anything is sent."""
    async with opened(MemoryStore()) as (tenant, (client,)):
        otp = await code(tenant, client)
        with pytest.raises(UsageError):
            await client.sessions.login(ADA, otp, **{"scope": SCOPE, **arguments})
        assert arrived(tenant, TOKEN) == 0
        assert (await log_in(client, otp)).user


@pytest.mark.parametrize("first", ["login", "exchange"])
async def test_a_login_and_an_exchange_of_one_code_do_not_share_it(first: str) -> None:
    """The later call raises UsageError and sends nothing; the earlier one is not disturbed."""
    async with opened(MemoryStore()) as (tenant, (client,)):
        otp, answer = await code(tenant, client), asyncio.Event()
        tenant.faults.add(Fault.SLOW, path=TOKEN, until=answer, times=1)
        calls: list[Any] = [log_in(client, otp), client.exchange(ADA, otp, scope=SCOPE)]
        if first == "exchange":
            calls.reverse()
        going = asyncio.create_task(calls[0])
        await until(lambda: arrived(tenant, TOKEN) > 0)
        requests = arrived(tenant, TOKEN)
        with pytest.raises(UsageError, match="other parameters"):
            await calls[1]
        assert arrived(tenant, TOKEN) == requests
        answer.set()
        await going
        assert [family.revoked for family in tenant.refresh_families] == [False]


async def test_a_refused_login_opens_nothing() -> None:
    """The error is that of the exchange."""
    store = MemoryStore()
    async with opened(store) as (tenant, (client,)):
        tenant.faults.add(Fault.ACCESS_DENIED, path=TOKEN, times=1)
        with pytest.raises(AccessDenied):
            await log_in(client, await code(tenant, client))
        assert repr(store) == "<MemoryStore of 0 sessions>"


async def test_a_store_that_is_lost_for_a_moment_costs_no_login(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether or not it had the session: it is one session."""
    async with opened(store) as (tenant, (client,)):
        fail_call(monkeypatch, store, "open", lost=True)
        session = await log_in(client, await code(tenant, client))
        assert len(await client.sessions.list(session.user)) == 1


@pytest.mark.parametrize(
    "error", [StoreUnavailable("lost"), StoreError("full"), ZeroDivisionError()], ids=["lost", "full", "foreign"]
)
@pytest.mark.parametrize("takes", [True, False], ids=["handed over", "revoked"])
async def test_tokens_that_could_not_be_kept_are_handed_over_or_revoked(
    monkeypatch: pytest.MonkeyPatch, error: Exception, *, takes: bool
) -> None:
    """The caller gets the store's error, whatever it is, and no tokens are left over."""
    store, orphans = MemoryStore(), list[Orphan]()
    monkeypatch.setattr(opening, "_PATIENCE_SECONDS", 0.0)

    async def fail(*_arguments: object, **_named: object) -> None:
        raise error

    monkeypatch.setattr(store, "open", fail)
    options: dict[str, Any] = {"on_orphan": orphans.append} if takes else {}
    async with opened(store, **options) as (tenant, (client,)):
        with pytest.raises(type(error)) as raised:
            await log_in(client, await code(tenant, client))
        assert not getattr(raised.value, "retryable", False)
        assert getattr(raised.value, "advice", "").startswith("Start again") == isinstance(error, StoreUnavailable)
        assert [family.revoked for family in tenant.refresh_families] == [not takes]
        assert [(orphan.tokens is not None, orphan.who) for orphan in orphans] == [(True, ADA)] * takes


@pytest.mark.parametrize("by", ["login", "keep"])
async def test_a_login_of_a_caller_that_has_gone_is_no_session(monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    """Cancelled while the session is opened: it is closed again, and its tokens are revoked."""
    store = MemoryStore()
    async with opened(store) as (tenant, (client,)):
        opening_it, go, ask, places = asyncio.Event(), asyncio.Event(), store.open, list[Any]()

        async def held(place: Any, *arguments: Any, **named: Any) -> None:
            places.append(place)
            opening_it.set()
            await go.wait()
            await ask(place, *arguments, **named)

        monkeypatch.setattr(store, "open", held)
        otp = await code(tenant, client)
        if by == "login":
            call = log_in(client, otp)
        else:
            call = client.sessions.keep(await client.exchange(ADA, otp, scope=SCOPE))
        logging_in = asyncio.create_task(call)
        await opening_it.wait()
        logging_in.cancel()
        await asyncio.wait([logging_in])
        go.set()
        await until(lambda: tenant.refresh_families[0].revoked)
        assert await store.peek(places[0]) is None


@pytest.mark.parametrize("takes", [True, False], ids=["handed over", "revoked"])
@pytest.mark.parametrize("lands", ["before", "after"])
async def test_a_client_that_is_closed_drops_no_tokens_of_a_login(
    monkeypatch: pytest.MonkeyPatch, lands: str, *, takes: bool
) -> None:
    """The store takes no session; the exchange ended before the client was closed, or only then."""
    store, orphans, asked = MemoryStore(), list[Orphan](), asyncio.Event()

    async def hang(*_arguments: object, **_named: object) -> None:
        asked.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(store, "open", hang)
    options: dict[str, Any] = {"on_orphan": orphans.append} if takes else {}
    async with opened(store, **options) as (tenant, (client,)):
        otp, answer = await code(tenant, client), asyncio.Event()
        if lands == "after":
            tenant.faults.add(Fault.SLOW, path=TOKEN, until=answer, times=1)
        logging_in = asyncio.create_task(log_in(client, otp))
        await (asked.wait() if lands == "before" else until(lambda: arrived(tenant, TOKEN) > 0))
        closing = asyncio.create_task(client.aclose(grace=0.0 if lands == "before" else 0.5))
        await asyncio.sleep(0)
        answer.set()
        await closing
        with pytest.raises(OutcomeUnknown):
            await logging_in
        assert [family.revoked for family in tenant.refresh_families] == [not takes]
        assert [orphan.tokens is not None for orphan in orphans] == [True] * takes


async def test_a_store_that_hangs_at_the_closing_keeps_no_tokens_from_the_application(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The session of a caller that has gone may stay: its tokens are handed over all the same."""
    monkeypatch.setattr(single_flight, "_HANDOVER_SECONDS", 0.01)
    store, orphans = RemoteStore(), list[Orphan]()
    async with opened(store, on_orphan=orphans.append) as (tenant, (client,)):
        otp = await code(tenant, client)
        go = store.hold("open")
        logging_in = asyncio.create_task(log_in(client, otp))
        await until(lambda: "open" in store.asked)
        await cancelled(logging_in)
        store.hold("peek")
        go.set()
        await client.aclose(grace=0.0)
        assert [orphan.tokens is not None for orphan in orphans] == [True]


async def log_in_without_answer(
    store: RemoteStore, tenant: LocalTenant, client: PasswordlessClient
) -> asyncio.Task[StoredSession]:
    """Begin a login whose session the store has opened; its answer waits for ``store.answers``."""
    otp = await code(tenant, client)
    ask = store.hold("open")
    logging_in = asyncio.create_task(log_in(client, otp))
    await until(lambda: "open" in store.asked)
    store.answers.clear()
    ask.set()
    await until(lambda: repr(store.inner) == "<MemoryStore of 1 sessions>")
    return logging_in


async def test_a_closed_client_leaves_no_session_whose_answer_was_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """The store has opened it and says so to no one: it is closed again, and its tokens are revoked."""
    monkeypatch.setattr(opening, "_CLOSING_SECONDS", 20.0)
    store = RemoteStore()
    async with opened(store) as (tenant, (client,)):
        logging_in = await log_in_without_answer(store, tenant, client)
        closing = asyncio.create_task(client.aclose(grace=0.0))
        await until(lambda: repr(store.inner) == "<MemoryStore of 0 sessions>")
        store.answers.set()
        await closing
        with pytest.raises(OutcomeUnknown):
            await logging_in
        assert [family.revoked for family in tenant.refresh_families] == [True]


async def test_closing_waits_a_moment_for_an_application_that_does_not_take_the_tokens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Then what it does with them is cancelled: nothing goes on after the closing."""
    store, ends = RemoteStore(), list[str]()
    monkeypatch.setattr(opening, "_CLOSING_SECONDS", 0.01)

    async def hang(_orphan: Orphan) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            for _ in range(200):
                await asyncio.sleep(0)
            ends.append("cancelled")

    async with opened(store, on_orphan=hang) as (tenant, (client,)):
        otp = await code(tenant, client)
        store.hold("open")
        logging_in = asyncio.create_task(log_in(client, otp))
        await until(lambda: "open" in store.asked)
        async with asyncio.timeout(10):
            await client.aclose(grace=0.0)
        assert ends == ["cancelled"]
        with pytest.raises(OutcomeUnknown):
            await logging_in


async def test_an_application_that_hangs_at_the_closing_keeps_no_session_that_no_caller_can_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The store has opened it and says so to no one: it is closed, whatever the application does with the tokens."""
    monkeypatch.setattr(opening, "_CLOSING_SECONDS", 0.1)
    store = RemoteStore()

    async def hang(_orphan: Orphan) -> None:
        await asyncio.get_running_loop().create_future()

    async with opened(store, on_orphan=hang) as (tenant, (client,)):
        logging_in = await log_in_without_answer(store, tenant, client)
        await client.aclose(grace=0.0)
        assert repr(store.inner) == "<MemoryStore of 0 sessions>"
        with pytest.raises(OutcomeUnknown):
            await logging_in


@pytest.mark.parametrize("by", ["login", "keep"])
async def test_closing_waits_for_sessions_that_are_being_opened(by: str) -> None:
    """For the grace period: the caller has its session."""
    store = RemoteStore()
    async with opened(store) as (tenant, (client,)):
        otp = await code(tenant, client)
        answered = store.hold("open")
        if by == "login":
            call = log_in(client, otp)
        else:
            call = client.sessions.keep(await client.exchange(ADA, otp, scope=SCOPE))
        logging_in = asyncio.create_task(call)
        await until(lambda: "open" in store.asked)
        closing = asyncio.create_task(client.aclose(grace=20.0))
        for _ in range(50):
            await asyncio.sleep(0)
        assert not closing.done()
        answered.set()
        await closing
        assert (await logging_in).user
        assert repr(store.inner) == "<MemoryStore of 1 sessions>"


async def test_tokens_that_were_given_up_are_not_given_up_again() -> None:
    """An opening that failed after its caller had gone has passed them on, and opened nothing."""
    orphans = list[Orphan]()
    async with opened(MemoryStore(), on_orphan=orphans.append) as (tenant, (client,)):
        tokens = await client.exchange(ADA, await code(tenant, client), scope=SCOPE)
        openings = client.sessions._openings
        await openings._orphaned(opening.Opening(ADA, tokens), StoreUnavailable("lost"))
        assert (orphans, [family.revoked for family in tenant.refresh_families]) == ([], [False])


async def test_a_store_that_fails_at_the_closing_changes_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller hears that the outcome is unknown, and not what the application's own store raises."""
    store = RemoteStore()
    async with opened(store) as (tenant, (client,)):
        otp = await code(tenant, client)
        store.hold("open")
        logging_in = asyncio.create_task(log_in(client, otp))
        await until(lambda: "open" in store.asked)
        failed = list[str]()

        async def fail(*_arguments: object, **_named: object) -> None:
            failed.append("close")
            raise ZeroDivisionError

        monkeypatch.setattr(store.inner, "close", fail)
        await client.aclose(grace=0.0)
        with pytest.raises(OutcomeUnknown):
            await logging_in
        assert failed == ["close"]


async def turns_of(closing: Coroutine[Any, Any, object]) -> int:
    """Return how many turns of the event loop something takes."""
    task, turns = asyncio.create_task(closing), 0
    while not task.done():
        await asyncio.sleep(0)
        turns += 1
    return turns


async def test_closing_takes_no_turn_of_its_own() -> None:
    """The client closes its openings as soon as it closes single flights."""

    async def flights_only() -> None:
        await asyncio.gather(*(SingleFlight[str, int]().aclose() for _ in range(2)))

    async with opened(MemoryStore()) as (_, (client,)):
        openings = client.sessions._openings
        assert await turns_of(openings.aclose(grace=0.0)) == await turns_of(flights_only())


async def test_a_caller_cancelled_before_the_opening_begins_leaves_no_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """The flight has the tokens from its start."""
    async with opened(MemoryStore()) as (tenant, (client,)):
        otp, exchange = await code(tenant, client), client._logins.exchange

        async def then_cancelled(*arguments: Any, **named: Any) -> Any:
            tokens = await exchange(*arguments, **named)
            asyncio.get_running_loop().call_soon(logging_in.cancel)
            return tokens

        monkeypatch.setattr(type(client._logins), "exchange", lambda _self, *a, **named: then_cancelled(*a, **named))
        logging_in = asyncio.create_task(log_in(client, otp))
        await asyncio.wait([logging_in])
        await until(lambda: tenant.refresh_families[0].revoked)


async def test_tokens_that_are_kept_twice_are_one_session(store: Any) -> None:
    """At once and shortly after: a form that is sent twice opens one session."""
    async with opened(store) as (tenant, (client,)):
        tokens = await client.exchange(ADA, await code(tenant, client), scope=SCOPE)
        kept = await asyncio.gather(*(client.sessions.keep(tokens, data={"device": "x"}) for _ in range(3)))
        kept.append(await client.sessions.keep(tokens))
        assert len({session.id for session in kept}) == 1
        assert len(await client.sessions.list(kept[0].user)) == 1


async def test_tokens_of_other_grants_that_could_not_be_kept_are_revoked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error is the store's, and no login is left at the service."""
    store = MemoryStore()
    async with opened(store) as (tenant, (client,)):
        tokens = await client.exchange(ADA, await code(tenant, client), scope=SCOPE)
        monkeypatch.setattr(store, "open", _full)
        with pytest.raises(StoreError, match="full"):
            await client.sessions.keep(tokens)
        assert [family.revoked for family in tenant.refresh_families] == [True]


async def test_a_login_of_no_known_user_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the service gives no ID token after all, the tokens are revoked."""
    async with opened(MemoryStore()) as (tenant, (client,)):
        monkeypatch.setattr("passwordless_async.client.sessions.sessions._user_of", _no_user)
        with pytest.raises(UsageError):
            await log_in(client, await code(tenant, client))
        assert [family.revoked for family in tenant.refresh_families] == [True]
        with pytest.raises(InvalidSession):
            await client.sessions.get("x" * 51)


def _no_user(*_arguments: object) -> str:
    raise UsageError("user", "must be given")


async def _full(*_arguments: object, **_named: object) -> None:
    raise StoreError("full")
