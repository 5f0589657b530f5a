"""The login that the service keeps, in the browser's cookie."""

from __future__ import annotations

import pytest

from helpers import sites
from helpers.sites import ADA
from passwordless_async import Secret
from passwordless_async.errors import InvalidMfaState
from passwordless_async.gateway.state import LoginState
from passwordless_async.gateway.steps.mfa_login import user_of


async def test_a_login_of_another_gateway_is_none() -> None:
    """Its cookie does not open here: the login starts again."""
    async with sites.opened() as site, sites.opened() as other:
        site.tenant.users.add(ADA, mfa=["otp"])
        browser, stranger = await site.browser(), await other.browser()
        await browser.log_in()
        stranger.set_cookie("login", browser.cookie("login") or "")
        assert (await stranger.get("/factor")).path == "/login"
        assert (await browser.get("/factor")).path == "/factor"


async def test_the_cookie_is_small() -> None:
    """Browsers keep 4,096 bytes of one (RFC 6265 §6.1)."""
    async with sites.opened() as site:
        site.tenant.users.add(ADA, mfa=["sms"])
        browser = await site.browser()
        await browser.log_in()
        assert len(browser.cookie("login") or "") < 4000


def test_a_login_without_a_user() -> None:
    """The budgets count by the user: it is refused."""
    with pytest.raises(InvalidMfaState, match="no user"):
        user_of(LoginState(id=Secret("x"), expires_at=0))
