"""The tenant: its address, its life, its outages."""

from __future__ import annotations

import asyncio
import errno
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from passwordless_async import TESTING, Email, PasswordlessClient, UsageError
from passwordless_async.testing import (
    Fault,
    LocalTenant,
    TenantSettings,
    ThrowAwayCa,
)
from passwordless_async.testing import tenant as tenant_module
from passwordless_async.testing.listening import listen
from passwordless_async.testing.tenant import TenantAddress

if TYPE_CHECKING:
    import socket

    from helpers.tenant_wire import Wire


async def test_closing_does_not_wait_for_a_slow_response(wire: Wire) -> None:
    """A request in flight does not keep the tenant open."""
    wire.tenant.faults.add(Fault.SLOW, until=asyncio.Event())
    task = asyncio.create_task(wire.start())
    while not wire.tenant.outbox.messages:  # noqa: ASYNC110 - no event says so
        await asyncio.sleep(0)

    async with asyncio.timeout(5):
        await wire.tenant.aclose()
        await wire.tenant.aclose()
        with pytest.raises(aiohttp.ClientConnectionError):
            await task


async def test_an_outage() -> None:
    """Connections are refused while it lasts, and served afterwards on the same port; one at a time."""
    async with LocalTenant() as tenant, aiohttp.ClientSession() as session:
        url = f"{tenant.url}/.well-known/openid-configuration"
        async with tenant.outage():
            with pytest.raises(aiohttp.ClientConnectorError):
                await session.get(url)
            with pytest.raises(RuntimeError, match="does not listen"):
                async with tenant.outage():
                    pass
        async with session.get(url) as response:
            assert response.status == 200


async def test_an_open_connection_is_served_once_more_in_an_outage() -> None:
    """A kept-alive connection gets one last response and is closed with it."""
    async with LocalTenant() as tenant, aiohttp.ClientSession() as session:
        url = f"{tenant.url}/.well-known/openid-configuration"
        await (await session.get(url)).read()
        async with tenant.outage():
            async with session.get(url) as response:
                assert (response.status, response.headers["Connection"]) == (200, "close")
            with pytest.raises(aiohttp.ClientConnectorError):
                await session.get(url)


async def test_a_tenant_that_is_closed_in_an_outage_stays_closed() -> None:
    """The outage ends without a word."""
    async with LocalTenant() as tenant:
        async with tenant.outage():
            await tenant.aclose()


async def test_a_tenant_that_cannot_listen_at_its_second_port_leaves_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it listened on already is closed."""
    opened: list[socket.socket] = []

    def listen_once(host: str | None, port: int) -> list[socket.socket]:
        if opened:
            raise OSError(errno.EADDRINUSE, "in use")
        opened.extend(listen(host, port))
        return opened

    monkeypatch.setattr(tenant_module, "listen", listen_once)
    with pytest.raises(OSError, match="in use"):
        await LocalTenant(TenantSettings(mtls_alias=True), ssl=ThrowAwayCa().server_context()).__aenter__()

    assert {listener.fileno() for listener in opened} == {-1}


def test_applications_are_known_before_the_url() -> None:
    """The client identifiers come from the settings; the URL exists once the tenant listens."""
    address = TenantAddress(TenantSettings(public_client_id="public", confidential_client_secret="hush"))

    assert address.public_client_id == "public"
    client_id, secret = confidential = address.confidential_client
    assert (confidential.client_id, confidential.secret) == (client_id, secret) == ("confidential-client", "hush")
    assert "hush" not in repr(confidential)
    with pytest.raises(RuntimeError, match="async with"):
        address.url  # noqa: B018 - the property raises


async def test_the_issuer_has_a_trailing_slash() -> None:
    """The URL has none, as in Auth0's ``iss``."""
    async with LocalTenant() as tenant:
        assert tenant.issuer == f"{tenant.url}/"
        assert not tenant.url.endswith("/")


async def test_a_tenant_is_entered_once() -> None:
    """A second time, while it listens or after it is closed, is a clear error; the first goes on."""
    tenant = LocalTenant()
    async with tenant, aiohttp.ClientSession() as session:
        with pytest.raises(UsageError, match="tenant: was entered before: a tenant is used once, so make another"):
            await tenant.__aenter__()
        async with session.get(f"{tenant.url}/.well-known/openid-configuration") as response:
            assert response.status == 200
    with pytest.raises(UsageError, match="was entered before"):
        await tenant.__aenter__()


@pytest.mark.parametrize("host", ["", " "])
def test_an_empty_host_is_refused(host: str) -> None:
    """It would be every address of this machine, and the tenant's accounts are everyone's."""
    with pytest.raises(UsageError, match="host: must not be empty"):
        LocalTenant(host=host)


ADA = Email("ada@example.com")


async def test_a_logout_token_is_of_the_newest_login() -> None:
    """Its sid is that of the ID token, which a refresh keeps; claims can be replaced, and left out by None."""
    async with (
        LocalTenant() as tenant,
        PasswordlessClient(tenant.url, tenant.public_client_id, profile=TESTING) as client,
    ):
        await client.start(ADA)
        tokens = await client.exchange(ADA, tenant.outbox.code_for(ADA), scope="openid offline_access")
        refreshed = await client.refresh(tokens)
        assert tokens.claims is not None
        assert refreshed.claims is not None
        logout = await client.read_logout_token(tenant.logout_token(ADA))
        assert (logout.sub, logout.sid) == (tokens.claims["sub"], tokens.claims["sid"])
        assert refreshed.claims["sid"] == tokens.claims["sid"]
        assert (await client.read_logout_token(tenant.logout_token(ADA, sid=None))).sid is None
        assert (await client.read_logout_token(tenant.logout_token(ADA, jti="mine"))).jti == "mine"


async def test_a_logout_token_needs_a_login_and_a_tenant() -> None:
    """Without one there is no session that could end."""
    async with LocalTenant() as tenant:
        with pytest.raises(LookupError, match="no ID token"):
            tenant.logout_token(ADA)
    with pytest.raises(RuntimeError, match="async with"):
        LocalTenant().logout_token(ADA)


async def test_a_logout_is_posted_as_a_form() -> None:
    """To the application's URL; its status comes back (Back-Channel Logout 1.0 §2.5)."""
    received: list[dict[str, object]] = []

    async def receive(request: web.Request) -> web.Response:
        received.append(dict(await request.post()))
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/logout", receive)
    async with (
        TestServer(app) as server,
        LocalTenant() as tenant,
        PasswordlessClient(tenant.url, tenant.public_client_id, profile=TESTING) as client,
    ):
        await client.start(ADA)
        await client.exchange(ADA, tenant.outbox.code_for(ADA), scope="openid")
        assert await tenant.backchannel_logout(ADA, str(server.make_url("/logout"))) == 204
        (fields,) = received
        assert (await client.read_logout_token(str(fields["logout_token"]))).sub is not None
