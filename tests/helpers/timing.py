"""What ends in time, by the event loop's own timers: a busy machine delays both sides alike, and fails no test."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable

_TURNS = 2000  # of the loop, in which the end of a call reaches its caller


async def ends_within(seconds: float, call: Awaitable[Any]) -> bool:
    """Return whether a call ends before a timer of so many seconds that begins with it."""
    task = asyncio.ensure_future(call)
    await asyncio.wait([task], timeout=seconds)
    for _ in range(_TURNS):
        if task.done():
            break
        await asyncio.sleep(0)
    return task.done()


async def ends_at_once(call: Awaitable[Any]) -> bool:
    """Return whether a call ends without waiting for any timer."""
    return await ends_within(0, call)
