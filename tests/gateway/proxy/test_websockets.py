"""WebSockets through a gateway on real sockets."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp import WSMsgType, web
from yarl import URL

from helpers import upstreams
from helpers.clients import until
from helpers.upstreams import READ, http_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from helpers.upstreams import Front

    Serve = Callable[..., Awaitable[Front]]


async def test_a_websocket(front: Front) -> None:
    """Texts and bytes in both directions, with the subprotocol that the upstream chose, and its end."""
    browser = await front.logged_in()
    subject = (await browser.get("/api/me", READ)).json["sub"]
    origin = front.site.origin
    async with http_of(browser).ws_connect(front.url("/socket"), origin=origin, protocols=["other", "chat"]) as ws:
        assert ws.protocol == "chat"
        await ws.send_str("hello")
        assert await ws.receive_str() == f"{subject}: hello"
        await ws.send_bytes(b"\0\xff")
        assert await ws.receive_bytes() == b"\0\xff"
        await ws.send_str("close")
        message = await ws.receive()
        assert (message.type, message.data, message.extra) == (WSMsgType.CLOSE, 4001, "")
    headers = front.api.seen[-1][2]
    assert ("Cookie" in headers, headers["Authorization"][:5]) == (False, "DPoP ")


async def test_a_websocket_that_the_browser_closes(front: Front) -> None:
    """The upstream is told its code; the place is free again."""
    browser = await front.logged_in()
    async with http_of(browser).ws_connect(front.url("/socket"), origin=front.site.origin) as ws:
        await ws.close(code=4002)
    async with asyncio.timeout(20):
        await front.api.reached.wait()
    await until(lambda: not front.pool.socket_traffic.calls)
    assert 4002 in front.api.statuses


async def test_a_message_that_is_too_large(serve_front: Serve) -> None:
    """The WebSocket ends (RFC 6455 §7.4.1). One that is as large as it may be is passed on, in both directions."""
    front = await serve_front(upstream={"max_message_bytes": 100})
    browser = await front.logged_in()
    async with http_of(browser).ws_connect(front.url("/socket"), origin=front.site.origin) as ws:
        await ws.send_bytes(b"x" * 100)
        assert await ws.receive_bytes() == b"x" * 100
        await ws.send_bytes(b"x" * 101)
        message = await ws.receive()
        assert (message.type, message.data) == (WSMsgType.CLOSE, 1009)


_HANDSHAKE = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
_KEY = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"


async def _handshake(front: Front, fields: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]:
    """Ask for a WebSocket, byte by byte; return the status line too."""
    url, browser = URL(front.url("/socket")), await front.logged_in()
    reader, writer = await asyncio.open_connection(url.host, url.port)
    cookie = f"Cookie: session={browser.cookie('session')}\r\n"
    writer.write(f"GET {url.path} HTTP/1.1\r\nHost: x\r\nX-CSRF: 1\r\n{cookie}{fields}\r\n".encode())
    return reader, writer, (await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")[0]


async def test_a_message_that_is_too_large_takes_no_memory() -> None:
    """The WebSocket ends before all of the message is there: nothing collects the rest."""
    async with upstreams.opened("aiohttp", upstream={"max_message_bytes": 100}) as front:
        reader, writer, status = await _handshake(front, _HANDSHAKE + _KEY)
        for opcode in (2, 0):  # 60 bytes each, and neither is the last
            writer.write(bytes([opcode, 0x80 | 60]) + bytes(4) + b"x" * 60)
        async with asyncio.timeout(20):
            closed = await reader.read(4)
        writer.close()
    assert (status, closed) == (b"HTTP/1.1 101 Switching Protocols", b"\x88\x02\x03\xf1")  # 1009


async def test_offered_subprotocols_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Some scripts pass a token in one. There is a line only if the upstream chooses none of them."""
    lines = []
    async with upstreams.opened("aiohttp") as front:
        http, origin = http_of(await front.logged_in()), front.site.origin
        for offered in (["chat", "token.SECRET"], ["token.SECRET"]):
            async with http.ws_connect(front.url("/socket"), origin=origin, protocols=offered):
                lines.append([record.getMessage() for record in caplog.records])
    assert (lines[0], "<redacted>" in lines[1][0], "SECRET" in caplog.text) == ([], True, False)


async def test_a_malformed_handshake() -> None:
    """It is refused before the upstream is asked."""
    async with upstreams.opened("aiohttp") as front:
        _, writer, status = await _handshake(front, _HANDSHAKE)
        writer.close()
        assert (status, front.api.seen) == (b"HTTP/1.1 400 Bad Request", [])


async def test_websockets_that_are_refused(front: Front) -> None:
    """Without a session, by the upstream, and where there is none: with the status, and no WebSocket."""
    browser, stranger = await front.logged_in(), await front.site.browser()
    front.api.answer = lambda _request: web.Response(status=404)
    for asks, path, status in ((stranger, "/api/socket", 401), (browser, "/api/answer", 404)):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http_of(asks).ws_connect(front.site.origin + front.site.mount + path, origin=front.site.origin)
        assert refused.value.status == status
