"""Where logins and logouts end, and what scripts may know."""

from __future__ import annotations

from helpers import sites
from helpers.sites import JSON


async def test_home_is_for_users() -> None:
    """Others log in first."""
    async with sites.opened() as site:
        browser = await site.browser()
        assert (await browser.get("/")).path == "/login"
        assert (await browser.get("/", JSON)).status == 401
        await browser.log_in()
        assert "ada@example.com" in (await browser.get("/")).text


async def test_session_is_json_for_any_script() -> None:
    """``fetch`` accepts anything unless it is told."""
    async with sites.opened() as site:
        browser = await site.browser()
        for accept in ("*/*", "text/html", "application/json"):
            seen = await browser.get("/session", {"Accept": accept})
            assert (seen.status, seen.json) == (200, {"step": "home", "logged_in": False})
        await browser.log_in()
        known = (await browser.get("/session")).json
        assert 604_700 < known["seconds_left"] <= 604_800
        assert (await browser.request("POST", "/logout", data={"csrf": known["csrf"]})).path == "/logged-out"


async def test_a_session_that_has_ended() -> None:
    """Its cookie is removed."""
    async with sites.opened() as site:
        browser = await site.browser()
        browser.set_cookie("session", "A" * 51)
        seen = await browser.get("/", follow=False)
        assert "Max-Age=0" in seen.set_cookies["session"]


async def test_logged_out() -> None:
    """It needs no session."""
    async with sites.opened() as site:
        assert (await (await site.browser()).get("/logged-out")).title == "You are signed out"
