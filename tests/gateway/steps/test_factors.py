"""The second factor: choosing one, answering it, and what comes after."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from helpers import sites
from helpers.clients import arrived
from helpers.sites import ADA, BOB, JSON, Browser, Seen, Site
from passwordless_async import MfaRequired, Phone, StoreError
from passwordless_async.client.mfa import MfaClient
from passwordless_async.gateway import AuditEvent, AuditKind, Budgets, Refused, Sms
from passwordless_async.testing import Fault, TenantSettings
from passwordless_async.testing.state.users import User

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from passwordless_async._common.secret import Secret
    from passwordless_async.auth0.mfa.state import MfaState, MfaTokenSet

TOKEN, LIST = "/oauth/token", "/mfa/authenticators"


async def second_factor(site: Site, *factors: str) -> Browser:
    """Bring a browser to the page of its user's factor."""
    site.tenant.users.add(ADA, mfa=factors)
    browser = await site.browser()
    assert (await browser.log_in()).path == "/factor"
    return browser


async def test_an_authenticator_app() -> None:
    """Its code logs the user in; the login's cookie goes, and there is a session."""
    async with sites.opened() as site:
        browser = await second_factor(site, "otp")
        home = await browser.post("/factor", {"code": site.tenant.mfa.otp_for(ADA)})
        assert (home.path, home.title) == ("/", "You are signed in")
        assert (browser.cookie("login"), browser.cookie("session") is None) == (None, False)


@pytest.mark.parametrize("kind", ["sms", "voice", "email"])
async def test_a_code_that_is_sent(kind: str) -> None:
    """It is sent once, where the page says; loading the page sends none."""
    async with sites.opened() as site:
        browser = await second_factor(site, kind)
        await browser.get("/factor")
        assert site.tenant.stats.mfa_challenges == 1
        code = site.tenant.mfa.code_for(ADA)
        assert (await browser.post("/factor", {"code": code})).path == "/"


async def test_what_cannot_be_a_code_costs_no_attempt() -> None:
    """Nothing is sent, and neither the tenant nor a budget counts it: the right code still works after many of them."""
    async with sites.opened(budgets=Budgets(wrong_codes_per_user=1)) as site:
        browser = await second_factor(site, "otp")
        sent = site.tenant.stats.token_requests
        for typed in ("abc", "123", "12345a", ""):
            seen = await browser.post("/factor", {"code": typed})
            assert (seen.status, seen.alert) == (400, "This does not look right. Please check it.")
        assert site.tenant.stats.token_requests == sent
        assert (await browser.post("/factor", {"code": site.tenant.mfa.otp_for(ADA)})).path == "/"


async def test_a_push_message() -> None:
    """The page waits until the user has approved; without a script they press a button."""
    async with sites.opened() as site:
        browser = await second_factor(site, "push")
        assert "data-repeat-every" in (await browser.get("/factor")).text
        waiting = await browser.post("/factor")
        assert (waiting.status, waiting.alert) == (202, None)
        assert 'role="status">We are still waiting for your approval.<' in waiting.text
        site.tenant.mfa.approve(ADA)
        assert (await browser.post("/factor")).path == "/"


async def test_a_recovery_code_is_replaced() -> None:
    """The new one is shown until the user has confirmed it; then the login returns where it came from."""
    async with sites.opened() as site:
        site.tenant.users.add(ADA, mfa=["otp", "recovery-code"])
        browser = await site.browser()
        await browser.get("/login?return_to=/sessions")
        await browser.start()
        await browser.post("/code", {"code": site.code()})
        choices = (await browser.get("/factors", JSON)).json["choices"]
        await browser.post("/factors", {"factor": choices[1]["id"]})
        shown = await browser.post("/factor", {"code": site.tenant.mfa.recovery_code_for(ADA)})
        assert (shown.path, shown.title) == ("/recovery-codes", "Save your recovery codes")
        assert site.tenant.mfa.recovery_code_for(ADA) in shown.text
        assert browser.cookie("session") is not None
        assert (await browser.post("/recovery-codes", follow=False)).headers["Location"] == "/sessions"
        assert (await browser.get("/recovery-codes", follow=False)).headers["Location"] == "/"


async def test_another_factor_is_chosen() -> None:
    """The best comes first, the others are listed with where they send to."""
    async with sites.opened() as site:
        browser = await second_factor(site, "sms", "otp", "recovery-code")
        assert "authenticator app" in (await browser.get("/factor")).text
        listed = await browser.get("/factors", JSON)
        assert [each["kind"] for each in listed.json["choices"]] == ["sms", "otp", "recovery"]
        asked = await browser.post("/factors", {"factor": listed.json["choices"][0]["id"]})
        assert (asked.path, site.tenant.stats.mfa_challenges) == ("/factor", 1)
        assert (await browser.post("/factor", {"code": site.tenant.mfa.code_for(ADA)})).path == "/"


async def test_a_factor_that_is_not_the_users() -> None:
    """The choice is shown again; nothing is asked of the service."""
    async with sites.opened() as site:
        browser = await second_factor(site, "otp")
        seen = await browser.post("/factors", {"factor": "sms|dev_other"}, follow=False)
        assert (seen.headers["Location"], site.tenant.stats.mfa_challenges) == ("/factors", 0)


async def test_a_wrong_code() -> None:
    """The page says so, and the right one still works."""
    async with sites.opened() as site:
        browser = await second_factor(site, "otp")
        code = site.tenant.mfa.otp_for(ADA)
        seen = await browser.post("/factor", {"code": "000000" if code != "000000" else "111111"})
        assert (seen.status, seen.title, seen.alert) == (
            403,
            "Confirm it is you",
            "This code is not correct. Please check it and try again.",
        )
        assert (await browser.post("/factor", {"code": code})).path == "/"


async def test_two_factors_in_a_row() -> None:
    """The service may demand another one after the first."""
    async with sites.opened(settings=TenantSettings(mfa_rounds=2)) as site:
        browser = await second_factor(site, "recovery-code", "otp")
        assert (await browser.post("/factor", {"code": site.tenant.mfa.otp_for(ADA)})).path == "/factor"


async def test_a_factor_without_a_login() -> None:
    """A page leads to the start; a form says that the login has ended."""
    async with sites.opened() as site:
        browser = await site.browser()
        for path in ("/factor", "/factors"):
            assert (await browser.get(path)).path == "/login"
            seen = await browser.post(path, {"code": "123456"})
            assert (seen.status, seen.alert) == (403, "This took too long. Please start again.")


async def test_a_service_that_fails_at_the_factor() -> None:
    """The login starts again: whether the factor was spent is not known."""
    async with sites.opened() as site:
        browser = await second_factor(site, "otp")
        site.tenant.faults.add(Fault.DROP_AFTER_PROCESSING, path=TOKEN)
        seen = await browser.post("/factor", {"code": site.tenant.mfa.otp_for(ADA)})
        assert (seen.status, seen.title, browser.cookie("session")) == (502, "Sign in", None)


async def test_nothing_secret_is_in_the_pages() -> None:
    """Neither the MFA token nor the sealed login."""
    async with sites.opened() as site:
        browser = await second_factor(site, "otp")
        text = (await browser.get("/factor")).text
        assert re.search(r"mfa_token|eyJ", text) is None


async def test_a_phone_logs_in_with_a_factor() -> None:
    """The first code by SMS, the second by an app."""
    async with sites.opened() as site:
        who = Phone("+4930901820")
        site.tenant.users.add(who, mfa=["otp"])
        browser = await site.browser()
        await browser.get("/login")
        await browser.post("/login", {"identifier": "+49 30 901820"})
        await browser.post("/code", {"code": str(site.tenant.outbox.code_for(who))})
        assert (await browser.post("/factor", {"code": site.tenant.mfa.otp_for(who)})).path == "/"


async def test_a_demand_that_names_no_login() -> None:
    """The service has not said how to continue: the login starts again."""
    async with sites.opened() as site:
        browser = await site.browser()
        await browser.start()
        site.tenant.faults.add(Fault.REFUSAL, path=TOKEN, status=403, error="mfa_required", description="")
        seen = await browser.post("/code", {"code": site.code()})
        assert (seen.title, browser.cookie("session")) == ("Sign in", None)
        assert (await browser.get("/factor")).path == "/login"


@pytest.mark.parametrize("step", ["/code", "/factors", "post /factors"])
async def test_a_service_that_does_not_list_the_factors(step: str) -> None:
    """The login starts again."""
    refusal: dict[str, Any] = {"status": 403, "error": "access_denied", "description": "MFA Authorization rejected."}
    async with sites.opened() as site:
        site.tenant.users.add(ADA, mfa=["otp", "recovery-code"])
        browser = await site.browser()
        await browser.start()
        if step == "/code":
            site.tenant.faults.add(Fault.REFUSAL, path=LIST, **refusal)
            seen = await browser.post("/code", {"code": site.code()})
        else:
            await browser.post("/code", {"code": site.code()})
            chosen = (await browser.get("/factors", JSON)).json["choices"][0]["id"]
            site.tenant.faults.add(Fault.REFUSAL, path=LIST, **refusal)
            seen = await (browser.get(step) if step == "/factors" else browser.post("/factors", {"factor": chosen}))
        assert (seen.status, seen.title, browser.cookie("session")) == (403, "Sign in", None)


async def test_an_expired_login_at_the_factor() -> None:
    """The service no longer has it: the user starts again, and is told why."""
    async with sites.opened() as site:
        browser = await second_factor(site, "otp")
        expired: dict[str, Any] = {"status": 401, "error": "expired_token", "description": "mfa_token is expired"}
        site.tenant.faults.add(Fault.REFUSAL, path=TOKEN, **expired)
        seen = await browser.post("/factor", {"code": site.tenant.mfa.otp_for(ADA)})
        assert (seen.title, seen.alert) == ("Sign in", "This took too long. Please start again.")


async def test_an_expired_message_of_a_factor() -> None:
    """Only the message is too old: the page of the factor stays, and another message logs the user in."""
    async with sites.opened() as site:
        browser = await second_factor(site, "sms")
        expired: dict[str, Any] = {"status": 401, "error": "expired_token", "description": "oob_code is expired"}
        site.tenant.faults.add(Fault.REFUSAL, path=TOKEN, times=1, **expired)
        seen = await browser.post("/factor", {"code": site.tenant.mfa.code_for(ADA)})
        assert (seen.title, site.tenant.stats.mfa_challenges) == ("Confirm it is you", 1)
        choices = (await browser.get("/factors", JSON)).json["choices"]
        await browser.post("/factors", {"factor": choices[0]["id"]})
        assert (await browser.post("/factor", {"code": site.tenant.mfa.code_for(ADA)})).path == "/"


# --- budgets


@pytest.mark.parametrize("kind", sites.SUITE)
@pytest.mark.parametrize("factor", ["otp", "recovery-code", "sms"])
async def test_wrong_codes_of_a_factor_are_counted(kind: str, factor: str) -> None:
    """As those of the first code are; then none is presented, be it typed in a page or sent by a script."""
    async with sites.opened(kind, budgets=Budgets(wrong_codes_per_user=2)) as site:
        browser = await second_factor(site, *{"otp", factor})
        choices = (await browser.get("/factors", JSON)).json["choices"]
        wanted = {"otp": "otp", "sms": "sms", "recovery-code": "recovery"}[factor]
        await browser.post("/factors", {"factor": next(each["id"] for each in choices if each["kind"] == wanted)})
        for code in ("000000", "000001"):
            assert (await browser.post("/factor", {"code": code})).status == 403
        asked = arrived(site.tenant, TOKEN)
        page = await browser.post("/factor", {"code": "000002"})
        told = await browser.call("/factor", {"code": "000002"})
        assert (page.status, page.title, told.json["problem"]["key"]) == (429, "Confirm it is you", "too_many_requests")
        assert (int(page.headers["Retry-After"]) > 3000, arrived(site.tenant, TOKEN)) == (True, asked)


@pytest.mark.parametrize("budget", ["wrong_codes_per_address", "wrong_codes_per_user_and_address"])
async def test_wrong_codes_of_factors_are_counted_by_address(budget: str) -> None:
    """From elsewhere the user still gets in."""
    async with sites.opened(trusted_proxies=1, budgets=Budgets(**{budget: 2})) as site:
        site.tenant.users.add(ADA, mfa=["otp"])
        browser, elsewhere = [await site.browser(**{"X-Forwarded-For": each}) for each in ("10.0.0.7", "10.0.0.9")]
        await browser.log_in()
        for code in ("000000", "000001"):
            await browser.post("/factor", {"code": code})
        right = site.tenant.mfa.otp_for(ADA)
        assert (await browser.post("/factor", {"code": right})).status == 429
        elsewhere.set_cookie("login", browser.cookie("login") or "")
        assert (await elsewhere.post("/factor", {"code": right})).path == "/"


async def test_codes_and_factors_share_the_budget_of_guesses() -> None:
    """A wrong first code leaves less for the second."""
    async with sites.opened(budgets=Budgets(wrong_codes_per_user=2)) as site:
        site.tenant.users.add(ADA, mfa=["otp"])
        browser = await site.browser()
        await browser.start()
        await browser.post("/code", {"code": "000000" if site.code() != "000000" else "111111"})
        await browser.post("/code", {"code": site.code()})
        assert (await browser.post("/factor", {"code": "000000"})).status == 403
        assert (await browser.post("/factor", {"code": site.tenant.mfa.otp_for(ADA)})).status == 429


@pytest.mark.parametrize("kind", sites.SUITE)
@pytest.mark.parametrize("factor", ["sms", "push"])
async def test_messages_to_a_factor_are_counted(kind: str, factor: str) -> None:
    """Then none is sent, and the user may choose another factor: the login goes on."""
    async with sites.opened(kind, budgets=Budgets(factor_messages_per_user=1)) as site:
        await second_factor(site, factor)
        other = await site.browser()
        refused = await other.log_in()
        assert (refused.status, refused.title) == (429, "How do you want to confirm it is you?")
        assert (refused.alert or "").startswith("Too many requests.")
        told = await other.call("/factors", {"factor": (await other.get("/factors", JSON)).json["choices"][0]["id"]})
        assert (told.status, told.json["step"], site.tenant.stats.mfa_challenges) == (429, "factors", 1)
        site.tenant.users.add(ADA, mfa=["otp"])
        choices = (await other.get("/factors", JSON)).json["choices"]
        await other.post("/factors", {"factor": next(each["id"] for each in choices if each["kind"] == "otp")})
        assert (await other.post("/factor", {"code": site.tenant.mfa.otp_for(ADA)})).path == "/"


async def test_texts_to_factors_spend_the_same_money() -> None:
    """The budget of messages to phones is for all of them."""
    async with sites.opened(sms=Sms(per_hour=1)) as site:
        await second_factor(site, "sms")
        assert (await (await site.browser()).log_in()).status == 429
        assert site.tenant.stats.mfa_challenges == 1


@pytest.mark.parametrize("kind", sites.SUITE)
async def test_questions_for_an_approval_are_counted(kind: str) -> None:
    """The service is not asked any more; the login waits."""
    told: list[AuditEvent] = []
    async with sites.opened(kind, budgets=Budgets(polls_per_user=2), on_audit=told.append) as site:
        browser = await second_factor(site, "push")
        assert [(await browser.post("/factor")).status for _ in range(3)] == [202, 202, 429]
        assert site.tenant.stats.mfa_polls == 2
        assert [event.reason for event in told if event.kind is AuditKind.REFUSED] == ["too_many_requests"]


@pytest.mark.parametrize("kind", sites.SUITE)
async def test_an_unreachable_store_before_a_factor(kind: str) -> None:
    """The code is not presented: it logs the user in once the store is back."""
    async with sites.opened(kind) as site:
        browser = await second_factor(site, "otp")
        site.store.is_unreachable = True
        seen = await browser.post("/factor", {"code": site.tenant.mfa.otp_for(ADA)})
        assert (seen.status, seen.title) == (503, "Confirm it is you")
        site.store.is_unreachable = False
        assert (await browser.post("/factor", {"code": site.tenant.mfa.otp_for(ADA)})).path == "/"


@pytest.mark.parametrize("kind", sites.SUITE)
async def test_a_store_that_fails_after_a_factor(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The codes are spent, and the tokens revoked: the user logs in again, and returns where they came from."""

    async def fails(*_arguments: object, **_named: object) -> None:
        raise StoreError("full")

    async with sites.opened(kind) as site:
        site.tenant.users.add(ADA, mfa=["otp"])
        browser = await site.browser()
        await browser.get("/login?return_to=/orders")
        await browser.start()
        await browser.post("/code", {"code": site.code()})
        monkeypatch.setattr(site.store.inner, "open", fails)
        seen = await browser.post("/factor", {"code": site.tenant.mfa.otp_for(ADA)})
        assert (seen.status, seen.title, site.tenant.stats.revoke_requests) == (503, "Sign in", 1)
        assert (seen.alert or "").endswith("the codes that you entered are used up. Please sign in again.")
        assert 'name="return_to" value="/orders"' in seen.text


@pytest.mark.parametrize("kind", sites.SUITE)
async def test_double_submit(kind: str) -> None:
    """Clicks at once are one session, and the code is presented once."""
    async with sites.opened(kind) as site:
        browser = await second_factor(site, "otp")
        code, asked = site.tenant.mfa.otp_for(ADA), arrived(site.tenant, TOKEN)
        seen = await asyncio.gather(*(browser.post("/factor", {"code": code}) for _ in range(3)))
        assert [(each.status, each.path) for each in seen] == [(200, "/")] * 3
        assert arrived(site.tenant, TOKEN) == asked + 1
        assert len((await browser.get("/sessions", JSON)).json["sessions"]) == 1


@pytest.mark.parametrize("kind", sites.SUITE)
async def test_a_login_cookie_that_is_replayed(kind: str) -> None:
    """With its factor's code it opens no second session, and the code is not presented again."""
    async with sites.opened(kind) as site:
        browser, thief = await second_factor(site, "otp"), await site.browser()
        cookie, code = browser.cookie("login") or "", site.tenant.mfa.otp_for(ADA)
        await browser.post("/factor", {"code": code})
        asked = arrived(site.tenant, TOKEN)
        thief.set_cookie("login", cookie)
        told = await thief.call("/factor", {"code": code})
        assert (told.status, told.json["problem"]["key"], thief.cookie("session")) == (403, "code_spent", None)
        assert arrived(site.tenant, TOKEN) == asked
        browser.set_cookie("login", cookie)
        assert (await browser.post("/factor", {"code": code})).path == "/"


async def test_a_form_that_is_sent_again_after_the_login() -> None:
    """As by the back button: the user is told that they are logged in."""
    async with sites.opened() as site:
        browser = await second_factor(site, "otp")
        code = site.tenant.mfa.otp_for(ADA)
        await browser.post("/factor", {"code": code})
        assert (await browser.post("/factor", {"code": code})).title == "You are signed in"


async def test_a_form_of_another_tabs_login() -> None:
    """It is not taken for the login that the browser has by now, and does not end that."""
    told: list[AuditEvent] = []
    async with sites.opened(on_audit=told.append) as site:
        form = await (browser := await second_factor(site, "otp")).get("/factor")
        fields = {"code": "123456", "csrf": form.csrf}
        await browser.start(BOB)
        for path in ("/factor", "/factors", "/enrolment"):
            seen = await browser.post(path, fields)
            assert (seen.status, seen.title, (seen.alert or "")[:36]) == (
                409,
                "Enter your code",
                "You started another sign-in in anoth",
            )
        site.tenant.users.add(BOB, mfa=["otp", "recovery-code"])
        await browser.post("/code", {"code": site.code(BOB)})
        presented = arrived(site.tenant, TOKEN)
        paths = ("/factor", "/factors", "/enrolment", "/code", "/code/resend")
        assert {(await browser.post(path, fields)).title for path in paths} == {"Confirm it is you"}
        assert (arrived(site.tenant, TOKEN), told[-1].reason) == (presented, "other_login")
        assert (await browser.post("/factor", {"code": site.tenant.mfa.otp_for(BOB)})).path == "/"


@pytest.mark.parametrize(
    ("factors", "title"), [((), "Add a second step"), (("sms", "email"), "How do you want to confirm it is you?")]
)
async def test_a_form_of_another_tab_at_the_choice_of_a_factor(factors: tuple[str, ...], title: str) -> None:
    """Also a login that has no factor yet is shown where it stands."""
    settings, budgets = TenantSettings(mfa_policy="always"), Budgets(factor_messages_per_user=1)
    async with sites.opened(settings=settings, budgets=budgets) as site:
        form = await (browser := await second_factor(site, "otp")).get("/factor")
        site.tenant.users.add(BOB, mfa=factors)
        for _ in range(2):  # the second message may not be sent
            await browser.start(BOB)
            stands = await browser.post("/code", {"code": site.code(BOB)})
        assert stands.title == title
        for path in ("/factor", "/factors", "/enrolment", "/code", "/code/resend"):
            seen = await browser.post(path, {"code": "123456", "csrf": form.csrf})
            assert (seen.status, seen.title, (seen.alert or "")[:27]) == (409, title, "You started another sign-in")


async def test_recovery_codes_are_shown_to_their_user_alone() -> None:
    """Another user who logs in on the same machine sees none of them."""
    async with sites.opened() as site:
        browser = await second_factor(site, "otp", "recovery-code")
        choices = (await browser.get("/factors", JSON)).json["choices"]
        await browser.post("/factors", {"factor": next(each["id"] for each in choices if each["kind"] == "recovery")})
        await browser.post("/factor", {"code": site.tenant.mfa.recovery_code_for(ADA)})
        assert (await browser.get("/recovery-codes")).path == "/recovery-codes"
        await browser.start(BOB)
        assert (await browser.get("/recovery-codes")).path == "/"


# --- recovery codes that the service sends once


async def at_recovery(site: Site) -> tuple[Browser, str]:
    """Bring a browser to the field for its user's recovery code; return that code, too."""
    site.tenant.users.add(ADA, mfa=["otp", "recovery-code"])
    browser = await site.browser()
    await browser.get("/login?return_to=/sessions")
    await browser.start()
    await browser.post("/code", {"code": site.code()})
    await choose(browser, "recovery")
    return browser, site.tenant.mfa.recovery_code_for(ADA)


async def choose(browser: Browser, kind: str) -> None:
    choices = (await browser.get("/factors", JSON)).json["choices"]
    await browser.post("/factors", {"factor": next(each["id"] for each in choices if each["kind"] == kind)})


def codes_in(seen: Seen) -> list[str]:
    """Return the recovery codes that a page shows."""
    return re.findall("<li>([A-Z0-9]{24})</li>", seen.text)


async def full(*_arguments: object, **_named: object) -> None:
    raise StoreError("full")


async def defective(_session: object) -> None:
    raise RuntimeError("a defect of the application")


async def refusing(_session: object) -> None:
    raise Refused


FAILURES: dict[str, tuple[int, str]] = {
    "full store": (503, "We could not complete your sign-in"),
    "defective hook": (500, "Something went wrong on our side."),
    "refusing hook": (403, "This is not allowed at the moment."),
    "bearer token": (502, "The sign-in service sent a response"),
    "expired ID token": (502, "The sign-in service sent a response"),
}


@pytest.mark.parametrize(("kind", "failure"), [*(("asgi", each) for each in FAILURES), ("aiohttp", "defective hook")])
async def test_a_login_that_fails_after_its_recovery_code(
    kind: str, failure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new code is shown with the problem, also if the form is sent again, until the user has confirmed it."""
    hook = {"defective hook": defective, "refusing hook": refusing}.get(failure)
    async with sites.opened(kind, after_login=hook) as site:
        browser, used = await at_recovery(site)
        if failure == "full store":
            monkeypatch.setattr(site.store.inner, "open", full)
        fault = {"bearer token": Fault.BEARER_TOKEN, "expired ID token": Fault.ID_TOKEN_EXPIRED}.get(failure)
        if fault is not None:
            site.tenant.faults.add(fault, path=TOKEN)
        seen = await browser.post("/factor", {"code": used})
        status, text = FAILURES[failure]
        assert (seen.status, seen.title, (seen.alert or "")[: len(text)]) == (status, "Save your recovery codes", text)
        new = site.tenant.mfa.recovery_code_for(ADA)
        again, reloaded = await browser.post("/factor", {"code": used}), await browser.get("/recovery-codes")
        assert [codes_in(each) for each in (seen, again, reloaded)] == [[new]] * 3
        confirmed = await browser.post("/recovery-codes")
        assert (confirmed.path, confirmed.title, browser.cookie("session")) == ("/login", "Sign in", None)
        assert 'name="return_to" value="/sessions"' in confirmed.text
        assert (await browser.get("/recovery-codes")).path != "/recovery-codes"


async def test_a_defective_hook_after_a_recovery_code_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """As after any other login, and without the codes."""
    async with sites.opened(after_login=defective) as site:
        browser, used = await at_recovery(site)
        await browser.post("/factor", {"code": used})
        lines = [each.getMessage() for each in caplog.records if each.levelname == "ERROR"]
        assert [line.partition(".")[0] for line in lines] == ["POST /factor failed: RuntimeError"]
        assert [code for code in (used, site.tenant.mfa.recovery_code_for(ADA)) if code in caplog.text] == []


@asynccontextmanager
async def opened_for_two_factors(kind: str = "asgi", **more: Any) -> AsyncIterator[Site]:
    """Serve a gateway whose service demands two factors, and sends a new recovery code with the second demand, too."""
    verify = MfaClient.verify_recovery_code
    with pytest.MonkeyPatch.context() as patch:
        async with sites.opened(kind, settings=TenantSettings(mfa_rounds=2), **more) as site:

            async def verified(client: MfaClient, state: MfaState, code: str) -> tuple[MfaTokenSet, Secret | None]:
                try:
                    return await verify(client, state, code)
                except MfaRequired as error:
                    raise error.with_facts(recovery_code=site.tenant.mfa.recovery_code_for(ADA)) from None

            patch.setattr(MfaClient, "verify_recovery_code", verified)
            yield site


@pytest.mark.parametrize("kind", sites.SUITE)
async def test_recovery_codes_before_another_factor(kind: str) -> None:
    """The new code is shown at once; once the user has confirmed it, the login continues with the next factor."""
    async with opened_for_two_factors(kind) as site:
        browser, used = await at_recovery(site)
        seen = await browser.post("/factor", {"code": used})
        assert (seen.path, codes_in(seen)) == ("/recovery-codes", [site.tenant.mfa.recovery_code_for(ADA)])
        asked = await browser.post("/recovery-codes")
        assert (asked.path, asked.title) == ("/factor", "Confirm it is you")
        await browser.post("/factor", {"code": site.tenant.mfa.otp_for(ADA)})
        done = await browser.post("/recovery-codes", follow=False)
        assert (done.headers["Location"], browser.cookie("session") is None) == ("/sessions", False)


async def test_recovery_codes_that_are_not_confirmed_before_another_factor() -> None:
    """They are shown after it; one that was used meanwhile is replaced by its successor."""
    for factor in ("otp", "recovery"):
        async with opened_for_two_factors() as site:
            browser, used = await at_recovery(site)
            await browser.post("/factor", {"code": used})
            await choose(browser, factor)
            mfa = site.tenant.mfa
            assert (await browser.post("/factor", {"code": "000000"})).title == "Confirm it is you"
            code = mfa.otp_for(ADA) if factor == "otp" else mfa.recovery_code_for(ADA)
            seen = await browser.post("/factor", {"code": code})
            assert (seen.path, codes_in(seen)) == ("/recovery-codes", [mfa.recovery_code_for(ADA)])
            assert browser.cookie("session") is not None


async def test_another_factor_that_ends_the_login_before_recovery_codes_are_confirmed() -> None:
    """They are shown with the reason."""
    async with opened_for_two_factors() as site:
        browser, used = await at_recovery(site)
        await browser.post("/factor", {"code": used})
        expired: dict[str, Any] = {"status": 401, "error": "expired_token", "description": "mfa_token is expired"}
        site.tenant.faults.add(Fault.REFUSAL, path=TOKEN, **expired)
        seen = await browser.post("/factor", {"code": site.tenant.mfa.otp_for(ADA)})
        assert (seen.alert, codes_in(seen)) == (
            "This took too long. Please start again.",
            [site.tenant.mfa.recovery_code_for(ADA)],
        )


async def test_another_factor_that_cannot_be_asked_for_after_a_recovery_code() -> None:
    """The code is shown with the reason; then the user chooses another factor."""
    async with opened_for_two_factors(budgets=Budgets(factor_messages_per_user=1)) as site:
        browser = await second_factor(site, "sms", "recovery-code")
        await choose(browser, "recovery")
        seen = await browser.post("/factor", {"code": site.tenant.mfa.recovery_code_for(ADA)})
        assert (seen.status, codes_in(seen)) == (429, [site.tenant.mfa.recovery_code_for(ADA)])
        choice = await browser.post("/recovery-codes")
        assert (choice.path, choice.title) == ("/factors", "How do you want to confirm it is you?")


async def test_recovery_codes_of_a_new_factor_whose_login_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are shown as after a login, because the factor is active; not if its code was wrong."""
    async with sites.opened(settings=TenantSettings(mfa_policy="always")) as site:
        browser = await site.browser()
        await browser.log_in()
        await browser.post("/enrolment", {"kind": "otp"})
        assert codes_in(await browser.post("/factor", {"code": "000000"})) == []
        monkeypatch.setattr(site.store.inner, "open", full)
        seen = await browser.post("/factor", {"code": site.tenant.mfa.otp_for(ADA)})
        assert (seen.status, codes_in(seen)) == (503, [site.tenant.mfa.recovery_code_for(ADA)])


async def test_recovery_codes_of_a_login_that_failed_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the user has confirmed them: other forms of the old login show them, and so does the next login."""
    async with sites.opened(magic_link=True) as site:
        browser, used = await at_recovery(site)
        with monkeypatch.context() as patch:
            patch.setattr(site.store.inner, "open", full)
            await browser.post("/factor", {"code": used})
        new = site.tenant.mfa.recovery_code_for(ADA)
        for path in ("/factors", "/enrolment", "/link/resend"):
            seen = await browser.post(path)
            assert (seen.alert, codes_in(seen)) == ("This took too long. Please start again.", [new])
        site.tenant.users.account(User.of(ADA)).factors.clear()
        await browser.start()
        seen = await browser.post("/code", {"code": site.code()})
        assert (seen.path, codes_in(seen), browser.cookie("session") is None) == ("/recovery-codes", [new], False)


async def test_recovery_codes_of_a_login_that_failed_after_the_next_code_was_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Confirming them does not end the next login; naming another address shows them first."""
    async with sites.opened() as site:
        browser, used = await at_recovery(site)
        monkeypatch.setattr(site.store.inner, "open", full)
        shown = codes_in(await browser.post("/factor", {"code": used}))
        await browser.start()
        seen = await browser.post("/login/cancel")
        assert (seen.path, codes_in(seen)) == ("/recovery-codes", shown)
        await browser.start()
        await browser.get("/recovery-codes")
        seen = await browser.post("/recovery-codes")
        assert (seen.path, seen.title) == ("/code", "Enter your code")
        assert (await browser.get("/recovery-codes")).path != "/recovery-codes"


async def test_recovery_codes_that_are_confirmed_after_the_next_code_was_sent_lead_to_that_code() -> None:
    """Not to the factor of the login before: a user who starts again may be unable to confirm that one."""
    async with opened_for_two_factors() as site:
        browser, used = await at_recovery(site)
        await browser.post("/factor", {"code": used})
        await browser.start()
        await browser.get("/recovery-codes")
        seen = await browser.post("/recovery-codes")
        assert (seen.path, seen.title) == ("/code", "Enter your code")
        seen = await browser.post("/code", {"code": site.code()})
        assert (seen.path, seen.title) == ("/factor", "Confirm it is you")


async def test_a_step_up_before_recovery_codes_are_confirmed() -> None:
    """It begins when the user has confirmed them: it replaces the login."""
    async with sites.opened() as site:
        browser, used = await at_recovery(site)
        shown = codes_in(await browser.post("/factor", {"code": used}))
        seen = await browser.get("/step-up?return_to=/private")
        assert (seen.path, codes_in(seen)) == ("/recovery-codes", shown)
        again = await browser.post("/step-up")
        assert (again.path, codes_in(again)) == ("/recovery-codes", shown)
        back = await browser.post("/recovery-codes", follow=False)
        assert back.headers["Location"] == "/private"


async def test_codes_that_are_confirmed_in_a_tab_of_another_login() -> None:
    """The form neither ends the login that the browser has by now, nor confirms its codes."""
    async with sites.opened() as site:
        browser, used = await at_recovery(site)
        await browser.post("/factor", {"code": used})
        form = await browser.get("/recovery-codes")
        await browser.start(BOB)
        seen = await browser.post("/recovery-codes", {"csrf": form.csrf})
        assert (seen.status, seen.title) == (409, "Enter your code")
        site.tenant.users.add(BOB, mfa=["otp", "recovery-code"])
        await browser.post("/code", {"code": site.code(BOB)})
        assert (await browser.post("/recovery-codes", {"csrf": form.csrf})).title == "Confirm it is you"
        await browser.start(BOB)
        assert (await browser.post("/recovery-codes", {"csrf": form.csrf})).title == "Enter your code"
        await choose(browser, "recovery")
        shown = codes_in(await browser.post("/factor", {"code": site.tenant.mfa.recovery_code_for(BOB)}))
        seen = await browser.post("/recovery-codes", {"csrf": form.csrf})
        assert (seen.status, codes_in(seen)) == (409, shown)


async def test_recovery_codes_of_a_new_factor_whose_response_is_lost() -> None:
    """The browser sends the form again, with the login that has ended: that still has them."""
    async with sites.opened(settings=TenantSettings(mfa_policy="always")) as site:
        browser = await site.browser()
        await browser.log_in()
        await browser.post("/enrolment", {"kind": "otp"})
        other, code = await site.browser(), {"code": site.tenant.mfa.otp_for(ADA)}
        for name in ("login", "login-2"):
            other.set_cookie(name, browser.cookie(name) or "")
        shown = codes_in(await browser.post("/factor", code))
        again = await other.post("/factor", code)
        assert (again.alert, codes_in(again)) == ("This code has already been used. Request another one.", shown)


async def test_recovery_codes_in_json(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are facts of the step, beside the problem if there is one; confirming them leads to the next step."""
    async with sites.opened() as site:
        browser, used = await at_recovery(site)
        with monkeypatch.context() as patch:
            patch.setattr(site.store.inner, "open", full)
            failed = await browser.call("/factor", {"code": used})
        new = site.tenant.mfa.recovery_code_for(ADA)
        assert (failed.status, failed.json["step"], failed.json["codes"], failed.json["problem"]["key"]) == (
            503,
            "recovery-codes",
            [new],
            "login_not_kept",
        )
        assert (await browser.call("/recovery-codes")).json["step"] == "identifier"
        browser, used = await at_recovery(site)
        shown = await browser.call("/factor", {"code": used})
        assert shown.json == {"step": "recovery-codes", "codes": [site.tenant.mfa.recovery_code_for(ADA)]}
        assert (await browser.call("/recovery-codes")).json == {"step": "home", "return_to": "/sessions"}


async def test_recovery_codes_of_a_new_factor_before_another_factor() -> None:
    """They are shown before the next factor is asked for."""
    async with sites.opened(settings=TenantSettings(mfa_policy="always", mfa_rounds=2)) as site:
        browser = await site.browser()
        await browser.log_in()
        await browser.post("/enrolment", {"kind": "otp"})
        seen = await browser.post("/factor", {"code": site.tenant.mfa.otp_for(ADA)})
        assert (seen.path, codes_in(seen)) == ("/recovery-codes", [site.tenant.mfa.recovery_code_for(ADA)])
        assert (await browser.post("/recovery-codes")).path == "/factor"
        assert (await browser.post("/factor", {"code": site.tenant.mfa.otp_for(ADA)})).path == "/"


async def test_the_choice_of_a_user_without_a_factor() -> None:
    """It leads to the enrolment of one."""
    async with sites.opened(settings=TenantSettings(mfa_policy="always")) as site:
        browser = await site.browser()
        await browser.log_in()
        assert (await browser.get("/factors")).path == "/enrolment"
