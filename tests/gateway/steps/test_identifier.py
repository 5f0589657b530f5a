"""Who logs in: what is typed, and what is said of it."""

from __future__ import annotations

import pytest

from helpers import sites
from helpers.sites import ADA
from passwordless_async.testing import Fault

START = "/passwordless/start"


@pytest.mark.parametrize(
    ("kinds", "typed", "status"),
    [
        (["email", "phone"], "  ada@example.com ", 200),
        (["email", "phone"], "+49 (30) 901820", 200),
        (["email"], "+4930901820", 400),
        (["phone"], "ada@example.com", 400),
        (["phone"], "+4930901820", 200),
        (["email", "phone"], "4930901820", 400),
    ],
)
async def test_kinds(kinds: list[str], typed: str, status: int) -> None:
    """An address has an @, a number has a plus; what the site does not take is a mistake."""
    async with sites.opened(identifiers=kinds) as site:
        seen = await (await site.browser()).post("/login", {"identifier": typed})
        assert (seen.status, site.tenant.stats.codes_sent) == (status, int(status == 200))


async def test_an_address_that_the_tenant_refuses(caplog: pytest.LogCaptureFixture) -> None:
    """It is a mistake of the user, as one that the library refuses: no operator reads of it."""
    async with sites.opened() as site:
        site.tenant.faults.add(Fault.REFUSAL, path=START, error="bad.email", description="format validation failed")
        seen = await (await site.browser()).post("/login", {"identifier": ADA.address})
    assert (seen.status, "Please enter a complete address or number." in seen.text) == (400, True)
    assert 'value="ada@example.com"' in seen.text
    assert caplog.messages == []


async def test_a_login_page_that_was_left_open() -> None:
    """Its login has ended, and goes on from the form: it returns where it was to."""
    async with sites.opened() as site:
        browser = await site.browser()
        page = await browser.get("/login?return_to=/app")
        assert 'name="return_to" value="/app"' in page.text
        site.clock.ahead = 601
        await browser.post("/login", {"identifier": ADA.address, "return_to": "/app"})
        done = await browser.post("/code", {"code": site.code()}, follow=False)
        assert done.headers["Location"] == "/app"


async def test_the_newest_way_back_counts() -> None:
    """Of two pages that sent the user to the login."""
    async with sites.opened() as site:
        browser = await site.browser()
        for path in ("/login?return_to=/first", "/login?return_to=/second", "/login"):
            await browser.get(path)
        await browser.start()
        done = await browser.post("/code", {"code": site.code()}, follow=False)
        assert done.headers["Location"] == "/second"


async def test_a_way_back_that_is_refused_forgets_an_earlier_one() -> None:
    """A link with one to another site does not land where an unfinished login was to return."""
    async with sites.opened() as site:
        browser = await site.browser()
        for path in ("/login?return_to=/first", "/login?return_to=https://evil.example/"):
            await browser.get(path)
        await browser.start()
        done = await browser.post("/code", {"code": site.code()}, follow=False)
        assert done.headers["Location"] == "/"


async def test_a_resend_that_fails_keeps_the_code_page() -> None:
    """The code that was sent before still opens the session."""
    async with sites.opened() as site:
        browser = await site.browser()
        await browser.start()
        site.tenant.faults.add(Fault.SERVICE_UNAVAILABLE, path=START, times=1)
        seen = await browser.post("/code/resend")
        assert (seen.status, seen.title) == (503, "Enter your code")
        assert (await browser.post("/code", {"code": site.code()})).path == "/"
