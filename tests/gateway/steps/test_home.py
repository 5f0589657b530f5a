"""Where logins and logouts end, and what scripts may know."""

from __future__ import annotations

from typing import TYPE_CHECKING

from helpers import sites
from helpers.sites import BOB, JSON

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from helpers.sites import Site


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


async def test_the_applications_own_home(serve: Callable[..., Awaitable[Site]]) -> None:
    """A login without a way back ends there, and the pages that lead nowhere else have a link to it."""
    site = await serve(home="/shop?tab=1", return_to=["/app"])
    browser = await site.browser()
    await browser.get("/login")
    await browser.start()
    seen = await browser.post("/code", {"code": site.code()}, follow=False)
    assert (seen.status, seen.headers["Location"]) == (303, "/shop?tab=1")
    link = 'href="/shop?tab=1"'
    assert [(path, link in (await browser.get(path)).text) for path in ("/", "/sessions")] == [
        ("/", True),
        ("/sessions", True),
    ]
    assert link in (await browser.post("/logout")).text


async def test_a_way_back_comes_before_the_applications_own_home(serve: Callable[..., Awaitable[Site]]) -> None:
    """It is where the user was; for a script both are a fact."""
    site = await serve(home="/shop", return_to=["/app"])
    browser = await site.browser()
    await browser.get("/login?return_to=/app/x")
    await browser.start()
    assert (await browser.post("/code", {"code": site.code()}, follow=False)).headers["Location"] == "/app/x"
    script = await site.browser()
    await script.call("/login", {"identifier": BOB.address})
    assert (await script.call("/code", {"code": site.code(BOB)})).json == {"step": "home", "return_to": "/shop"}


async def test_without_a_home_of_its_own_the_pages_lead_to_the_gateways(site: Site) -> None:
    """As to the list of sessions, and back."""
    browser = await site.browser()
    assert (await browser.log_in()).path == "/"
    assert f'href="{site.mount}/">Back' in (await browser.get("/sessions")).text
    assert "Go to the site" not in (await browser.post("/logout")).text
