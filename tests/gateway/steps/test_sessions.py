"""The user's sessions."""

from __future__ import annotations

import pytest

from helpers import sites
from helpers.sites import JSON
from passwordless_async.gateway import AuditEvent, AuditKind
from passwordless_async.testing import Fault


async def test_an_unknown_device() -> None:
    """A browser that does not say what it is."""
    async with sites.opened() as site:
        browser = await site.browser(**{"User-Agent": ""})
        await browser.log_in()
        page = await browser.get("/sessions")
        assert ("Unknown device" in page.text, "No other device is signed in." in page.text) == (True, True)


async def test_facts() -> None:
    """Names open nothing; times are seconds since the epoch."""
    async with sites.opened() as site:
        browser = await site.browser()
        await browser.log_in()
        (told,) = (await browser.get("/sessions", JSON)).json["sessions"]
        assert set(told) == {"name", "device", "place", "opened_at", "last_seen_at", "is_current"}
        assert told["opened_at"] <= told["last_seen_at"]
        thief = await site.browser()
        thief.set_cookie("session", told["name"])
        assert (await thief.get("/")).path == "/login"


async def test_this_browser_comes_first() -> None:
    """Though its session is the newest of them."""
    async with sites.opened() as site:
        made = [await site.browser() for _ in range(3)]
        for browser in made:
            await browser.log_in()
        told = (await made[2].get("/sessions", JSON)).json["sessions"]
        assert [each["is_current"] for each in told] == [True, False, False]


async def test_the_list_needs_a_session() -> None:
    """So does each ending; after the login the user is back at the list."""
    async with sites.opened() as site:
        browser = await site.browser()
        assert (await browser.get("/sessions", JSON)).status == 401
        back = f"{site.mount}/login?return_to={site.mount}/sessions"
        assert (await browser.get("/sessions", follow=False)).headers["Location"] == back
        for path in ("/sessions/end", "/sessions/end-others"):
            assert (await browser.post(path, follow=False)).headers["Location"] == back
            assert (await browser.call(path)).status == 401


async def test_ending_this_browsers_session_is_a_logout() -> None:
    """Its cookie goes, its token is revoked, and the user sees that they are signed out."""
    told: list[AuditEvent] = []
    async with sites.opened(on_audit=told.append) as site:
        browser = await site.browser()
        await browser.log_in()
        (own,) = (await browser.get("/sessions", JSON)).json["sessions"]
        assert (await browser.post("/sessions/end", {"name": own["name"]})).path == "/logged-out"
        assert (browser.cookie("session"), site.tenant.stats.revoke_requests) == (None, 1)
        assert (told[-1].kind, told[-1].reason) == (AuditKind.ENDED, "logout")


@pytest.mark.parametrize("kind", sites.SUITE)
@pytest.mark.parametrize("by", ["page", "json"])
async def test_ended_sessions_are_revoked(kind: str, by: str) -> None:
    """At the service as well, as by a logout: one by its name, then all others."""
    async with sites.opened(kind) as site:
        made = [await site.browser() for _ in range(4)]
        for browser in made:
            await browser.log_in()
        send = made[0].post if by == "page" else made[0].call
        told = (await made[0].get("/sessions", JSON)).json["sessions"]
        assert (await send("/sessions/end", {"name": told[1]["name"]})).status == 200
        assert site.tenant.stats.revoke_requests == 1
        assert (await send("/sessions/end-others")).status == 200
        assert [family.revoked for family in site.tenant.refresh_families] == [False, True, True, True]
        assert [(await browser.get("/session")).json["logged_in"] for browser in made] == [True, False, False, False]


@pytest.mark.parametrize("kind", sites.SUITE)
async def test_sessions_end_though_the_service_fails(kind: str) -> None:
    """They are ended here, and the audit log is told that their tokens were not revoked."""
    told: list[AuditEvent] = []
    async with sites.opened(kind, on_audit=told.append) as site:
        made = [await site.browser() for _ in range(3)]
        for browser in made:
            await browser.log_in()
        told.clear()
        site.tenant.faults.add(Fault.ENDPOINT_DISABLED, path="/oauth/revoke")
        ended = await made[0].post("/sessions/end-others")
        assert (ended.status, ended.path, ended.alert) == (200, "/sessions", None)
        assert [(await browser.get("/session")).json["logged_in"] for browser in made] == [True, False, False]
        kinds = sorted((str(event.kind), event.reason) for event in told)
        assert kinds == [("ended", "by_user")] * 2 + [("not_revoked", "oauth_error")] * 2
        assert len({event.session for event in told}) == 2


@pytest.mark.parametrize("kind", sites.SUITE)
@pytest.mark.parametrize("path", ["/sessions/end", "/sessions/end-others"])
async def test_no_end_is_claimed_while_the_store_is_unreachable(kind: str, path: str) -> None:
    """The page says so, and the sessions stay."""
    told: list[AuditEvent] = []
    async with sites.opened(kind, on_audit=told.append) as site:
        browser, other = await site.browser(), await site.browser()
        await browser.log_in()
        await other.log_in()
        name = (await browser.get("/sessions", JSON)).json["sessions"][1]["name"]
        site.store.is_unreachable = True
        assert (await browser.post(path, {"name": name})).status == 503
        site.store.is_unreachable = False
        assert (await other.get("/session")).json["logged_in"] is True
        assert AuditKind.ENDED not in {event.kind for event in told}
