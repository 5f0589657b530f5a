"""The code, and the session that it opens."""

from __future__ import annotations

import pytest

from helpers import sites
from helpers.sites import ADA
from passwordless_async import StoreError
from passwordless_async.gateway import Budgets
from passwordless_async.testing import Fault


async def test_a_second_factor_is_asked_for() -> None:
    """The state of the login is sealed in its cookie."""
    async with sites.opened() as site:
        site.tenant.users.add(ADA, mfa=["otp"])
        browser = await site.browser()
        await browser.start()
        seen = await browser.post("/code", {"code": site.code()}, follow=False)
        assert (seen.status, seen.headers["Location"]) == (303, "/factor")
        assert (browser.cookie("session"), len(browser.cookie("login") or "") < 4000) == (None, True)


async def test_what_a_session_remembers() -> None:
    """The device; no address where it is no user's."""
    async with sites.opened() as site:
        browser = await site.browser()
        await browser.log_in()
        session = await site.client.sessions.get(browser.cookie("session") or "")
        assert dict(session.data) == {"device": "Firefox on Linux"}


@pytest.mark.parametrize("typed", ["abc", "123", "12345a", "1" * 41, "", "\uff11\uff12\uff13", "ada@example.com"])
async def test_what_cannot_be_a_code_costs_no_attempt(typed: str) -> None:
    """Nothing is sent, and neither the tenant nor a budget counts it: the right code still works after many of them."""
    async with sites.opened(budgets=Budgets(wrong_codes_per_user=1)) as site:
        browser = await site.browser()
        await browser.start()
        sent = site.tenant.stats.token_requests
        for _ in range(4):
            seen = await browser.post("/code", {"code": typed})
            assert (seen.status, "This does not look right. Please check it." in seen.text) == (400, True)
        assert site.tenant.stats.token_requests == sent
        assert (await browser.post("/code", {"code": site.code()})).path == "/"


async def test_an_old_session_that_cannot_be_closed_hinders_no_login() -> None:
    """It ends by itself."""
    async with sites.opened() as site:
        browser = await site.browser()
        await browser.log_in()
        site.tenant.faults.add(Fault.SERVICE_UNAVAILABLE, path="/oauth/revoke")
        assert (await browser.log_in()).path == "/"


async def test_a_login_that_could_not_be_kept() -> None:
    """The store is lost after the exchange: nothing is logged in, and the tokens are revoked."""
    async with sites.opened() as site:
        browser = await site.browser()
        await browser.start()
        hold = site.store.hold("open")
        site.store.inner.open = _fails  # type: ignore[method-assign]
        hold.set()
        seen = await browser.post("/code", {"code": site.code()})
        assert (seen.status, seen.alert) == (
            503,
            "We could not confirm your sign-in. Please request another code and try again.",
        )
        assert (browser.cookie("session"), site.tenant.stats.revoke_requests) == (None, 1)


async def _fails(*_arguments: object, **_named: object) -> None:
    raise StoreError("full")


@pytest.mark.parametrize("kind", sites.SUITE)
async def test_a_store_that_fails_after_the_exchange(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The code is spent and its tokens are revoked: the page says to request another one, not to try again."""

    async def fails(*_arguments: object, **_named: object) -> None:
        raise StoreError("full")

    async with sites.opened(kind) as site:
        browser = await site.browser()
        await browser.start()
        with monkeypatch.context() as patched:
            patched.setattr(site.store.inner, "open", fails)
            seen = await browser.post("/code", {"code": site.code()})
        assert (seen.status, seen.alert) == (
            503,
            "We could not confirm your sign-in. Please request another code and try again.",
        )
        assert (browser.cookie("session"), site.tenant.stats.revoke_requests) == (None, 1)
        await browser.post("/code/resend")
        assert (await browser.post("/code", {"code": site.code()})).path == "/"
