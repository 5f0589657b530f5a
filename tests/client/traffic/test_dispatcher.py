"""How calls get on the wire: calls as values, pauses, outages, and the events that report them."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from yarl import URL

from helpers.clients import PATIENT, START, TOKEN, arrived, cancelled, kept_waiting, opened, until
from helpers.values import present
from passwordless_async import (
    INTERACTIVE,
    TESTING,
    AuthSession,
    CircuitOpen,
    Email,
    MfaRequired,
    MfaState,
    NotSent,
    OutcomeUnknown,
    PasswordlessClient,
    Phone,
    QuotaExceeded,
    RateLimited,
    TemporarilyUnavailable,
    TokenSet,
    UsageError,
)
from passwordless_async._common import clock as _clock
from passwordless_async._common.http import HttpRequest
from passwordless_async.client.events import (
    Challenged,
    Done,
    Event,
    Operation,
    Paced,
    Retried,
    Sent,
    StoreLost,
    StoreRegained,
    UnboundTokens,
)
from passwordless_async.client.traffic.circuit import Circuits
from passwordless_async.client.traffic.concurrency import FixedLimit
from passwordless_async.client.traffic.dispatcher import Call
from passwordless_async.client.traffic.single_flight import Departure
from passwordless_async.dpop.challenge import demands_nonce
from passwordless_async.testing import PLAIN_API, Fault, LocalTenant

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from passwordless_async._common.http import HttpResponse
    from passwordless_async.auth0.tenant import Flow


ADA, BOB = Email("ada@example.com"), Email("bob@example.com")
SCOPE = "openid offline_access"


@pytest.mark.slow
async def test_a_429_pauses_all_exchanges_and_fails_none() -> None:
    """All exchanges wait for the time that the 429 names, and the refused code is sent again."""
    events: list[Event] = []
    async with opened(single=PATIENT, on_event=events.append) as (tenant, client):
        crowd = [Email(f"user{number}@example.com") for number in range(20)]
        await asyncio.gather(*map(client.start, crowd))
        tenant.faults.add(Fault.RATE_LIMITED_RETRY_AFTER, path=TOKEN, times=1, retry_after=1)
        events.clear()
        await asyncio.gather(*(client.exchange(who, tenant.outbox.code_for(who)) for who in crowd))
        assert sum(isinstance(event, Sent) and event.status == 429 for event in events) == 1
        retried = [event for event in events if isinstance(event, Retried)]
        assert [(event.operation, event.trial, event.error, event.seconds) for event in retried] == [
            (Operation.EXCHANGE, 1, "rate_limited", 0.0)
        ]
        assert any(isinstance(event, Paced) and event.seconds >= 0.9 for event in events)


async def test_a_pause_longer_than_the_patience_is_refused() -> None:
    """A call during such a pause raises ``QuotaExceeded`` with ``retry_after``, and sends nothing."""
    async with opened() as (tenant, client):
        await asyncio.gather(client.start(ADA), client.start(BOB))
        tenant.faults.add(Fault.RATE_LIMITED_RETRY_AFTER, path=TOKEN, times=1, retry_after=40)
        with pytest.raises(RateLimited):
            await client.exchange(ADA, tenant.outbox.code_for(ADA))
        with pytest.raises(QuotaExceeded) as refused:
            await client.exchange(BOB, tenant.outbox.code_for(BOB))
        assert 39 < present(refused.value.retry_after) <= 41
        assert arrived(tenant, TOKEN) == 1


@pytest.mark.slow
async def test_a_429_to_a_start_pauses_only_starts_of_its_address() -> None:
    """It is about the hour of an address, here this machine's: an exchange goes at once, and the next start waits."""
    async with opened(single=PATIENT) as (tenant, client):
        await client.start(ADA)
        tenant.faults.add(Fault.RATE_LIMITED_RETRY_AFTER, path=START, times=1, retry_after=1)
        starting = asyncio.create_task(client.start(BOB))
        await until(lambda: arrived(tenant, START) == 2)
        await client.exchange(ADA, tenant.outbox.code_for(ADA))
        assert arrived(tenant, START) == 2
        await starting
        assert arrived(tenant, START) == 3


async def test_a_refused_argument_costs_nothing() -> None:
    """A wrong argument counts against neither the pace nor the first nonce."""
    address = ipaddress.ip_address("192.0.2.1")
    profile = attrs.evolve(TESTING, requests_per_second=0.001)
    async with (
        LocalTenant() as tenant,
        PasswordlessClient(tenant.url, tenant.public_client_id, profile=profile) as client,
    ):
        for _ in range(5):
            with pytest.raises(UsageError):
                await client.exchange(ADA, "123456", forwarded_for=address)
        assert client._dispatcher._first_nonce._state.failures == 0
        await client.start(ADA)


async def test_a_call_that_is_cancelled_before_it_is_sent_is_no_failure_of_the_first_nonce() -> None:
    """It sent nothing, so the others still wait for one first request, instead of a challenge each."""
    profile = attrs.evolve(TESTING, requests_per_second=0.5, single=PATIENT)
    async with (
        LocalTenant() as tenant,
        PasswordlessClient(tenant.url, tenant.public_client_id, profile=profile) as client,
    ):
        await client.start(ADA)
        first_nonce = client._dispatcher._first_nonce
        for _ in range(3):
            exchanging = asyncio.create_task(client.exchange(ADA, tenant.outbox.code_for(ADA)))
            await until(lambda: first_nonce.pending)
            await cancelled(exchanging)
            assert (first_nonce._state.failures, first_nonce.pending) == (0, False)
        assert arrived(tenant, TOKEN) == 0


async def test_a_blocked_user_delays_no_other() -> None:
    """A 429 ``too_many_attempts`` is about one account: the next exchange goes at once."""
    async with opened() as (tenant, client):
        await client.start(ADA)
        tenant.faults.add(Fault.ACCOUNT_BLOCKED, path=TOKEN, times=1)
        await asyncio.gather(client.exchange(BOB, "123456"), return_exceptions=True)
        await client.exchange(ADA, tenant.outbox.code_for(ADA))


def is_out(client: PasswordlessClient) -> bool:
    """Return whether the circuit of a client's token endpoint is open."""
    dispatcher = client._dispatcher
    return dispatcher._circuits.of(dispatcher._tenant.application.token_url, "").retry_after is not None


def refuse_a_login(tenant: LocalTenant) -> None:
    """Have the tenant refuse the next login because its user has logged in too often."""
    tenant.faults.add(Fault.REFUSAL, path=TOKEN, times=1, status=429, error="too_many_logins", description="Too many.")


async def test_a_429_about_a_user_delays_no_other() -> None:
    """The user is held back until the time that the service names, and nothing is sent; all others go at once."""
    async with opened() as (tenant, client):
        await asyncio.gather(client.start(ADA), client.start(BOB))
        refuse_a_login(tenant)
        with pytest.raises(RateLimited):
            await client.exchange(ADA, "000000")
        before = arrived(tenant, TOKEN)
        await client.exchange(BOB, tenant.outbox.code_for(BOB))
        client._dispatcher._callers.refused(Operation.EXCHANGE, ADA, 30.0, asyncio.get_running_loop().time())
        with pytest.raises(QuotaExceeded) as refused:
            await client.exchange(ADA, tenant.outbox.code_for(ADA))
        assert 29 < present(refused.value.retry_after) <= 31
        assert arrived(tenant, TOKEN) - before == 1


@pytest.mark.slow
async def test_a_user_who_is_held_back_waits_within_the_patience() -> None:
    """The refused code is sent again when the time has come, and logs in."""
    events: list[Event] = []
    async with opened(single=PATIENT, on_event=events.append) as (tenant, client):
        await client.start(ADA)
        refuse_a_login(tenant)
        tokens = await client.exchange(ADA, tenant.outbox.code_for(ADA))
        assert tokens.token_type == "DPoP"
        assert any(isinstance(event, Paced) and event.seconds >= 0.9 for event in events)


async def test_closing_ends_those_who_are_held_back() -> None:
    """At once, and nothing is sent."""
    async with opened(single=PATIENT) as (tenant, client):
        await client.start(ADA)
        client._dispatcher._callers.refused(Operation.START, ("start", None), 8.0, asyncio.get_running_loop().time())
        starting = asyncio.create_task(client.start(BOB))
        await until(lambda: bool(client._dispatcher._sleepers))
        await asyncio.wait_for(client.aclose(), 10)
        with pytest.raises(NotSent):
            await starting
        assert arrived(tenant, START) == 1


async def test_a_probe_that_ends_in_any_way_is_released() -> None:
    """A foreign exception, or a cancellation, does not leave the circuit waiting for its end."""
    async with opened(outage_after=1, outage_ratio=0.01, outage_rest=0.001, outage_rest_at_most=60.0) as (
        tenant,
        client,
    ):
        await client.start(ADA)
        dispatcher = client._dispatcher
        circuit = dispatcher._circuits.of(dispatcher._tenant.application.token_url, "")
        send = client._transport.send

        async def broken(request: HttpRequest, departs: Callable[[], None] | None = None) -> HttpResponse:
            raise ZeroDivisionError((request, departs))

        circuit.failed(0)
        await until(lambda: circuit.retry_after is None)
        client._transport.send = broken  # type: ignore[method-assign]
        with pytest.raises(ZeroDivisionError):
            await client.exchange(ADA, "000000")
        client._transport.send = send  # type: ignore[method-assign]
        assert circuit.retry_after is None
        exchanging, answer = await kept_waiting(tenant, client.exchange(BOB, "000000"), TOKEN)
        assert present(circuit.retry_after) > 50
        answer.set()
        await asyncio.gather(exchanging, return_exceptions=True)
        await client.exchange(ADA, tenant.outbox.code_for(ADA))


@pytest.mark.parametrize("path", [START, "/userinfo", "/oauth/revoke", "/.well-known/jwks.json"])
async def test_an_endpoint_that_fails_refuses_no_exchange(path: str) -> None:
    """However often it fails: each endpoint has its own circuit, and keys have none."""
    async with opened(outage_after=1, outage_ratio=0.01, outage_rest=60.0, outage_rest_at_most=60.0) as (
        tenant,
        client,
    ):
        await asyncio.gather(client.start(ADA), client.start(BOB))
        tokens = await client.exchange(ADA, tenant.outbox.code_for(ADA), scope=SCOPE)
        tenant.faults.add(Fault.SERVICE_UNAVAILABLE, path=path)
        for _ in range(3):
            calls = (client.start(Email("c@example.com")), client.userinfo(tokens), client.revoke(tokens))
            await asyncio.gather(*calls, return_exceptions=True)
        assert (await client.exchange(BOB, tenant.outbox.code_for(BOB))).token_type == "DPoP"


async def test_a_channel_that_fails_refuses_no_start_by_another() -> None:
    """A gateway for SMS that fails does not stop e-mails."""
    async with opened(outage_after=1, outage_ratio=0.01, outage_rest=60.0, outage_rest_at_most=60.0) as (
        tenant,
        client,
    ):
        tenant.faults.add(Fault.SERVICE_UNAVAILABLE, path=START, times=1)
        with pytest.raises(TemporarilyUnavailable):
            await client.start(Phone("+4930901820"))
        with pytest.raises(CircuitOpen):
            await client.start(Phone("+4930901821"))
        await client.start(ADA)


@attrs.frozen
class Person:
    """A user with sessions, a login that waits for a second factor, and one at a database connection."""

    who: Email
    tokens: list[TokenSet]  # of a login each
    state: MfaState
    database: AuthSession

    @classmethod
    async def at(cls, tenant: LocalTenant, client: PasswordlessClient, who: Email) -> Person:
        """Log a user in, three times."""
        tokens = []
        tenant.users.add(who, database=True)
        for _ in range(3):
            await client.start(who)
            tokens.append(await client.exchange(who, tenant.outbox.code_for(who), scope=SCOPE))
        database = await client.start_database(who, connection="Username-Password-Authentication")
        assert isinstance(database, AuthSession)
        tenant.users.add(who, mfa=["otp"])
        await client.start(who)
        with pytest.raises(MfaRequired) as required:
            await client.exchange(who, tenant.outbox.code_for(who), scope=SCOPE)
        return cls(who, tokens, present(required.value.state), database)


CALLS: dict[str, Callable[[PasswordlessClient, Person, int], Awaitable[object]]] = {
    "start": lambda client, one, _: client.start(one.who),
    "start_link": lambda client, one, _: client.start_link(one.who, redirect_uri="https://app.example/callback"),
    "start_database": lambda client, one, _: client.start_database(one.who, connection="users"),
    "exchange": lambda client, one, number: client.exchange(one.who, f"10000{number}"),
    "exchange at a database": lambda client, one, number: client.exchange(one.database, f"10000{number}"),
    "refresh": lambda client, one, number: client.refresh(one.tokens[number]),
    "userinfo": lambda client, one, number: client.userinfo(one.tokens[number]),
    "revoke": lambda client, one, number: client.revoke(one.tokens[number]),
    "mfa.authenticators": lambda client, one, _: client.mfa.authenticators(one.state),
    "mfa.challenge": lambda client, one, _: client.mfa.challenge(one.state),
    "mfa.associate": lambda client, one, _: client.mfa.associate(one.state, types=["otp"]),
    "mfa.verify_otp": lambda client, one, number: client.mfa.verify_otp(one.state, f"10000{number}"),
}


async def test_no_user_alone_opens_a_circuit() -> None:
    """Whatever fails for one user, and however often, refuses nothing to another; where two users fail it does."""
    refused: dict[str, list[bool]] = {}
    profile: dict[str, Any] = {
        "outage_after": 2,
        "outage_ratio": 0.01,
        "outage_rest": 60.0,
        "outage_rest_at_most": 60.0,
    }
    async with opened(**profile) as (tenant, client):
        ada, bob = [await Person.at(tenant, client, who) for who in (ADA, BOB)]
        tenant.faults.add(Fault.SERVICE_UNAVAILABLE)
        for name, call in CALLS.items():
            client._dispatcher._circuits = Circuits(client._dispatcher._profile)
            results = [
                await asyncio.gather(call(client, one, number), return_exceptions=True)
                for one, number in ((ada, 0), (ada, 1), (ada, 2), (bob, 0), (bob, 1))
            ]
            refused[name] = [isinstance(result, CircuitOpen) for (result,) in results]
            assert all(isinstance(result, OutcomeUnknown | TemporarilyUnavailable) for (result,) in results[:4])
    assert refused == {name: [False, False, False, False, True] for name in CALLS}


async def test_an_outage_fails_calls_at_once() -> None:
    """After a few failures calls raise ``CircuitOpen`` and send nothing, until one finds the service back."""
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
            assert [event for event in events if isinstance(event, Sent)] == []
        await until(lambda: not is_out(client))
        await client.exchange(ADA, tenant.outbox.code_for(ADA))


async def test_patient_exchanges_outlast_an_outage() -> None:
    """Exchanges with patience wait for the circuit to close, and all succeed."""
    # The end of the outage takes a while on a busy machine, and the same exchange may be the trial each time.
    policy = attrs.evolve(PATIENT, tries=20)
    profile: dict[str, Any] = {"single": policy, "outage_after": 2, "outage_rest": 0.05, "outage_rest_at_most": 0.1}
    async with opened(**profile) as (tenant, client):
        crowd = [Email(f"user{number}@example.com") for number in range(10)]
        for who in crowd:
            await client.start(who)  # one after the other: by one connection, which is served once more
        async with tenant.outage():
            exchanging = [asyncio.create_task(client.exchange(who, tenant.outbox.code_for(who))) for who in crowd]
            await until(lambda: is_out(client))
        assert {tokens.token_type for tokens in await asyncio.gather(*exchanging)} == {"DPoP"}


async def test_a_cold_login_emits_its_events_in_order() -> None:
    """Each event names its operation, path and status, and contains neither a secret nor an address."""
    events: list[Event] = []
    async with (
        LocalTenant() as tenant,
        PasswordlessClient(tenant.url, tenant.public_client_id, profile=TESTING, on_event=events.append) as client,
    ):
        await client.start(ADA)
        code = tenant.outbox.code_for(ADA)
        tokens = await client.exchange(ADA, code)
    told = [
        (
            type(event),
            getattr(event, "operation", None),
            *((event.path, event.status) if isinstance(event, Sent) else ()),
        )
        for event in events
        if not isinstance(event, StoreLost | StoreRegained)
    ]
    assert told == [
        (Sent, Operation.START, START, 200),
        (Done, Operation.START),
        (Sent, Operation.EXCHANGE, TOKEN, 400),
        (Challenged, Operation.EXCHANGE),
        (Sent, Operation.EXCHANGE, TOKEN, 200),
        (Done, Operation.EXCHANGE),
    ]
    assert [event.transmission for event in events if isinstance(event, Sent) and event.path == TOKEN] == [1, 2]
    assert all(event.seconds > 0 for event in events if isinstance(event, Sent | Done))
    assert not any(secret in repr(events) for secret in (code, "ada@", tokens.access_token))


@pytest.mark.parametrize(("mode", "told"), [("preferred", [UnboundTokens, Done]), ("off", [Done])])
async def test_tokens_without_a_key_are_told_before_the_end(mode: Any, told: list[type]) -> None:
    """Once for each answer to a proof, with the API that was asked for; where no proof went, nothing was missed."""
    events: list[Event] = []
    async with LocalTenant() as tenant:
        async with PasswordlessClient(
            tenant.url, tenant.public_client_id, profile=TESTING, on_event=events.append, dpop=mode
        ) as client:
            await client.start(ADA)
            events.clear()
            exchanging = [client.exchange(ADA, tenant.outbox.code_for(ADA), audience=PLAIN_API) for _ in range(3)]
            await asyncio.gather(*exchanging)
    ends = [event for event in events if isinstance(event, UnboundTokens | Done)]
    assert [type(event) for event in ends] == told
    assert [event.audience for event in ends if isinstance(event, UnboundTokens)] == [PLAIN_API] * (len(told) - 1)


async def test_a_failing_on_event_does_not_fail_the_call() -> None:
    """Its exception is reported to the event loop."""
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: reported.append(context))

    def broken(_event: Event) -> None:
        raise LookupError("no metrics")

    async with opened(on_event=broken) as (_, client):
        await client.start(ADA)
    assert {context["message"] for context in reported} == {"on_event of a PasswordlessClient has failed"}


async def test_a_cancelled_call_emits_done() -> None:
    """``Done`` of a cancelled call has the error ``cancelled``."""
    events: list[Event] = []
    async with opened(on_event=events.append) as (tenant, client):
        events.clear()
        starting, answer = await kept_waiting(tenant, client.start(ADA), START)
        await cancelled(starting)
        answer.set()
        assert [(event.error, event.transmissions) for event in events if isinstance(event, Done)] == [("cancelled", 1)]


class Watched(FixedLimit):
    """A limit that remembers the latencies that it is told of."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.latencies: list[float] = []

    def answered(self, seconds: float) -> None:
        self.latencies.append(seconds)


async def test_the_limit_learns_how_long_each_exchange_took() -> None:
    """From the request to its answer: no longer than the event says, which is emitted after it."""
    events: list[Event] = []
    async with opened(on_event=events.append) as (tenant, client):
        client._dispatcher.gate.limit = limit = Watched(8)
        await client.start(ADA)
        began = _clock.monotonic()
        await client.exchange(ADA, tenant.outbox.code_for(ADA))
        took = _clock.monotonic() - began
    told = [event.seconds for event in events if isinstance(event, Sent)][-1]
    assert [0 < seconds <= told <= took for seconds in limit.latencies] == [True]


class Flows:
    """Makes flows that return a secret; its repr shows the secret."""

    def __init__(self, secret: str) -> None:
        self.secret = secret

    def __repr__(self) -> str:
        return f"<Flows with {self.secret}>"

    def __call__(self) -> Flow[str]:
        yield from ()
        return self.secret


def test_a_call_is_neither_proven_nor_bound_to_a_policy_unless_it_says_so() -> None:
    """Then it takes no part in the first nonce, and the profile decides how patient it is."""
    call = Call(Operation.REVOKE, Flows("4711"))
    assert (call.is_proven, call.policy) == (False, None)


def test_a_call_makes_its_flow_anew_for_each_try() -> None:
    """A flow is a generator, which runs once."""
    call = Call(Operation.EXCHANGE, Flows("4711"), is_proven=True, policy=INTERACTIVE.many)
    first, second = call.flow(), call.flow()
    assert first is not second
    for flow in (first, second):
        with pytest.raises(StopIteration) as end:
            next(flow)
        assert end.value.value == "4711"


@pytest.mark.parametrize("operation", Operation)
def test_a_call_prints_its_operation_alone(operation: Operation) -> None:
    """What its flow holds is secret."""
    assert repr(Call(operation, Flows("4711"), policy=INTERACTIVE.many)) == f"<Call {operation}>"


def sent(tenant: LocalTenant, path: str) -> HttpRequest:
    return HttpRequest("GET", URL(tenant.url + path), {})


async def test_a_later_request_that_is_not_sent_leaves_the_first_one_sent() -> None:
    """The response to a code has arrived, and the revocation of its tokens finds no connection: the code is spent."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    departure = Departure()

    def flow() -> Flow[tuple[bool, bool]]:
        yield sent(tenant, "/userinfo")
        with pytest.raises(NotSent):
            yield HttpRequest("GET", URL(f"http://127.0.0.1:{port}/"), {})
        return departure.on_wire, departure.was_sent

    async with opened() as (tenant, client):
        assert await client._dispatcher.run(Call(Operation.EXCHANGE, flow), departure) == (True, True)


async def test_a_later_request_that_is_challenged_leaves_the_first_one_sent() -> None:
    """The server has not looked at the second one. It has looked at the first."""
    departure = Departure()

    def flow() -> Flow[list[tuple[bool, bool]]]:
        told = []
        for path in (TOKEN, "/userinfo", TOKEN):
            response = yield sent(tenant, path)
            told.append((departure.on_wire, departure.was_sent))
            assert demands_nonce(response, fresh=False) == (path == TOKEN)
        return told

    async with opened() as (tenant, client):
        tenant.faults.add(Fault.CHALLENGE_FOREVER, path=TOKEN)
        told = await client._dispatcher.run(Call(Operation.EXCHANGE, flow), departure)
        assert told == [(False, False), (True, True), (True, True)]


def test_a_call_does_not_change() -> None:
    """The dispatcher may try it again as it is."""
    call = Call(Operation.START, Flows("4711"))
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        call.is_proven = True  # type: ignore[misc] # what is tested
