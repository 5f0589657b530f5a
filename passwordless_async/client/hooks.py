"""Calls the functions of an application that are awaited: ``on_orphan`` and ``on_refresh``."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, TypeVar

from passwordless_async.client.traffic.single_flight import cancellations

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")


async def call_hook(hook: Callable[[T], Awaitable[None] | None], value: T) -> bool:
    """Call an application's hook and await it; return whether it has ended.

    False: its awaitable was cancelled, but this task was not. Raises what the hook raises.
    """
    try:
        done = hook(value)
        if inspect.isawaitable(done):
            await done
    except asyncio.CancelledError:
        if cancellations():
            raise
        return False
    return True
