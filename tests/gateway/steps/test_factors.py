"""The second factor: choosing one, answering it, and what comes after."""

from __future__ import annotations

import re

import pytest

from helpers import sites
from helpers.sites import ADA, JSON, Browser, Site
from passwordless_async import Phone
from passwordless_async.testing import Fault, TenantSettings

TOKEN = "/oauth/token"


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


async def test_a_push_message() -> None:
    """The page waits until the user has approved; without a script they press a button."""
    async with sites.opened() as site:
        browser = await second_factor(site, "push")
        assert "data-repeat-every" in (await browser.get("/factor")).text
        waiting = await browser.post("/factor")
        assert (waiting.status, waiting.alert) == (202, "We are still waiting for your approval.")
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
        assert (shown.path, shown.title) == ("/recovery-codes", "Keep your recovery codes")
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
            "This code is not right. Please check it and try again.",
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
