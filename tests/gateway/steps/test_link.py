"""Login by a link: on each mount, in the browser that asked for it and in others."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

import pytest
from aiohttp import ClientSession

from helpers.clients import arrived
from helpers.sites import ADA, BOB, JSON, Browser, Seen, Site
from passwordless_async import StoreError
from passwordless_async.gateway import AuditEvent, AuditKind, Budgets
from passwordless_async.testing import Fault, TenantSettings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

Serve: TypeAlias = "Callable[..., Awaitable[Site]]"
START, TOKEN = "/passwordless/start", "/oauth/token"
NOT_VALID = "This link is no longer valid, or was opened in another browser. Please start again."


async def ask(site: Site, who: Any = ADA, **headers: str) -> Browser:
    """Return a browser that has asked for a link."""
    browser = await site.browser(**headers)
    page = await browser.get("/login?return_to=/app")
    assert 'name="send" value="link"' in page.text
    sent = await browser.post("/login", {"identifier": who.address, "send": "link"})
    assert (sent.status, sent.path, sent.title) == (200, "/link-sent", "Check your email")
    return browser


async def callback(site: Site, who: Any = ADA) -> str:
    """Follow the link of the mail at the tenant; return the path of the callback that it leads to, below the mount."""
    link = str(site.tenant.outbox.link_for(who))
    async with ClientSession() as mail, mail.get(link, allow_redirects=False) as response:
        to = urlsplit(response.headers["Location"])
    assert f"{to.scheme}://{to.netloc}{to.path}" == f"{site.origin}{site.mount}/link"
    return f"/link?{to.query}"


async def is_logged_in(browser: Browser) -> bool:
    return bool((await browser.get("/session")).json["logged_in"])


@pytest.fixture
async def site(serve: Serve) -> Site:
    """Serve a gateway with links."""
    return await serve(magic_link=True)


async def test_a_login(site: Site) -> None:
    """The link logs in the browser that asked for it, and returns where the login came from."""
    browser = await ask(site)
    page = await browser.get("/link-sent")
    assert "a•a@example.com" in page.text
    done = await browser.get(await callback(site), follow=False)
    assert (done.status, done.headers["Location"], browser.cookie("login")) == (303, "/app", None)
    session = await site.client.sessions.get(browser.cookie("session") or "")
    assert (session.tokens.claims or {})["email"] == ADA.address


async def test_a_setting_that_is_wrong(site: Site) -> None:
    """The page leads to the login, and not to the link, whose code may be spent."""
    browser = await ask(site)
    path = await callback(site)
    site.tenant.faults.add(Fault.REFUSAL, path=TOKEN, error="access_denied", description="Service not found: x")
    seen = await browser.get(path)
    assert (seen.status, f'href="{site.mount}/login"' in seen.text) == (500, True)


async def test_in_json(site: Site) -> None:
    """A script sees that there is the choice, and what was sent."""
    browser = await site.browser()
    assert (await browser.get("/login", JSON)).json["may_link"] is True
    sent = await browser.call("/login", {"identifier": ADA.address, "send": "link"})
    assert sent.json == {"step": "link-sent", "sent_to": "a•a@example.com", "resend_in": 30, "can_reload": False}
    path = await callback(site)
    done = await browser.get(path, JSON)
    assert (done.status, done.json["step"], await is_logged_in(browser)) == (200, "home", True)


async def test_another_browser(site: Site) -> None:
    """It says what to do, and spends nothing: the same address logs the first browser in."""
    browser, other = await ask(site), await site.browser()
    path = await callback(site)
    for headers, key in (({}, None), (JSON, "link_elsewhere")):
        seen = await other.get(path, headers)
        assert (seen.status, arrived(site.tenant, TOKEN), other.cookie("session")) == (403, 0, None)
        assert key is None or seen.json["problem"]["key"] == key
    page = await other.get(path)
    assert (page.title, page.alert) == (
        "Open the link in the other browser",
        "This link was not requested in this browser.",
    )
    assert "Never give this address to anyone." in page.text
    assert (await browser.get(path, follow=False)).headers["Location"] == "/app"


async def test_the_link_of_another_login(site: Site) -> None:
    """A link of another user, or an older one, opens no session: its state is not that of this login."""
    ada, bob = await ask(site, ADA), await ask(site, BOB)
    adas = await callback(site, ADA)
    seen = await bob.get(adas)
    assert (seen.status, seen.alert, arrived(site.tenant, TOKEN)) == (400, NOT_VALID, 0)
    assert (await bob.get(await callback(site, BOB), follow=False)).status == 303
    assert (await ada.get(adas, follow=False)).status == 303
    names = [(await site.client.sessions.get(each.cookie("session") or "")).tokens.claims or {} for each in (ada, bob)]
    assert [each["email"] for each in names] == [ADA.address, BOB.address]


@pytest.mark.parametrize("query", ["?state=x&code=y", "?code=y", "", "?state=%FF&code=y", "?state=a&state=b&code=y"])
async def test_forged_callbacks(site: Site, query: str) -> None:
    """Nothing is sent, and the link that is on its way still counts."""
    browser = await ask(site)
    seen = await browser.get(f"/link{query}")
    assert (seen.status < 500, arrived(site.tenant, TOKEN), seen.title) == (True, 0, "Check your email")
    assert (await browser.get(await callback(site), follow=False)).status == 303


async def test_opened_twice(site: Site) -> None:
    """By a double click, and once more afterwards: one session, and the code is presented once."""
    browser = await ask(site)
    path = await callback(site)
    seen = await asyncio.gather(*(browser.get(path, follow=False) for _ in range(3)))
    assert [each.status for each in seen] == [303] * 3
    assert len((await browser.get("/sessions", JSON)).json["sessions"]) == 1
    assert (await browser.get(path, follow=False)).headers["Location"] == f"{site.mount}/"
    assert arrived(site.tenant, TOKEN) <= 2  # a challenge for a nonce is answered


@pytest.mark.parametrize("how", ["HEAD", "prefetch"])
async def test_what_fetches_in_advance_spends_nothing(site: Site, how: str) -> None:
    """A mail's scanner, or a browser that guesses what comes next."""
    browser = await ask(site)
    path = await callback(site)
    method, headers = ("HEAD", {}) if how == "HEAD" else ("GET", {"Sec-Purpose": "prefetch;prerender"})
    seen = await browser.request(method, path, headers=headers)
    assert (seen.status, arrived(site.tenant, TOKEN)) == (503, 0)
    assert (await browser.get(path, follow=False)).status == 303


async def test_the_store_is_unreachable_before_the_exchange(site: Site) -> None:
    """The code is not presented; the page can be loaded again, without a token in it."""
    browser = await ask(site)
    path = await callback(site)
    site.store.is_unreachable = True
    seen = await browser.get(path)
    assert (seen.status, arrived(site.tenant, TOKEN), 'class="button" href=""' in seen.text) == (503, 0, True)
    site.store.is_unreachable = False
    assert (await browser.get(path, follow=False)).status == 303


async def test_the_session_cannot_be_kept(site: Site) -> None:
    """The tokens are revoked; another link may be sent at once."""
    browser = await ask(site)
    path = await callback(site)
    site.store.inner.open = _fails  # type: ignore[method-assign]
    seen = await browser.get(path)
    assert (seen.status, browser.cookie("session"), site.tenant.stats.revoke_requests) == (503, None, 1)
    assert seen.alert == "We could not confirm your sign-in. Please request another link."
    assert "data-resend-in" not in seen.text


async def test_an_answer_that_is_lost(site: Site) -> None:
    """The code counts as spent: another link is offered at once, and logs in."""
    browser = await ask(site)
    site.tenant.faults.add(Fault.DROP_AFTER_PROCESSING, path=TOKEN, times=1)
    seen = await browser.get(await callback(site))
    assert (seen.status, seen.alert) == (502, "We could not confirm your sign-in. Please request another link.")
    assert (await browser.post("/link/resend")).path == "/link-sent"
    assert (await browser.get(await callback(site), follow=False)).status == 303


async def test_a_start_that_may_have_sent_a_link(site: Site) -> None:
    """What it would be checked against is lost: the page says that another one is needed."""
    browser = await site.browser()
    site.tenant.faults.add(Fault.DROP_AFTER_PROCESSING, path=START, times=1)
    seen = await browser.post("/login", {"identifier": ADA.address, "send": "link"})
    assert (seen.status, seen.path) == (502, "/login")
    assert (seen.alert or "").startswith("We could not confirm that the link was sent.")


async def test_another_link_or_a_code(site: Site) -> None:
    """The first link is dead then; a code takes the place of a link."""
    browser = await ask(site)
    await browser.post("/link/resend")
    assert (await browser.post("/code/resend")).path == "/code"
    assert (await browser.post("/code", {"code": site.code()}, follow=False)).headers["Location"] == "/app"


async def test_an_expired_login(site: Site) -> None:
    """Its cookie has ended: the page says what to do, and the code is not sent."""
    browser = await ask(site)
    path = await callback(site)
    site.clock.ahead = 601
    assert ((await browser.get(path)).status, arrived(site.tenant, TOKEN)) == (403, 0)
    assert (await browser.get("/link-sent")).path == "/login"
    assert (await browser.post("/link/resend")).status == 403


async def test_the_cookie_is_small(site: Site) -> None:
    """Browsers keep 4,096 bytes of one, with as long a way back as is allowed (RFC 6265bis §5.6)."""
    browser = await site.browser()
    await browser.get("/login?return_to=/" + "a" * 1023)
    await browser.post("/login", {"identifier": f"{'a' * 60}@{'b' * 60}.example", "send": "link"})
    assert 1500 < len(browser.cookie("login") or "") < 4000


async def test_the_tenant_reports_an_error(site: Site) -> None:
    """Of this login, by its state: the page says so, and no code is presented."""
    browser = await ask(site)
    state = (await callback(site)).partition("state=")[2].partition("&")[0]
    seen = await browser.get(f"/link?error=access_denied&state={state}")
    assert (seen.status, seen.title, arrived(site.tenant, TOKEN)) == (403, "Check your email", 0)


async def test_what_a_user_writes_into_a_callback_is_not_logged(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """They know the state of their own login: neither error nor description of a callback is the tenant's for sure."""
    browser = await ask(site)
    state = (await callback(site)).partition("state=")[2].partition("&")[0]
    written = "error=logged%20in%20as%20bob@example.com&error_description=%2B4930901820"
    seen = await browser.get(f"/link?{written}&state={state}")
    (line,) = [each for each in caplog.messages if "GET /link failed" in each]
    assert (seen.status, "bob" in line, "4930901820" in line) == (403, False, False)
    assert "OAuthError: an unknown error (302). " in line


async def test_a_flood_of_errors_in_callbacks(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """The log has one line of it, whatever the errors are called."""
    browser = await ask(site)
    state = (await callback(site)).partition("state=")[2].partition("&")[0]
    for number in range(5):
        assert (await browser.get(f"/link?error=code{number}&state={state}")).status == 403
    (line,) = [each for each in caplog.messages if "GET /link failed" in each]
    assert "OAuthError: code0 (302). " in line


async def test_same_answer_whether_or_not_there_is_an_account(site: Site) -> None:
    """The same page, the same redirect, and a cookie of the same length."""

    def shown(seen: Seen) -> tuple[Any, ...]:
        return seen.status, seen.headers["Location"], len(seen.set_cookies["login"]) // 100

    usual, fields = await site.browser(), {"identifier": BOB.address, "send": "link"}
    expected = shown(await usual.post("/login", fields, follow=False))
    site.tenant.faults.add(Fault.ACCESS_DENIED, path=START, times=1)
    refused = await site.browser()
    assert shown(await refused.post("/login", fields, follow=False)) == expected
    assert (await refused.get("/link-sent")).text.count("b•b@example.com") == 1


async def test_phones_are_sent_codes(site: Site) -> None:
    """Only an e-mail carries a link."""
    browser = await site.browser()
    sent = await browser.post("/login", {"identifier": "+4930901820", "send": "link"})
    assert (sent.path, sent.title) == ("/code", "Enter your code")


async def test_links_count_as_codes_do(serve: Serve) -> None:
    """One budget for both: a mailbox is flooded by neither."""
    site = await serve(magic_link=True, budgets=Budgets(starts_per_user=1))
    browser = await ask(site)
    assert (await browser.post("/link/resend")).status == 429
    assert (await browser.post("/code/resend")).status == 429


async def test_without_links(serve: Serve) -> None:
    """There is no choice, no callback, and ``send=link`` sends a code."""
    site = await serve()
    browser = await site.browser()
    assert 'value="link"' not in (await browser.get("/login")).text
    sent = await browser.post("/login", {"identifier": ADA.address, "send": "link"})
    assert (sent.path, (await browser.get("/link?state=x&code=y")).status) == ("/code", 404)
    assert (await browser.post("/link/resend")).status == 404


async def test_the_audit_log_is_told(serve: Serve) -> None:
    """Of the start, the login and each refusal; of no code and no state."""
    told: list[AuditEvent] = []
    site = await serve(magic_link=True, on_audit=told.append)
    browser, other = await ask(site), await site.browser()
    path = await callback(site)
    await other.get(path)
    await browser.get("/link?state=x&code=y")
    await browser.get(path, follow=False)
    assert [(event.kind, event.reason) for event in told] == [
        (AuditKind.STARTED, None),
        (AuditKind.REFUSED, "link_elsewhere"),
        (AuditKind.REFUSED, "link_not_valid"),
        (AuditKind.LOGGED_IN, None),
    ]


async def _fails(*_arguments: object, **_named: object) -> None:
    raise StoreError("full")


async def test_a_second_factor_after_a_link(serve: Serve) -> None:
    """It is asked for as after a code; then the login returns where it came from, and the link is spent."""
    site = await serve(magic_link=True, settings=TenantSettings(mfa_at_authorization_code=True))
    site.tenant.users.add(ADA, mfa=["sms", "otp"])
    browser = await ask(site)
    link = await callback(site)
    assert (await browser.get(link)).path == "/factor"
    assert not await is_logged_in(browser)
    assert (await browser.post("/factor", {"code": "000000"})).status == 403
    done = await browser.post("/factor", {"code": site.tenant.mfa.otp_for(ADA)}, follow=False)
    assert (done.status, done.headers["Location"], await is_logged_in(browser)) == (303, "/app", True)
    assert (browser.cookie("login"), (await browser.get(link)).title) == (None, "You are signed in")


async def test_a_factor_that_is_enrolled_after_a_link(serve: Serve) -> None:
    """As after a code, with recovery codes."""
    site = await serve(magic_link=True, settings=TenantSettings(mfa_at_authorization_code=True, mfa_policy="always"))
    browser = await ask(site)
    assert (await browser.get(await callback(site))).path == "/enrolment"
    await browser.post("/enrolment", {"kind": "otp"})
    assert (await browser.post("/factor", {"code": site.tenant.mfa.otp_for(ADA)})).path == "/recovery-codes"
    assert (await browser.post("/recovery-codes", follow=False)).headers["Location"] == "/app"
