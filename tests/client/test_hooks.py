"""Functions of an application: what their end means."""

from __future__ import annotations

import asyncio

from helpers.clients import cancelled
from passwordless_async.client.hooks import call_hook


async def test_a_hook_is_done_when_it_has_ended() -> None:
    """A plain function at once, a coroutine function at its end; not done if its own awaitable was cancelled."""

    async def ended(_value: object) -> None:
        await asyncio.sleep(0)

    async def cancelled_inside(_value: object) -> None:
        raise asyncio.CancelledError

    seen: list[int] = []
    assert [await call_hook(hook, 1) for hook in (seen.append, ended, cancelled_inside)] == [True, True, False]
    assert seen == [1]


async def test_a_hook_that_is_cancelled_with_its_task_is_not_done() -> None:
    """The task was cancelled, by closing for example: it ends, and nothing is concluded from the hook."""
    began = asyncio.Event()

    async def hook(_value: object) -> None:
        began.set()
        await asyncio.get_running_loop().create_future()

    task = asyncio.create_task(call_hook(hook, 1))
    await began.wait()
    await cancelled(task)
