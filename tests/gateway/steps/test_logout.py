"""Logging out."""

from __future__ import annotations

import pytest

from helpers import sites
from helpers.sites import BOB
from passwordless_async.gateway import AuditEvent, AuditKind
from passwordless_async.testing import Fault


async def test_without_a_session() -> None:
    """It is what the user wanted, and nothing has ended."""
    told: list[AuditEvent] = []
    async with sites.opened(on_audit=told.append) as site:
        assert (await (await site.browser()).post("/logout")).path == "/logged-out"
        assert told == []


async def test_the_audit_log_is_told_who_logged_out() -> None:
    """The user and the session are those of the login."""
    told: list[AuditEvent] = []
    async with sites.opened(on_audit=told.append) as site:
        browser = await site.browser()
        await browser.log_in()
        await browser.post("/logout")
        *_, login, logout = told
        assert (login.kind, logout.kind) == (AuditKind.LOGGED_IN, AuditKind.ENDED)
        assert login.user is not None
        assert (logout.user, logout.session) == (login.user, login.session)


@pytest.mark.parametrize("kind", sites.SUITE)
async def test_a_token_that_could_not_be_revoked_hinders_no_logout(kind: str) -> None:
    """The session is closed; the token lapses, and the audit log is told both."""
    told: list[AuditEvent] = []
    async with sites.opened(kind, on_audit=told.append) as site:
        browser = await site.browser()
        await browser.log_in()
        old = browser.cookie("session") or ""
        site.tenant.faults.add(Fault.SERVICE_UNAVAILABLE, path="/oauth/revoke")
        assert (await browser.post("/logout")).path == "/logged-out"
        login, *ended = told[-3:]
        reasons = [(event.kind, event.reason) for event in ended]
        assert reasons == [(AuditKind.ENDED, "logout"), (AuditKind.NOT_REVOKED, "temporarily_unavailable")]
        assert {(event.user, event.session) for event in ended} == {(login.user, login.session)}
        browser.set_cookie("session", old)
        assert (await browser.get("/")).path == "/login"


async def test_no_logout_is_claimed_while_the_store_is_unreachable() -> None:
    """The cookie stays, and the page links to the home page, so that the user can try again."""
    async with sites.opened() as site:
        browser = await site.browser()
        await browser.log_in()
        site.store.is_unreachable = True
        seen = await browser.post("/logout")
        assert (seen.status, browser.cookie("session") is None) == (503, False)
        assert f'href="{site.mount}/"' in seen.text
        site.store.is_unreachable = False
        assert (await browser.post("/logout")).path == "/logged-out"


async def test_a_cookie_that_opens_no_session_is_no_end() -> None:
    """Anyone can send one: neither the audit log is told nor the application asked."""
    told: list[AuditEvent] = []
    asked: list[object] = []
    async with sites.opened(on_audit=told.append, before_end=asked.append) as site:
        browser = await site.browser()
        browser.set_cookie("session", "A" * 51)
        assert (await browser.post("/logout")).path == "/logged-out"
        browser.set_cookie("session", "A" * 51)
        await browser.log_in()
        assert (AuditKind.ENDED in {event.kind for event in told}, asked) == (False, [])


async def test_a_pending_login_ends_too() -> None:
    """Its cookie goes: the code that was sent for it opens no session in this browser."""
    async with sites.opened() as site:
        browser = await site.browser()
        await browser.log_in()
        await browser.start(BOB)
        assert browser.cookie("login") is not None
        await browser.post("/logout")
        assert (browser.cookie("login"), browser.cookie("session")) == (None, None)
