"""Relays the messages of a WebSocket between a browser and an upstream.

Invariants:

- When one end closes, the other one is closed too, with a code that may be sent (RFC 6455 §7.4).
- It ends with its session, and when the server ends.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp

from passwordless_async.gateway.proxy.messages import (
    FAILED,
    GOING_AWAY,
    NO_CODE,
    NORMAL,
    POLICY,
    TOO_BIG,
    SocketClosed,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from passwordless_async.gateway.proxy.messages import BrowserSocket

_SENT_CODES = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015), *range(3000, 5000)})
_MAX_REASON = 40  # characters; the frame has room for 123 bytes


async def relay(
    browser: BrowserSocket, upstream: aiohttp.ClientWebSocketResponse[bool], ended: asyncio.Event, at_most: int
) -> None:
    """Relay messages in both directions until one end closes, the session has ended, or the server ends.

    Args:
        browser: The browser's end, accepted.
        upstream: The upstream's end.
        ended: Set when the session has ended.
        at_most: Bytes or characters of a message from the browser.
    """
    tasks = {
        asyncio.create_task(_to_upstream(browser, upstream, at_most)),
        asyncio.create_task(_to_browser(upstream, browser)),
        asyncio.create_task(_after(ended.wait(), SocketClosed(POLICY, "the session has ended"))),
        asyncio.create_task(_after(browser.until_ending(), SocketClosed(GOING_AWAY))),
    }
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    closed = next((task.result() for task in done if not task.cancelled() and task.exception() is None), None)
    code, reason = _passed_on(closed or SocketClosed(FAILED))
    # One of them is already closed: closing it again does nothing.
    await asyncio.gather(
        browser.close(code, reason), upstream.close(code=code, message=reason.encode()), return_exceptions=True
    )


async def _to_upstream(
    browser: BrowserSocket, upstream: aiohttp.ClientWebSocketResponse[bool], at_most: int
) -> SocketClosed:
    try:
        while True:
            message = await browser.receive()
            if len(message) > at_most:
                return SocketClosed(TOO_BIG)
            await (upstream.send_str(message) if isinstance(message, str) else upstream.send_bytes(message))
    except SocketClosed as closed:
        return closed


async def _to_browser(upstream: aiohttp.ClientWebSocketResponse[bool], browser: BrowserSocket) -> SocketClosed:
    async for message in upstream:
        if message.type not in {aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY}:
            break  # ERROR: a message that is too large, or malformed
        await browser.send(message.data)
    return SocketClosed(upstream.close_code or FAILED)


async def _after(awaited: Awaitable[object], closed: SocketClosed) -> SocketClosed:
    await awaited
    return closed


def _passed_on(closed: SocketClosed) -> tuple[int, str]:
    """Return a code that may be sent (RFC 6455 §7.4), and the reason."""
    if closed.code in _SENT_CODES:
        return closed.code, closed.reason[:_MAX_REASON]
    # 1005 means a close without a code, and must not be sent; neither may 1006, a connection without a close.
    return (NORMAL if closed.code == NO_CODE else FAILED), ""
