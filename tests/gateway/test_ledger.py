"""Budgets of starts and wrong codes: counted together, refused before anything is sent, the same for every user."""

from __future__ import annotations

import asyncio
import re
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from helpers.sites import ADA, BOB, SUITE, opened
from passwordless_async import INTERACTIVE, Email, MemoryStore, Phone, StoreUnavailable, WrongCode, errors
from passwordless_async.auth0.mfa.state import MfaRequired
from passwordless_async.gateway import Budgets, Sms
from passwordless_async.gateway.ledger import Ledger
from passwordless_async.testing import TenantSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    Stores = Callable[[], Any]

HERE, THERE = ip_address("203.0.113.7"), ip_address("198.51.100.9")
BERLIN = Phone("+4930901820")
UNLIMITED = Budgets(**dict.fromkeys(attrs.fields_dict(Budgets)))


def ledger(store: Any, *, sms: Any = Sms(), behind: Any = False, **limits: Any) -> Ledger:  # noqa: B008 - it is frozen
    """Return a ledger with these budgets alone."""
    return Ledger(store, store.keys, "application", attrs.evolve(UNLIMITED, **limits), sms, is_behind_proxies=behind)


def on_machines(stores: Stores, machines: int) -> list[Any]:
    """Return the store as several machines have it."""
    return [stores() for _ in range(machines)]


async def allowed(call: Any) -> bool:
    """Return whether a start or an attempt is allowed, as one that ends well does."""
    try:
        async with call:
            return True
    except errors.QuotaExceeded as error:
        return not 0 < (error.retry_after or 0.0) <= 86_400


async def guess(call: Any) -> bool:
    """The same for an attempt with a wrong code."""
    wrong = WrongCode(status=403, error="invalid_grant", attempts_left=2)
    try:
        async with call:
            raise wrong
    except WrongCode:
        return True
    except errors.QuotaExceeded:
        return False


@pytest.mark.parametrize(
    ("budget", "same", "other"),
    [
        ("starts_per_address", (BOB, HERE), (ADA, THERE)),
        ("starts_per_user", (ADA, THERE), (BOB, HERE)),
        ("starts_per_user_and_address", (ADA, HERE), (ADA, THERE)),
        ("starts_per_user_and_address", (ADA, HERE), (BOB, HERE)),
    ],
)
async def test_starts_are_limited(stores: Stores, budget: str, same: Any, other: Any) -> None:
    """What has the same address, or is for the same user, shares the budget on all machines; another has its own."""
    machine, another = on_machines(stores, 2)
    first, second = ledger(machine, **{budget: 3}), ledger(another, **{budget: 3})
    assert [await allowed(first.start(ADA, HERE)) for _ in range(2)] == [True] * 2
    assert [await allowed(second.start(*same)) for _ in range(2)] == [True, False]
    assert await allowed(second.start(*other))


@pytest.mark.parametrize(
    ("budget", "same", "other"),
    [
        ("wrong_codes_per_address", (BOB, HERE), (ADA, THERE)),
        ("wrong_codes_per_user", (ADA, THERE), (BOB, HERE)),
        ("wrong_codes_per_user_and_address", (ADA, HERE), (ADA, THERE)),
    ],
)
async def test_wrong_codes_are_limited(stores: Stores, budget: str, same: Any, other: Any) -> None:
    """So is a right code after them: it might be the next guess."""
    counts = ledger(stores(), **{budget: 3})
    assert [await guess(counts.attempt(ADA, HERE)) for _ in range(2)] == [True] * 2
    assert [await guess(counts.attempt(*same)) for _ in range(2)] == [True, False]
    assert not await allowed(counts.attempt(*same))
    assert await allowed(counts.attempt(*other))


async def test_a_hundred_starts_at_once_pass_no_limit(stores: Stores) -> None:
    """On four machines: exactly as many as the budget has."""
    made = [ledger(store, starts_per_address=20, starts_per_user=3) for store in on_machines(stores, 4)]
    users = [Email(f"user{n}@example.com") for n in range(10)]
    told = await asyncio.gather(*(allowed(made[n % 4].start(users[n % 10], HERE)) for n in range(100)))
    assert sum(told) == 20


async def test_codes_that_are_no_guess_are_not_counted(stores: Stores) -> None:
    """Right ones, those that another factor follows, those that were not presented."""
    counts = ledger(stores(), wrong_codes_per_user=1)
    for error in (
        MfaRequired(status=403, error="mfa_required"),
        errors.WrongCode(status=403, error="invalid_grant", repeated=True),
        errors.CodeSpent("spent"),
        errors.NotSent("no connection"),
        errors.InvalidInput("otp", "must be digits"),
    ):
        with pytest.raises(type(error)):
            async with counts.attempt(ADA, HERE):
                raise error
    assert [await allowed(counts.attempt(ADA, HERE)) for _ in range(3)] == [True] * 3
    assert [await guess(counts.attempt(ADA, HERE)) for _ in range(2)] == [True, False]


@pytest.mark.parametrize(
    ("error", "counts"),
    [
        (errors.NotSent("no connection"), False),
        (errors.CoolingDown(retry_after=3.0), False),
        (errors.VerificationRequired(status=403, error="requires_verification"), False),
        (errors.AccessDenied(status=400, error="bad.connection"), True),
        (errors.OutcomeUnknown("no answer"), True),
        (errors.TemporarilyUnavailable(status=503, error="unavailable"), True),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_starts_count_unless_nothing_was_sent(
    stores: Stores, error: errors.PasswordlessError, *, counts: bool
) -> None:
    """A user whom the service refuses counts as any other: the budget does not tell who has an account."""
    starts = ledger(stores(), starts_per_user=1)
    with pytest.raises(type(error)):
        async with starts.start(ADA, HERE):
            raise error
    assert await allowed(starts.start(ADA, HERE)) is not counts


async def test_a_cancelled_attempt_stays_counted(stores: Stores) -> None:
    """Its code may have been presented: the caller could guess and hang up."""
    counts, began = ledger(stores(), wrong_codes_per_user=1), asyncio.Event()

    async def hang() -> None:
        async with counts.attempt(ADA, HERE):
            began.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(hang())
    await began.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert not await allowed(counts.attempt(ADA, HERE))


async def test_an_ipv6_network_is_one_address() -> None:
    """Its /64 is one user's; a person who types upper case is the same person."""
    counts = ledger(MemoryStore(), starts_per_address=1, starts_per_user=2)
    assert await allowed(counts.start(ADA, ip_address("2001:db8:1:2::1")))
    assert not await allowed(counts.start(ADA, ip_address("2001:db8:1:2:ffff::9")))
    assert await allowed(counts.start(Email("ADA@example.com"), ip_address("2001:db8:1:3::1")))
    assert not await allowed(counts.start(ADA, ip_address("2001:db8:1:4::1")))


async def test_requests_without_an_address_share_a_budget_behind_proxies() -> None:
    """They came past the proxies. Without proxies they are the machine's own, and have none."""
    behind, direct = (
        ledger(MemoryStore(), behind=True, starts_per_address=1),
        ledger(MemoryStore(), starts_per_address=1),
    )
    assert [await allowed(behind.start(who, None)) for who in (ADA, BOB)] == [True, False]
    assert [await allowed(direct.start(who, None)) for who in (ADA, BOB)] == [True, True]


async def test_messages_to_phones_are_limited_in_all() -> None:
    """By the hour, by the day and by address; e-mail costs nothing and is not counted there."""
    numbers = [Phone(f"+493090182{n}") for n in range(8)]
    addresses = [ip_address(f"198.51.100.{n}") for n in range(8)]
    for sms, allowed_ones in ((Sms(per_hour=3), 3), (Sms(per_day=4), 4), (Sms(per_hour=None, per_day=None), 8)):
        counts = ledger(MemoryStore(), sms=sms)
        told = [await allowed(counts.start(*each)) for each in zip(numbers, addresses, strict=True)]
        assert told.count(True) == allowed_ones
        assert await allowed(counts.start(ADA, HERE))
    counts = ledger(MemoryStore(), sms=Sms(per_address=2))
    assert [await allowed(counts.start(number, HERE)) for number in numbers[:3]] == [True, True, False]
    assert await allowed(counts.start(numbers[3], THERE))


async def test_messages_go_to_named_countries_alone() -> None:
    """Toll fraud: numbers that pay their callers lie in other countries than the users."""
    store = MemoryStore()
    counts = ledger(store, sms=Sms(calling_codes=("+49", "1212")))
    for number in ("+4930901820", "+12125550100"):
        assert await allowed(counts.start(Phone(number), HERE))
    for number in ("+18765550100", "+431234567", "+3725550100"):
        with pytest.raises(errors.RegionNotAllowed):
            await allowed(counts.start(Phone(number), HERE))


async def test_the_store_sees_pseudonyms_alone() -> None:
    """No address, and no user."""

    @attrs.define
    class Recording:
        keys: Any
        seen: list[Any] = attrs.field(factory=list)

        async def count(self, group: str, counters: Any, *, token: str, remember: float) -> tuple[float, ...]:
            self.seen.append((group, [attrs.astuple(counter) for counter in counters], token, remember))
            return (0.0,) * len(counters)

    store = Recording(MemoryStore().keys)
    counts: Any = Ledger(store, store.keys, "application", Budgets(), Sms())  # type: ignore[arg-type] # as far as it is used
    assert await allowed(counts.start(BERLIN, HERE))
    assert len(store.seen[0][1]) == 6
    assert not any(word in repr((store.seen, counts)) for word in ("901820", "203.0.113", "sms|"))


FROM, FROM_ELSEWHERE = {"X-Forwarded-For": "10.0.0.7"}, {"X-Forwarded-For": "10.0.0.9"}


@pytest.mark.parametrize("kind", SUITE)
async def test_a_used_up_budget_is_answered_429(kind: str) -> None:
    """As a page that says when in plain words, and as JSON; nothing is sent."""
    async with opened(kind, trusted_proxies=1, budgets=Budgets(starts_per_address=2)) as site:
        browser = await site.browser(**FROM)
        await browser.get("/login")
        for who in (ADA, BOB):
            assert (await browser.start(who)).status == 200
        sent = len(site.tenant.outbox.messages)
        page = await browser.start(Email("eve@example.com"))
        told = await browser.call("/login", {"identifier": "eve@example.com"})
        assert (page.status, told.status, told.json["problem"]["key"]) == (429, 429, "too_many_requests")
        assert 3500 < int(page.headers["Retry-After"]) <= 3600
        assert page.alert == told.json["problem"]["text"] == "Too many requests. Please try again in 1 hour."
        german = await browser.post("/login", {"identifier": "eve@example.com"}, headers={"Accept-Language": "de"})
        assert german.alert == "Zu viele Anfragen. Bitte versuchen Sie es in 1 Stunde noch einmal."
        assert len(site.tenant.outbox.messages) == sent
        elsewhere = await site.browser(**FROM_ELSEWHERE)
        assert (await elsewhere.start(ADA)).status == 200


async def test_wrong_codes_use_up_a_budget() -> None:
    """The right code is refused too, and is not spent: it logs in from another address."""
    async with opened(trusted_proxies=1, budgets=Budgets(wrong_codes_per_address=2)) as site:
        browser = await site.browser(**FROM)
        await browser.get("/login")
        await browser.start(ADA)
        wrong = [await browser.post("/code", {"code": f"00000{n}"}) for n in range(2)]
        right = await browser.post("/code", {"code": site.code()})
        assert [page.status for page in (*wrong, right)] == [403, 403, 429]
        assert "Retry-After" in right.headers
        elsewhere = await site.browser(**FROM_ELSEWHERE)
        for cookie in ("login", "__Host-login"):
            if value := browser.cookie(cookie):
                elsewhere.set_cookie(cookie, value)
        assert (await elsewhere.post("/code", {"code": site.code()})).path == "/"


@pytest.mark.parametrize("who", [ADA.address, BERLIN.number])
async def test_nothing_is_started_or_presented_while_the_store_is_unreachable(who: str) -> None:
    """No session could be kept. The user's code stays valid, and logs them in afterwards."""
    async with opened() as site:
        browser = await site.browser()
        await browser.get("/login")
        await browser.start(ADA)
        code, sent = site.code(), len(site.tenant.outbox.messages)
        site.store.is_unreachable = True
        refused = await browser.post("/code", {"code": code})
        assert (refused.status, len(site.tenant.outbox.messages)) == (503, sent)
        other = await site.browser()
        assert (await other.post("/login", {"identifier": who})).status == 503
        assert len(site.tenant.outbox.messages) == sent
        site.store.is_unreachable = False
        assert (await browser.post("/code", {"code": code})).path == "/"


async def test_the_ways_of_users_with_and_without_an_account_are_the_same() -> None:
    """The same answers, and the same requests to tenant and store: start, start again, wrong codes, the same again."""
    known, unknown = Email("known@example.com"), Email("kexyn@example.com")  # of one mask
    ways = []
    profile = attrs.evolve(INTERACTIVE, cool_down=30.0)
    async with opened(settings=TenantSettings(allow_signup=False), profile=profile) as site:
        for who in (known, BOB):
            site.tenant.users.add(who)
        await (await site.browser()).log_in(BOB)  # fetches what all logins need once
        for who in (known, unknown):
            browser = await site.browser()
            await browser.get("/login")
            asked, requests = len(site.store.asked), len(site.tenant.requests)
            pages = [await browser.start(who), await browser.start(who)]
            pages += [await browser.post("/code", {"code": f"00000{n}"}) for n in (0, 0, 1, 2, 2, 3, 4, 0)]
            paths = [seen.path for seen in site.tenant.requests[requests:]]
            texts = [(page.status, page.path, re.sub(r'value="[^"]*"|\d+ s', "", page.text)) for page in pages]
            # Nonces are read now and then, by the clock.
            ways.append((texts, [name for name in site.store.asked[asked:] if name != "nonce"], paths))
    assert ways[0] == ways[1]


async def test_a_session_s_budgets_are_not_those_of_another_application() -> None:
    """Two applications on one store count apart."""
    store = MemoryStore()
    budgets = attrs.evolve(UNLIMITED, starts_per_user=1)
    for scope in ("one", "two"):
        counts = Ledger(store, store.keys, scope, budgets, Sms())
        assert [await allowed(counts.start(ADA, HERE)) for _ in range(2)] == [True, False]


def test_an_unreachable_store_is_told_apart_from_a_used_up_budget() -> None:
    """503 and not 429: the user did nothing wrong."""
    assert not issubclass(StoreUnavailable, errors.QuotaExceeded)
