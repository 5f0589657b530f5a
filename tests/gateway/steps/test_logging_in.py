"""The end of a login."""

from __future__ import annotations

from helpers import sites
from helpers.sites import ADA
from passwordless_async import StoreError


async def test_tokens_that_cannot_be_kept_are_revoked() -> None:
    """After a second factor too: the user is not logged in, and no login is left at the service."""
    async with sites.opened() as site:
        site.tenant.users.add(ADA, mfa=["otp"])
        browser = await site.browser()
        await browser.log_in()
        site.store.inner.open = _fails  # type: ignore[method-assign]
        seen = await browser.post("/factor", {"code": site.tenant.mfa.otp_for(ADA)})
        assert (seen.status, browser.cookie("session")) == (503, None)
        assert site.tenant.stats.revoke_requests == 1


async def test_the_session_before_ends() -> None:
    """Its identifier opens nothing any more; the new one is another."""
    async with sites.opened() as site:
        browser = await site.browser()
        await browser.log_in()
        before = browser.cookie("session")
        await browser.log_in()
        assert browser.cookie("session") != before
        other = await site.browser()
        other.set_cookie("session", before or "")
        assert (await other.get("/session")).json["logged_in"] is False


async def _fails(*_arguments: object, **_named: object) -> None:
    raise StoreError("full")
