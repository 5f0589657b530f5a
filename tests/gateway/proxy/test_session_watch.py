"""Long calls whose session ends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp
import pytest

from helpers.upstreams import READ, http_of
from passwordless_async.gateway.proxy import session_watch

if TYPE_CHECKING:
    from helpers.upstreams import Front


async def test_streams_end_with_their_session(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a logout, in this browser or from another, a response that goes on and a WebSocket are ended."""
    monkeypatch.setattr(session_watch, "_CHECK_SECONDS", 0.05)
    browser = await front.logged_in()
    http = http_of(browser)
    async with (
        http.get(front.url("/halves"), headers=READ) as response,
        http.ws_connect(front.url("/socket"), origin=front.site.origin) as ws,
    ):
        assert await response.content.readany() == b"first,"
        await ws.send_bytes(b"still there")
        assert await ws.receive_bytes() == b"still there"
        await front.site.client.sessions.close(str(browser.cookie("session")))
        async with asyncio.timeout(20):
            assert (await ws.receive()).data == 1008
            with pytest.raises(aiohttp.ClientError):
                await response.content.read()
