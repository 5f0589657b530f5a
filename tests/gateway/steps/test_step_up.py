"""Step-up: a newer login of the same user, under a new identifier."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from helpers import sites
from helpers.sites import ADA, BOB, JSON
from passwordless_async import Phone
from passwordless_async._common.secret import Secret
from passwordless_async.gateway import AuditEvent, AuditKind
from passwordless_async.gateway.state import LoginState
from passwordless_async.gateway.steps.step_up import _weak_login_error, _who
from passwordless_async.testing import MULTI_FACTOR
from passwordless_async.testing.state.users import User

if TYPE_CHECKING:
    from passwordless_async import StoredSession


@pytest.mark.parametrize("kind", sites.SUITE)
async def test_a_step_up(kind: str) -> None:
    """A code goes to the session's own user; the new session has the data of the old one, which ends."""
    told: list[AuditEvent] = []
    async with sites.opened(kind, on_audit=told.append) as site:
        browser, thief = await site.browser(), await site.browser()
        await browser.log_in()
        old = browser.cookie("session") or ""
        await site.client.sessions.update(old, data={"basket": 3})
        asked = await browser.get("/step-up?return_to=/pay")
        assert (asked.status, asked.title, "a•a@example.com" in asked.text) == (200, "Confirm it is you", True)
        assert site.tenant.stats.codes_sent == 1
        sent = await browser.post("/step-up", {"csrf": asked.csrf})
        assert (sent.path, site.tenant.stats.codes_sent) == ("/code", 2)
        done = await browser.post("/code", {"code": site.code()}, follow=False)
        assert (done.status, done.headers["Location"]) == (303, "/pay")
        new = browser.cookie("session") or ""
        assert new != old
        data = {"device": "Firefox on Linux", "basket": 3, "stepped_up": True}
        assert (await site.client.sessions.get(new)).data == data
        thief.set_cookie("session", old)
        assert (await thief.get("/")).path == "/login"
        kinds = [(event.kind, event.reason) for event in told[-3:]]
        assert kinds == [(AuditKind.STARTED, None), (AuditKind.STEPPED_UP, None), (AuditKind.ENDED, "replaced")]


async def test_the_hook_of_a_step_up_sees_the_data_of_the_new_session() -> None:
    """With what was copied from the old one: what the hook writes back then loses nothing of it."""
    seen: list[dict[str, Any]] = []

    async def after_login(session: StoredSession) -> None:
        seen.append({**session.data})
        basket = [*session.data.get("basket", []), "apple"]
        await site.client.sessions.update(session.id, data={**session.data, "basket": basket})

    async with sites.opened(sites.SUITE[0], after_login=after_login) as site:
        browser = await site.browser()
        await browser.log_in()
        await browser.get("/step-up")
        await browser.post("/step-up")
        await browser.post("/code", {"code": site.code()})
        session = await site.client.sessions.get(browser.cookie("session") or "")
    device = {"device": "Firefox on Linux"}
    assert seen == [device, {**device, "basket": ["apple"], "stepped_up": True}]
    assert session.data == {**device, "basket": ["apple", "apple"], "stepped_up": True}


@pytest.mark.parametrize("kind", sites.SUITE)
@pytest.mark.parametrize("remembers", [True, False])
async def test_who_stays_logged_in_stays_so(kind: str, *, remembers: bool) -> None:
    """The choice at the login counts for the session that replaces its own: in its cookie, and in the store."""
    async with sites.opened(kind, remember_for=86_400.0, session_for=3600.0) as site:
        browser = await site.browser()
        await browser.get("/login")
        await browser.post("/login", {"identifier": ADA.address, **({"remember": "1"} if remembers else {})})
        await browser.post("/code", {"code": site.code()})
        for _ in range(2):  # a step-up of a session that stepped up
            await browser.get("/step-up")
            await browser.post("/step-up")
            done = await browser.post("/code", {"code": site.code()}, follow=False)
            assert ("Max-Age=86400" in done.set_cookies["session"]) is remembers
        session = await site.client.sessions.get(browser.cookie("session") or "")
        lasts = (session.ends_at or 0.0) - session.opened_at
        assert lasts == pytest.approx(86_400.0 if remembers else 3600.0, abs=1.0)


async def test_what_is_no_longer_offered_is_not_asked_for_again() -> None:
    """A session that was opened while users could stay logged in is replaced by one that lasts as any other."""
    async with sites.opened(session_for=3600.0) as site:
        browser = await site.browser()
        await browser.log_in()
        await site.client.sessions.update(browser.cookie("session") or "", data={"remember": True})
        await browser.get("/step-up")
        await browser.post("/step-up")
        await browser.post("/code", {"code": site.code()})
        session = await site.client.sessions.get(browser.cookie("session") or "")
        assert (session.ends_at or 0.0) - session.opened_at == pytest.approx(3600.0, abs=1.0)


async def test_the_page_says_that_a_form_was_not_sent() -> None:
    """Its service asked for a newer login: what the user typed there did not arrive."""
    async with sites.opened() as site:
        browser = await site.browser()
        await browser.log_in()
        assert (await browser.get("/step-up?unsent=1", JSON)).json["problem"]["key"] == "form_not_sent"


async def test_without_a_login_under_way_no_code_is_sent() -> None:
    """Nothing was shown to the user that asks for one."""
    async with sites.opened() as site:
        browser = await site.browser()
        await browser.log_in()
        assert ((await browser.post("/step-up")).path, site.tenant.stats.codes_sent) == ("/", 1)


@pytest.mark.parametrize("kind", sites.SUITE)
async def test_the_page_says_why_it_asks_again(kind: str) -> None:
    """And where the code will go; JSON has the facts."""
    async with sites.opened(kind) as site:
        browser = await site.browser()
        await browser.log_in()
        page = await browser.get("/step-up")
        assert "You are already signed in." in page.text
        assert "We will send a code to a•a@example.com." in page.text
        assert (await browser.get("/step-up", JSON)).json == {"step": "step-up", "sent_to": "a•a@example.com"}


@pytest.mark.parametrize(
    ("query", "is_enough"),
    [
        ("max_age=600", True),
        ("max_age=0", False),
        ("max_age=x", False),
        ("max_age=-5", False),
        ("max_age=²", False),
        ("", False),
        ("acr_values=urn:strong", False),
        ("max_age=600&acr_values=urn:strong", False),
    ],
)
async def test_what_a_session_fulfils(query: str, *, is_enough: bool) -> None:
    """Then nothing is asked; what cannot be read asks for the newest login."""
    async with sites.opened() as site:
        browser = await site.browser()
        await browser.log_in()
        site.clock.ahead = 60
        seen = await browser.get(f"/step-up?return_to=/pay&{query}", follow=False)
        assert (seen.status, seen.headers.get("Location")) == ((303, "/pay") if is_enough else (200, None))


async def test_a_class_that_the_login_does_not_reach(caplog: pytest.LogCaptureFixture) -> None:
    """It is refused after the code, the session before stays, and a line a minute in the log says why."""
    async with sites.opened() as site:
        browser = await site.browser()
        await browser.log_in()
        old = browser.cookie("session")
        for revoked in (1, 2):
            await browser.get("/step-up?acr_values=urn:strong")
            await browser.post("/step-up")
            refused = await browser.post("/code", {"code": site.code()})
            assert (refused.status, browser.cookie("session"), browser.cookie("login")) == (403, old, None)
            assert site.tenant.stats.revoke_requests == revoked
        assert (await browser.get("/")).path == "/"
    (record,) = (each for each in caplog.records if each.name == "passwordless_async")
    assert record.levelname == "WARNING"
    assert record.getMessage() == (
        "POST /code failed: InsufficientUserAuthentication: insufficient_user_authentication (403). The step-up "
        "demands acr_values='urn:strong', but the tenant asked for no second factor. Check its MFA policy, or the "
        "Action that demands one."
    )


@pytest.mark.parametrize(
    ("demanded", "shown"),
    [
        (MULTI_FACTOR, f"acr_values='{MULTI_FACTOR}', but"),
        (f"urn:strong {MULTI_FACTOR}", f"acr_values='urn:strong {MULTI_FACTOR}', but"),
        ("urn:strong eve@evil.example", "acr_values, but"),
        ("urn:strong 4917012345678", "acr_values, but"),
        ("x\nERROR: the database is down", "acr_values='x ERROR: the database is down', but"),
        ("\U0001f600" * 256, "acr_values, but"),
    ],
)
def test_what_a_browser_writes_is_logged_if_it_is_a_class(demanded: str, shown: str) -> None:
    """Anyone can write it in the URL: no address or number is in the log, and no line break."""
    login = LoginState(id=Secret("id"), expires_at=0, demands={"acr_values": demanded})
    error = _weak_login_error(login)
    assert error.acr_values == demanded
    assert error.advice == (
        f"The step-up demands {shown} the tenant asked for no second factor. Check its MFA policy, or the Action that "
        "demands one."
    )


async def test_a_second_factor_whose_tokens_name_another_class(caplog: pytest.LogCaptureFixture) -> None:
    """Then the tenant's Action is what to look at."""
    async with sites.opened() as site:
        browser = await site.browser()
        await browser.log_in()
        site.tenant.users.add(ADA, mfa=["otp"])
        await browser.get("/step-up?acr_values=urn:strong")
        await browser.post("/step-up")
        await browser.post("/code", {"code": site.code()})
        assert (await browser.post("/factor", {"code": site.tenant.mfa.otp_for(ADA)})).status == 403
    (line,) = (each.getMessage() for each in caplog.records if each.name == "passwordless_async")
    assert line.startswith("POST /factor failed: InsufficientUserAuthentication: ")
    assert line.endswith("after the second factor, or none. Check the Action that sets acr.")


async def test_without_a_session() -> None:
    """A login is new enough: it comes first, and returns to the same place."""
    async with sites.opened() as site:
        browser = await site.browser()
        assert (await browser.get("/step-up?return_to=/pay")).path == "/login"
        await browser.start()
        done = await browser.post("/code", {"code": site.code()}, follow=False)
        assert done.headers["Location"] == "/pay"
        stranger = await site.browser()
        assert [(await stranger.get("/step-up", JSON)).status, (await stranger.call("/step-up")).status] == [401, 401]


@pytest.mark.parametrize("url", ["https://evil.example", "//evil.example", "/\\evil.example"])
async def test_open_redirect(url: str) -> None:
    """The way back is a path of this site."""
    async with sites.opened() as site:
        browser = await site.browser()
        await browser.log_in()
        seen: Any = await browser.get("/step-up?max_age=600&return_to=" + url.replace("/", "%2F"), follow=False)
        assert (seen.status, seen.headers["Location"]) == (303, "/")


async def test_another_user_steps_nothing_up() -> None:
    """Who names another address logs in as another user: nothing of the session before goes over."""
    async with sites.opened() as site:
        browser = await site.browser()
        await browser.log_in(ADA)
        await site.client.sessions.update(browser.cookie("session") or "", data={"basket": 3})
        await browser.get("/step-up")
        await browser.start(BOB)
        assert (await browser.post("/code", {"code": site.code(BOB)})).path == "/"
        session = await site.client.sessions.get(browser.cookie("session") or "")
        assert dict(session.data) == {"device": "Firefox on Linux"}


async def test_a_login_of_another_user_is_no_step_up() -> None:
    """Its user gets no code by the button of a step-up, and it ends."""
    async with sites.opened() as site:
        browser = await site.browser()
        await browser.log_in(ADA)
        await browser.start(BOB)
        assert (await browser.post("/step-up")).path == "/"
        assert (site.tenant.stats.codes_sent, browser.cookie("login")) == (2, None)


async def test_a_step_up_of_a_session_that_has_ended_meanwhile() -> None:
    """It opens none."""
    async with sites.opened() as site:
        browser = await site.browser()
        await browser.log_in()
        await browser.get("/step-up")
        await browser.post("/step-up")
        await site.client.sessions.close(browser.cookie("session") or "")
        assert (await browser.post("/code", {"code": site.code()})).status == 403
        assert (browser.cookie("login"), (await browser.get("/")).path) == (None, "/login")


async def test_a_session_that_another_tab_replaced_is_not_stepped_up() -> None:
    """The login under way is of another session: no data goes from one user to another."""
    async with sites.opened() as site:
        ada, bob = await site.browser(), await site.browser()
        await ada.log_in(ADA)
        await bob.log_in(BOB)
        bobs = bob.cookie("session") or ""
        await site.client.sessions.update(bobs, data={"basket": 3})
        await ada.get("/step-up")
        await ada.post("/step-up")
        ada.set_cookie("session", bobs)
        assert (await ada.post("/code", {"code": site.code(ADA)})).status == 403
        assert (ada.cookie("session"), (await bob.get("/")).path) == (bobs, "/")


@pytest.mark.parametrize("kind", sites.SUITE)
async def test_a_session_that_ends_before_its_step_up(kind: str) -> None:
    """Its user logs in anew, by the same address: that is a login, and confirms nothing."""
    told: list[AuditEvent] = []
    async with sites.opened(kind, on_audit=told.append) as site:
        browser = await site.browser()
        await browser.log_in()
        await browser.get("/step-up")
        await site.client.sessions.close(browser.cookie("session") or "")
        assert (await browser.post("/step-up")).path == "/login"
        await browser.start()
        assert (await browser.post("/code", {"code": site.code()})).path == "/"
        assert told[-1].kind is AuditKind.LOGGED_IN


@pytest.mark.parametrize("kind", sites.SUITE)
async def test_double_submit(kind: str) -> None:
    """Clicks at once are one step-up: the later one does not find the first session gone, and end the second."""
    asked: list[str] = []

    async def after_login(session: StoredSession) -> None:
        asked.append(session.name)

    async with sites.opened(kind, after_login=after_login) as site:
        browser = await site.browser()
        await browser.log_in()
        await browser.get("/step-up")
        await browser.post("/step-up")
        code = site.code()
        seen = await asyncio.gather(*(browser.post("/code", {"code": code}) for _ in range(3)))
        assert [(each.status, each.path) for each in seen] == [(200, "/")] * 3
        assert ((await browser.get("/")).path, len(asked)) == ("/", 2)


async def test_a_session_without_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tokens name none that a code could go to: no code is sent, and the session stays."""
    monkeypatch.setattr(User, "claims", {})
    async with sites.opened() as site:
        browser = await site.browser()
        await browser.log_in()
        seen = await browser.get("/step-up")
        assert (seen.status, seen.title, site.tenant.stats.codes_sent) == (403, "That did not work", 1)
        assert (await browser.get("/")).path == "/"


@pytest.mark.parametrize("claims", [None, {"email": 7}, {"email": "no address"}, {"phone_number": "12"}])
async def test_an_address_that_cannot_be_read(claims: dict[str, Any] | None) -> None:
    """As if the tokens had none."""
    async with sites.opened() as site:
        browser = await site.browser()
        await browser.log_in()
        session = await site.client.sessions.get(browser.cookie("session") or "")
        assert _who(session) == ADA
        assert _who(attrs.evolve(session, tokens=attrs.evolve(session.tokens, claims=claims))) is None


async def test_a_step_up_by_phone() -> None:
    """The code goes to the number that the ID token names."""
    async with sites.opened() as site:
        who = Phone("+4930901820")
        browser = await site.browser()
        await browser.post("/login", {"identifier": who.number})
        await browser.post("/code", {"code": str(site.tenant.outbox.code_for(who))})
        assert (await browser.get("/step-up")).title == "Confirm it is you"
        await browser.post("/step-up")
        assert (await browser.post("/code", {"code": str(site.tenant.outbox.code_for(who))})).path == "/"
