"""Bad input and faults, on every mount: the status and the text are right, nothing is lost, nothing crosses users."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from helpers import sites
from helpers.clients import arrived
from helpers.sites import ADA, BOB, JSON, Browser, Seen, Site
from passwordless_async import Email, StoreError
from passwordless_async.client.sessions import opening
from passwordless_async.gateway.routes import ROUTES, SIGNED
from passwordless_async.gateway.texts.catalogs import built_in
from passwordless_async.testing import Fault, TenantSettings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

Serve: TypeAlias = "Callable[..., Awaitable[Site]]"
START, TOKEN = "/passwordless/start", "/oauth/token"
ENGLISH = built_in()["en"]["problem"]
POSTS = sorted(path for path, steps in ROUTES.items() if "POST" in steps and path not in SIGNED)


def key_of(seen: Seen) -> str | None:
    """Return the key of the problem that a response tells, as JSON or as the text of a page."""
    if seen.json is not None:
        key: str | None = seen.json.get("problem", {}).get("key")
        return key
    return next((key.removesuffix("_soon") for key, text in ENGLISH.items() if text == seen.alert), seen.alert)


async def send(browser: Browser, path: str, fields: dict[str, str], *, as_json: bool) -> Seen:
    return await (browser.call(path, fields) if as_json else browser.post(path, fields))


async def user_of(site: Site, browser: Browser) -> str | None:
    """Return the address of the user that a browser is logged in as."""
    identifier = browser.cookie("session")
    if identifier is None:
        return None
    return str(((await site.client.sessions.get(identifier)).tokens.claims or {})["email"])


as_page_and_json = pytest.mark.parametrize("as_json", [False, True], ids=["page", "json"])


# --- cookies


@as_page_and_json
async def test_a_login_cookie_of_another_user(site: Site, *, as_json: bool) -> None:
    """It goes on with that user's login, by that user's code alone: no other one is logged in by it."""
    ada, bob = await site.browser(), await site.browser()
    await ada.start(ADA)
    await bob.start(BOB)
    bob.set_cookie("login", ada.cookie("login") or "")
    seen = await send(bob, "/code", {"code": site.code(BOB)}, as_json=as_json)
    assert (seen.status, key_of(seen), bob.cookie("session")) == (403, "wrong_code", None)
    await ada.post("/code", {"code": site.code(ADA)})
    assert await user_of(site, ada) == ADA.address


@as_page_and_json
async def test_a_login_cookie_that_is_replayed(site: Site, *, as_json: bool) -> None:
    """After its login it opens nothing, and a new code logs in as usual."""
    browser, thief = await site.browser(), await site.browser()
    await browser.start()
    cookie, code = browser.cookie("login") or "", site.code()
    await browser.post("/code", {"code": code})
    thief.set_cookie("login", cookie)
    seen = await send(thief, "/code", {"code": code}, as_json=as_json)
    assert (seen.status, key_of(seen), thief.cookie("session")) == (403, "code_spent", None)
    assert await user_of(site, browser) == ADA.address
    assert site.tenant.stats.codes_presented == 1


@as_page_and_json
@pytest.mark.parametrize("cookie", ["session", "login"])
async def test_a_cookie_of_another_deployment(serve: Serve, cookie: str, *, as_json: bool) -> None:
    """Of another site, client or store: it counts as none."""
    site, other = await serve(), await serve()
    browser, foreign = await site.browser(), await other.browser()
    await (browser.log_in() if cookie == "session" else browser.start())
    foreign.set_cookie(cookie, browser.cookie(cookie) or "")
    if cookie == "login":
        seen = await send(foreign, "/code", {"code": "123456"}, as_json=as_json)
        assert (seen.status, key_of(seen), arrived(other.tenant, TOKEN)) == (403, "login_expired", 0)
    else:
        seen = await foreign.get("/sessions", JSON if as_json else {})
        assert (seen.status, seen.path) == ((401, "/sessions") if as_json else (200, "/login"))
        assert await user_of(site, browser) == ADA.address


@pytest.mark.parametrize("at", [0, 20, -1])
async def test_a_session_cookie_that_was_changed(site: Site, at: int) -> None:
    """It opens no session, and ends none."""
    browser, thief = await site.browser(), await site.browser()
    await browser.log_in()
    cookie = browser.cookie("session") or ""
    changed = cookie[:at] + ("A" if cookie[at] != "A" else "B") + cookie[at:][1:]
    thief.set_cookie("session", changed)
    assert (await thief.get("/sessions", JSON)).status == 401
    thief.set_cookie("session", changed)
    assert (await thief.post("/logout")).path == "/logged-out"
    assert await user_of(site, browser) == ADA.address


async def test_a_cookie_that_comes_twice(site: Site) -> None:
    """As another host of the domain could set: neither counts."""
    browser = await site.browser()
    await browser.log_in()
    own = browser.cookie("session")
    other = await site.browser()
    seen = await other.get("/sessions", {**JSON, "Cookie": f"session={own}; session=x"})
    assert (seen.status, key_of(seen)) == (401, "session_ended")


async def test_cookies_that_are_too_many(site: Site) -> None:
    """They count as none; the page is shown."""
    browser = await site.browser()
    crumbs = "; ".join(f"crumb{number}={'x' * 200}" for number in range(30))
    assert (await browser.get("/login", {"Cookie": crumbs})).status == 200


# --- requests that no page of the site makes


@pytest.mark.parametrize("path", POSTS)
async def test_csrf_of_every_route(site: Site, path: str) -> None:
    """Neither a form nor JSON of another origin counts: nothing is asked of the tenant, and no cookie is set."""
    browser = await site.browser()
    await browser.log_in()
    await browser.start(BOB)
    asked, session = len(site.tenant.requests), browser.cookie("session")
    fields = {"identifier": "eve@example.com", "code": site.code(BOB), "kind": "otp", "send": "link"}
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}, {}):
        seen = await browser.request("POST", path, headers=headers, data=fields)
        assert (seen.status, key_of(seen), seen.set_cookies) == (403, "csrf", {})
        told = await browser.request("POST", path, headers={**headers, "Accept": "application/json"}, json=fields)
        assert (told.status, key_of(told), told.set_cookies) == (403, "csrf", {})
    assert (len(site.tenant.requests), browser.cookie("session")) == (asked, session)


async def test_the_host_that_a_request_names(site: Site) -> None:
    """It is in no address of a response: a cache or a mail would carry it on."""
    browser = await site.browser()
    for path in ("/", "/login", "/sessions"):
        seen = await browser.get(path, {"Host": "evil.example", "X-Forwarded-Host": "evil.example"}, follow=False)
        assert "evil.example" not in seen.text + str(seen.headers)


@pytest.mark.parametrize(
    "field", ["X-Forwarded-For", "Accept-Language", "User-Agent", "Accept", "Content-Type", "Origin"]
)
@pytest.mark.parametrize("value", ["é" * 50, "," * 3000, '"><script>alert(1)</script>', "unknown", ";q=", "*/*;q=0"])
async def test_fields_with_anything(serve: Serve, field: str, value: str) -> None:
    """They are read, or count as absent: no fault, and nothing of them in a page as it came."""
    site = await serve(trusted_proxies=1)
    browser = await site.browser()
    seen = await browser.get("/login", {field: value})
    assert (seen.status, "<script>alert" in seen.text) == (200, False)


@as_page_and_json
async def test_oversized_bodies(site: Site, *, as_json: bool) -> None:
    """Refused in words; the login goes on."""
    browser = await site.browser()
    await browser.start()
    seen = await send(browser, "/code", {"code": "1" * 70_000}, as_json=as_json)
    assert (seen.status, key_of(seen)) == (413, "too_large")
    assert (await browser.post("/code", {"code": site.code()})).path == "/"


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'{"code": 1}', b'{"code": {}}', b'{"code": "1", "code": "2"}', b"\xff", b"null"]
)
async def test_malformed_json(site: Site, body: bytes) -> None:
    """Refused in words; no code is presented."""
    browser = await site.browser()
    await browser.start()
    headers = {**JSON, "Content-Type": "application/json"}
    seen = await browser.request("POST", "/code", headers=headers, data=body)
    assert (seen.status, key_of(seen), arrived(site.tenant, TOKEN)) == (400, "malformed_form", 0)
    assert (await browser.post("/code", {"code": site.code()})).path == "/"


# --- browsers are not orderly


async def test_double_submits_of_what_ends(site: Site) -> None:
    """Each is what the user wanted: no fault, and one revocation."""
    browser, other = await site.browser(), await site.browser()
    await other.log_in()
    await browser.log_in()
    ended = await asyncio.gather(*(browser.post("/sessions/end-others") for _ in range(3)))
    assert [(seen.status, seen.path) for seen in ended] == [(200, "/sessions")] * 3
    assert site.tenant.stats.revoke_requests == 1
    out = await asyncio.gather(*(browser.post("/logout") for _ in range(3)))
    assert [(seen.status, seen.path) for seen in out] == [(200, "/logged-out")] * 3
    assert site.tenant.stats.revoke_requests == 2


async def test_back_after_a_logout(site: Site) -> None:
    """Pages are not kept by the browser, and lead to the login."""
    browser = await site.browser()
    page = await browser.log_in()
    assert page.headers["Cache-Control"] == "no-store"
    await browser.post("/logout")
    for path in ("/", "/sessions", "/step-up"):
        assert (await browser.get(path)).path == "/login"


async def test_logins_of_many_users_at_once(site: Site) -> None:
    """Each browser is logged in as its own user."""
    users = [Email(f"user{number}@example.com") for number in range(8)]
    browsers = [await site.browser() for _ in users]
    await asyncio.gather(*(browser.log_in(who) for browser, who in zip(browsers, users, strict=True)))
    assert [await user_of(site, browser) for browser in browsers] == [who.address for who in users]


# --- what is not there


@as_page_and_json
async def test_the_store_is_unreachable_before_the_exchange(site: Site, *, as_json: bool) -> None:
    """The code is not presented: the same page logs in once the store is back."""
    browser = await site.browser()
    await browser.start()
    site.store.is_unreachable = True
    seen = await send(browser, "/code", {"code": site.code()}, as_json=as_json)
    assert (seen.status, key_of(seen), arrived(site.tenant, TOKEN)) == (503, "store_unavailable", 0)
    site.store.is_unreachable = False
    assert (await browser.post("/code", {"code": site.code()})).path == "/"


@as_page_and_json
async def test_the_store_is_lost_after_the_exchange(
    site: Site, monkeypatch: pytest.MonkeyPatch, *, as_json: bool
) -> None:
    """The code is spent, and the tokens are revoked; another code logs in."""
    monkeypatch.setattr(opening, "_PATIENCE_SECONDS", 0.0)
    browser = await site.browser()
    await browser.start()
    code = site.code()
    with monkeypatch.context() as patched:
        patched.setattr(site.store.inner, "open", _fails)
        seen = await send(browser, "/code", {"code": code}, as_json=as_json)
    assert (seen.status, key_of(seen), browser.cookie("session")) == (503, "outcome_unknown", None)
    assert [family.revoked for family in site.tenant.refresh_families] == [True]
    again = await send(browser, "/code", {"code": code}, as_json=as_json)
    assert (again.status, key_of(again), site.tenant.stats.codes_presented) == (403, "code_spent", 1)
    await browser.post("/code/resend")
    await browser.post("/code", {"code": site.code()})
    assert await user_of(site, browser) == ADA.address


@pytest.mark.parametrize("as_json", [False, True], ids=["page", "json"])
@pytest.mark.parametrize(
    ("fault", "status", "key", "code_is_good"),
    [
        (Fault.DROP_BEFORE_READ, 502, "outcome_unknown", False),
        (Fault.DROP_AFTER_PROCESSING, 502, "outcome_unknown", False),
        (Fault.GARBAGE_JSON, 502, "untrusted_answer", False),
        (Fault.RATE_LIMITED_SILENT, 429, "too_many_requests", True),
        (Fault.ACCESS_DENIED, 403, "access_denied", False),
        (Fault.UNAUTHORIZED_CLIENT, 500, "misconfigured", False),
    ],
    ids=str,
)
async def test_a_tenant_that_fails_at_the_exchange(
    site: Site, fault: Fault, status: int, key: str, *, code_is_good: bool, as_json: bool
) -> None:
    """The page says what to do; a code that may be spent is not sent again, and another one logs in."""
    browser = await site.browser()
    await browser.start()
    code = site.code()
    site.tenant.faults.add(fault, path=TOKEN)
    seen = await send(browser, "/code", {"code": code}, as_json=as_json)
    assert (seen.status, key_of(seen), browser.cookie("session")) == (status, key, None)
    site.tenant.faults.clear()
    if not code_is_good:
        await browser.post("/code/resend")
    assert (await browser.post("/code", {"code": site.code()})).path == "/"


@as_page_and_json
@pytest.mark.parametrize(("path", "endpoint"), [("/login", START), ("/code", TOKEN)])
async def test_a_setting_that_is_wrong(
    caplog: pytest.LogCaptureFixture, path: str, endpoint: str, *, as_json: bool
) -> None:
    """No page asks for what cannot help, the log says what to mend, and once it is mended a login works."""
    rows = [
        (400, "bad.client_id", "", "InvalidClient: bad.client_id (400). Check client_id and client_auth. Raised in "),
        (400, "bad.connection", "", "OAuthError: bad.connection (400). Check Authentication > Passwordless: "),
        (403, "access_denied", "Service not found: x", "InvalidTarget: access_denied (403). Check audience: it must "),
    ]
    async with sites.opened() as site:
        for status, error, description, said in rows:
            browser = await site.browser()
            await browser.start()
            site.tenant.faults.add(Fault.REFUSAL, path=endpoint, status=status, error=error, description=description)
            fields = {"identifier": BOB.address} if path == "/login" else {"code": site.code()}
            seen = await send(browser, path, fields, as_json=as_json)
            assert (seen.status, key_of(seen), '<input id="' in seen.text) == (500, "misconfigured", False)
            assert seen.json is None or (seen.json["step"], seen.json["problem"]["field"]) == ("fault", None)
            assert seen.json is not None or 'href="/login"' in seen.text
            assert (caplog.records[-1].levelname, caplog.messages[-1].startswith(f"POST {path} failed: {said}")) == (
                "ERROR",
                True,
            )
            site.tenant.faults.clear()
            assert (await browser.log_in()).path == "/"


@as_page_and_json
async def test_a_tenant_that_is_down_at_the_start(site: Site, *, as_json: bool) -> None:
    """What was typed stays, and the same form works once the tenant is back."""
    browser = await site.browser()
    site.tenant.faults.add(Fault.SERVICE_UNAVAILABLE, path=START)
    seen = await send(browser, "/login", {"identifier": ADA.address}, as_json=as_json)
    assert (seen.status, key_of(seen), ADA.address in seen.text) == (503, "service_unavailable", True)
    site.tenant.faults.clear()
    await browser.start()
    assert (await browser.post("/code", {"code": site.code()})).path == "/"


@as_page_and_json
async def test_accounts_are_not_told_apart(serve: Serve, *, as_json: bool) -> None:
    """A user without an account, and one who is blocked, see what all see, from the start to the third wrong code."""
    site = await serve(settings=TenantSettings(allow_signup=False))
    known, unknown = Email("known@example.com"), Email("kexyn@example.com")  # of one mask
    for who in (known, BOB):
        site.tenant.users.add(who)
    await (await site.browser()).log_in(BOB)
    ways = []
    for who in (known, unknown):
        browser = await site.browser()
        seen = [await send(browser, "/login", {"identifier": who.address}, as_json=as_json)]
        seen += [await send(browser, "/code", {"code": f"00000{n}"}, as_json=as_json) for n in range(4)]
        ways.append([(each.status, key_of(each), sorted(each.json or {})) for each in seen])
    assert ways[0] == ways[1]


async def _fails(*_arguments: object, **_named: object) -> Any:
    raise StoreError("full")
