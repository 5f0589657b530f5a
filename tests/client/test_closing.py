"""Closing a client: requests on the wire finish within the grace period, and the rest is reported."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import attrs
import pytest

from helpers import flows
from helpers.clients import PATIENT, START, TOKEN, arrived, cancelled, kept_waiting, opened, until
from helpers.remote_store import RemoteStore
from helpers.tenant_thread import running
from passwordless_async import (
    TESTING,
    ClientClosed,
    CodeSpent,
    DPoPKey,
    Email,
    MfaRequired,
    MfaRequirements,
    MfaState,
    NonceCache,
    NotSent,
    Orphan,
    OutcomeUnknown,
    PasswordlessClient,
    RateLimited,
    TokenSet,
    UsageError,
)
from passwordless_async._common.secret import Secret
from passwordless_async.testing import Fault, LocalTenant

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from aiohttp import ClientResponse

    from passwordless_async import Store
    from passwordless_async.client.traffic.single_flight import Departure

ADA, BOB = Email("ada@example.com"), Email("bob@example.com")
SCOPE = "openid offline_access"


async def test_closing_waits_for_requests_on_the_wire() -> None:
    """An exchange that ends within the grace period returns its tokens, and nothing is abandoned."""
    async with opened(grace=20.0) as (tenant, client):
        await client.start(ADA)
        exchanging, answer = await kept_waiting(tenant, client.exchange(ADA, tenant.outbox.code_for(ADA)))
        closing = asyncio.create_task(client.aclose())
        await asyncio.sleep(0)
        answer.set()
        assert (await closing).exchanges == ()
        assert (await exchanging).token_type == "DPoP"


async def test_closing_reports_abandoned_exchanges() -> None:
    """An exchange without response in time raises ``OutcomeUnknown``; one that was not sent raises ``NotSent``."""
    async with opened(grace=0.0, max_in_flight=1) as (tenant, client):
        await asyncio.gather(client.start(ADA), client.start(BOB))
        left, answer = await kept_waiting(tenant, client.exchange(ADA, tenant.outbox.code_for(ADA)))
        waits = asyncio.create_task(client.exchange(BOB, tenant.outbox.code_for(BOB)))
        await asyncio.sleep(0)
        report = await client.aclose()
        assert (report.exchanges, report.refreshes, report.factors) == ((ADA,), 0, 0)
        with pytest.raises(OutcomeUnknown, match="closed"):
            await left
        with pytest.raises(NotSent, match="closed"):
            await waits
        answer.set()


async def test_a_closing_client_takes_no_new_calls() -> None:
    """A start on the wire has its grace period; a new call raises ``ClientClosed``."""
    async with opened(grace=20.0) as (tenant, client):
        starting, answer = await kept_waiting(tenant, client.start(ADA), START)
        closing = asyncio.create_task(client.aclose())
        for _ in range(5):
            await asyncio.sleep(0)
        with pytest.raises(ClientClosed, match="is not open any more"):
            await client.start(BOB)
        answer.set()
        assert (await starting).who == ADA
        assert (await closing).others == 0


async def test_a_call_of_a_closed_client_leaves_nothing_behind() -> None:
    """It is refused at once: there is no orphan, and no task that the closing did not wait for."""
    orphans: list[Orphan] = []
    async with opened(on_orphan=orphans.append) as (_, client):
        await client.aclose()
        before = asyncio.all_tasks()
        with pytest.raises(ClientClosed, match="is not open any more"):
            await client.exchange(ADA, "123456")
        assert (asyncio.all_tasks(), orphans) == (before, [])


async def test_a_call_of_a_closing_client_leaves_no_mark_in_a_shared_store() -> None:
    """Codes and refresh tokens that were not sent stay good for other processes, even if this one ends at once."""
    store = RemoteStore()
    async with LocalTenant() as tenant:
        client = PasswordlessClient(tenant.url, tenant.public_client_id, profile=TESTING, store=cast("Store", store))
        async with client:
            await client.start(ADA)
            session = await client.sessions.login(ADA, tenant.outbox.code_for(ADA), scope=SCOPE)
            await client.start(ADA)
            await client._peers.availability.aclose(grace=5.0)
            store.asked.clear()
            closing = asyncio.create_task(client.aclose())
            await asyncio.sleep(0)
            calls = [client.start(BOB), client.exchange(ADA, tenant.outbox.code_for(ADA))]
            results = await asyncio.gather(*calls, client.sessions.refresh(session.id), return_exceptions=True)
            assert [type(result) for result in results] == [ClientClosed] * 3
            await closing
    assert store.asked == []


async def test_closing_reports_abandoned_starts() -> None:
    """A start without response in time is counted in the report and raises ``OutcomeUnknown``."""
    async with opened(grace=0.01) as (tenant, client):
        starting, answer = await kept_waiting(tenant, client.start(ADA), START)
        assert (await client.aclose()).others == 1
        with pytest.raises(OutcomeUnknown, match="the client was closed"):
            await starting
        answer.set()


async def test_closing_counts_what_it_abandons() -> None:
    """Each kind of call by itself, and starts among the others; what ends within the grace is not counted."""
    async with opened(grace=0.0) as (tenant, client):
        await client.start(ADA)
        tokens = await client.exchange(ADA, tenant.outbox.code_for(ADA), scope=SCOPE)
        await client.start(ADA)
        state = await second_factor(tenant, client)
        answer = asyncio.Event()
        tenant.faults.add(Fault.SLOW, path=TOKEN, until=answer)
        tenant.faults.add(Fault.SLOW, path=START, until=answer)
        calls = [
            client.exchange(ADA, tenant.outbox.code_for(ADA)),
            client.refresh(tokens),
            client.mfa.verify_otp(state, tenant.mfa.otp_for(BOB)),
            *(client.start(Email(f"user{number}@example.com")) for number in range(4)),
        ]
        left = [asyncio.create_task(call) for call in calls]
        await until(lambda: arrived(tenant, TOKEN) == 3)
        await until(lambda: arrived(tenant, START) == 4)
        report = await client.aclose()
        assert (report.exchanges, report.refreshes, report.factors, report.others) == ((ADA,), 1, 1, 4)
        results = await asyncio.gather(*left, return_exceptions=True)
        assert [type(result) for result in results] == [OutcomeUnknown] * 7
        answer.set()


async def second_factor(tenant: LocalTenant, client: PasswordlessClient) -> MfaState:
    """Log Bob in as far as his second factor, and forget the requests for it."""
    tenant.users.add(BOB, mfa=["otp"])
    await client.start(BOB)
    with pytest.raises(MfaRequired) as required:
        await client.exchange(BOB, tenant.outbox.code_for(BOB), scope=SCOPE)
    assert required.value.state is not None
    tenant.requests.clear()
    return required.value.state


def test_closing_takes_one_grace_period(in_virtual_time: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """All kinds of calls have the same one, and logins that open sessions what is left of it."""

    async def closed(busy: float) -> tuple[float, list[float]]:
        client = PasswordlessClient("acme.eu.auth0.com", "client", profile=TESTING)
        loop, left = asyncio.get_running_loop(), list[float]()

        async def send(_call: object, departure: Departure) -> None:
            departure.on_wire = True
            await asyncio.wait([loop.create_future()], timeout=busy)

        async def close_openings(*, grace: float) -> None:
            left.append(grace)

        monkeypatch.setattr(client._dispatcher, "run", send)
        monkeypatch.setattr(client.sessions, "aclose_logins", close_openings)
        key = DPoPKey.generate()
        state = MfaState(
            mfa_token=Secret("token"),
            requirements=MfaRequirements(),
            key=key,
            jkt=key.thumbprint,
            issuer=client.issuer,
            client_id="client",
            expires_at=2**33,
        )
        async with client:
            calls = [client.mfa.verify_otp(state, "123456"), client.mfa.associate(state)]
            tasks = [asyncio.create_task(call) for call in calls]
            for _ in range(5):
                await asyncio.sleep(0)
            began = loop.time()
            await client.aclose(grace=6.0)
            took = loop.time() - began
            ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert [isinstance(end, OutcomeUnknown) for end in ends] == [busy > 6.0] * 2
        return took, left

    assert in_virtual_time(closed(4.0)) == (4.0, [2.0])
    assert in_virtual_time(closed(100.0)) == (6.0, [0.0])


async def test_closing_refuses_waiting_calls() -> None:
    """Calls that wait for a pause or at the gate raise ``NotSent``, or their refusal, at once."""
    async with opened(single=PATIENT, grace=20.0) as (tenant, client):
        await client.start(ADA)
        tenant.faults.add(Fault.RATE_LIMITED_RETRY_AFTER, path=TOKEN, times=1, retry_after=9)
        calls: list[asyncio.Task[object]] = [asyncio.create_task(client.exchange(ADA, tenant.outbox.code_for(ADA)))]
        await until(lambda: arrived(tenant, TOKEN))
        calls += [asyncio.create_task(client.start(Email(f"user{number}@example.com"))) for number in range(3)]
        await until(lambda: client._dispatcher.gate.waiting == 4)
        async with asyncio.timeout(5):
            await client.aclose()
            results = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(result, NotSent | RateLimited) for result in results), results


async def test_concurrent_closings_share_one_report() -> None:
    """All callers wait for the same end; one that is cancelled does not shorten it for the others."""
    async with opened(grace=20.0) as (tenant, client):
        await client.start(ADA)
        exchanging, answer = await kept_waiting(tenant, client.exchange(ADA, tenant.outbox.code_for(ADA)))
        first, second, impatient = [asyncio.create_task(client.aclose()) for _ in range(3)]
        await asyncio.sleep(0)
        await cancelled(impatient)
        answer.set()
        assert await first is await second
        assert (await exchanging).token_type == "DPoP"


async def test_closing_waits_for_on_orphan() -> None:
    """A handover that has begun is finished before the client is closed."""
    handed: list[Orphan] = []
    go_on = asyncio.Event()

    async def keep(orphan: Orphan) -> None:
        await go_on.wait()
        handed.append(orphan)

    async with opened(grace=20.0, on_orphan=keep) as (tenant, client):
        await client.start(ADA)
        exchanging, answer = await kept_waiting(tenant, client.exchange(ADA, tenant.outbox.code_for(ADA)))
        await cancelled(exchanging)
        answer.set()
        await until(lambda: client._logins._flights._handovers)
        closing = asyncio.create_task(client.aclose())
        await asyncio.sleep(0)
        go_on.set()
        assert (await closing).exchanges == ()
        assert [orphan.who for orphan in handed] == [ADA]


def at_work() -> list[str]:
    """Return the tasks and timers of clients that this event loop still has."""
    loop: Any = asyncio.get_running_loop()
    tasks: list[Any] = [task.get_coro() for task in asyncio.all_tasks()]
    timers = [timer._callback for timer in loop._scheduled if not timer.cancelled()]
    return [
        *(task.__qualname__ for task in tasks if "passwordless_async/client/" in task.cr_code.co_filename),
        *(repr(timer) for timer in timers if getattr(timer, "__module__", "").startswith("passwordless_async.client")),
    ]


async def test_closing_ends_a_handover_that_hangs() -> None:
    """The application keeps new tokens for longer than the grace period: its call raises, and nothing goes on."""
    hook_began = asyncio.Event()

    async def keep(_tokens: TokenSet) -> None:
        hook_began.set()
        await asyncio.get_running_loop().create_future()

    async with opened(grace=0.0) as (tenant, client):
        await client.start(ADA)
        tokens = await client.exchange(ADA, tenant.outbox.code_for(ADA), scope=SCOPE)
        session = client.session(attrs.evolve(tokens, expires_at=1), origins=[tenant.url], on_refresh=keep)
        calling = asyncio.create_task(called(session.request("GET", f"{tenant.url}/userinfo")))
        await hook_began.wait()
        await client.aclose()
        assert at_work() == []
        with pytest.raises(OutcomeUnknown, match="closed"):
            await calling


async def called(request: AbstractAsyncContextManager[ClientResponse]) -> int:
    async with request as response:
        return response.status


async def test_closing_ends_a_session_whose_end_the_store_does_not_answer() -> None:
    """Its caller hears that the outcome is unknown, and nothing goes on."""
    store = RemoteStore()
    async with opened(grace=0.0, store=store) as (tenant, client):
        await client.start(ADA)
        tokens = await client.exchange(ADA, tenant.outbox.code_for(ADA), scope=SCOPE)
        identifier = await client.sessions.open(tokens)
        store.hold("close")
        closing = asyncio.create_task(client.sessions.close(identifier))
        await until(lambda: "close" in store.asked)
        await client.aclose()
        assert at_work() == []
        with pytest.raises(OutcomeUnknown, match="closed"):
            await closing


async def test_closing_waits_for_reports_to_the_store() -> None:
    """Other machines hear of a code that was right, although no caller waits for that."""
    store = RemoteStore()
    async with opened(grace=20.0, store=store) as (tenant, client):
        await client.start(ADA)
        report = store.hold("retire_code")
        await client.exchange(ADA, tenant.outbox.code_for(ADA))
        closing = asyncio.create_task(client.aclose())
        for _ in range(50):
            await asyncio.sleep(0)
        assert not closing.done()
        report.set()
        await closing
        assert at_work() == []


async def test_closing_ends_reports_to_a_store_that_does_not_answer() -> None:
    """When the grace period is over."""
    store = RemoteStore()
    async with opened(grace=0.0, store=store) as (tenant, client):
        await client.start(ADA)
        store.hold("retire_code")
        await client.exchange(ADA, tenant.outbox.code_for(ADA))
        async with asyncio.timeout(20):
            await client.aclose()
        assert at_work() == []


async def test_closing_leaves_no_timer() -> None:
    """A pause that calls have waited for is over for a closed client."""
    async with opened(single=PATIENT, grace=20.0) as (tenant, client):
        await client.start(ADA)
        tenant.faults.add(Fault.RATE_LIMITED_RETRY_AFTER, path=TOKEN, times=1, retry_after=9)
        exchanging = asyncio.create_task(client.exchange(ADA, tenant.outbox.code_for(ADA)))
        await until(lambda: arrived(tenant, TOKEN))
        await until(lambda: client._dispatcher.gate.waiting)
        assert at_work() != []
        await client.aclose()
        with pytest.raises(NotSent):
            await exchanging
        assert at_work() == []


async def test_a_closed_client_shares_no_nonces_until_it_is_opened_again() -> None:
    """A cache that several clients have goes on learning."""
    store, nonces = RemoteStore(), NonceCache()
    async with opened(store=store, nonces=nonces) as (_, client):
        origin = client._tenant.application.token_origin
        await client.aclose()
        shared = store.asked.count("put_nonce")
        nonces.harvest(origin, flows.answer(200, nonce="while-it-was-closed"), nonces.ticket())
        for _ in range(5):
            await asyncio.sleep(0)
        assert store.asked.count("put_nonce") == shared
        async with client:
            nonces.harvest(origin, flows.answer(200, nonce="afterwards"), nonces.ticket())
            await until(lambda: store.asked.count("put_nonce") == shared + 1)


def test_a_closed_client_opens_in_the_next_event_loop() -> None:
    """An application with an event loop for each request keeps one client: what it knows of codes and tokens stays."""
    with running(LocalTenant()) as tenant:
        client = PasswordlessClient(tenant.url, tenant.public_client_id, profile=TESTING)

        async def log_in(who: Email) -> TokenSet:
            async with client:
                await client.start(who)
                code = tenant.outbox.code_for(who)
                tokens = await client.exchange(who, code, scope=SCOPE)
                assert (await client.userinfo(tokens))["email"] == who.username
                return await client.refresh(tokens)

        async def repeat(tokens: TokenSet) -> None:
            async with client:
                with pytest.raises(CodeSpent):
                    await client.exchange(ADA, tenant.outbox.code_for(ADA))
                assert (await client.refresh(tokens)).token_type == "DPoP"
                async with client.request(tokens, "GET", f"{tenant.url}/userinfo") as response:
                    assert response.status == 200

        first = asyncio.run(log_in(ADA))
        assert asyncio.run(log_in(BOB)).token_type == "DPoP"
        asyncio.run(repeat(first))


def test_a_client_in_another_event_loop_says_so() -> None:
    """Nothing is sent, and the error names the event loop; in its own, the client goes on."""
    with running(LocalTenant()) as tenant, asyncio.Runner() as own:
        client = PasswordlessClient(tenant.url, tenant.public_client_id, profile=TESTING)

        async def open_and_log_in() -> TokenSet:
            await client.__aenter__()
            await client.start(ADA)
            return await client.exchange(ADA, tenant.outbox.code_for(ADA), scope=SCOPE)

        tokens = own.run(open_and_log_in())
        sent = tenant.stats.wire_requests

        async def misuse() -> None:
            calls = [
                client.start(BOB),
                client.exchange(BOB, "123456"),
                client.refresh(tokens),
                client.revoke(tokens),
                client.userinfo(tokens),
                client.aclose(),
                client.__aenter__(),
            ]
            for call in calls:
                with pytest.raises(UsageError, match="event loop"):
                    await call
            with pytest.raises(UsageError, match="event loop"):
                client.session(tokens, origins=[tenant.url])

        asyncio.run(misuse())
        assert tenant.stats.wire_requests == sent
        assert own.run(client.refresh(tokens)).token_type == "DPoP"
        own.run(client.aclose())


async def test_what_lives_on_a_client_is_closed_with_it(tenant: LocalTenant) -> None:
    """Before its connections, the last that was named first; each once, and not again after the next opening."""
    closed: list[str] = []

    async def first() -> None:
        closed.append("first")

    async def second() -> None:
        closed.append("second")

    client = PasswordlessClient(tenant.url, tenant.public_client_id, profile=TESTING)
    async with client:
        for each in (first, second, first):
            client.before_closing(each)
    assert closed == ["second", "first"]
    async with client:
        pass
    assert closed == ["second", "first"]


@pytest.mark.parametrize("close", [None, 5, [], "close"])
async def test_what_cannot_be_called_at_the_closing_is_refused_at_once(tenant: LocalTenant, close: Any) -> None:
    """Otherwise the closing would fail, with the connections open."""
    async with PasswordlessClient(tenant.url, tenant.public_client_id, profile=TESTING) as client:
        with pytest.raises(UsageError, match=r"^close: must be a function, not"):
            client.before_closing(close)


async def test_a_closing_closes_the_rest_if_something_on_the_client_raises(tenant: LocalTenant) -> None:
    """The error is raised when all is closed. What is not awaited is called too."""
    closed: list[str] = []

    async def fail() -> None:
        raise ValueError("mine")

    async def close() -> None:
        closed.append("close")

    plain: Any = partial(closed.append, "plain")
    client = PasswordlessClient(tenant.url, tenant.public_client_id, profile=TESTING)
    await client.__aenter__()
    for each in (close, fail, plain):
        client.before_closing(each)
    session = client._transport.require_api()
    with pytest.raises(ValueError, match="mine"):
        await client.aclose()
    assert (closed, session.closed) == (["plain", "close"], True)
