"""A client under load and in trouble: order, cancellation, closing, pauses, outages, and what it tells of them."""

from __future__ import annotations

import asyncio
import ipaddress
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from passwordless_async import (
    TESTING,
    CircuitOpen,
    ClientSecretPost,
    CodeExpired,
    CoolingDown,
    Email,
    Login,
    NotSent,
    Orphan,
    OutcomeUnknown,
    PasswordlessClient,
    Policy,
    QuotaExceeded,
    RateLimited,
    TemporarilyUnavailable,
    UsageError,
    WrongCode,
)
from passwordless_async.client.events import Challenged, Done, Event, Operation, Orphaned, Paced, Retried, Sent
from passwordless_async.testing import Fault, LocalTenant, TenantSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

ADA, BOB = Email("ada@example.com"), Email("bob@example.com")
START, TOKEN = "/passwordless/start", "/oauth/token"
SCOPE = "openid offline_access"
PATIENT = Policy(tries=3, patience=10.0, backoff=0.0, backoff_at_most=0.0, outlasts_outages=True)


@asynccontextmanager
async def opened(
    settings: TenantSettings | None = None, *, confidential: bool = False, **options: Any
) -> AsyncIterator[tuple[LocalTenant, PasswordlessClient]]:
    """Run a tenant, and a client that knows its nonce and its keys; options are the profile's, or the client's."""
    given = {name: options.pop(name) for name in ("on_event", "on_orphan") if name in options}
    async with LocalTenant(settings) as tenant:
        client_id, auth = tenant.public_client_id, {}
        if confidential:
            client_id, secret = tenant.confidential_client
            auth = {"client_auth": ClientSecretPost(secret)}
        profile = attrs.evolve(TESTING, **options)
        async with PasswordlessClient(tenant.url, client_id, profile=profile, **auth, **given) as client:
            warm = Email("warm@example.com")
            await client.start(warm)
            await client.exchange(warm, tenant.outbox.code_for(warm), scope="openid")
            tenant.requests.clear()
            yield tenant, client
        assert (0, ()) == (tenant.stats.presented_again, tenant.disagreements)


async def until(condition: Callable[[], object]) -> None:
    """Give the loop turns until something is so; bounded, so that a defect fails instead of hanging."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - tenant and client say it by nothing else
            await asyncio.sleep(0.001)


def arrived(tenant: LocalTenant, path: str) -> int:
    return sum(request.path == path for request in tenant.requests)


async def kept_waiting(
    tenant: LocalTenant, call: Coroutine[Any, Any, Any], path: str = TOKEN
) -> tuple[asyncio.Task[Any], asyncio.Event]:
    """Begin a call and let its request be processed; the answer waits for the event."""
    answer = asyncio.Event()
    tenant.faults.add(Fault.SLOW, path=path, until=answer, times=1)
    task = asyncio.create_task(call)
    await until(lambda: arrived(tenant, path))
    return task, answer


async def cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


# One user's codes.


async def test_one_code_asked_for_twice_at_once_is_presented_once():
    """Both get the tokens of one request."""
    async with opened() as (tenant, client):
        await client.start(ADA)
        code = tenant.outbox.code_for(ADA)
        first, second = await asyncio.gather(*(client.exchange(ADA, code, scope=SCOPE) for _ in range(2)))
        assert (first, 1) == (second, arrived(tenant, TOKEN))


async def test_one_code_with_other_parameters_is_refused():
    """Whoever asks for something else with a code that is under way is told so; the first is not disturbed."""
    async with opened() as (tenant, client):
        await client.start(ADA)
        code = tenant.outbox.code_for(ADA)
        first, answer = await kept_waiting(tenant, client.exchange(ADA, code, scope=SCOPE))
        with pytest.raises(UsageError, match="otp: is being exchanged already"):
            await client.exchange(ADA, code, scope="openid")
        answer.set()
        assert (await first).claims["email"] == "ada@example.com"
        assert 1 == arrived(tenant, TOKEN)


async def test_two_codes_of_one_user_go_one_after_the_other():
    """The second is sent when the first is answered; another user's does not wait."""
    async with opened() as (tenant, client):
        await asyncio.gather(client.start(ADA), client.start(BOB))
        first, answer = await kept_waiting(tenant, client.exchange(ADA, tenant.outbox.code_for(ADA)))
        second = asyncio.create_task(client.exchange(ADA, "wrong"))
        await client.exchange(BOB, tenant.outbox.code_for(BOB))
        assert 2 == arrived(tenant, TOKEN)
        answer.set()
        await first
        with pytest.raises(WrongCode):
            await second


async def test_a_cancelled_second_code_does_not_let_a_third_overtake():
    """Whoever comes after one that was cancelled in the queue still waits for the one in front."""
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
        assert 1 == arrived(tenant, TOKEN)
        answer.set()
        await first
        with pytest.raises(WrongCode):
            await third


# The cool-down.


async def test_a_second_start_is_refused_here():
    """A new code would kill the first: the error says how long, and nothing is sent."""
    async with opened(cool_down=30.0) as (tenant, client):
        await client.start(ADA)
        with pytest.raises(CoolingDown) as refused:
            await client.start(ADA)
        assert 25 < refused.value.retry_after <= 30
        assert 1 == arrived(tenant, START)
        await client.start(BOB)


async def test_two_starts_at_once_are_one():
    """The second is refused while the first is under way."""
    async with opened(cool_down=30.0) as (tenant, client):
        results = await asyncio.gather(client.start(ADA), client.start(ADA), return_exceptions=True)
        assert [False, True] == [isinstance(result, CoolingDown) for result in results]
        assert 1 == arrived(tenant, START)


@pytest.mark.parametrize(
    ("fault", "error", "cools"),
    [
        (Fault.SERVICE_UNAVAILABLE, TemporarilyUnavailable, False),
        (Fault.RATE_LIMITED_SILENT, RateLimited, False),
        (Fault.DROP_AFTER_PROCESSING, OutcomeUnknown, True),
    ],
)
async def test_a_start_that_failed(fault: Fault, error: type[Exception], *, cools: bool):
    """Where no code was sent another start may come at once; where one may be on its way it may not."""
    async with opened(cool_down=30.0) as (tenant, client):
        tenant.faults.add(fault, path=START, times=1)
        with pytest.raises(error):
            await client.start(ADA)
        again = await asyncio.gather(client.start(ADA), return_exceptions=True)
        assert cools is isinstance(again[0], CoolingDown)


async def test_a_code_that_is_of_no_more_use_cools_nothing():
    """After a login, and where the code is too old, the user may ask for another at once."""
    async with opened(TenantSettings(nonce_replaces_iat=True), cool_down=30.0) as (tenant, client):
        await client.start(ADA)
        await client.exchange(ADA, tenant.outbox.code_for(ADA))
        await client.start(ADA)
        tenant.clock.advance(181)
        with pytest.raises(CodeExpired):
            await client.exchange(ADA, tenant.outbox.code_for(ADA))
        await client.start(ADA)


async def test_a_start_that_never_left_cools_nothing():
    """Cancelled while it waited for its turn, or refused here, a start leaves the user and the address as they were."""
    home = ipaddress.ip_address("192.0.2.1")
    async with opened(confidential=True, cool_down=30.0, starts_per_hour=1, max_in_flight=1) as (tenant, client):
        first, answer = await kept_waiting(tenant, client.start(BOB), START)
        waiting = asyncio.create_task(client.start(ADA, forwarded_for=home))
        await asyncio.sleep(0)
        await cancelled(waiting)
        answer.set()
        await first
        with pytest.raises(UsageError):
            await client.start(ADA, forwarded_for=home, language="not a tag")
        await client.start(ADA, forwarded_for=home)
        with pytest.raises(QuotaExceeded):
            await client.start(Email("c@example.com"), forwarded_for=home)


async def test_an_address_has_its_own_budget():
    """One forwarded address is used up, and others are not; what the service says of one stops nobody else."""
    home, office = ipaddress.ip_address("192.0.2.1"), ipaddress.ip_address("192.0.2.2")
    async with opened(confidential=True, starts_per_hour=2) as (tenant, client):
        await client.start(Email("a@example.com"), forwarded_for=home)
        await client.start(Email("b@example.com"), forwarded_for=home)
        with pytest.raises(QuotaExceeded) as refused:
            await client.start(Email("c@example.com"), forwarded_for=home)
        assert 3500 < refused.value.retry_after <= 3600
        tenant.faults.add(Fault.RATE_LIMITED_RETRY_AFTER, path=START, times=1, retry_after=1800)
        with pytest.raises(RateLimited):
            await client.start(Email("d@example.com"), forwarded_for=office)
        with pytest.raises(QuotaExceeded):
            await client.start(Email("e@example.com"), forwarded_for=office)
        await client.start(Email("f@example.com"))
        assert 4 == arrived(tenant, START)


# Cancellation.


async def test_an_exchange_that_has_left_goes_to_on_orphan():
    """Its caller is cancelled: it ends all the same, and the application is given the tokens, once."""
    orphans: list[Orphan] = []
    async with opened(on_orphan=orphans.append) as (tenant, client):
        await client.start(ADA)
        code = tenant.outbox.code_for(ADA)
        exchanging, answer = await kept_waiting(tenant, client.exchange(ADA, code, scope=SCOPE))
        await cancelled(exchanging)
        answer.set()
        await until(lambda: orphans)
        assert [(ADA, "ada@example.com", None)] == [(o.who, o.tokens.claims["email"], o.error) for o in orphans]
        assert [False] == [family.revoked for family in tenant.refresh_families]


async def test_without_on_orphan_the_tokens_are_revoked():
    """Nobody keeps them: they must not live on at the service."""
    events: list[Event] = []
    async with opened(on_event=events.append) as (tenant, client):
        await client.start(ADA)
        exchanging, answer = await kept_waiting(tenant, client.exchange(ADA, tenant.outbox.code_for(ADA), scope=SCOPE))
        await cancelled(exchanging)
        answer.set()
        await until(lambda: Orphaned(Operation.EXCHANGE, None) in events)
        assert [True] == [family.revoked for family in tenant.refresh_families]


@pytest.mark.parametrize("is_coroutine", [False, True])
async def test_an_on_orphan_that_fails_costs_no_secret(*, is_coroutine: bool):
    """Its error is the event loop's to report, and the tokens are revoked as if it were not there."""
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
    assert ["on_orphan of a PasswordlessClient has failed"] == [context["message"] for context in reported]
    assert code not in str(reported)


async def test_what_waits_for_its_turn_is_not_sent():
    """Cancelled at the gate, an exchange leaves no trace: the code is as good as before."""
    async with opened(max_in_flight=1) as (tenant, client):
        await asyncio.gather(client.start(ADA), client.start(BOB))
        first, answer = await kept_waiting(tenant, client.exchange(BOB, tenant.outbox.code_for(BOB)))
        waiting = asyncio.create_task(client.exchange(ADA, tenant.outbox.code_for(ADA)))
        await asyncio.sleep(0)
        await cancelled(waiting)
        answer.set()
        await first
        assert 1 == arrived(tenant, TOKEN)
        await client.exchange(ADA, tenant.outbox.code_for(ADA))


async def test_leaving_many_early_loses_nothing():
    """When the loop is left nothing is under way, and whoever got tokens meanwhile is told of to on_orphan."""
    orphans: list[Orphan] = []
    async with opened(on_orphan=orphans.append) as (tenant, client):
        crowd = [Email(f"user{number}@example.com") for number in range(40)]
        await asyncio.gather(*map(client.start, crowd))
        before, issued = asyncio.all_tasks(), tenant.stats.tokens_issued
        logins = (Login(who, tenant.outbox.code_for(who), scope=SCOPE, tag=who) for who in crowd)
        async with aclosing(client.exchange_many(logins, concurrency=8)) as outcomes:
            taken = [await anext(outcomes) for _ in range(5)]
        assert asyncio.all_tasks() == before
        assert 0 == client._dispatcher.gate.in_flight
        kept = [outcome.login.who for outcome in taken] + [orphan.who for orphan in orphans]
        assert len(set(kept)) == len(kept) == tenant.stats.tokens_issued - issued


# Closing.


async def test_closing_finishes_what_has_left():
    """Within the grace period it ends, and its caller gets the tokens; nothing is abandoned."""
    async with opened(grace=20.0) as (tenant, client):
        await client.start(ADA)
        exchanging, answer = await kept_waiting(tenant, client.exchange(ADA, tenant.outbox.code_for(ADA)))
        closing = asyncio.create_task(client.aclose())
        await asyncio.sleep(0)
        answer.set()
        assert () == (await closing).exchanges
        assert (await exchanging).token_type == "DPoP"


async def test_closing_reports_what_it_abandons():
    """What is not answered in time ends as an outcome that nobody knows; what had not left was not sent."""
    async with opened(grace=0.0, max_in_flight=1) as (tenant, client):
        await asyncio.gather(client.start(ADA), client.start(BOB))
        left, answer = await kept_waiting(tenant, client.exchange(ADA, tenant.outbox.code_for(ADA)))
        waits = asyncio.create_task(client.exchange(BOB, tenant.outbox.code_for(BOB)))
        await asyncio.sleep(0)
        report = await client.aclose()
        assert ((ADA,), 0, 0) == (report.exchanges, report.refreshes, report.factors)
        with pytest.raises(OutcomeUnknown, match="closed"):
            await left
        with pytest.raises(NotSent, match="closed"):
            await waits
        answer.set()


async def test_closing_waits_for_starts_and_takes_no_more():
    """What has left is given its time, be it a start; who comes after that is told that the client is closed."""
    async with opened(grace=20.0) as (tenant, client):
        starting, answer = await kept_waiting(tenant, client.start(ADA), START)
        closing = asyncio.create_task(client.aclose())
        for _ in range(5):
            await asyncio.sleep(0)
        with pytest.raises(UsageError, match="is not open"):
            await client.start(BOB)
        answer.set()
        assert (await starting).who == ADA
        assert 0 == (await closing).others


async def test_closing_cuts_what_takes_too_long():
    """A start that is not answered in time is named, and its caller told that nobody knows."""
    async with opened(grace=0.01) as (tenant, client):
        starting, answer = await kept_waiting(tenant, client.start(ADA), START)
        assert 1 == (await client.aclose()).others
        with pytest.raises(OutcomeUnknown, match="the client was closed"):
            await starting
        answer.set()


async def test_closing_sends_away_who_waits():
    """A pause or a full gate holds nobody in a client that is closed."""
    async with opened(single=PATIENT, grace=20.0) as (tenant, client):
        await client.start(ADA)
        tenant.faults.add(Fault.RATE_LIMITED_RETRY_AFTER, path=TOKEN, times=1, retry_after=9)
        calls = [asyncio.create_task(client.exchange(ADA, tenant.outbox.code_for(ADA)))]
        await until(lambda: arrived(tenant, TOKEN))
        calls += [asyncio.create_task(client.start(Email(f"user{number}@example.com"))) for number in range(3)]
        await until(lambda: len(client._dispatcher.gate._waiting) == 4)
        async with asyncio.timeout(5):
            await client.aclose()
            results = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(result, NotSent | RateLimited) for result in results), results


async def test_closing_twice_is_one_closing():
    """Both wait for the same end, and have the same report; one that is cancelled does not hurry the other."""
    async with opened(grace=20.0) as (tenant, client):
        await client.start(ADA)
        exchanging, answer = await kept_waiting(tenant, client.exchange(ADA, tenant.outbox.code_for(ADA)))
        first, second, impatient = [asyncio.create_task(client.aclose()) for _ in range(3)]
        await asyncio.sleep(0)
        await cancelled(impatient)
        answer.set()
        assert await first is await second
        assert (await exchanging).token_type == "DPoP"


async def test_closing_waits_for_on_orphan():
    """What is being handed over when the client closes is handed over to the end."""
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
        await until(lambda: client._exchanges._flights._handovers)
        closing = asyncio.create_task(client.aclose())
        await asyncio.sleep(0)
        go_on.set()
        assert () == (await closing).exchanges
        assert [ADA] == [orphan.who for orphan in handed]


# Pauses and outages.


async def test_a_429_stops_everybody_and_costs_nobody_a_login():
    """One is refused, all wait for the time that the service names, and all get in; the code comes again, as it may."""
    events: list[Event] = []
    async with opened(single=PATIENT, on_event=events.append) as (tenant, client):
        crowd = [Email(f"user{number}@example.com") for number in range(20)]
        await asyncio.gather(*map(client.start, crowd))
        tenant.faults.add(Fault.RATE_LIMITED_RETRY_AFTER, path=TOKEN, times=1, retry_after=1)
        events.clear()
        await asyncio.gather(*(client.exchange(who, tenant.outbox.code_for(who)) for who in crowd))
        assert 1 == sum(isinstance(event, Sent) and event.status == 429 for event in events)
        retried = [event for event in events if isinstance(event, Retried)]
        assert [(Operation.EXCHANGE, 1, "rate_limited", 0.0)] == [
            (event.operation, event.trial, event.error, event.seconds) for event in retried
        ]
        assert any(isinstance(event, Paced) and event.seconds >= 0.9 for event in events)


async def test_a_pause_that_is_too_long_is_refused_before_anything_is_sent():
    """Whoever comes during a pause longer than their patience is told when to come back."""
    async with opened() as (tenant, client):
        await asyncio.gather(client.start(ADA), client.start(BOB))
        tenant.faults.add(Fault.RATE_LIMITED_RETRY_AFTER, path=TOKEN, times=1, retry_after=40)
        with pytest.raises(RateLimited):
            await client.exchange(ADA, tenant.outbox.code_for(ADA))
        with pytest.raises(QuotaExceeded) as refused:
            await client.exchange(BOB, tenant.outbox.code_for(BOB))
        assert 39 < refused.value.retry_after <= 41
        assert 1 == arrived(tenant, TOKEN)


async def test_a_429_to_a_start_holds_back_starts_alone():
    """It may be about an address's hour: an exchange goes at once, and the next start waits."""
    async with opened(single=PATIENT) as (tenant, client):
        await client.start(ADA)
        tenant.faults.add(Fault.RATE_LIMITED_RETRY_AFTER, path=START, times=1, retry_after=1)
        starting = asyncio.create_task(client.start(BOB))
        await until(lambda: arrived(tenant, START) == 2)
        await client.exchange(ADA, tenant.outbox.code_for(ADA))
        assert 2 == arrived(tenant, START)
        await starting
        assert 3 == arrived(tenant, START)


async def test_what_is_wrong_here_costs_nothing():
    """An argument that is refused before anything is sent ends no cold start and uses up no pace."""
    address = ipaddress.ip_address("192.0.2.1")
    profile = attrs.evolve(TESTING, requests_per_second=0.001)
    async with (
        LocalTenant() as tenant,
        PasswordlessClient(tenant.url, tenant.public_client_id, profile=profile) as client,
    ):
        for _ in range(5):
            with pytest.raises(UsageError):
                await client.exchange(ADA, "123456", forwarded_for=address)
        assert client._dispatcher._first_nonce.failures == 0
        await client.start(ADA)


async def test_a_blocked_user_stops_nobody():
    """429 too_many_attempts is about one account: the next exchange goes at once."""
    async with opened() as (tenant, client):
        await client.start(ADA)
        tenant.faults.add(Fault.ACCOUNT_BLOCKED, path=TOKEN, times=1)
        await asyncio.gather(client.exchange(BOB, "123456"), return_exceptions=True)
        await client.exchange(ADA, tenant.outbox.code_for(ADA))


async def test_an_outage_costs_milliseconds():
    """After a few failures in a row nobody asks any more, until one call finds the service back."""
    events: list[Event] = []
    async with opened(outage_after=3, outage_rest=0.05, on_event=events.append) as (tenant, client):
        await client.start(ADA)
        async with tenant.outage():
            await asyncio.gather(client.exchange(BOB, "123456"), return_exceptions=True)  # on the last connection
            for _ in range(3):
                with pytest.raises(NotSent):
                    await client.exchange(ADA, tenant.outbox.code_for(ADA))
            events.clear()
            with pytest.raises(CircuitOpen) as refused:
                await client.exchange(ADA, tenant.outbox.code_for(ADA))
            assert 0 < refused.value.retry_after <= 0.05
            assert [] == [event for event in events if isinstance(event, Sent)]
        await until(lambda: client._dispatcher._breaker.retry_after is None)
        await client.exchange(ADA, tenant.outbox.code_for(ADA))


async def test_who_may_wait_outlasts_an_outage():
    """Exchanges with patience wait for the circuit to close, and all get in."""
    profile = {"single": PATIENT, "outage_after": 2, "outage_rest": 0.05, "outage_rest_at_most": 0.1}
    async with opened(**profile) as (tenant, client):
        crowd = [Email(f"user{number}@example.com") for number in range(10)]
        for who in crowd:
            await client.start(who)  # one after the other: by one connection, which is served once more
        async with tenant.outage():
            exchanging = [asyncio.create_task(client.exchange(who, tenant.outbox.code_for(who))) for who in crowd]
            await until(lambda: client._dispatcher._breaker.retry_after is not None)
        assert {"DPoP"} == {tokens.token_type for tokens in await asyncio.gather(*exchanging)}


# Events.


async def test_the_events_of_a_cold_login():
    """In their order, with what they are about, and without a secret or an address."""
    events: list[Event] = []
    async with (
        LocalTenant() as tenant,
        PasswordlessClient(tenant.url, tenant.public_client_id, profile=TESTING, on_event=events.append) as client,
    ):
        await client.start(ADA)
        code = tenant.outbox.code_for(ADA)
        tokens = await client.exchange(ADA, code)
    told = [
        (type(event), event.operation, *((event.path, event.status) if isinstance(event, Sent) else ()))
        for event in events
    ]
    assert [
        (Sent, Operation.START, START, 200),
        (Done, Operation.START),
        (Sent, Operation.EXCHANGE, TOKEN, 400),
        (Challenged, Operation.EXCHANGE),
        (Sent, Operation.EXCHANGE, TOKEN, 200),
        (Done, Operation.EXCHANGE),
    ] == told
    assert [1, 2] == [event.transmission for event in events if isinstance(event, Sent) and event.path == TOKEN]
    assert all(event.seconds > 0 for event in events if isinstance(event, Sent | Done))
    assert not any(secret in repr(events) for secret in (code, "ada@", tokens.access_token))


async def test_an_on_event_that_fails_costs_nothing():
    """Its error is the event loop's to report; the call goes on."""
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: reported.append(context))

    def broken(_event: Event) -> None:
        raise LookupError("no metrics")

    async with opened(on_event=broken) as (_, client):
        await client.start(ADA)
    assert {"on_event of a PasswordlessClient has failed"} == {context["message"] for context in reported}


async def test_a_cancelled_call_is_told_of():
    """Metrics see what callers cancelled."""
    events: list[Event] = []
    async with opened(on_event=events.append) as (tenant, client):
        events.clear()
        starting, answer = await kept_waiting(tenant, client.start(ADA), START)
        await cancelled(starting)
        answer.set()
        assert [("cancelled", 1)] == [(event.error, event.transmissions) for event in events if isinstance(event, Done)]


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("profile", 5),
        ("profile", "BULK"),
        ("on_event", 5),
        ("on_orphan", "x"),
        ("nonces", {}),
        ("store", 5),
        ("lifetimes", 5),
    ],
)
def test_an_option_of_another_kind_is_refused(argument: str, value: object):
    """A client is not made of what it cannot use; the message names the option."""
    with pytest.raises(UsageError) as refused:
        PasswordlessClient("tenant.example", "client", **{argument: value})
    assert argument == refused.value.argument


def test_on_event_must_not_be_a_coroutine_function():
    """Nobody would wait for it."""

    async def later(_event: Event) -> None:
        raise AssertionError

    with pytest.raises(UsageError, match="on_event: must be a plain function"):
        PasswordlessClient("tenant.example", "client", on_event=later)
