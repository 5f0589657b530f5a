"""The whole flow over a real socket, as browsers and scripts see it: the same on every mount."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import quote

import attrs
import pytest

from helpers.clients import arrived
from helpers.sites import ADA, BOB, JSON, Browser, Site
from passwordless_async import TESTING
from passwordless_async.gateway import Texts
from passwordless_async.testing import Fault, TenantSettings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

Serve: TypeAlias = "Callable[..., Awaitable[Site]]"
START, TOKEN = "/passwordless/start", "/oauth/token"


def wrong(code: str) -> str:
    return "000000" if code != "000000" else "111111"


async def names(browser: Browser) -> list[str]:
    """Return the names of the user's sessions."""
    seen = await browser.get("/sessions", JSON)
    return [each["name"] for each in seen.json["sessions"]]


# --- the way through


async def test_a_whole_login(site: Site) -> None:
    """From the login page to a session, and out again; each page redirects to the next."""
    browser = await site.browser()
    asked = await browser.get("/login")
    assert (asked.status, asked.title) == (200, "Sign in")
    sent = await browser.start()
    assert (sent.status, sent.path, sent.title) == (200, "/code", "Enter your code")
    assert "a•a@example.com" in sent.text
    assert 'inputmode="numeric"' in sent.text
    assert 'autocomplete="one-time-code"' in sent.text
    home = await browser.post("/code", {"code": site.code()})
    assert (home.status, home.path, home.title) == (200, "/", "You are signed in")
    assert "ada@example.com" in home.text
    assert (browser.cookie("login"), browser.cookie("session") is None) == (None, False)
    out = await browser.post("/logout")
    assert (out.path, out.title, browser.cookie("session")) == ("/logged-out", "You are signed out", None)
    assert site.tenant.stats.revoke_requests == 1
    assert (await browser.get("/")).path == "/login"


async def test_a_whole_login_in_json(site: Site) -> None:
    """The same routes, by ``Accept``, without a redirect."""
    browser = await site.browser()
    asked = await browser.get("/login", JSON)
    assert (asked.status, asked.json["step"], asked.json["kinds"]) == (200, "identifier", ["email", "phone"])
    sent = await browser.call("/login", {"identifier": "ada@example.com"})
    facts = {"step": "code", "kind": "email", "sent_to": "a•a@example.com", "resend_in": 30, "attempts_left": None}
    assert (sent.status, sent.json.pop("expires_in") > 590, sent.json) == (200, True, facts)
    refused = await browser.call("/code", {"code": wrong(site.code())})
    assert (refused.status, refused.json["problem"]["key"], refused.json["problem"]["field"]) == (
        403,
        "wrong_code",
        "code",
    )
    assert refused.json["problem"]["text"] == "This code is not correct. Please check it and try again."
    home = await browser.call("/code", {"code": site.code()})
    assert (home.status, home.json) == (200, {"step": "home", "return_to": None})
    known = await browser.get("/session")
    assert known.json["logged_in"] is True
    assert known.json["user"] == "ada@example.com"
    assert (await browser.call("/logout")).json == {"step": "logged-out"}
    assert (await browser.get("/session")).json == {"step": "home", "logged_in": False}
    assert (await browser.get("/sessions", JSON)).status == 401


async def test_no_token_reaches_the_browser(site: Site) -> None:
    """Not in a page, not in JSON, not in a cookie, not in a header field."""
    browser = await site.browser()
    await browser.log_in()
    session = await site.client.sessions.get(browser.cookie("session") or "")
    tokens = session.tokens
    secrets = [tokens.access_token, tokens.refresh_token or "", tokens.id_token or "", session.id]
    for path in ("/", "/sessions", "/session", "/logged-out", "/login"):
        for accept in ({}, JSON):
            seen = await browser.get(path, accept)
            shown = seen.text + str(seen.headers)
            assert [secret for secret in secrets if secret and secret in shown] == []


@pytest.mark.parametrize("headers", [{}, JSON], ids=["page", "json"])
async def test_wrong_code(site: Site, headers: dict[str, str]) -> None:
    """The page says so beside the field; the right code still opens the session."""
    browser = await site.browser()
    await browser.start()
    refused = await browser.post("/code", {"code": wrong(site.code())})
    assert (refused.status, refused.path) == (403, "/code")
    assert refused.alert == "This code is not correct. Please check it and try again."
    assert 'aria-invalid="true"' in refused.text
    again = await browser.post("/code", {"code": wrong(site.code())})
    assert (again.status, again.alert, again.path) == (403, refused.alert, "/code")
    assert site.tenant.stats.codes_presented == 1
    for malformed in ("", "12", "é" * 6, "1" * 600):
        seen = await browser.post("/code", {"code": malformed}, headers=headers)
        assert seen.status in {400, 403}
    assert (await browser.post("/code", {"code": site.code()})).path == "/"


async def test_the_log_says_what_a_request_lacks(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """At DEBUG, for authors of scripts and tests; nothing of the request is in it."""
    browser = await site.browser()
    form = {"csrf": "", "identifier": ADA.address}
    caplog.set_level(logging.DEBUG, "passwordless_async")
    for headers in ({"Accept": "application/json"}, {"Sec-Fetch-Site": "cross-site"}):
        assert (await browser.post("/login", form, headers=headers)).status == 403
    refused, origin = "POST /login is refused as csrf: ", site.origin
    assert [line.removeprefix(refused) for line in caplog.messages if line.startswith(refused)] == [
        "a request for JSON needs the header field X-CSRF: 1, and a body of JSON or none",
        f"a form needs Sec-Fetch-Site: same-origin; without that field, Origin: {origin}; without both, its field csrf",
    ]


async def test_the_log_says_that_a_path_is_not_found(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """At DEBUG, with the mount, and without the path: it may be anything, such as a code."""
    browser = await site.browser()
    caplog.set_level(logging.DEBUG, "passwordless_async")
    for path in (f"{site.mount}/api/me?code=1", "/caf%C3%A9%0A", "/123456"):
        assert (await browser.get(path)).status == 404
    line = (
        f"a path below the mount {site.mount!a} is not found: the gateway has no such page, and no upstream has a "
        "prefix of this path. Prefixes are below the mount, too"
    )
    assert [message for message in caplog.messages if "is not found" in message] == [line] * 3


async def test_too_many_wrong_codes(serve: Serve) -> None:
    """The code is dead: the page offers another one at once, and that opens a session."""
    site = await serve(settings=TenantSettings(max_attempts=3))
    browser = await site.browser()
    await browser.start()
    guess = wrong(site.code())
    seen = [await browser.post("/code", {"code": f"{int(guess) + step:06}"}) for step in range(5)]
    assert {each.status for each in seen} == {403}
    assert [each.alert for each in seen[2:]] == ["Too many wrong codes. Request another one."] * 3
    again = await browser.post("/code/resend")
    assert (again.status, again.path) == (200, "/code")
    assert (await browser.post("/code", {"code": site.code()})).path == "/"


async def test_expired_code(site: Site) -> None:
    """The page says so, and another code may be sent at once."""
    browser = await site.browser()
    await browser.start()
    code = site.code()
    site.tenant.clock.advance(3600)
    refused = await browser.post("/code", {"code": code})
    assert (refused.status, refused.alert) == (403, "This code has expired. Request another one.")
    assert "data-resend-in" not in refused.text
    await browser.post("/code/resend")
    assert (await browser.post("/code", {"code": site.code()})).path == "/"


async def test_expired_login(site: Site) -> None:
    """A login that took too long ends in words, and the code was not sent."""
    browser = await site.browser()
    await browser.start()
    site.clock.ahead = 601
    late = await browser.post("/code", {"code": site.code()})
    assert (late.status, late.alert) == (403, "This took too long. Please start again.")
    assert arrived(site.tenant, TOKEN) == 0
    assert (await browser.get("/code")).path == "/login"


async def test_resend(site: Site) -> None:
    """Another code is sent to the same user, and the page counts from anew."""
    browser = await site.browser()
    first = await browser.start()
    assert 'data-resend-in="30"' in first.text
    site.clock.ahead = 20
    assert 'data-resend-in="10"' in (await browser.get("/code")).text
    again = await browser.post("/code/resend")
    assert (again.path, 'data-resend-in="30"' in again.text) == ("/code", True)
    assert arrived(site.tenant, START) == 2
    assert (await browser.post("/code", {"code": site.code()})).path == "/"


async def test_resend_too_early(serve: Serve) -> None:
    """No other code is sent, and the page says when one may be: the code that is on its way opens the session."""
    site = await serve(profile=attrs.evolve(TESTING, cool_down=30.0))
    browser = await site.browser()
    await browser.start()
    for path, fields in (("/code/resend", {}), ("/login", {"identifier": "ada@example.com"})):
        again = await browser.post(path, fields)
        assert (again.status, again.path) == (200, "/code")
        assert int(re.findall(r'data-resend-in="(\d+)"', again.text)[0]) > 25
    assert arrived(site.tenant, START) == 1
    assert (await browser.post("/code", {"code": site.code()})).path == "/"


async def test_a_login_that_is_as_it_was_is_not_sealed_again(site: Site) -> None:
    """A page that is only looked at sets no cookie; what changes the login does."""
    browser = await site.browser()
    assert "login" in (await browser.get("/login")).set_cookies
    assert "login" in (await browser.post("/login", {"identifier": "ada@example.com"}, follow=False)).set_cookies
    assert (await browser.get("/code")).set_cookies == {}
    assert (await browser.post("/code", {"code": site.code()})).path == "/"


async def test_change_of_address(site: Site) -> None:
    """The user names another address; the first one's code opens nothing any more."""
    browser = await site.browser()
    await browser.get("/login?return_to=/app")
    await browser.start(ADA)
    cancelled = await browser.post("/login/cancel")
    assert (cancelled.path, "ada" in cancelled.text) == ("/login", False)
    await browser.start(BOB)
    assert (await browser.post("/code", {"code": wrong(site.code(BOB))})).status == 403
    done = await browser.post("/code", {"code": site.code(BOB)}, follow=False)
    assert (done.status, done.headers["Location"]) == (303, "/app")


@pytest.mark.parametrize("typed", ["", "ada", "ada@", "@example.com", "49", "ada@example.com\r\nBcc: eve@example.com"])
async def test_mistyped_identifier(site: Site, typed: str) -> None:
    """The page says so beside the field, shows what was typed, and nothing is sent."""
    browser = await site.browser()
    seen = await browser.post("/login", {"identifier": typed})
    assert (seen.status, seen.path, 'aria-invalid="true"' in seen.text) == (400, "/login", True)
    assert seen.alert == "Please enter a complete address or number."
    assert arrived(site.tenant, START) == 0


async def test_phone(serve: Serve) -> None:
    """A number gets a text message; a gateway for e-mail alone takes no number."""
    site = await serve(identifiers=["phone"])
    browser = await site.browser()
    asked = await browser.get("/login")
    assert 'type="tel"' in asked.text
    sent = await browser.post("/login", {"identifier": "+4930901820"})
    assert "We sent a text message with a code to +49••••••20." in sent.text
    assert (await browser.post("/login", {"identifier": "ada@example.com"})).status == 400


async def test_same_answer_whether_or_not_there_is_an_account(serve: Serve) -> None:
    """A blocked user, and one who may not sign up, see what all see."""
    site = await serve()
    browser = await site.browser()
    usual = await browser.start(BOB)
    for fault in (Fault.ACCESS_DENIED, Fault.USER_BLOCKED):
        site.tenant.faults.add(fault, path=START, times=1)
        seen = await (await site.browser()).start(BOB)
        assert (seen.status, seen.path, seen.alert) == (usual.status, usual.path, None)
        assert re.sub('value="[^"]*"', "", seen.text) == re.sub('value="[^"]*"', "", usual.text)


async def test_a_captcha_that_cannot_be_shown(site: Site) -> None:
    """The tenant wants one, and the page says that it has none."""
    browser = await site.browser()
    site.tenant.faults.add(Fault.VERIFICATION_REQUIRED, path=START, times=1)
    seen = await browser.start()
    assert (seen.status, seen.path) == (403, "/login")
    assert (seen.alert or "").startswith("The sign-in service asks for a security check that we cannot show here.")
    assert (await browser.start()).path == "/code"


async def test_remember(serve: Serve) -> None:
    """A user who asks for it keeps the cookie; another one has it until the browser is closed."""
    site = await serve(remember_for=86_400.0)
    for ticked in (True, False):
        browser = await site.browser()
        await browser.post("/login", {"identifier": "ada@example.com", **({"remember": "1"} if ticked else {})})
        seen = await browser.post("/code", {"code": site.code()}, follow=False)
        assert ("Max-Age=86400" in seen.set_cookies["session"]) is ticked


# --- browsers are not orderly


async def test_two_tabs(site: Site) -> None:
    """A form for another login is not taken for this one's: no attempt is lost, and the page says what happened."""
    browser = await site.browser()
    await browser.get("/login")
    first = await browser.start(ADA)
    second = await browser.start(BOB)
    for path in ("/code", "/code/resend"):
        seen = await browser.post(path, {"csrf": first.csrf, "code": site.code(ADA)})
        assert (seen.status, "b•b@example.com" in seen.text) == (409, True)
        assert seen.alert == "You started another sign-in in another tab. This page goes on with that one."
    assert (arrived(site.tenant, TOKEN), arrived(site.tenant, START)) == (0, 2)
    assert (await browser.post("/code", {"csrf": second.csrf, "code": site.code(BOB)})).path == "/"


async def test_two_tabs_of_one_user(site: Site) -> None:
    """Both go on with the same login."""
    browser = await site.browser()
    first = await browser.start(ADA)
    await browser.start(ADA)
    assert (await browser.post("/code", {"csrf": first.csrf, "code": site.code(ADA)})).path == "/"


async def test_back_button(site: Site) -> None:
    """After the login its pages lead on: nothing is sent again."""
    browser = await site.browser()
    await browser.log_in()
    code = site.code()
    assert (await browser.get("/code")).path == "/login"
    again = await browser.post("/code", {"code": code})
    assert (again.path, again.title) == ("/", "You are signed in")
    assert (await browser.post("/code/resend")).alert == "This took too long. Please start again."
    assert arrived(site.tenant, START) == 1


async def test_double_submit(site: Site) -> None:
    """Two clicks at once are one start and one session."""
    browser = await site.browser()
    await browser.get("/login")
    sent = await asyncio.gather(browser.start(), browser.start())
    assert [each.path for each in sent] == ["/code", "/code"]
    code = site.code()
    seen = await asyncio.gather(*(browser.post("/code", {"code": code}) for _ in range(3)))
    assert [(each.status, each.path) for each in seen] == [(200, "/")] * 3
    assert (site.tenant.stats.codes_presented, len(await names(browser))) == (1, 1)


async def test_login_while_logged_in(site: Site) -> None:
    """The new session replaces the old one, which ends: the same user's or another's."""
    browser = await site.browser()
    await browser.log_in(ADA)
    old = browser.cookie("session") or ""
    await browser.log_in(BOB)
    assert browser.cookie("session") not in {old, None}
    other = await site.browser()
    other.set_cookie("session", old)
    assert (await other.get("/")).path == "/login"
    assert "bob@example.com" in (await browser.get("/")).text


# --- cookies


async def test_session_fixation(site: Site) -> None:
    """An identifier that was in the browser before the login opens nothing after it."""
    planted = "A" * 51
    browser = await site.browser()
    browser.set_cookie("session", planted)
    await browser.log_in()
    assert browser.cookie("session") != planted
    other = await site.browser()
    other.set_cookie("session", planted)
    assert (await other.get("/")).path == "/login"


async def test_replayed_login_cookie(site: Site) -> None:
    """The cookie of a login that has ended opens nothing: the code is spent."""
    browser, thief = await site.browser(), await site.browser()
    await browser.start()
    cookie, code = browser.cookie("login") or "", site.code()
    await browser.post("/code", {"code": code})
    thief.set_cookie("login", cookie)
    seen = await thief.post("/code", {"code": code})
    assert (seen.status, thief.cookie("session")) == (403, None)
    assert seen.alert == "This code has already been used. Request another one."


async def test_cookie_of_another_deployment(serve: Serve) -> None:
    """Another site, or another store, takes no login of this one: it is as if there were none."""
    site, other = await serve(), await serve()
    browser, foreign = await site.browser(), await other.browser()
    await browser.start()
    await foreign.start()
    foreign.set_cookie("login", browser.cookie("login") or "")
    seen = await foreign.post("/code", {"code": other.code()})
    assert (seen.status, seen.alert) == (403, "This took too long. Please start again.")


@pytest.mark.parametrize("at", [5, 60, 150, -1])
async def test_changed_cookie(site: Site, at: int) -> None:
    """A cookie that was changed is none."""
    browser = await site.browser()
    await browser.start()
    cookie = browser.cookie("login") or ""
    browser.set_cookie("login", cookie[:at] + ("A" if cookie[at] != "A" else "B") + (cookie[at:][1:]))
    seen = await browser.post("/code", {"code": site.code()})
    assert (seen.status, arrived(site.tenant, TOKEN)) == (403, 0)


async def test_code_of_another_user(site: Site) -> None:
    """It is a wrong code."""
    ada, bob = await site.browser(), await site.browser()
    await ada.start(ADA)
    await bob.start(BOB)
    seen = await ada.post("/code", {"code": site.code(BOB)})
    assert (seen.status, ada.cookie("session")) == (403, None)
    assert (await bob.post("/code", {"code": site.code(BOB)})).path == "/"


@pytest.mark.parametrize("name", ["session", "login"])
async def test_oversized_cookies(site: Site, name: str) -> None:
    """They count as none."""
    browser = await site.browser()
    seen = await browser.get("/", {"Cookie": f"{name}=" + "A" * 8000})
    assert (seen.status, seen.path) == (200, "/login")


# --- requests that no page of the site makes


FOREIGN: list[dict[str, str]] = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "SITE"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "SITE.evil.example"},
    {},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
async def test_csrf(site: Site, headers: dict[str, str]) -> None:
    """A request of another origin changes nothing, and the page says what to do."""
    browser = await site.browser()
    await browser.log_in()
    await browser.start(BOB)
    asked = len(site.tenant.requests)
    given = {name: value.replace("SITE", site.origin) for name, value in headers.items()}
    fields = {"identifier": "eve@example.com", "code": site.code(BOB)}
    for path in ("/login", "/code", "/code/resend", "/login/cancel", "/logout", "/sessions/end-others"):
        seen = await browser.request("POST", path, headers=given, data=fields)
        assert (seen.status, seen.set_cookies, len(site.tenant.requests)) == (403, {}, asked)
        assert (seen.alert or "").startswith("This request did not come from this page.")
    assert (await browser.get("/")).path == "/"


async def test_csrf_of_browsers_that_name_no_origin(site: Site) -> None:
    """Then the form's token decides: that of the login, and of the session."""
    browser, other = await site.browser(), await site.browser()
    page = await browser.get("/login")
    foreign = await other.get("/login")
    for token in ("", foreign.csrf, "é"):
        seen = await browser.request("POST", "/login", data={"identifier": "ada@example.com", "csrf": token})
        assert seen.status == 403
    sent = await browser.request("POST", "/login", data={"identifier": "ada@example.com", "csrf": page.csrf})
    home = await browser.request("POST", "/code", data={"code": site.code(), "csrf": sent.csrf})
    assert home.path == "/"
    assert (await browser.request("POST", "/logout", data={"csrf": home.csrf})).path == "/logged-out"


@pytest.mark.parametrize(
    "headers",
    [
        {"Accept": "application/json"},
        {"Accept": "application/json", "X-CSRF": "0"},
        {**JSON, "Content-Type": "text/plain"},
        {**JSON, "Content-Type": "application/x-www-form-urlencoded"},
    ],
    ids=str,
)
async def test_csrf_of_json(site: Site, headers: dict[str, str]) -> None:
    """JSON comes with a header field that only a script of this site can set, and as JSON."""
    browser = await site.browser()
    body = b'{"identifier": "ada@example.com"}' if "Content-Type" not in headers else b"identifier=ada%40example.com"
    given = {"Content-Type": "application/json", **headers}
    seen = await browser.request("POST", "/login", headers=given, data=body)
    assert (seen.status in {400, 403}, arrived(site.tenant, START)) == (True, 0)


@pytest.mark.parametrize(
    ("wanted", "location"),
    [
        ("/app", "/app"),
        ("/app/orders?page=2#top", "/app/orders?page=2#top"),
        ("/app/%C3%A9", "/app/%C3%A9"),
        ("/apple", None),
        ("/other", None),
        ("https://evil.example/app", None),
        ("//evil.example/app", None),
        ("/\\evil.example", None),
        ("\\\\evil.example", None),
        ("/app/../other", None),
        ("/app/%2e%2e/other", None),
        ("/app//evil.example", None),
        ("/app%2f%2fevil.example", None),
        ("/\tapp", None),
        ("/app\r\nSet-Cookie: session=x", None),
        ("javascript:alert(1)", None),
        ("/" + "a" * 2000, None),
        ("", None),
    ],
)
async def test_open_redirect(serve: Serve, wanted: str, location: str | None) -> None:
    """A login returns to an allowed path of this site, or home: whether a page or a script asks."""
    site = await serve(return_to=["/app"])
    for named in (f"/login?return_to={quote(wanted, safe='')}", "/login"):
        browser = await site.browser()
        await browser.get(named)
        fields = {"identifier": "ada@example.com", **({"return_to": wanted} if named == "/login" else {})}
        browser_without_login = await site.browser()
        sender = browser if "?" in named else browser_without_login
        await sender.post("/login", fields)
        seen = await sender.post("/code", {"code": site.code()}, follow=False)
        assert (seen.status, seen.headers["Location"]) == (303, location or f"{site.mount}/")


async def test_header_injection(site: Site) -> None:
    """Line ends in a path, a query or a field reach no header field of a response."""
    browser = await site.browser()
    for path in ("/login%0d%0aSet-Cookie:%20session=x", "/login?language=%0d%0aX-Evil:%201", "/%0d%0a"):
        seen = await browser.get(path)
        assert ("X-Evil" in seen.headers, "session" in seen.set_cookies) == (False, False)


@pytest.mark.parametrize("size", [65_537, 200_000])
async def test_oversized_body(site: Site, size: int) -> None:
    """It is refused in words, and not read to its end."""
    browser = await site.browser()
    seen = await browser.post("/login", {"identifier": "a" * size})
    assert (seen.status, seen.alert) == (413, "That was too much data.")
    field = await browser.post("/login", {"identifier": "a" * 5000})
    assert (field.status, field.alert) == (400, "We could not read this form. Please reload the page and try again.")


@pytest.mark.parametrize(
    ("method", "path", "status", "allowed"),
    [
        ("DELETE", "/login", 405, "GET, HEAD, POST"),
        ("GET", "/logout", 405, "POST"),
        ("PUT", "/sessions", 405, "GET, HEAD"),
        ("OPTIONS", "/login", 405, "GET, HEAD, POST"),
        ("GET", "/nothing", 404, None),
        ("POST", "/nothing", 404, None),
        ("GET", "/login/", 404, None),
        ("GET", "/static/%2e%2e%2flogin", 404, None),
        ("GET", "/static/style.css", 404, None),
    ],
)
async def test_methods_and_paths(site: Site, method: str, path: str, status: int, allowed: str | None) -> None:
    """Only what is on the table; the rest is a page in words."""
    browser = await site.browser()
    seen = await browser.request(method, path, headers={"Sec-Fetch-Site": "same-origin"})
    assert (seen.status, seen.headers.get("Allow")) == (status, allowed)
    assert seen.title == "That did not work"


async def test_head(site: Site) -> None:
    """As GET, without a body."""
    browser = await site.browser()
    got, head = await browser.get("/login"), await browser.request("HEAD", "/login")
    assert (head.status, head.text) == (200, "")
    assert head.headers["Content-Type"] == got.headers["Content-Type"]


async def test_security_headers(site: Site) -> None:
    """Every response of the gateway's own has them; its files may be kept."""
    browser = await site.browser()
    page = await browser.get("/login")
    for seen in (page, await browser.get("/nothing"), await browser.get("/session"), await browser.post("/logout")):
        assert seen.headers["Cache-Control"] == "no-store"
        assert "default-src 'none'" in seen.headers["Content-Security-Policy"]
        assert "unsafe" not in seen.headers["Content-Security-Policy"]
        assert seen.headers["X-Content-Type-Options"] == "nosniff"
    assert re.search(r"<script(?! src)|<style|\bon[a-z]+=|style=", page.text) is None
    for path in re.findall(r'(?:href|src)="(/[^"]+)"', page.text):
        file = await browser.get(path.removeprefix(site.mount))
        assert (file.status, "immutable" in file.headers["Cache-Control"]) == (200, True)


# --- languages


async def test_language_choice(serve: Serve) -> None:
    """By ``Accept-Language``, or by a link that is remembered; the service is told as well."""
    german = {"page": {"sign_in": "Anmelden"}}
    site = await serve(texts=Texts().with_catalogs({"de": german}))
    browser = await site.browser(**{"Accept-Language": "fr;q=0.1, de-AT, en;q=0.5"})
    seen = await browser.get("/login")
    assert (seen.title, '<html lang="de">' in seen.text, set(seen.set_cookies)) == ("Anmelden", True, {"login"})
    assert (await browser.get("/login?language=en")).title == "Sign in"
    assert (await browser.get("/login")).title == "Sign in"
    assert (await browser.get("/login?language=de")).title == "Anmelden"
    assert "language" not in (await browser.get("/login?language=xx")).set_cookies
    page = await browser.get("/step-up?return_to=/pay&max_age=0")  # the login, for there is no session
    assert 'href="?return_to=%2Fpay&amp;language=ja" lang="ja"' in page.text
    await browser.start()
    assert site.tenant.requests[-1].headers["x-request-language"] == "de"


# --- sessions


async def test_sessions(site: Site) -> None:
    """The user sees each with its device, this one marked; ends one, ends all others."""
    laptop, phone, tablet = [await site.browser() for _ in range(3)]
    for browser in (laptop, phone, tablet):
        await browser.log_in()
    await (await site.browser()).log_in(BOB)
    page = await laptop.get("/sessions")
    assert (page.title, page.text.count("Firefox on Linux"), page.text.count("This device")) == ("Your sessions", 3, 1)
    told = (await laptop.get("/sessions", JSON)).json["sessions"]
    assert [each["is_current"] for each in told] == [True, False, False]
    phones = next(each for each in (await phone.get("/sessions", JSON)).json["sessions"] if each["is_current"])
    ended = await laptop.post("/sessions/end", {"name": phones["name"]})
    assert (ended.path, ended.text.count("Firefox on Linux")) == ("/sessions", 2)
    assert (await phone.get("/")).path == "/login"
    assert (await laptop.post("/sessions/end-others")).text.count("Firefox on Linux") == 1
    assert (await tablet.get("/")).path == "/login"
    own = (await names(laptop))[0]
    out = await laptop.post("/sessions/end", {"name": own})
    assert (out.path, laptop.cookie("session"), site.tenant.stats.revoke_requests) == ("/logged-out", None, 3)


async def test_sessions_of_others(site: Site) -> None:
    """A user ends no session of another one, whatever name is sent."""
    ada, bob = await site.browser(), await site.browser()
    await ada.log_in(ADA)
    await bob.log_in(BOB)
    for name in (*(await names(bob)), "", "x", bob.cookie("session") or ""):
        assert (await ada.post("/sessions/end", {"name": name})).status == 200
    assert (await bob.get("/")).path == "/"
    assert (await ada.post("/sessions/end-others")).status == 200
    assert (await bob.get("/")).path == "/"


async def test_sessions_without_a_login(site: Site) -> None:
    """The login comes first, and returns to the list."""
    browser = await site.browser()
    assert (await browser.get("/sessions")).path == "/login"
    await browser.start()
    assert (await browser.post("/code", {"code": site.code()})).path == "/sessions"


# --- what is not there


async def test_store_unreachable_before_the_exchange(site: Site) -> None:
    """The code is not sent to the service: it opens the session once the store is back."""
    browser = await site.browser()
    await browser.start()
    site.store.is_unreachable = True
    lost = await browser.post("/code", {"code": site.code()})
    if lost.status == 303:
        pytest.fail("logged in without a store")
    assert (lost.status, lost.alert) == (
        503,
        "We cannot reach our records at the moment. Please try again shortly.",
    )
    site.store.is_unreachable = False
    assert (await browser.get("/")).path == "/login"


async def test_store_unreachable_while_logged_in(site: Site) -> None:
    """The pages say so, the cookie stays, and no logout is claimed that did not happen."""
    browser = await site.browser()
    await browser.log_in()
    site.store.is_unreachable = True
    for seen in (await browser.get("/"), await browser.get("/sessions"), await browser.post("/logout")):
        assert (seen.status, seen.title) == (503, "That did not work")
        assert seen.alert == "We cannot reach our records at the moment. Please try again shortly."
    assert (await browser.get("/session", JSON)).status == 503
    assert browser.cookie("session") is not None
    site.store.is_unreachable = False
    assert (await browser.get("/")).path == "/"


@pytest.mark.parametrize("fault", [Fault.SERVICE_UNAVAILABLE, Fault.DROP_BEFORE_READ, Fault.RATE_LIMITED_RETRY_AFTER])
async def test_tenant_down_at_the_start(site: Site, fault: Fault) -> None:
    """The page says what to do; what was typed is still there."""
    browser = await site.browser()
    await browser.get("/login")
    site.tenant.faults.add(fault, path=START)
    seen = await browser.start()
    assert (seen.status in {429, 502, 503}, seen.alert is None) == (True, False)
    site.tenant.faults.clear()
    await browser.start()
    assert (await browser.post("/code", {"code": site.code()})).path == "/"


async def test_answer_of_a_start_is_lost(site: Site) -> None:
    """The code may be on its way: the page asks for it, and says so."""
    browser = await site.browser()
    site.tenant.faults.add(Fault.DROP_AFTER_PROCESSING, path=START, times=1)
    seen = await browser.start()
    assert (seen.status, seen.title) == (502, "Enter your code")
    assert (seen.alert or "").startswith("We could not confirm that your code was sent.")
    assert (await browser.post("/code", {"code": site.code()})).path == "/"


async def test_answer_of_an_exchange_is_lost(site: Site) -> None:
    """The code counts as spent and is not sent again: the page offers another one at once."""
    browser = await site.browser()
    await browser.start()
    code = site.code()
    site.tenant.faults.add(Fault.DROP_AFTER_PROCESSING, path=TOKEN, times=1)
    seen = await browser.post("/code", {"code": code})
    assert (seen.status, seen.alert) == (
        502,
        "We could not confirm your sign-in. Please request another code and try again.",
    )
    asked = arrived(site.tenant, TOKEN)
    assert (
        await browser.post("/code", {"code": code})
    ).alert == "This code has already been used. Request another one."
    assert arrived(site.tenant, TOKEN) == asked
    await browser.post("/code/resend")
    assert (await browser.post("/code", {"code": site.code()})).path == "/"


async def test_no_secret_in_logs(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """Codes, cookies, tokens and addresses: in no line, whatever failed on the way."""
    caplog.set_level("DEBUG")
    site = await serve()
    browser = await site.browser()
    await browser.log_in()
    session = await site.client.sessions.get(browser.cookie("session") or "")
    site.store.is_unreachable = True
    await browser.get("/sessions")
    site.store.is_unreachable = False
    login = await (await site.browser()).start(BOB)
    secrets = [site.code(ADA), site.code(BOB), session.id, session.tokens.access_token, login.csrf, "@example.com"]
    assert [secret for secret in secrets if secret in caplog.text] == []
    assert [secret for secret in secrets if secret in repr((site.gateway, session, login))] == []
