"""The login in a browser that the page about tests shows, done by a real one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from helpers import sites
from helpers.chromium import Window
from helpers.pages import DOCS, python_blocks

if TYPE_CHECKING:
    from helpers.chromium import Chromium


@pytest.mark.slow
async def test_the_login_of_the_page(chromium: Chromium) -> None:
    """As it is written there, it ends at the page of a user who is logged in."""
    (block,) = [each for each in python_blocks(DOCS / "how-to" / "test-your-application.md") if "selenium" in each.text]
    page: dict[str, Any] = {}
    exec(compile(block.padded, str(block.page), "exec"), page)  # noqa: S102 - our own page
    async with sites.opened("starlette") as site:
        # The browser may have been at other sites of this host, in another language and without scripts.
        Window(chromium, base=site.origin, language="en", scripts=True, journey="documentation")
        await asyncio.to_thread(page["log_in"], chromium.driver, site.origin, site.tenant, sites.ADA)
        title = await asyncio.to_thread(lambda: chromium.driver.title)
        assert "You are signed in" in title
