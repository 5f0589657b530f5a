"""WebSockets through a gateway on real sockets."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp import WSMsgType, web

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
    """The WebSocket ends (RFC 6455 §7.4.1)."""
    front = await serve_front(upstream={"max_message_bytes": 100})
    browser = await front.logged_in()
    async with http_of(browser).ws_connect(front.url("/socket"), origin=front.site.origin) as ws:
        await ws.send_bytes(b"x" * 101)
        message = await ws.receive()
        assert (message.type, message.data) == (WSMsgType.CLOSE, 1009)


async def test_websockets_that_are_refused(front: Front) -> None:
    """Without a session, by the upstream, and where there is none: with the status, and no WebSocket."""
    browser, stranger = await front.logged_in(), await front.site.browser()
    front.api.answer = lambda _request: web.Response(status=404)
    for asks, path, status in ((stranger, "/api/socket", 401), (browser, "/api/answer", 404)):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http_of(asks).ws_connect(front.site.origin + front.site.mount + path, origin=front.site.origin)
        assert refused.value.status == status
