"""The user's sessions."""

from __future__ import annotations

from helpers import sites
from helpers.sites import JSON


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


async def test_the_list_needs_a_session() -> None:
    """So does each ending."""
    async with sites.opened() as site:
        browser = await site.browser()
        for path in ("/sessions/end", "/sessions/end-others"):
            assert (await browser.post(path)).path == "/login"
            assert (await browser.call(path)).status == 401
