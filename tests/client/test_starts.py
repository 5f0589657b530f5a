"""When a user may be sent a code: the cool-down and the budget of an address, through a tenant."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from typing import TYPE_CHECKING

import attrs
import pytest

from helpers.clients import PATIENT, START, TOKEN, arrived, cancelled, kept_waiting, opened, until
from helpers.values import present
from passwordless_async import (
    TESTING,
    AccessDenied,
    CodeExpired,
    CodeSpent,
    CoolingDown,
    Email,
    MalformedAnswer,
    OAuthError,
    OutcomeUnknown,
    PasswordlessClient,
    PasswordlessError,
    QuotaExceeded,
    RateLimited,
    Start,
    StartOutcome,
    StartReceipt,
    TemporarilyUnavailable,
    UsageError,
    WrongCode,
)
from passwordless_async.client.starts import _may_have_sent
from passwordless_async.testing import Fault, LocalTenant, TenantSettings

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable

ADA, BOB = Email("ada@example.com"), Email("bob@example.com")
SCOPE = "openid offline_access"


async def test_a_second_start_within_the_cool_down_is_not_sent() -> None:
    """It raises ``CoolingDown`` with the remaining seconds: a new code would invalidate the first."""
    async with opened(cool_down=30.0) as (tenant, client):
        await client.start(ADA)
        with pytest.raises(CoolingDown) as refused:
            await client.start(ADA)
        assert 25 < present(refused.value.retry_after) <= 30
        assert arrived(tenant, START) == 1
        await client.start(BOB)


async def test_a_concurrent_start_is_refused() -> None:
    """The second start raises ``CoolingDown`` while the first is on the wire."""
    async with opened(cool_down=30.0) as (tenant, client):
        results = await asyncio.gather(client.start(ADA), client.start(ADA), return_exceptions=True)
        assert [isinstance(result, CoolingDown) for result in results] == [False, True]
        assert arrived(tenant, START) == 1


@pytest.mark.parametrize(
    ("fault", "error", "cools"),
    [
        (Fault.SERVICE_UNAVAILABLE, TemporarilyUnavailable, False),
        (Fault.RATE_LIMITED_SILENT, RateLimited, False),
        (Fault.DROP_AFTER_PROCESSING, OutcomeUnknown, True),
    ],
)
async def test_a_failed_start_cools_down_only_if_a_code_may_be_sent(
    fault: Fault, error: type[Exception], *, cools: bool
) -> None:
    """After a refusal another start may follow at once; after a lost response it may not."""
    async with opened(cool_down=30.0) as (tenant, client):
        tenant.faults.add(fault, path=START, times=1)
        with pytest.raises(error):
            await client.start(ADA)
        again = await asyncio.gather(client.start(ADA), return_exceptions=True)
        assert cools is isinstance(again[0], CoolingDown)


async def test_a_used_or_expired_code_ends_the_cool_down() -> None:
    """After a login, or ``CodeExpired``, the user may request another code at once."""
    async with opened(TenantSettings(nonce_replaces_iat=True), cool_down=30.0) as (tenant, client):
        await client.start(ADA)
        await client.exchange(ADA, tenant.outbox.code_for(ADA))
        await client.start(ADA)
        tenant.clock.advance(181)
        with pytest.raises(CodeExpired):
            await client.exchange(ADA, tenant.outbox.code_for(ADA))
        await client.start(ADA)


async def test_an_unsent_start_counts_for_nothing() -> None:
    """A start that was cancelled in the queue, or refused, changes neither cool-down nor the share of the address."""
    home = ipaddress.ip_address("192.0.2.1")
    async with opened(confidential=True, cool_down=30.0, starts_per_hour=1, max_in_flight=1) as (tenant, client):
        first, answer = await kept_waiting(tenant, client.start(BOB), START)
        waiting = asyncio.create_task(client.start(ADA, forwarded_for=home))
        await until(lambda: client._dispatcher.gate.waiting)
        await cancelled(waiting)
        answer.set()
        await first
        with pytest.raises(UsageError):
            await client.start(ADA, forwarded_for=home, language="not a tag")
        await client.start(ADA, forwarded_for=home)
        with pytest.raises(QuotaExceeded):
            await client.start(Email("c@example.com"), forwarded_for=home)


async def test_each_address_has_its_own_share() -> None:
    """When the share of one address is used up, starts for other addresses are sent."""
    home, office = ipaddress.ip_address("192.0.2.1"), ipaddress.ip_address("192.0.2.2")
    async with opened(confidential=True, starts_per_hour=2) as (tenant, client):
        await client.start(Email("a@example.com"), forwarded_for=home)
        await client.start(Email("b@example.com"), forwarded_for=home)
        with pytest.raises(QuotaExceeded) as refused:
            await client.start(Email("c@example.com"), forwarded_for=home)
        assert 3500 < present(refused.value.retry_after) <= 3600
        tenant.faults.add(Fault.RATE_LIMITED_RETRY_AFTER, path=START, times=1, retry_after=1800)
        with pytest.raises(RateLimited):
            await client.start(Email("d@example.com"), forwarded_for=office)
        with pytest.raises(QuotaExceeded):
            await client.start(Email("e@example.com"), forwarded_for=office)
        await client.start(Email("f@example.com"))
        assert arrived(tenant, START) == 4


async def test_a_start_that_the_service_refused_counts_for_its_address() -> None:
    """The service saw the request, so the address has one start less; the user is not held back."""
    home, office = ipaddress.ip_address("192.0.2.1"), ipaddress.ip_address("192.0.2.2")
    async with opened(confidential=True, cool_down=30.0, starts_per_hour=1) as (tenant, client):
        tenant.faults.add(Fault.SMS_PROVIDER_ERROR, path=START, times=1)
        with pytest.raises(OAuthError, match="sms_provider_error"):
            await client.start(ADA, forwarded_for=home)
        with pytest.raises(QuotaExceeded):
            await client.start(BOB, forwarded_for=home)
        await client.start(ADA, forwarded_for=office)


async def test_a_start_that_was_cancelled_on_the_wire_cools_its_user() -> None:
    """A code may be on its way, and the service has counted the start."""
    home = ipaddress.ip_address("192.0.2.1")
    async with opened(confidential=True, cool_down=30.0, starts_per_hour=1) as (tenant, client):
        starting, answer = await kept_waiting(tenant, client.start(ADA, forwarded_for=home), START)
        await cancelled(starting)
        answer.set()
        with pytest.raises(CoolingDown):
            await client.start(ADA)
        with pytest.raises(QuotaExceeded):
            await client.start(BOB, forwarded_for=home)
        assert arrived(tenant, START) == 1


async def test_one_of_many_starts_holds_its_user_for_as_long_as_it_may_wait() -> None:
    """Its patience is the policy's for many calls, not the one for single calls."""
    many = attrs.evolve(TESTING.many, patience=1000.0)
    async with opened(cool_down=30.0, many=many) as (tenant, client):
        outcomes = client.start_many([Start(ADA)])
        starting, answer = await kept_waiting(tenant, first_of(outcomes), START)
        with pytest.raises(CoolingDown) as refused:
            await client.start(ADA)
        assert present(refused.value.retry_after) > 900
        answer.set()
        assert (await starting).error is None


async def first_of(outcomes: AsyncGenerator[StartOutcome, None]) -> StartOutcome:
    async with contextlib.aclosing(outcomes):
        return await anext(outcomes)


async def test_a_start_with_an_unusable_answer_may_have_sent_a_code() -> None:
    """A body that is too large says nothing against the 200 before it, but a redirect was not followed."""
    async with opened(cool_down=30.0) as (tenant, client):
        tenant.faults.add(Fault.HUGE_BODY, path=START, times=1, size=300_000)
        with pytest.raises(MalformedAnswer):
            await client.start(ADA)
        with pytest.raises(CoolingDown):
            await client.start(ADA)
        tenant.faults.add(Fault.REDIRECT, path=START, times=1)
        with pytest.raises(MalformedAnswer):
            await client.start(BOB)
        await client.start(BOB)


async def test_a_long_429_blocks_the_address_that_it_is_about() -> None:
    """Without forwarded_for that is this machine's own address; starts for other addresses go on."""
    async with opened(confidential=True) as (tenant, client):
        tenant.faults.add(Fault.RATE_LIMITED_RETRY_AFTER, path=START, times=1, retry_after=1800)
        with pytest.raises(RateLimited):
            await client.start(ADA)
        with pytest.raises(QuotaExceeded, match="forwarded_for") as refused:
            await client.start(BOB)
        assert 1700 < present(refused.value.retry_after) <= 1800
        await client.start(BOB, forwarded_for=ipaddress.ip_address("192.0.2.1"))
        assert arrived(tenant, START) == 2


@pytest.mark.parametrize("seconds", [20, 1800, 10_000])
async def test_a_429_for_one_address_holds_back_that_address_alone(seconds: int) -> None:
    """On all machines, for the time that the service names: an hour at most, in which it counts."""
    mallory, bob = ipaddress.ip_address("203.0.113.66"), ipaddress.ip_address("203.0.113.7")
    async with opened(confidential=True) as (tenant, client):
        tenant.faults.add(Fault.RATE_LIMITED_RETRY_AFTER, path=START, times=1, retry_after=seconds)
        with pytest.raises(RateLimited):
            await client.start(ADA, forwarded_for=mallory)
        with pytest.raises(QuotaExceeded) as refused:
            await client.start(BOB, forwarded_for=mallory)
        held = min(seconds, 3600)
        assert held - 5 < present(refused.value.retry_after) <= held
        await client.start(BOB, forwarded_for=bob)
        await client.start(Email("c@example.com"), forwarded_for=bob)
        assert arrived(tenant, START) == 3


async def test_a_429_without_a_time_holds_back_its_network_for_a_moment() -> None:
    """Of IPv6 the network counts, not the address: one user has all of it."""
    impatient = attrs.evolve(TESTING.single, patience=0.1)
    async with opened(confidential=True, single=impatient) as (tenant, client):
        tenant.faults.add(Fault.RATE_LIMITED_SILENT, path=START, times=1)
        with pytest.raises(RateLimited):
            await client.start(ADA, forwarded_for="2a00:1450::1")
        with pytest.raises(QuotaExceeded, match="this user or address"):
            await client.start(BOB, forwarded_for="2a00:1450::2")
        await client.start(BOB, forwarded_for="2a00:1451::2")
        assert arrived(tenant, START) == 2


async def test_a_start_that_waits_for_a_slot_learns_of_its_addresses_limit() -> None:
    """A 429 for one start of an address holds back those that wait for a slot, too; others take the slot."""
    mallory, bob = ipaddress.ip_address("203.0.113.66"), ipaddress.ip_address("203.0.113.7")
    async with opened(confidential=True, max_in_flight=1) as (tenant, client):
        tenant.faults.add(Fault.RATE_LIMITED_RETRY_AFTER, path=START, times=1, retry_after=40)
        first, second, third = await asyncio.gather(
            client.start(ADA, forwarded_for=mallory),
            client.start(BOB, forwarded_for=mallory),
            client.start(Email("c@example.com"), forwarded_for=bob),
            return_exceptions=True,
        )
        assert isinstance(first, RateLimited)
        assert isinstance(second, QuotaExceeded)
        assert 35 < present(second.retry_after) <= 41
        assert isinstance(third, StartReceipt)
        assert (arrived(tenant, START), client._dispatcher.gate.in_flight) == (2, 0)


@pytest.mark.slow
async def test_a_start_that_waits_for_a_slot_waits_for_its_addresss_limit_if_it_is_patient() -> None:
    """It is sent once the limit is over, and holds no slot until then."""
    async with opened(confidential=True, max_in_flight=1, single=PATIENT) as (tenant, client):
        tenant.faults.add(Fault.RATE_LIMITED_RETRY_AFTER, path=START, times=1, retry_after=1)
        starting = [asyncio.create_task(client.start(who)) for who in (ADA, BOB)]
        await until(lambda: arrived(tenant, START) == 1)
        await client.start(Email("c@example.com"), forwarded_for=ipaddress.ip_address("203.0.113.7"))
        assert arrived(tenant, START) == 2
        await asyncio.gather(*starting)
        assert arrived(tenant, START) == 4


@pytest.mark.parametrize("address", [None, ipaddress.ip_address("203.0.113.66")])
async def test_a_429_that_names_no_time_blocks_no_address(address: ipaddress.IPv4Address | None) -> None:
    """Nothing tells when it would be over: the next start is sent."""
    async with opened(confidential=True) as (tenant, client):
        tenant.faults.add(Fault.RATE_LIMITED_SILENT, path=START, times=1)
        with pytest.raises(RateLimited):
            await client.start(ADA, forwarded_for=address)
        await client.start(BOB, forwarded_for=address)
        assert arrived(tenant, START) == 2


@pytest.mark.parametrize("seconds", [20, 60])
async def test_a_short_429_for_this_machine_blocks_nothing_in_the_store(seconds: int) -> None:
    """Starts wait for it in the queue, as long as they are patient; they are not refused as an address's."""
    async with opened(confidential=True) as (tenant, client):
        tenant.faults.add(Fault.RATE_LIMITED_RETRY_AFTER, path=START, times=1, retry_after=seconds)
        with pytest.raises(RateLimited):
            await client.start(ADA)
        with pytest.raises(QuotaExceeded) as refused:
            await client.start(BOB)
        assert "forwarded_for" not in str(refused.value)


@pytest.mark.slow
async def test_a_short_429_for_this_machine_is_waited_for() -> None:
    """Starts that name no address wait for it within their patience; those that name one go at once."""
    async with opened(confidential=True, single=PATIENT) as (tenant, client):
        tenant.faults.add(Fault.RATE_LIMITED_RETRY_AFTER, path=START, times=1, retry_after=1)
        starting = asyncio.create_task(client.start(ADA))
        await until(lambda: arrived(tenant, START) == 1)
        await client.start(BOB, forwarded_for=ipaddress.ip_address("203.0.113.7"))
        assert not starting.done()
        await starting
        assert arrived(tenant, START) == 3


async def test_each_of_many_starts_is_sent_as_it_says() -> None:
    """Its language and its user's address are those of the start, its tries those of the policy for many calls."""
    home = ipaddress.ip_address("192.0.2.1")
    async with opened(confidential=True, many=PATIENT) as (tenant, client):
        tenant.faults.add(Fault.SERVICE_UNAVAILABLE, path=START, times=2)
        starts = [Start(ADA, language="fr", forwarded_for=home)]
        assert [outcome.error async for outcome in client.start_many(starts)] == [None]
        message = tenant.outbox.messages[-1]
        assert (message.language, message.ip, arrived(tenant, START)) == ("fr", "192.0.2.1", 3)


@pytest.mark.parametrize(
    ("failure", "may_have_sent"),
    [
        (OutcomeUnknown("no answer"), True),
        (MalformedAnswer("too large", status=200), True),
        (MalformedAnswer("too large", status=299), True),
        (MalformedAnswer("a redirect", status=300), False),
        (MalformedAnswer("a redirect", status=302), False),
        (MalformedAnswer("no refusal", status=400), False),
        (RateLimited(status=429, error="too_many_requests"), False),
    ],
)
def test_a_code_may_be_on_its_way(failure: PasswordlessError, *, may_have_sent: bool) -> None:
    """After no answer, or a success that cannot be used."""
    assert _may_have_sent(failure) is may_have_sent


async def test_a_failed_start_of_many_is_an_outcome() -> None:
    """It has an error and the start with its tag; it does not raise."""
    async with opened(cool_down=30.0) as (tenant, client):
        await client.start(ADA)
        starts = [Start(ADA, tag="a"), Start(BOB, tag="b")]
        outcomes = {outcome.start.tag: outcome async for outcome in client.start_many(starts)}
        assert isinstance(outcomes["a"].error, CoolingDown)
        assert outcomes["a"].receipt is None
        assert (present(outcomes["b"].receipt).who, outcomes["b"].error) == (BOB, None)
        assert arrived(tenant, START) == 2


@pytest.mark.parametrize("home", ["192.0.2.1", "::ffff:192.0.2.1", ipaddress.ip_address("::ffff:c000:201")])
async def test_an_address_is_sent_and_counted_in_its_one_form(home: str | ipaddress.IPv6Address) -> None:
    """A text or an object, IPv4 in IPv6's form too: the service sees one address, and it has one share."""
    async with opened(confidential=True, starts_per_hour=1) as (tenant, client):
        await client.start(ADA, forwarded_for=home)
        assert tenant.outbox.messages[-1].ip == "192.0.2.1"
        with pytest.raises(QuotaExceeded):
            await client.start(BOB, forwarded_for=ipaddress.ip_address("192.0.2.1"))
        outcomes = [o async for o in client.start_many([Start(BOB, forwarded_for=home)])]
        assert [type(outcome.error) for outcome in outcomes] == [QuotaExceeded]


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "::1", "0.0.0.0", "fd00::1", "192.0.2.1, 192.0.2.2"])  # noqa: S104 - bound to by nothing
async def test_an_address_that_is_no_users_is_refused(address: str) -> None:
    """It is a proxy's, or a header as it came: all users would share its limits."""
    async with opened(confidential=True) as (tenant, client):
        before = tenant.stats.wire_requests
        for call in (client.start(ADA, forwarded_for=address), client.exchange(ADA, "1", forwarded_for=address)):
            with pytest.raises(UsageError, match="forwarded_for: "):
                await call
        assert tenant.stats.wire_requests == before


async def test_private_addresses_are_a_setting() -> None:
    """The users of an intranet have such addresses."""
    async with opened(confidential=True, allow_private_addresses=True) as (tenant, client):
        await client.start(ADA, forwarded_for="10.0.0.1")
        assert tenant.outbox.messages[-1].ip == "10.0.0.1"
        with pytest.raises(UsageError):
            await client.start(BOB, forwarded_for="127.0.0.1")


async def presented_code(tenant: LocalTenant, client: PasswordlessClient) -> str:
    """Return a code that was presented, with an unknown outcome."""
    await client.start(ADA)
    code = tenant.outbox.code_for(ADA)
    tenant.faults.add(Fault.DROP_AFTER_PROCESSING, path=TOKEN, times=1)
    with pytest.raises(OutcomeUnknown):
        await client.exchange(ADA, code)
    return code


async def test_a_start_that_was_not_sent_makes_no_code_presentable_again() -> None:
    """What was presented is forgotten when a new code was sent, and not before."""
    async with opened() as (tenant, client):
        code = await presented_code(tenant, client)
        with pytest.raises(UsageError):
            await client.start(ADA, language="not a tag")
        tenant.faults.add(Fault.SERVICE_UNAVAILABLE, path=START, times=1)
        with pytest.raises(TemporarilyUnavailable):
            await client.start(ADA)
        with pytest.raises(CodeSpent):
            await client.exchange(ADA, code)
        assert tenant.stats.presented_again == 0


async def test_a_refused_user_is_answered_as_one_that_was_sent_a_code() -> None:
    """Whether a user has an account shows in no later answer: not in a second start, not in a fourth attempt."""
    later = {}
    profile = attrs.evolve(TESTING, cool_down=30.0)
    async with (
        LocalTenant(TenantSettings(allow_signup=False)) as tenant,
        PasswordlessClient(tenant.url, tenant.public_client_id, profile=profile) as client,
    ):
        tenant.users.add(ADA)
        for who in (ADA, BOB):
            with contextlib.suppress(AccessDenied):
                await client.start(who)
            again = await anyhow(client.start(who))
            later[who] = [again, *[await anyhow(client.exchange(who, f"00000{n}")) for n in range(5)]]
    told = [[CoolingDown, WrongCode, WrongCode, CodeSpent, CodeSpent]] * 2
    assert [[*errors[:3], *errors[4:]] for errors in later.values()] == told


async def anyhow(call: Awaitable[object]) -> type[BaseException]:
    """Return what a call raises."""
    with pytest.raises(PasswordlessError) as raised:
        await call
    return raised.type


async def test_a_refused_start_makes_no_code_presentable_again() -> None:
    """The code of before may be alive: what was presented stays presented."""
    async with opened() as (tenant, client):
        code = await presented_code(tenant, client)
        tenant.faults.add(Fault.ACCESS_DENIED, path=START, times=1)
        with pytest.raises(AccessDenied):
            await client.start(ADA)
        with pytest.raises(CodeSpent):
            await client.exchange(ADA, code)
        assert tenant.stats.presented_again == 0
