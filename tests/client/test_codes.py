"""One rule for codes: when a user may be sent one, and when one may be presented."""

from __future__ import annotations

import asyncio
import ipaddress
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers import errors
from helpers.remote_store import RemoteStore
from helpers.values import present as value_of
from passwordless_async import (
    TESTING,
    AuthSession,
    CodeSpent,
    CoolingDown,
    Email,
    Login,
    MemoryStore,
    OutcomeUnknown,
    PasswordlessClient,
    PasswordlessError,
    Phone,
    QuotaExceeded,
    WrongCode,
)
from passwordless_async.client import codes as module
from passwordless_async.client.codes import Codes, with_attempts_left
from passwordless_async.client.events import Emitter, Event, StoreLost, StoreRegained, Use
from passwordless_async.client.shared import availability
from passwordless_async.client.shared.availability import Availability
from passwordless_async.client.traffic.single_flight import Departure
from passwordless_async.errors import (
    CodeExpired,
    InvalidIdToken,
    MfaRequired,
    NotSenderConstrained,
    NotSent,
    OAuthError,
    TooManyAttempts,
)
from passwordless_async.testing import Fault, LocalTenant

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from conftest import Clock
    from passwordless_async._common.user_address import IpAddress
    from passwordless_async.stores import Store

    Door = Callable[[PasswordlessClient, str], Awaitable[PasswordlessError | None]]

ADA, BOB, EVE = Email("ada@example.com"), Email("bob@example.com"), Phone("+4915112345678")
HERE, THERE = ipaddress.ip_address("192.0.2.1"), ipaddress.ip_address("2001:db8::1")
SENT, UNSENT = Departure(was_sent=True), Departure()
ON_WIRE = Departure(on_wire=True, was_sent=True)
REST_SECONDS = 1.0  # for which an unreachable store is not asked again
ISSUER = "https://tenant.example/"


def codes_of(
    store: Any = None,
    *,
    cool_down: float = 30.0,
    per_hour: int | None = None,
    issuer: str = ISSUER,
    client_id: str = "client",
    on_event: Callable[[Event], None] | None = None,
) -> Codes:
    """Return the codes of one process."""
    profile = attrs.evolve(TESTING, cool_down=cool_down, starts_per_hour=per_hour, timeout=10.0)
    reach = Availability(MemoryStore() if store is None else store, Emitter(on_event))
    return Codes(reach, issuer=issuer, client_id=client_id, profile=profile)


async def start(codes: Codes, who: Email | Phone, address: IpAddress | None = None) -> None:
    """Send a user a code."""
    await codes.end_start(await codes.begin_start(who, address, patience=5.0), sent=True, counted=True)


async def refusal(codes: Codes, who: Email | Phone, address: IpAddress | None = None) -> tuple[type, float | None]:
    """Return the error, and the seconds that it names, with which a start is refused."""
    with pytest.raises(QuotaExceeded) as refused:
        await codes.begin_start(who, address, patience=5.0)
    return type(refused.value), refused.value.retry_after


async def present(codes: Codes, code: str, who: Email | Phone | AuthSession = ADA) -> int:
    """Present a code, and return how many failures it survives."""
    return await codes.claim(codes.name(who, code))


# Starts: the user


async def test_a_user_cools_down(clock: Clock) -> None:
    """A user is sent no second code within the cool-down; the error names the seconds that are left."""
    codes = codes_of(cool_down=30.0)
    await start(codes, ADA)
    clock.time += 12.5
    assert await refusal(codes, ADA, HERE) == (CoolingDown, 17.5)
    await start(codes, BOB)
    await start(codes, EVE)
    clock.time += 17.5
    await start(codes, ADA)
    assert await refusal(codes, ADA) == (CoolingDown, 30.0)


async def test_processes_that_share_a_store_share_the_cool_down(clock: Clock) -> None:
    """A user is sent one code, whichever process is asked; other tenants and applications have users of their own."""
    store = MemoryStore()
    await start(codes_of(store), ADA)
    assert await refusal(codes_of(store), Email("ada@example.com")) == (CoolingDown, 30.0)
    await start(codes_of(store, issuer="https://other.example/"), ADA)
    await start(codes_of(store, client_id="other"), ADA)
    assert clock.time == 1000.0


async def test_a_start_that_sent_nothing_is_undone(clock: Clock) -> None:
    """Without a code on its way the user may be sent one at once."""
    codes = codes_of(cool_down=30.0)
    await codes.end_start(await codes.begin_start(ADA, None, patience=5.0), sent=False, counted=True)
    await start(codes, ADA)
    assert await refusal(codes, ADA) == (CoolingDown, 30.0)
    assert clock.time == 1000.0


async def test_only_the_start_itself_ends_it(clock: Clock) -> None:
    """The late report of an earlier start does not end the cool-down of a later one."""
    codes = codes_of(cool_down=30.0)
    early = await codes.begin_start(ADA, None, patience=5.0)
    clock.time += 30
    await start(codes, ADA)
    await codes.end_start(early, sent=False, counted=False)
    assert await refusal(codes, ADA) == (CoolingDown, 30.0)


async def test_the_cool_down_of_a_patient_start_counts_from_the_sending(clock: Clock) -> None:
    """While a code is being sent no other is; the cool-down begins when it was sent."""
    codes = codes_of(cool_down=30.0)
    ticket = await codes.begin_start(ADA, None, patience=600.0)
    clock.time += 80
    assert (await refusal(codes, ADA))[0] is CoolingDown
    await codes.end_start(ticket, sent=True, counted=True)
    clock.time += 29
    assert await refusal(codes, ADA) == (CoolingDown, 1.0)
    clock.time += 1
    await start(codes, ADA)


async def test_a_patient_start_holds_its_user_for_as_long_as_it_takes(clock: Clock) -> None:
    """A store in this process has no processes that die: the hold ends with the start."""
    codes = codes_of(cool_down=30.0)
    ticket = await codes.begin_start(ADA, None, patience=600.0)
    assert ticket.renewal is None
    clock.time += 600
    assert await refusal(codes, ADA) == (CoolingDown, 10.0)
    await codes.end_start(ticket, sent=False, counted=False)
    await start(codes, ADA)


async def test_a_patient_start_whose_process_died_holds_its_user_back_for_a_minute(clock: Clock) -> None:
    """Its process no longer renews the hold."""
    store = RemoteStore()
    (await codes_of(store, cool_down=30.0).begin_start(ADA, None, patience=600.0)).renewal.cancel()  # type: ignore[union-attr]
    codes = codes_of(store, cool_down=30.0)
    assert await refusal(codes, ADA) == (CoolingDown, 60.0)
    clock.time += 60
    await start(codes, ADA)


async def test_a_patient_start_renews_its_hold(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a store that survives its process, until it ends; a short one has nothing to renew."""
    monkeypatch.setattr(module, "_RENEW_SECONDS", 0.001)
    store = RemoteStore()
    codes, other = codes_of(store, cool_down=30.0), codes_of(store, cool_down=30.0)
    ticket = await codes.begin_start(ADA, None, patience=600.0)
    for _ in range(3):
        clock.time += 59
        begun = store.asked.count("begin_start")
        while store.asked.count("begin_start") < begun + 2:  # noqa: ASYNC110 - only polling tells
            await asyncio.sleep(0.001)
        assert await refusal(other, ADA) == (CoolingDown, 60.0)
    await codes.end_start(ticket, sent=True, counted=True)
    await asyncio.sleep(0)
    assert value_of(ticket.renewal).cancelled()
    assert await refusal(other, ADA) == (CoolingDown, 30.0)
    assert (await codes.begin_start(BOB, None, patience=50.0)).renewal is None


async def test_a_hold_is_renewed_now_and_then() -> None:
    """Not without a pause; without a cool-down there is no hold to renew."""
    store = RemoteStore()
    codes = codes_of(store, cool_down=30.0)
    ticket = await codes.begin_start(ADA, None, patience=600.0)
    for _ in range(10):
        await asyncio.sleep(0)
    assert store.asked == ["begin_start"]
    await codes.end_start(ticket, sent=True, counted=True)
    assert store.asked == ["begin_start", "end_start"]
    assert (await codes_of(store, cool_down=0.0).begin_start(BOB, None, patience=600.0)).renewal is None


@pytest.mark.parametrize("make_store", [MemoryStore, RemoteStore])
@pytest.mark.parametrize("sent", [False, None], ids=["not sent", "unknown"])
async def test_only_a_code_that_was_sent_ends_what_is_known_of_the_one_before(
    make_store: Callable[[], Any], *, sent: bool | None
) -> None:
    """After a start that came to nothing, or may have, neither the code nor its attempts are forgotten."""
    codes = codes_of(make_store(), cool_down=0.0)
    await start(codes, ADA)
    assert [await present(codes, "000001"), await present(codes, "000002")] == [2, 1]
    await codes.end_start(await codes.begin_start(ADA, None, patience=5.0), sent=sent, counted=True)
    with pytest.raises(CodeSpent, match="presented before"):
        await present(codes, "000001")
    assert await present(codes, "000003") == 0
    with pytest.raises(CodeSpent, match="no attempts left"):
        await present(codes, "000004")
    await start(codes, ADA)
    assert await present(codes, "000001") == 2


@pytest.mark.parametrize("make_store", [MemoryStore, RemoteStore])
@pytest.mark.parametrize(("is_refused", "attempts"), [(True, 3), (False, 10)], ids=["refused user", "unknown"])
async def test_attempts_are_limited_after_a_start_that_the_service_refused(
    make_store: Callable[[], Any], attempts: int, *, is_refused: bool
) -> None:
    """As after one that sent a code: it would tell who has an account. Nothing is forgotten."""
    codes = codes_of(make_store(), cool_down=0.0)
    await present(codes, "000000")
    await codes.end_start(await codes.begin_start(ADA, None, patience=5.0), sent=None, counted=True, refused=is_refused)
    for number in range(1, attempts):
        await present(codes, f"00000{number}")
    with pytest.raises(CodeSpent, match="no attempts left"):
        await present(codes, "00000x")


@pytest.mark.parametrize("make_store", [MemoryStore, RemoteStore])
async def test_after_a_start_that_sent_nothing_attempts_are_limited_as_before(make_store: Callable[[], Any]) -> None:
    """Also if it was cancelled: there is no code that they could be attempts at."""
    codes = codes_of(make_store())
    await codes.end_start(await codes.begin_start(ADA, None, patience=5.0), sent=False, counted=True)
    codes.end_start_in_background(await codes.begin_start(ADA, None, patience=5.0), sent=False, counted=True)
    await codes._availability.aclose(grace=5.0)
    assert [await present(codes, f"00000{number}") for number in range(4)] == [2, 1, 0, 0]


async def test_a_start_that_was_refused_without_the_store_forgets_nothing_there(clock: Clock) -> None:
    """It sent no code: what was presented before it is not presented again."""
    store = RemoteStore()
    codes, other = codes_of(store, cool_down=0.0), codes_of(store, cool_down=0.0)
    assert await present(codes, "000001") == 2
    ticket = await codes.begin_start(ADA, None, patience=5.0)
    store.is_unreachable = True
    await codes.end_start(ticket, sent=None, counted=True, refused=True)
    store.is_unreachable = False
    clock.time += REST_SECONDS
    assert await present(codes, "000002") == 1
    for process in (codes, other):
        with pytest.raises(CodeSpent, match="presented before"):
            await present(process, "000001")


@pytest.mark.parametrize("make_store", [MemoryStore, RemoteStore])
async def test_a_start_that_its_address_refuses_ends_nothing(make_store: Callable[[], Any]) -> None:
    """Nor does one that the user's cool-down refuses."""
    codes = codes_of(make_store(), cool_down=0.0, per_hour=1)
    await start(codes, ADA, HERE)
    await present(codes, "123456")
    assert (await refusal(codes, ADA, HERE))[0] is QuotaExceeded
    with pytest.raises(CodeSpent, match="presented before"):
        await present(codes, "123456")


async def test_a_login_by_the_code_before_leaves_a_start_alone(clock: Clock) -> None:
    """A login that ends while another code is being sent does not end that start."""
    codes = codes_of(cool_down=30.0)
    await start(codes, ADA)
    clock.time += 30
    claim = codes.name(ADA, "123456")
    await codes.claim(claim)
    await codes.begin_start(ADA, None, patience=5.0)
    await codes.accepted(claim)
    assert await refusal(codes, ADA) == (CoolingDown, 30.0)


@pytest.mark.parametrize("cool_down", [7200.0, 86_400.0])
async def test_a_first_start_never_waits(clock: Clock, cool_down: float) -> None:
    """A user who was sent no code may have one, however long the cool-down and however young the clock."""
    clock.time = 5.0
    codes = codes_of(cool_down=cool_down)
    await start(codes, ADA)
    clock.time += 3600
    assert await refusal(codes, ADA) == (CoolingDown, cool_down - 3600)


async def test_without_a_cool_down_a_user_may_start_again_and_again(clock: Clock) -> None:
    """Neither a start that was made nor one that is under way holds another back."""
    codes = codes_of(cool_down=0.0)
    for _ in range(20):
        await start(codes, ADA, HERE)
        await codes.begin_start(ADA, HERE, patience=600.0)
    assert clock.time == 1000.0


async def test_a_cancelled_start_is_undone(clock: Clock) -> None:
    """A start that is cancelled while the store answers holds nobody back and counts for no address."""
    store = RemoteStore()
    codes = codes_of(store, per_hour=1)
    store.answers.clear()
    starting = asyncio.create_task(codes.begin_start(ADA, HERE, patience=5.0))
    for _ in range(10):
        await asyncio.sleep(0)
    assert sorted(store.asked) == ["begin_address_start", "begin_start"]
    starting.cancel()
    await asyncio.wait([starting])
    assert starting.cancelled()
    store.answers.set()
    await codes._availability.aclose(grace=5.0)
    await start(codes, ADA, HERE)
    assert clock.time == 1000.0


async def test_a_start_that_is_cancelled_while_it_reports_its_end_has_ended(clock: Clock) -> None:
    """The store hears of it all the same: the user is not held back, and the address has its share."""
    store = RemoteStore()
    codes = codes_of(store, per_hour=1)
    ticket = await codes.begin_start(ADA, HERE, patience=5.0)
    arrives = store.hold("end_start")
    ending = asyncio.create_task(codes.end_start(ticket, sent=False, counted=False))
    for _ in range(10):
        await asyncio.sleep(0)
    ending.cancel()
    await asyncio.wait([ending])
    assert ending.cancelled()
    arrives.set()
    await codes._availability.aclose(grace=5.0)
    await start(codes, ADA, HERE)
    assert clock.time == 1000.0


async def test_closing_ends_the_report_of_a_start_and_not_its_caller(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A caller that was not cancelled is not cancelled when a closing client gives its report up."""
    store = RemoteStore()
    codes = codes_of(store)
    ticket = await codes.begin_start(ADA, None, patience=5.0)
    store.hold("end_start")
    ending = asyncio.create_task(codes.end_start(ticket, sent=True, counted=True))
    for _ in range(10):
        await asyncio.sleep(0)
    before = asyncio.all_tasks() - {ending}
    monkeypatch.setattr(availability, "_CLOSING_SECONDS", 0.0)
    await codes._availability.aclose(grace=0.0)
    await asyncio.wait([ending])
    assert not ending.cancelled()
    assert ending.exception() is None
    assert len(asyncio.all_tasks()) < len(before)
    assert clock.time == 1000.0


async def test_a_store_that_fails_at_the_end_of_a_start_fails_its_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that does not say that the store is unreachable is a fault, and is not hidden."""
    store = RemoteStore()
    codes = codes_of(store)
    ticket = await codes.begin_start(ADA, None, patience=5.0)

    async def fail(*_: Any, **__: Any) -> None:
        raise LookupError

    monkeypatch.setattr(store.inner, "end_start", fail)
    with pytest.raises(LookupError):
        await codes.end_start(ticket, sent=True, counted=True)


async def test_a_code_that_was_not_sent_is_free_however_soon_its_process_closes() -> None:
    """Without grace, what is reported to a shared store has a moment: another process may present the code."""
    store = RemoteStore()
    codes, other = codes_of(store), codes_of(store)
    claim = codes.name(ADA, "123456")
    assert await codes.claim(claim) == 2
    answers = store.hold("undo_attempt")
    codes.cancelled(claim, UNSENT)
    asyncio.get_running_loop().call_later(0.01, answers.set)
    await codes._availability.aclose(grace=0.0)
    assert await present(other, "123456") == 2


# Starts: the address


async def test_an_address_has_its_share(clock: Clock) -> None:
    """An address has so many starts an hour; the error names the seconds until the first is an hour ago."""
    codes = codes_of(cool_down=30.0, per_hour=3)
    for number in range(3):
        await start(codes, Email(f"u{number}@example.com"), HERE)
        clock.time += 100
    assert await refusal(codes, ADA, HERE) == (QuotaExceeded, 3300.0)
    # What was refused began no cool-down; other addresses, and none, have shares of their own.
    await start(codes, ADA, THERE)
    await start(codes, BOB, None)
    clock.time += 3300
    await start(codes, EVE, HERE)
    assert await refusal(codes, Email("last@example.com"), HERE) == (QuotaExceeded, 100.0)


async def test_a_start_that_the_service_did_not_see_costs_no_share(clock: Clock) -> None:
    """It is given back to its address, and no other start is."""
    codes = codes_of(cool_down=0.0, per_hour=2)
    await start(codes, ADA, HERE)
    for _ in range(10):
        clock.time += 1
        await codes.end_start(await codes.begin_start(BOB, HERE, patience=5.0), sent=False, counted=False)
    await start(codes, BOB, HERE)
    assert (await refusal(codes, EVE, HERE))[0] is QuotaExceeded


async def test_a_refused_start_that_the_service_saw_costs_a_share(clock: Clock) -> None:
    """The service counts it, so it is counted here; the user is not held back."""
    codes = codes_of(cool_down=30.0, per_hour=1)
    await codes.end_start(await codes.begin_start(ADA, HERE, patience=5.0), sent=False, counted=True)
    assert await refusal(codes, ADA, HERE) == (QuotaExceeded, 3600.0)
    await start(codes, ADA, THERE)
    assert clock.time == 1000.0


async def test_a_user_who_cools_down_costs_no_share(clock: Clock) -> None:
    """A start that is refused to the user is not counted for the address."""
    codes = codes_of(cool_down=30.0, per_hour=2)
    await start(codes, ADA, HERE)
    for _ in range(10):
        assert await refusal(codes, ADA, HERE) == (CoolingDown, 30.0)
    await start(codes, BOB, HERE)
    assert (await refusal(codes, EVE, HERE))[0] is QuotaExceeded
    assert clock.time == 1000.0


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 5), st.lists(st.integers(0, 4000 * 8).map(lambda eighths: eighths / 32), max_size=60))
def test_no_hour_holds_more_than_the_share(clock: Clock, share: int, gaps: list[float]) -> None:
    """Whatever the times of its starts, no hour of an address holds more than its share; none is refused early."""

    async def run() -> None:
        codes = codes_of(cool_down=0.0, per_hour=share)
        begun: list[float] = []
        for gap in gaps:
            clock.time += gap
            recent = [when for when in begun if when > clock.time - 3600]
            if len(recent) < share:
                await start(codes, ADA, HERE)
                begun.append(clock.time)
            else:
                assert await refusal(codes, ADA, HERE) == (QuotaExceeded, recent[0] + 3600 - clock.time)

    asyncio.run(run())


@pytest.mark.parametrize("address", [HERE, None])
async def test_a_blocked_address(clock: Clock, address: IpAddress | None) -> None:
    """An address that the service refuses makes no start for so long; others do, and nothing is counted."""
    codes = codes_of(cool_down=30.0, per_hour=1)
    await codes.block(address, 60.0)
    await codes.block(address, 10.0)  # shortens nothing
    clock.time += 20
    for _ in range(3):
        assert await refusal(codes, ADA, address) == (QuotaExceeded, 40.0)
    await start(codes, BOB, THERE)
    clock.time += 40
    await start(codes, ADA, address)


async def test_a_blocked_address_is_blocked_in_every_process_but_the_own_one_here_alone(clock: Clock) -> None:
    """Processes share what a forwarded address may; each has an address of its own."""
    store = MemoryStore()
    first, second = codes_of(store), codes_of(store)
    await first.block(HERE, 60.0)
    await first.block(None, 60.0)
    assert await refusal(second, ADA, HERE) == (QuotaExceeded, 60.0)
    await start(second, ADA, None)
    assert await refusal(first, BOB, None) == (QuotaExceeded, 60.0)
    assert clock.time == 1000.0


@pytest.mark.parametrize(("address", "advice"), [(None, "name the end user by forwarded_for"), (HERE, "this address")])
async def test_the_error_says_which_address_is_used_up(address: IpAddress | None, advice: str) -> None:
    """Only for this machine's own address would forwarded_for help."""
    codes = codes_of()
    await codes.block(address, 60.0)
    with pytest.raises(QuotaExceeded, match=advice):
        await codes.begin_start(ADA, address, patience=5.0)


async def test_a_network_of_ipv6_has_one_share() -> None:
    """Its user has all its addresses; another network has a share of its own."""
    codes = codes_of(cool_down=0.0, per_hour=2)
    for number in range(2):
        await start(codes, ADA, ipaddress.ip_address(f"2001:db8::{number}"))
    assert (await refusal(codes, BOB, ipaddress.ip_address("2001:db8::ffff:1:2:3")))[0] is QuotaExceeded
    await start(codes, BOB, ipaddress.ip_address("2001:db8:0:1::1"))


async def test_users_are_those_of_the_service(clock: Clock) -> None:
    """It ignores the case of an address; numbers are one however they are written."""
    codes = codes_of(cool_down=30.0)
    await start(codes, Email("Ada@Example.com"))
    assert await refusal(codes, Email("ada@EXAMPLE.COM")) == (CoolingDown, 30.0)
    await start(codes, EVE)
    assert await refusal(codes, Phone("+49 (151) 1234-5678")) == (CoolingDown, 30.0)
    await present(codes, "123456", Email("Ada@Example.com"))
    with pytest.raises(CodeSpent):
        await present(codes, "123456", ADA)
    assert clock.time == 1000.0


# Codes


async def test_a_code_is_presented_once() -> None:
    """A second attempt raises CodeSpent, in any process; the same attempt may ask again."""
    store = MemoryStore()
    first, second = codes_of(store), codes_of(store)
    claim = first.name(ADA, "123456")
    assert [await first.claim(claim), await first.claim(claim)] == [2, 2]
    for codes in (first, second):
        with pytest.raises(CodeSpent, match="presented before"):
            await present(codes, "123456")
    assert await present(second, "123456", BOB) == 2


async def refuse(codes: Codes, code: str) -> None:
    """Present a code that is wrong."""
    claim = codes.name(ADA, code)
    await codes.refused(claim, errors.made(WrongCode), SENT, await codes.claim(claim))


async def refused_again(codes: Codes, code: str) -> int | None:
    """Present a code again that was refused as wrong, and return how many attempts its error says are left."""
    with pytest.raises(WrongCode, match="refused before, and was not sent again") as refused:
        await present(codes, code)
    assert refused.value.repeated
    return refused.value.attempts_left


@pytest.mark.parametrize("make_store", [MemoryStore, RemoteStore])
async def test_a_wrong_code_is_wrong_again(make_store: Callable[[], Any]) -> None:
    """In any process and without end; it is no new attempt, and says how many are left by now."""
    store = make_store()
    first, second = codes_of(store, cool_down=0.0), codes_of(store, cool_down=0.0)
    await start(first, ADA)
    await refuse(first, "000001")
    await first._availability.aclose(grace=5.0)  # when the store has heard of it
    assert [await refused_again(codes, "000001") for codes in (first, second) * 3] == [2] * 6
    await refuse(second, "000002")
    await second._availability.aclose(grace=5.0)  # when the store has heard of it
    assert [await refused_again(codes, "000001") for codes in (first, second)] == [1, 1]
    await refuse(first, "000003")
    await first._availability.aclose(grace=5.0)  # when the store has heard of it
    assert [await refused_again(codes, "000003") for codes in (first, second)] == [0, 0]
    for codes in (first, second):
        with pytest.raises(CodeSpent) as spent:
            await present(codes, "000004")
        assert spent.value.attempts_left == 0
    await start(second, ADA)
    assert await present(second, "000001") == 2
    with pytest.raises(CodeSpent) as spent:
        await present(second, "000001")
    assert spent.value.attempts_left is None


@pytest.mark.parametrize("kind", [WrongCode, TooManyAttempts])
async def test_the_last_wrong_code_is_wrong_again(kind: type[OAuthError]) -> None:
    """Whatever the service says of it: it tells it from others only for users that have an account."""
    codes = codes_of(cool_down=0.0)
    await start(codes, ADA)
    assert [await present(codes, "000001"), await present(codes, "000002")] == [2, 1]
    claim = codes.name(ADA, "000003")
    await codes.refused(claim, errors.made(kind), SENT, await codes.claim(claim))
    assert await refused_again(codes, "000003") == 0


async def test_a_wrong_code_is_wrong_again_where_the_store_has_not_heard_of_it(clock: Clock) -> None:
    """While it is unreachable, before the report arrives, and after it has forgotten the attempt."""
    store = RemoteStore()
    codes, other = codes_of(store, cool_down=0.0), codes_of(store, cool_down=0.0)
    await start(codes, ADA)
    arrives = store.hold("refuse_code")
    await refuse(codes, "000001")
    assert await refused_again(codes, "000001") == 2
    with pytest.raises(CodeSpent, match="presented before"):
        await present(other, "000001")
    store.is_unreachable = True
    assert await refused_again(codes, "000001") == 2
    store.is_unreachable = False
    clock.time += REST_SECONDS
    await start(other, ADA)
    assert await refused_again(codes, "000001") == 2
    assert await present(other, "000001") == 2
    arrives.set()


async def test_a_code_that_was_wrong_without_the_store_is_wrong_with_it(clock: Clock) -> None:
    """The store is told with the attempts that it does not know."""
    store = RemoteStore()
    codes, other = codes_of(store, cool_down=0.0), codes_of(store, cool_down=0.0)
    await start(codes, ADA)
    store.is_unreachable = True
    await refuse(codes, "000001")
    clock.time += REST_SECONDS
    assert await refused_again(codes, "000001") == 2
    store.is_unreachable = False
    clock.time += REST_SECONDS
    assert await present(codes, "000002") == 1
    assert await refused_again(other, "000001") == 1


async def test_of_many_attempts_at_once_one_has_leave() -> None:
    """Of a hundred concurrent attempts at one code, 99 raise CodeSpent."""
    store = MemoryStore()
    attempts = (present(codes_of(store), "123456") for _ in range(100))
    results = await asyncio.gather(*attempts, return_exceptions=True)
    assert [result for result in results if not isinstance(result, CodeSpent)] == [2]


async def test_three_attempts_use_a_code_up() -> None:
    """Each attempt says how many failures the code survives; the fourth raises CodeSpent."""
    store = MemoryStore()
    await start(codes_of(store, cool_down=0.0), ADA)
    assert [await present(codes_of(store), f"00000{number}") for number in range(3)] == [2, 1, 0]
    with pytest.raises(CodeSpent, match="no attempts left"):
        await present(codes_of(store), "000003")
    await start(codes_of(store, cool_down=0.0), ADA)
    assert await present(codes_of(store), "000003") == 2


@pytest.mark.parametrize("make_store", [MemoryStore, RemoteStore])
async def test_a_code_that_was_started_elsewhere_has_ten_attempts(make_store: Callable[[], Any]) -> None:
    """Its attempts are not known here, so only a caller that tries many codes is refused."""
    codes = codes_of(make_store())
    assert [await present(codes, f"00000{number}") for number in range(10)] == [2, 1] + [0] * 8
    with pytest.raises(CodeSpent, match="no attempts left"):
        await present(codes, "00000x")


async def test_codes_of_two_handles_of_one_user_are_two_codes() -> None:
    """The same digits for two ``auth_session`` handles are not one code, but count for one user."""
    codes = codes_of()
    one, two = (AuthSession(handle, ADA) for handle in ("handle-1", "handle-2"))
    assert [await present(codes, "123456", who) for who in (one, two, ADA)] == [2, 1, 0]
    with pytest.raises(CodeSpent):
        await present(codes, "123456", one)


# The table: after these errors the service has not looked at the code.
BEFORE_THE_CODE = {
    "NotSent",
    "CircuitOpen",
    "QuotaExceeded",
    "CoolingDown",
    "RateLimited",
    "InvalidClient",
    "UnauthorizedClient",
    "DPoPRequired",
    "InvalidDPoPProof",
    "UseDPoPNonce",
    "NonceChallengeRepeated",
}


async def is_undone(error: PasswordlessError, departure: Departure) -> bool:
    """Return whether a code may be presented again after an attempt that ended with an error."""
    codes = codes_of()
    claim = codes.name(ADA, "123456")
    await codes.claim(claim)
    await codes.refused(claim, error, departure)
    try:
        return await present(codes, "123456") == 2
    except (CodeSpent, WrongCode):
        return False


async def test_an_attempt_is_undone_where_the_service_did_not_look_at_the_code() -> None:
    """After any other error of the library a code that was sent stays spent."""
    undone = {kind.__name__ for kind in errors.classes() if await is_undone(errors.made(kind), SENT)}
    assert undone == BEFORE_THE_CODE


async def test_an_attempt_that_was_not_sent_is_undone() -> None:
    """Whatever the error: no request was on the wire, so the code is as good as before."""
    assert [kind for kind in errors.classes() if not await is_undone(errors.made(kind), UNSENT)] == []


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("invalid_request", True),
        ("invalid_scope", True),
        ("unsupported_grant_type", True),
        ("invalid_grant", False),
        ("access_denied", False),
        ("server_error", False),
        ("", False),
    ],
)
async def test_a_refusal_of_the_form_comes_before_the_code(error: str, *, expected: bool) -> None:
    """RFC 6749 §5.2 has three codes for requests that are not well-formed."""
    assert await is_undone(errors.made(OAuthError, error=error), SENT) is expected


async def test_an_attempt_is_undone_by_itself_alone() -> None:
    """A caller that was refused leave does not undo the attempt of the one that has it."""
    codes = codes_of()
    first, second = codes.name(ADA, "123456"), codes.name(ADA, "123456")
    await codes.claim(first)
    with pytest.raises(CodeSpent):
        await codes.claim(second)
    await codes.refused(second, errors.made(CodeSpent), UNSENT)
    with pytest.raises(CodeSpent):
        await present(codes, "123456")


@pytest.mark.parametrize(
    "departure", [UNSENT, SENT, ON_WIRE], ids=["unsent", "between two transmissions", "on the wire"]
)
@pytest.mark.parametrize("make_store", [MemoryStore, RemoteStore])
async def test_a_cancelled_attempt_is_undone_unless_it_is_on_the_wire(
    make_store: Callable[[], Any], departure: Departure
) -> None:
    """Between two transmissions the service has not looked at the code. Closing gives the report time."""
    codes = codes_of(make_store(), cool_down=30.0)
    await start(codes, ADA)
    claim = codes.name(ADA, "123456")
    await codes.claim(claim)
    codes.cancelled(claim, departure)
    await codes._availability.aclose(grace=5.0)
    if departure.on_wire:
        with pytest.raises(CodeSpent):
            await present(codes, "123456")
        assert await present(codes, "000001") == 1  # it may have been a guess
        await start(codes, ADA)  # the code is lost, so another one kills nothing
    else:
        assert await present(codes, "123456") == 2
        assert (await refusal(codes, ADA))[0] is CoolingDown


# After these errors the newest code may still be in the user's mailbox: it was not looked at, or another was typed.
KEEPS_COOLING = {*BEFORE_THE_CODE, "WrongCode"}


async def test_a_code_that_is_dead_ends_the_cool_down(clock: Clock) -> None:
    """Spent, lost, expired or refused for good: its user needs another one, and "start again" can be followed."""
    cooling = set()
    for kind in errors.classes():
        codes = codes_of(cool_down=30.0)
        await start(codes, ADA)
        claim = codes.name(ADA, "123456")
        attempts_left = await codes.claim(claim)
        await codes.refused(claim, errors.made(kind), SENT, attempts_left)
        try:
            await start(codes, ADA)
        except CoolingDown:
            cooling.add(kind.__name__)
    assert cooling == KEEPS_COOLING
    assert clock.time == 1000.0


@pytest.mark.parametrize("make_store", [MemoryStore, RemoteStore])
async def test_a_third_wrong_code_ends_the_cool_down(make_store: Callable[[], Any]) -> None:
    """The service takes no fourth, whatever it says of the third."""
    codes = codes_of(make_store(), cool_down=30.0)
    await start(codes, ADA)
    for number in range(3):
        assert (await refusal(codes, ADA))[0] is CoolingDown
        claim = codes.name(ADA, f"00000{number}")
        attempts_left = await codes.claim(claim)
        await codes.refused(claim, errors.made(WrongCode), SENT, attempts_left)
    await codes._availability.aclose(grace=5.0)
    await start(codes, ADA)


@pytest.mark.parametrize("kind", [MfaRequired, NotSenderConstrained, InvalidIdToken])
async def test_a_code_that_was_right_is_no_guess(kind: type[PasswordlessError]) -> None:
    """What failed came after the code: it does not count, and is not presented again."""
    codes = codes_of(cool_down=30.0)
    for number in range(14):
        claim = codes.name(ADA, f"{number:06}")
        assert await codes.claim(claim) == 2
        await codes.refused(claim, errors.made(kind), SENT, 2)
        with pytest.raises(CodeSpent, match="presented before"):
            await present(codes, f"{number:06}")


@pytest.mark.parametrize("kind", [CodeExpired, TooManyAttempts])
async def test_after_the_end_of_a_code_its_user_may_start_at_once(clock: Clock, kind: type[OAuthError]) -> None:
    """The code is of no more use, so a new one kills nothing; what was tried stays spent until then."""
    codes = codes_of(cool_down=30.0)
    await start(codes, ADA)
    assert [await present(codes, "000001"), await present(codes, "000002")] == [2, 1]
    claim = codes.name(ADA, "123456")
    assert await codes.claim(claim) == 0
    await codes.refused(claim, errors.made(kind), SENT)
    with pytest.raises(CodeSpent, match="no attempts left"):
        await present(codes, "000003")
    await start(codes, ADA)
    assert clock.time == 1000.0


@pytest.mark.parametrize("kind", [CodeExpired, OutcomeUnknown])
async def test_only_a_wrong_code_is_wrong_again(kind: type[PasswordlessError]) -> None:
    """Also with the last attempt: a code whose outcome is unknown may have been right."""
    codes = codes_of()
    claim = codes.name(ADA, "123456")
    await codes.claim(claim)
    await codes.refused(claim, errors.made(kind), SENT, 0)
    with pytest.raises(CodeSpent, match="presented before"):
        await present(codes, "123456")


async def test_after_a_wrong_code_its_user_cools_down(clock: Clock) -> None:
    """The code that was sent is as good as before: a new one would kill it."""
    codes = codes_of(cool_down=30.0)
    await start(codes, ADA)
    claim = codes.name(ADA, "000001")
    await codes.claim(claim)
    await codes.refused(claim, errors.made(WrongCode), SENT)
    assert await refusal(codes, ADA) == (CoolingDown, 30.0)
    assert clock.time == 1000.0


async def test_after_a_login_its_user_may_start_at_once(clock: Clock) -> None:
    """Attempts count from nothing, and the code is not presented again."""
    codes = codes_of(cool_down=30.0)
    await start(codes, ADA)
    assert await present(codes, "000001") == 2
    claim = codes.name(ADA, "123456")
    assert await codes.claim(claim) == 1
    await codes.accepted(claim)
    with pytest.raises(CodeSpent, match="presented before"):
        await present(codes, "123456")
    assert [await present(codes, f"90000{number}") for number in range(3)] == [2, 1, 0]
    await start(codes, ADA)
    assert [await present(codes, f"00000{number}") for number in range(3)] == [2, 1, 0]
    assert clock.time == 1000.0


def test_only_a_wrong_code_says_how_many_attempts_are_left() -> None:
    """Every other error passes unchanged."""
    made = [errors.made(kind) for kind in errors.classes()]
    changed = [(error, with_attempts_left(error, 2)) for error in made if with_attempts_left(error, 2) is not error]
    ((error, counted),) = changed
    assert (type(counted), counted.__dict__) == (WrongCode, {**error.__dict__, "attempts_left": 2})


# The store


async def test_without_the_store_a_process_goes_by_its_own_memory(clock: Clock) -> None:
    """Cool-downs, shares, claims and blocks hold in this process; each loss and recovery is one event."""
    events: list[Event] = []
    store = RemoteStore()
    codes = codes_of(store, cool_down=30.0, per_hour=2, on_event=events.append)
    store.is_unreachable = True
    await start(codes, ADA, HERE)
    assert await refusal(codes, ADA, HERE) == (CoolingDown, 30.0)
    await start(codes, BOB, HERE)
    assert await refusal(codes, EVE, HERE) == (QuotaExceeded, 3600.0)
    await codes.block(THERE, 60.0)
    await asyncio.sleep(0)
    assert await refusal(codes, EVE, THERE) == (QuotaExceeded, 60.0)
    assert await present(codes, "123456") == 2
    with pytest.raises(CodeSpent):
        await present(codes, "123456")
    assert events == [StoreLost(Use.CODES)]
    store.is_unreachable = False
    clock.time += REST_SECONDS
    # The store knows nothing of her, but a new code would kill the first all the same.
    assert await refusal(codes, ADA) == (CoolingDown, 29.0)
    await start(codes, EVE)
    assert events == [StoreLost(Use.CODES), StoreRegained(Use.CODES)]


async def test_an_attempt_is_undone_in_memory_where_the_store_is_unreachable(clock: Clock) -> None:
    """What was claimed without the store is undone without it."""
    store = RemoteStore()
    codes = codes_of(store)
    store.is_unreachable = True
    claim = codes.name(ADA, "123456")
    await codes.claim(claim)
    await codes.refused(claim, NotSent("nothing was sent"), UNSENT)
    assert await present(codes, "123456") == 2
    assert clock.time == 1000.0


async def test_a_code_presented_without_the_store_is_not_presented_again_with_it(clock: Clock) -> None:
    """Its attempts are added to the store's, where every process knows them."""
    store = RemoteStore()
    codes, other = codes_of(store, cool_down=0.0), codes_of(store, cool_down=0.0)
    await start(codes, ADA)
    store.is_unreachable = True
    assert [await present(codes, "000001"), await present(codes, "000002")] == [2, 1]
    store.is_unreachable = False
    clock.time += REST_SECONDS
    with pytest.raises(CodeSpent, match="presented before"):
        await present(codes, "000001")
    assert await present(codes, "000003") == 0
    assert store.asked.count("begin_attempt") == 4  # 000001 without the store; then each once
    for code, process in (("000001", other), ("000002", other), ("000003", codes), ("000003", other)):
        with pytest.raises(CodeSpent, match="presented before"):
            await present(process, code)
    with pytest.raises(CodeSpent, match="no attempts left"):
        await present(other, "000004")


async def test_a_code_that_was_used_up_without_the_store_stays_so_with_it(clock: Clock) -> None:
    """The store did not hear of its start; a newer code, which another process sent, is presented."""
    store = RemoteStore()
    codes, other = codes_of(store, cool_down=0.0), codes_of(store, cool_down=0.0)
    store.is_unreachable = True
    await start(codes, ADA)
    assert [await present(codes, f"00000{number}") for number in range(3)] == [2, 1, 0]
    store.is_unreachable = False
    clock.time += REST_SECONDS
    for number in range(3, 20):
        with pytest.raises(CodeSpent, match="no attempts left"):
            await present(codes, f"0000{number:02}")
    # What was refused here is not counted there, nor is the store told of a start that it did not see begin.
    assert await present(other, "000019") == 0
    assert store.asked.count("end_start") == 0
    await start(other, ADA)
    assert await present(codes, "000003") == 2


@pytest.mark.parametrize("cool_down", [0.0, 30.0])
async def test_a_code_that_was_sent_without_the_store_has_all_its_attempts_with_it(
    clock: Clock, cool_down: float
) -> None:
    """The store hears late that it was sent, and forgets what was presented before it alone."""
    store = RemoteStore()
    codes, other = codes_of(store, cool_down=cool_down), codes_of(store, cool_down=cool_down)
    await start(codes, ADA)
    assert [await present(codes, "000001"), await present(other, "000002")] == [2, 1]
    clock.time += cool_down
    ticket = await codes.begin_start(ADA, None, patience=5.0)
    store.is_unreachable = True
    await codes.end_start(ticket, sent=True, counted=True)
    assert await present(codes, "000003") == 2
    clock.time += REST_SECONDS
    store.is_unreachable = False
    assert await present(codes, "000004") == 1
    assert await present(other, "000005") == 0
    with pytest.raises(CodeSpent, match="presented before"):
        await present(other, "000003")
    for process in (codes, other):
        with pytest.raises(CodeSpent, match="no attempts left"):
            await present(process, "000006")
    assert store.asked.count("end_start") == 3  # the last one twice: without the store, and then once with it
    if cool_down:
        assert await refusal(other, ADA) == (CoolingDown, cool_down - REST_SECONDS)


async def test_a_code_that_was_sent_without_the_store_holds_its_user_back_for_the_cool_down(clock: Clock) -> None:
    """The store hears of it when that is over, and the hold of the start ends."""
    store = RemoteStore()
    codes, other = codes_of(store, cool_down=30.0), codes_of(store, cool_down=30.0)
    ticket = await codes.begin_start(ADA, None, patience=50.0)
    store.is_unreachable = True
    await codes.end_start(ticket, sent=True, counted=True)
    clock.time += 40
    store.is_unreachable = False
    assert await refusal(other, ADA) == (CoolingDown, 20.0)
    assert await present(codes, "000001") == 2
    await start(other, ADA)


async def test_a_start_that_the_store_has_heard_of_is_not_reported_again() -> None:
    """A login takes one call to the store; without an address none is about an address."""
    store = RemoteStore()
    codes = codes_of(store)
    await codes.end_start(await codes.begin_start(ADA, None, patience=5.0), sent=True, counted=False)
    await present(codes, "000001")
    assert store.asked == ["begin_start", "end_start", "begin_attempt"]


async def test_a_code_that_was_used_up_here_is_followed_by_one_that_another_process_sent() -> None:
    """What this process remembers of the first says nothing of the second."""
    store = RemoteStore()
    codes, other = codes_of(store, cool_down=0.0), codes_of(store, cool_down=0.0)
    await start(codes, ADA)
    assert [await present(codes, f"00000{number}") for number in range(3)] == [2, 1, 0]
    await start(other, ADA)
    assert await present(codes, "000003") == 2
    assert await present(other, "000004") == 1
    with pytest.raises(CodeSpent, match="presented before"):
        await present(codes, "000004")
    assert await present(codes, "000005") == 0


async def test_a_code_presented_with_the_store_is_not_presented_again_without_it(clock: Clock) -> None:
    """A process knows what it has presented itself."""
    store = RemoteStore()
    codes = codes_of(store)
    await present(codes, "123456")
    with pytest.raises(CodeSpent, match="presented before"):
        await present(codes, "123456")
    assert store.asked == ["begin_attempt"]
    store.is_unreachable = True
    with pytest.raises(CodeSpent, match="presented before"):
        await present(codes, "123456")
    assert await present(codes, "000001") == 1
    assert clock.time == 1000.0


@pytest.mark.parametrize("is_back", [True, False])
async def test_an_attempt_is_undone_wherever_it_was_noted(clock: Clock, *, is_back: bool) -> None:
    """Without the store it was noted here; when it is undone the store may be back, or gone again."""
    store = RemoteStore()
    codes, other = codes_of(store), codes_of(store)
    store.is_unreachable = True
    claim = codes.name(ADA, "123456")
    await codes.claim(claim)
    store.is_unreachable = not is_back
    clock.time += REST_SECONDS
    await codes.refused(claim, NotSent("nothing was sent"), UNSENT)
    store.is_unreachable = False
    clock.time += REST_SECONDS
    assert await present(codes, "123456") == 2
    with pytest.raises(CodeSpent):
        await present(other, "123456")


async def test_an_attempt_whose_answer_was_lost_is_undone_in_both_places(clock: Clock) -> None:
    """The store has noted it, and so has this process, which did not hear of that."""
    store = RemoteStore()
    codes, other = codes_of(store), codes_of(store)
    claim = codes.name(ADA, "123456")
    await codes._count_attempt(store.inner, claim)
    store.is_unreachable = True
    assert await codes.claim(claim) == 2
    store.is_unreachable = False
    clock.time += REST_SECONDS
    await codes.refused(claim, NotSent("nothing was sent"), UNSENT)
    assert await present(other, "123456") == 2


async def test_a_refusal_of_the_store_leaves_no_trace_here(clock: Clock) -> None:
    """Another process may undo its attempt: then the code may be presented here."""
    store = RemoteStore()
    codes, other = codes_of(store), codes_of(store)
    theirs = other.name(ADA, "123456")
    await other.claim(theirs)
    with pytest.raises(CodeSpent):
        await present(codes, "123456")
    await other.refused(theirs, NotSent("nothing was sent"), UNSENT)
    assert await present(codes, "123456") == 2
    assert clock.time == 1000.0


async def test_an_address_has_one_share_in_all_processes(clock: Clock) -> None:
    """A start in one counts in the others."""
    store = RemoteStore()
    await start(codes_of(store, per_hour=1), ADA, HERE)
    clock.time += 100
    assert await refusal(codes_of(store, per_hour=1), BOB, HERE) == (QuotaExceeded, 3500.0)


async def test_what_an_address_did_without_the_store_counts_with_it(clock: Clock) -> None:
    """And the other way round: a share is used once, a block lasts."""
    store = RemoteStore()
    codes = codes_of(store, cool_down=0.0, per_hour=2)
    await start(codes, ADA, HERE)
    store.is_unreachable = True
    await start(codes, BOB, HERE)
    assert await refusal(codes, EVE, HERE) == (QuotaExceeded, 3600.0)
    await codes.block(THERE, 60.0)
    store.is_unreachable = False
    clock.time += REST_SECONDS
    assert (await refusal(codes, EVE, HERE))[0] is QuotaExceeded
    assert (await refusal(codes, EVE, THERE))[0] is QuotaExceeded


async def test_a_local_store_hears_a_report_at_once() -> None:
    """Nothing is left to do in the background, so a caller that comes next already sees it."""
    codes, before = codes_of(), asyncio.all_tasks()
    ticket = await codes.begin_start(ADA, None, patience=5.0)
    with pytest.raises(StopIteration):
        codes.end_start(ticket, sent=True, counted=True).send(None)
    claim = codes.name(ADA, "123456")
    await codes.claim(claim)
    await codes.accepted(claim)
    await codes.block(HERE, 60.0)
    assert asyncio.all_tasks() == before
    assert (await refusal(codes, ADA, HERE))[0] is QuotaExceeded
    await start(codes, ADA)


async def test_a_login_does_not_wait_for_a_report_to_a_remote_store() -> None:
    """Reports are made in the background; closing gives them time."""
    store = RemoteStore()
    codes = codes_of(store)
    await start(codes, ADA)
    claim = codes.name(ADA, "123456")
    await codes.claim(claim)
    store.answers.clear()
    async with asyncio.timeout(10):
        await codes.accepted(claim)
        await codes.refused(claim, errors.made(CodeExpired), SENT)
        await codes.block(HERE, 60.0)
    store.answers.set()
    await codes._availability.aclose(grace=5.0)
    assert store.asked[-3:] == ["retire_code", "retire_code", "end_address_start"]
    assert (await refusal(codes, BOB, HERE))[0] is QuotaExceeded
    await start(codes, ADA)


@pytest.mark.parametrize("make_store", [MemoryStore, RemoteStore])
async def test_tickets_and_claims_show_no_user_code_or_address(make_store: Callable[[], Any]) -> None:
    """Whatever they are called in the store: not in a repr."""
    codes = codes_of(make_store())
    shown = f"{await codes.begin_start(ADA, HERE, patience=5.0)} {codes.name(ADA, '493817')}"
    assert [word for word in ("ada", "example", "192.0.2.1", "493817", "tenant") if word in shown] == []


async def test_a_remote_store_sees_pseudonyms_alone() -> None:
    """They are the same ones in every process with the same key ring; each attempt has a token of its own."""
    store = RemoteStore()
    first, second = codes_of(store), codes_of(store)
    ticket, claim = await first.begin_start(ADA, HERE, patience=5.0), first.name(ADA, "493817")
    seen = " ".join([ticket.user, value_of(ticket.address), claim.user, claim.code])
    assert [word for word in ("ada", "example", "192.0.2.1", "493817", "tenant") if word in seen] == []
    again = second.name(ADA, "493817")
    assert (again.user, again.code) == (claim.user, claim.code)
    assert again.token != claim.token
    assert second.name(BOB, "493817").code != claim.code


# Through a client


async def by_exchange(client: PasswordlessClient, code: str) -> PasswordlessError | None:
    try:
        await client.exchange(ADA, code)
    except PasswordlessError as error:
        return error
    return None


async def by_exchange_many(client: PasswordlessClient, code: str) -> PasswordlessError | None:
    (outcome,) = [outcome async for outcome in client.exchange_many([Login(ADA, code)])]
    return outcome.error


@pytest.mark.parametrize("second", [by_exchange, by_exchange_many])
@pytest.mark.parametrize("first", [by_exchange, by_exchange_many])
@pytest.mark.parametrize("make_store", [lambda: None, MemoryStore], ids=["no store", "memory store"])
async def test_a_code_whose_answer_was_lost_is_not_presented_again(
    tenant: LocalTenant, make_store: Callable[[], Store | None], first: Door, second: Door
) -> None:
    """The second call raises CodeSpent and sends nothing, whichever call presented the code first."""
    async with PasswordlessClient(tenant.url, tenant.public_client_id, profile=TESTING, store=make_store()) as client:
        await client.start(ADA)
        code = tenant.outbox.code_for(ADA)
        tenant.faults.add(Fault.DROP_AFTER_PROCESSING, path="/oauth/token", times=1)
        assert isinstance(await first(client, code), OutcomeUnknown)
        assert isinstance(await second(client, code), CodeSpent)
    assert tenant.stats.presented_again == 0
