"""The end of a login."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock
from urllib.parse import urlencode

import pytest

from helpers import sites
from helpers.sites import ADA, BOB
from passwordless_async import StoreError
from passwordless_async._common import clock as _clock
from passwordless_async._common.secret import Secret
from passwordless_async.gateway import AuditEvent, AuditKind
from passwordless_async.gateway.state import LoginState
from passwordless_async.gateway.steps.logging_in import finish_login
from passwordless_async.testing import Fault

if TYPE_CHECKING:
    from helpers.sites import Browser
    from passwordless_async import StoredSession, TokenSet


async def test_tokens_that_cannot_be_kept_are_revoked() -> None:
    """After a second factor too: the user is not logged in, and no login is left at the service."""
    async with sites.opened() as site:
        site.tenant.users.add(ADA, mfa=["otp"])
        browser = await site.browser()
        await browser.log_in()
        site.store.inner.open = _fails  # type: ignore[method-assign]
        seen = await browser.post("/factor", {"code": site.tenant.mfa.otp_for(ADA)})
        assert (seen.status, browser.cookie("session")) == (503, None)
        assert site.tenant.stats.revoke_requests == 1


async def test_the_tokens_of_a_second_factor_are_those_of_its_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """If they cannot be kept, ``on_orphan`` hears of the user."""
    seen = []
    async with sites.opened() as site:
        keep = site.client.sessions.keep

        async def noted(tokens: TokenSet, **named: Any) -> StoredSession:
            seen.append(named["who"])
            return await keep(tokens, **named)

        monkeypatch.setattr(site.client.sessions, "keep", noted)
        site.tenant.users.add(ADA, mfa=["otp"])
        browser = await site.browser()
        await browser.log_in()
        await browser.post("/factor", {"code": site.tenant.mfa.otp_for(ADA)})
    assert seen == [ADA]


async def test_the_session_before_ends() -> None:
    """Its identifier opens nothing any more; the new one is another."""
    async with sites.opened() as site:
        browser = await site.browser()
        await browser.log_in()
        before = browser.cookie("session")
        await browser.log_in()
        assert browser.cookie("session") != before
        other = await site.browser()
        other.set_cookie("session", before or "")
        assert (await other.get("/session")).json["logged_in"] is False


async def test_a_session_that_the_browser_has_already_goes_on() -> None:
    """The request was sent twice, and the other one has brought its cookie."""
    async with sites.opened() as site:
        browser = await site.browser()
        await browser.log_in()
        session = Secret(browser.cookie("session") or "")
        visit: Any = SimpleNamespace(services=site.gateway._handler._services, session=session, login=None)
        reply = await finish_login(visit, LoginState(id=Secret("id"), expires_at=0), session)
        assert (reply.session, await _is_logged_in(browser)) == (session, True)


async def test_a_login_that_fails_on_its_way_is_not_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its session ends, and the failure goes on."""
    async with sites.opened() as site:
        browser = await site.browser()
        await browser.log_in()
        session = Secret(browser.cookie("session") or "")
        visit: Any = SimpleNamespace(services=site.gateway._handler._services, session=None, login=None, audit=Mock())
        monkeypatch.setattr("passwordless_async.gateway.steps.logging_in._end_oldest", _fails)
        with pytest.raises(StoreError, match="full"):
            await finish_login(visit, LoginState(id=Secret("id"), expires_at=0), session)
        assert (visit.audit.call_args.kwargs["reason"], await _is_logged_in(browser)) == ("not_delivered", False)


async def test_a_user_keeps_the_newest_sessions() -> None:
    """So many as the gateway allows; the login more ends the oldest, another user's stay."""
    told: list[AuditEvent] = []
    async with sites.opened(max_sessions=2, on_audit=told.append) as site:
        made = [await site.browser() for _ in range(4)]
        for browser, who in zip(made, (ADA, BOB, ADA, ADA), strict=True):
            await browser.log_in(who)
        assert [await _is_logged_in(browser) for browser in made] == [False, True, True, True]
        assert (site.tenant.stats.revoke_requests, told[-1].kind, told[-1].reason) == (1, AuditKind.ENDED, "limit")


async def test_a_session_over_the_limit_that_cannot_be_revoked() -> None:
    """It ends all the same, the login goes on, and the audit log is told."""
    told: list[AuditEvent] = []
    async with sites.opened(max_sessions=1, on_audit=[told.append]) as site:
        first, second = await site.browser(), await site.browser()
        await first.log_in()
        site.tenant.faults.add(Fault.SERVICE_UNAVAILABLE, path="/oauth/revoke", times=None)
        assert (await second.log_in()).path == "/"
        assert [await _is_logged_in(browser) for browser in (first, second)] == [False, True]
        assert [event.kind for event in told[-2:]] == [AuditKind.ENDED, AuditKind.NOT_REVOKED]


async def test_a_session_lasts_as_its_user_chose(monkeypatch: pytest.MonkeyPatch) -> None:
    """With "stay logged in" as long as that lasts; else as long as a session does without."""
    async with sites.opened(session_for=3600.0, remember_for=86_400.0) as site:
        made = [await site.browser() for _ in range(2)]
        for browser, fields in zip(made, ({}, {"remember": "on"}), strict=True):
            await browser.get("/login")
            await browser.post("/login", {"identifier": ADA.address, **fields})
            await browser.post("/code", {"code": site.code()})
        began = _clock.now()
        for passed, expected in ((3500, [True, True]), (3700, [False, True])):
            monkeypatch.setattr(_clock, "now", lambda passed=passed: began + passed)
            assert [await _is_logged_in(browser) for browser in made] == expected


async def test_the_same_after_a_second_factor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its session has the lifetime and the limit too."""
    async with sites.opened(session_for=3600.0, max_sessions=1) as site:
        site.tenant.users.add(ADA, mfa=["otp"])
        made = [await site.browser() for _ in range(2)]
        for browser in made:
            await browser.log_in()
            site.tenant.clock.advance(60)  # a code of the authenticator app is taken once
            await browser.post("/factor", {"code": site.tenant.mfa.otp_for(ADA)})
        assert [await _is_logged_in(browser) for browser in made] == [False, True]
        now = _clock.now()
        monkeypatch.setattr(_clock, "now", lambda: now + 3700)
        assert not await _is_logged_in(made[1])


async def test_an_unreachable_store_ends_no_login(monkeypatch: pytest.MonkeyPatch) -> None:
    """The session is there by then; the next login ends the oldest."""
    async with sites.opened(max_sessions=1) as site:
        first, second = await site.browser(), await site.browser()
        await first.log_in()
        monkeypatch.setattr(site.store.inner, "sessions_of", _fails)
        assert (await second.log_in()).status == 200
        assert [await _is_logged_in(browser) for browser in (first, second)] == [True, True]


async def test_a_request_that_is_cancelled_after_its_login() -> None:
    """Its browser gets no session: there is none, its tokens are revoked, and the audit log is told of both."""
    told: list[AuditEvent] = []
    happened = {kind: asyncio.Event() for kind in AuditKind}
    sinks = [told.append, lambda event: happened[event.kind].set()]
    async with sites.opened(max_sessions=1, on_audit=sinks) as site:
        browser = await site.browser()
        page = await browser.start()
        headers = [
            ("Cookie", f"login={browser.cookie('login')}"),
            ("Content-Type", "application/x-www-form-urlencoded"),
        ]
        form = urlencode({"code": site.code(), "csrf": page.csrf}).encode()
        hold = site.store.hold("sessions_of")
        sent = asyncio.create_task(site.gateway.handle(sites.request("POST", "/code", headers=headers, body=form)))
        await happened[AuditKind.LOGGED_IN].wait()
        sent.cancel()
        hold.set()
        await happened[AuditKind.ENDED].wait()
        assert (told[-1].session, told[-1].reason) == (told[-2].session, "not_delivered")
        assert await site.client.sessions.list("email|ada") == ()
        assert site.tenant.stats.revoke_requests == 1


async def _is_logged_in(browser: Browser) -> bool:
    return bool((await browser.get("/session", {"Accept": "application/json"})).json["logged_in"])


async def _fails(*_arguments: object, **_named: object) -> None:
    raise StoreError("full")
