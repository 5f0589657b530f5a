"""Enrolling a second factor."""

from __future__ import annotations

import re
from typing import Any

import pytest

from helpers import sites
from helpers.sites import ADA, JSON, Browser, Site
from passwordless_async import Email
from passwordless_async.gateway import Budgets, Sms
from passwordless_async.testing import TenantSettings

ALWAYS = TenantSettings(mfa_policy="always")


async def to_enrol(site: Site) -> Browser:
    """Bring a browser to the choice of what to enrol."""
    browser = await site.browser()
    seen = await browser.log_in()
    assert (seen.path, seen.title) == ("/enrolment", "Add a second step")
    return browser


async def test_an_authenticator_app() -> None:
    """A QR code and its key; the factor's code logs in, and recovery codes are shown once it has."""
    async with sites.opened(settings=ALWAYS) as site:
        browser = await to_enrol(site)
        shown = await browser.post("/enrolment", {"kind": "otp"})
        assert ("<svg" in shown.text, 'role="img"' in shown.text) == (True, True)
        assert re.search(r"<code>([A-Z2-7]{4} )+[A-Z2-7]{1,4}</code>", shown.text)
        codes = await browser.post("/factor", {"code": site.tenant.mfa.otp_for(ADA)})
        assert (codes.path, codes.title) == ("/recovery-codes", "Save your recovery codes")
        assert (await browser.post("/recovery-codes")).path == "/"


async def test_recovery_codes_are_not_shown_before_the_factor_counts() -> None:
    """Neither in the page nor in JSON."""
    async with sites.opened(settings=ALWAYS) as site:
        browser = await to_enrol(site)
        shown = await browser.call("/enrolment", {"kind": "otp"})
        assert shown.json["step"] == "enrolment"
        assert "recovery_codes" not in shown.json


@pytest.mark.parametrize("kind", ["sms", "voice"])
@pytest.mark.parametrize("mount", sites.SUITE)
async def test_a_phone(mount: str, kind: str) -> None:
    """First its kind, then its number, on a page with one field; then the code that is sent there."""
    async with sites.opened(mount, settings=ALWAYS) as site:
        browser = await to_enrol(site)
        choice = await browser.get("/enrolment")
        assert ('type="tel"' in choice.text, f'/enrolment?kind={kind}"' in choice.text) == (False, True)
        asked = await browser.get(f"/enrolment?kind={kind}")
        assert (asked.status, asked.title, asked.text.count('type="tel"')) == (200, "Add a second step", 1)
        refused = await browser.post("/enrolment", {"kind": kind, "phone": "12"})
        assert (refused.status, refused.alert) == (400, "This does not look right. Please check it.")
        assert ('value="12"' in refused.text, 'aria-invalid="true"' in refused.text) == (True, True)
        await browser.post("/enrolment", {"kind": kind, "phone": "+49 30 901820"})
        done = await browser.post("/factor", {"code": site.tenant.mfa.code_for(ADA)})
        assert done.path in {"/", "/recovery-codes"}


@pytest.mark.parametrize("mount", sites.SUITE)
async def test_a_phone_in_json(mount: str) -> None:
    """A script sends both at once; what is missing is told by its field."""
    async with sites.opened(mount, settings=ALWAYS) as site:
        browser = await to_enrol(site)
        asked = await browser.get("/enrolment?kind=sms", JSON)
        assert asked.json == {"step": "enrolment-phone", "kind": "sms", "phone": ""}
        refused = await browser.call("/enrolment", {"kind": "sms"})
        assert (refused.status, refused.json["step"], refused.json["problem"]["field"]) == (
            400,
            "enrolment-phone",
            "phone",
        )
        assert (await browser.call("/enrolment", {"kind": "sms", "phone": "+4930901820"})).json["step"] == "enrolment"


@pytest.mark.parametrize("mount", sites.SUITE)
async def test_another_choice(mount: str) -> None:
    """A user who mistyped the number, or cannot scan the code, goes back and chooses again."""
    async with sites.opened(mount, settings=ALWAYS) as site:
        browser = await to_enrol(site)
        shown = await browser.post("/enrolment", {"kind": "sms", "phone": "+49 30 901821"})
        assert 'href="' + site.mount + '/enrolment?kind=other"' in shown.text
        assert (await browser.get("/enrolment?kind=other", JSON)).json["step"] == "enrolment-choice"
        await browser.post("/enrolment", {"kind": "otp"})
        done = await browser.post("/factor", {"code": site.tenant.mfa.otp_for(ADA)})
        assert (done.path, browser.cookie("session") is None) == ("/recovery-codes", False)


async def test_an_address() -> None:
    """The user's own."""
    async with sites.opened(settings=ALWAYS) as site:
        browser = await to_enrol(site)
        assert (await browser.post("/enrolment", {"kind": "email"})).path == "/enrolment"


async def test_a_push_application() -> None:
    """Its QR code enrols it; the page waits for the approval."""
    async with sites.opened(settings=ALWAYS) as site:
        browser = await to_enrol(site)
        shown = await browser.post("/enrolment", {"kind": "push"})
        assert ("<svg" in shown.text, "data-repeat-every" in shown.text) == (True, True)


async def test_an_unknown_kind() -> None:
    """The choice is shown again."""
    async with sites.opened(settings=ALWAYS) as site:
        browser = await to_enrol(site)
        seen = await browser.post("/enrolment", {"kind": "nothing"})
        assert (seen.status, seen.title) == (400, "Add a second step")


async def test_what_may_be_enrolled_is_what_the_service_says() -> None:
    """Other kinds are not offered."""
    only: Any = ("otp",)
    async with sites.opened(settings=TenantSettings(mfa_policy="always", mfa_enrolls=only)) as site:
        browser = await to_enrol(site)
        assert (await browser.get("/enrolment", JSON)).json["choices"] == ["otp"]


async def test_enrolment_without_a_login() -> None:
    """A page leads to the start; a form says that the login has ended."""
    async with sites.opened() as site:
        browser = await site.browser()
        assert (await browser.get("/enrolment")).path == "/login"
        assert (await browser.post("/enrolment", {"kind": "otp"})).status == 403


@pytest.mark.parametrize("kind", sites.SUITE)
async def test_messages_of_new_factors_are_counted(kind: str) -> None:
    """Numbers of other countries are sent none, and one user not any number."""
    async with sites.opened(
        kind, settings=ALWAYS, sms=Sms(calling_codes=("49",)), budgets=Budgets(factor_messages_per_user=1)
    ) as site:
        browser = await to_enrol(site)
        sent = len(site.tenant.outbox.messages)
        abroad = await browser.post("/enrolment", {"kind": "sms", "phone": "+1 876 555 0100"})
        assert (abroad.status, len(site.tenant.outbox.messages)) == (403, sent)
        assert (await browser.post("/enrolment", {"kind": "sms", "phone": "+49 30 901820"})).path == "/enrolment"
        again = await browser.call("/enrolment", {"kind": "voice", "phone": "+49 30 901820"})
        assert (again.status, again.json["problem"]["key"]) == (429, "too_many_requests")
        assert (await browser.post("/enrolment", {"kind": "otp"})).path == "/enrolment"


@pytest.mark.parametrize("kind", sites.SUITE)
async def test_a_login_that_is_longer_than_a_cookie(kind: str) -> None:
    """Browsers drop a cookie of more than 4096 bytes: it is split, and goes with the login."""
    who = Email("a" * 60 + "@" + ".".join(["b" * 58] * 3) + ".example.com")
    async with sites.opened(kind, settings=ALWAYS) as site:
        browser = await site.browser()
        await browser.get("/login?return_to=/" + "x" * 1000)
        await browser.start(who)
        await browser.post("/code", {"code": site.code(who)})
        shown = await browser.post("/enrolment", {"kind": "otp"}, follow=False)
        fields = shown.set_cookies
        assert (list(fields), max(map(len, fields.values())) <= 4096) == (["login", "login-2"], True)
        await browser.get("/enrolment")
        await browser.post("/factor", {"code": site.tenant.mfa.otp_for(who)})
        kept = await browser.post("/recovery-codes", follow=False)
        assert kept.headers["Location"] == "/" + "x" * 1000
        assert (browser.cookie("login"), browser.cookie("login-2")) == (None, None)
