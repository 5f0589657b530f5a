"""The login API against a tenant on this machine, which fails when it is told to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from aiohttp.test_utils import TestClient, TestServer
from app import make_app

from passwordless_async import TESTING, Email, PasswordlessClient
from passwordless_async.testing import Fault, LocalTenant

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp.web import Application, Request

    Browser = TestClient[Request, Application]

ADA = Email("ada@example.com")
OVER = {"problem": "That code no longer works. Ask for a new one."}
LATER = {"problem": "We cannot log you in now. Try again in a minute."}


@pytest_asyncio.fixture
async def browser(local_tenant: LocalTenant) -> AsyncIterator[Browser]:
    """Serve the application, and send Ada a code."""
    client = PasswordlessClient(local_tenant.url, local_tenant.public_client_id, profile=TESTING)
    async with TestClient(TestServer(make_app(client))) as made:
        assert (await made.post("/start", data={"email": ADA.address})).status == 204
        yield made


async def log_in(browser: Browser, code: str) -> tuple[int, dict[str, str]]:
    """Type a code; return the status and what the user reads."""
    response = await browser.post("/login", data={"email": ADA.address, "code": code})
    return response.status, await response.json()


async def test_a_login(browser: Browser, local_tenant: LocalTenant) -> None:
    """The right code opens a session, and no token is in the answer."""
    status, answer = await log_in(browser, local_tenant.outbox.code_for(ADA))
    assert (status, list(answer)) == (200, ["user"])


async def test_a_wrong_code_can_be_corrected(browser: Browser, local_tenant: LocalTenant) -> None:
    """One mistake costs nothing."""
    assert (await log_in(browser, "000000"))[0] == 400
    assert (await log_in(browser, local_tenant.outbox.code_for(ADA)))[0] == 200


@pytest.mark.local_tenant(code_lifetime=60.0)
async def test_an_old_code(browser: Browser, local_tenant: LocalTenant) -> None:
    """The tenant's clock goes on; no test sleeps."""
    local_tenant.clock.advance(61)
    assert await log_in(browser, local_tenant.outbox.code_for(ADA)) == (409, OVER)


async def test_a_lost_answer(browser: Browser, local_tenant: LocalTenant) -> None:
    """The code may be spent: the user is told to ask for another, and it is not sent a second time."""
    local_tenant.faults.add(Fault.DROP_AFTER_PROCESSING, path="/oauth/token", after=1)  # the first is a challenge
    code = local_tenant.outbox.code_for(ADA)
    assert await log_in(browser, code) == (409, OVER)
    assert await log_in(browser, code) == (409, OVER)
    assert local_tenant.stats.presented_again == 0


@pytest.mark.parametrize(
    "fault", [Fault.RATE_LIMITED_RETRY_AFTER, Fault.ACCESS_DENIED, Fault.BEARER_TOKEN, Fault.ID_TOKEN_TAMPERED]
)
async def test_a_tenant_that_fails(browser: Browser, local_tenant: LocalTenant, fault: Fault) -> None:
    """Whatever it is, the user reads a sentence, and no session is opened."""
    local_tenant.faults.add(fault, path="/oauth/token")
    assert await log_in(browser, local_tenant.outbox.code_for(ADA)) == (503, LATER)


async def test_an_outage_spends_no_code(browser: Browser, local_tenant: LocalTenant) -> None:
    """Nothing was sent: once the tenant is back, the same code works."""
    code = local_tenant.outbox.code_for(ADA)
    async with local_tenant.outage():
        assert await log_in(browser, code) == (503, LATER)
    assert (await log_in(browser, code))[0] == 200


@pytest.mark.local_tenant(userinfo_nonce_required=True, id_token_alg="ES256")
async def test_another_tenant(browser: Browser, local_tenant: LocalTenant) -> None:
    """The marker sets how this test's tenant behaves."""
    assert (await log_in(browser, local_tenant.outbox.code_for(ADA)))[0] == 200
