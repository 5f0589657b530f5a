"""Requests through an outbound proxy."""

from __future__ import annotations

import asyncio
import base64
import warnings
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
import attrs
import pytest
from yarl import URL

from passwordless_async import TESTING, Email, NoClientAuth, PasswordlessClient
from passwordless_async._common.http import HttpRequest
from passwordless_async._common.secret import SecretBytes
from passwordless_async.client.traffic.proxies import NO_PROXIES, Proxies, Proxy
from passwordless_async.client.traffic.transport import Transport
from passwordless_async.errors import NotSent, UsageError
from passwordless_async.testing import LocalTenant, ThrowAwayCa

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SERVICE = URL("https://acme.example/oauth/token")
BASIC = f"Basic {base64.b64encode(b'user:pass word').decode()}"


@attrs.define
class TunnelProxy:
    """A proxy for tests: it records the head of each request, and connects or refuses."""

    refuses: bytes = b""  # its answer where it refuses
    heads: list[bytes] = attrs.field(factory=list)
    url: str = ""

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection: RFC 9110 §9.3.6."""
        try:
            self.heads.append(await reader.readuntil(b"\r\n\r\n"))
            if self.refuses:
                writer.write(b"HTTP/1.1 " + self.refuses + b"\r\nContent-Length: 0\r\n\r\n")
                return
            host, _, port = self.heads[-1].split(b" ")[1].decode().rpartition(":")
            upstream, to_upstream = await asyncio.open_connection(host, int(port))
            writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
            await asyncio.gather(_pump(reader, to_upstream), _pump(upstream, writer))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(65_536):
        writer.write(chunk)
        await writer.drain()
    writer.close()


@asynccontextmanager
async def proxied(refuses: bytes = b"") -> AsyncIterator[TunnelProxy]:
    """Run a proxy on loopback."""
    proxy = TunnelProxy(refuses)
    server = await asyncio.start_server(proxy.handle, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        proxy.url = f"http://{host}:{port}"
        yield proxy


def connections(proxy: TunnelProxy) -> set[bytes]:
    """Return the request lines that a proxy saw."""
    return {head.partition(b"\r\n")[0] for head in proxy.heads}


async def test_a_login_goes_through_the_proxy() -> None:
    """All requests are tunnelled, and the proofs name the service's own URL: the tenant verifies them."""
    ca = ThrowAwayCa()
    async with (
        proxied() as proxy,
        LocalTenant(ssl=ca.server_context()) as tenant,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=ca.client_context())) as session,
        PasswordlessClient(
            tenant.url,
            tenant.public_client_id,
            client_auth=NoClientAuth(),
            session=session,
            profile=TESTING,
            proxy=proxy.url.replace("//", "//user:pass%20word@"),
        ) as client,
    ):
        ada = Email("ada@example.com")
        await client.start(ada)
        tokens = await client.exchange(ada, tenant.outbox.code_for(ada), scope="openid")
        async with client.request(tokens, "GET", f"{tenant.url}/userinfo") as response:
            status = response.status
        place = tenant.url.removeprefix("https://").encode()
    assert status == 200
    assert connections(proxy) == {b"CONNECT " + place + b" HTTP/1.1"}
    assert all(f"Proxy-Authorization: {BASIC}".encode() in head for head in proxy.heads)
    # One tunnel serves several requests.
    assert len(proxy.heads) < tenant.stats.wire_requests


@pytest.mark.parametrize("way", ["session", "environment"])
async def test_the_sessions_proxy_counts(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lent session's own proxy is used, and that of the environment where the session trusts it."""
    async with proxied(b"502 Bad Gateway") as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", "other.example")
        session = aiohttp.ClientSession(proxy=proxy.url) if way == "session" else aiohttp.ClientSession(trust_env=True)
        async with session, Transport(session, timeout=5) as transport:
            with pytest.raises(NotSent, match="the proxy refused the connection"):
                await transport.send(HttpRequest("GET", SERVICE, {}))
    assert connections(proxy) == {b"CONNECT acme.example:443 HTTP/1.1"}


@pytest.mark.parametrize(
    ("status", "retryable"), [(b"502 Bad Gateway", True), (b"407 Proxy Authentication Required", False)]
)
async def test_a_proxy_that_refuses_was_sent_nothing(status: bytes, retryable: bool) -> None:  # noqa: FBT001 - a parameter
    """Nothing of the request left. Trying again helps where the proxy failed, not where it refuses."""
    async with proxied(status) as proxy, Transport(None, timeout=5, proxy=proxy.url) as transport:
        with pytest.raises(NotSent) as caught:
            await transport.send(HttpRequest("POST", SERVICE, {}, SecretBytes(b"otp=123456")))
    assert caught.value.retryable is retryable
    assert all(b"123456" not in head for head in proxy.heads)


async def test_an_unreachable_proxy_is_named() -> None:
    """The message speaks of the proxy, without its credentials."""
    async with Transport(None, timeout=5, proxy="http://user:secret@127.0.0.1:1") as transport:
        with pytest.raises(NotSent, match=r"proxy 127\.0\.0\.1") as caught:
            await transport.send(HttpRequest("GET", SERVICE, {}))
    assert "secret" not in str(caught.value)


async def test_plain_http_on_loopback_goes_through_no_proxy() -> None:
    """A proxy would see the code in the clear."""
    async with (
        proxied(b"502 Bad Gateway") as proxy,
        LocalTenant() as tenant,
        PasswordlessClient(tenant.url, tenant.public_client_id, profile=TESTING, proxy=proxy.url) as client,
    ):
        await client.start(Email("ada@example.com"))
    assert proxy.heads == []


@pytest.mark.parametrize(
    "value",
    ["proxy.internal:3128", "socks5://u:secret@h:1", "http://", "http://h/path", "http://h/?q", 5, "http://h:99999"],
)
def test_a_proxy_must_be_a_url(value: object) -> None:
    """Anything else is refused by name, without the value: it may have credentials."""
    with pytest.raises(UsageError, match="proxy: must be") as caught:
        Proxies.of(value, None)
    assert "secret" not in str(caught.value)


def test_credentials_are_secret() -> None:
    """They are in no repr of a proxy, and in none of its URL."""
    proxies = Proxies.of("http://user:pass%20word@proxy.internal:3128", None)
    proxy = proxies.of_url(SERVICE)
    assert proxy == Proxy(URL("http://proxy.internal:3128"), proxy.credentials if proxy else None)
    assert proxy is not None
    assert proxy.credentials == BASIC
    assert "pass" not in repr(proxies) + repr(proxy)


async def test_a_sessions_credentials_count() -> None:
    """A session's proxy may have its credentials beside its URL."""
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # newer versions name another way
        auth = aiohttp.BasicAuth("user", "pass word")
        session = aiohttp.ClientSession(proxy="http://proxy.internal:3128", proxy_auth=auth)
    async with session:
        proxy = Proxies.of(None, session).of_url(SERVICE)
    assert proxy is not None
    assert proxy.credentials == BASIC


def test_the_environment_is_not_read_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a session that trusts it there is no proxy; with one, ``NO_PROXY`` counts too."""
    monkeypatch.setenv("https_proxy", "proxy.internal:3128")
    monkeypatch.setenv("no_proxy", "inside.example")
    assert Proxies.of(None, None) is NO_PROXIES
    assert NO_PROXIES.of_url(SERVICE) is None
    trusting = Proxies(by_environment=True)
    assert trusting.of_url(SERVICE) == Proxy(URL("http://proxy.internal:3128"))
    assert trusting.of_url(URL("https://inside.example/")) is None
