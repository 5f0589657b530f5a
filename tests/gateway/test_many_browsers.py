"""Browsers at several gateway workers on one store, while workers are killed and keys rotate."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
import pytest

from benchmarks import gateway_browsers as proof
from benchmarks.gateway_browsers import Browser, Crowd, Gone, site
from passwordless_async.testing import Fault, TenantProcess, TenantSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

BROWSERS = 60
DELAY = 10.0  # seconds that the tenant keeps back what it has done; the worker is killed meanwhile
MAX_COOL_DOWN = 30.0  # seconds between two codes of a user
MAX_HOLD = 60.0  # seconds that a start holds its user if its process dies


@pytest.mark.slow
async def test_a_crowd_ends_logged_out(redis_url: str, tmp_path: Path) -> None:
    """A worker is killed, a sealing key is added and promoted, and the tenant rotates its signing key meanwhile.

    Each browser's calls are answered with its own user, no code and no refresh token is presented twice, no session
    opens anything after its logout, and no log has a secret. Logins and calls go on over each of the changes.
    """
    failures: list[str] = []
    figures = await proof.prove(redis_url, BROWSERS, tmp_path, failures)
    assert failures == []
    assert {name: figures[name] for name in proof.EXPECTED} == proof.EXPECTED
    # What was looked for could be found: logs have a line for each request, and one for each login and logout.
    assert figures["lines of logs"] > BROWSERS * (proof.API_CALLS + 7)
    assert figures["requests whose worker had died"] > 0
    assert figures["refreshes"] > 0


@asynccontextmanager
async def one_browser(store: str, directory: Path) -> AsyncIterator[tuple[TenantProcess, Crowd, Browser]]:
    """Open a browser at two workers."""
    async with (
        site(store, directory, TenantSettings()) as (tenant, workers),
        aiohttp.TCPConnector() as connector,
    ):
        await workers.open(2)
        crowd = Crowd(tenant, workers, 1)
        yield tenant, crowd, Browser(crowd, 0, connector)
        assert (await tenant.stats()).presented_again == 0


@pytest.mark.slow
async def test_a_worker_that_dies_with_an_exchange(redis_url: str, tmp_path: Path) -> None:
    """The code was spent, and its tokens died with the worker: the page says to ask for another one, and when.

    The tokens are bound to a key that died as well: they are of no use to anyone.
    """
    async with one_browser(redis_url, tmp_path) as (tenant, crowd, browser):
        await browser.ask("POST", "/login", identifier=browser.who.address)
        code = await tenant.code_for(browser.who)
        await tenant.add_fault(Fault.SLOW, path="/oauth/token", times=1, delay=DELAY)
        typing = asyncio.create_task(browser.type(code))
        victim = await crowd.asked_at["/code"]
        while (await tenant.stats()).tokens_issued == 0:
            pass
        await victim.kill()
        with pytest.raises(Gone):
            await typing
        await crowd.workers.replace(victim)
        again = await browser.type(code)
        assert (again.status, again.alert) == (403, "This code has already been used. Request another one.")
        await browser.ask("POST", "/code/resend")
        assert 0 < (await browser.ask("GET", "/code")).resend_in <= MAX_COOL_DOWN
        stats = await tenant.stats()
        assert (browser.session, stats.codes_presented, stats.tokens_bound) == (None, 1, 1)


@pytest.mark.slow
async def test_a_worker_that_dies_with_a_start(redis_url: str, tmp_path: Path) -> None:
    """The code that it has sent opens a session; the page says when another one may be asked for."""
    async with one_browser(redis_url, tmp_path) as (tenant, crowd, browser):
        await tenant.add_fault(Fault.SLOW, path="/passwordless/start", times=1, delay=DELAY)
        starting = asyncio.create_task(browser.ask("POST", "/login", identifier=browser.who.address))
        victim = await crowd.asked_at["/login"]
        while (await tenant.stats()).codes_sent == 0:
            pass
        await victim.kill()
        with pytest.raises(Gone):
            await starting
        await crowd.workers.replace(victim)
        await browser.ask("POST", "/login", identifier=browser.who.address)
        page = await browser.ask("GET", "/code")
        assert 0 < page.resend_in <= MAX_HOLD
        await browser.type(await tenant.code_for(browser.who))
        assert (browser.session is None, (await tenant.stats()).codes_sent) == (False, 1)
