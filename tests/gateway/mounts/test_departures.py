"""A browser that goes away ends its call."""

from __future__ import annotations

import asyncio

import pytest

from passwordless_async.gateway.mounts import departures
from passwordless_async.gateway.mounts.departures import Departures


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at once."""
    monkeypatch.setattr(departures, "_PATIENCE_SECONDS", 0.0)


async def test_a_browser_that_goes() -> None:
    """What is under way is cancelled, and the task goes on as if nothing had been."""
    gone = asyncio.Event()

    async def until_gone() -> None:
        await gone.wait()

    async def call() -> str:
        with Departures().of(until_gone):
            gone.set()
            await asyncio.Event().wait()
        return "over"

    task = asyncio.create_task(call())
    async with asyncio.timeout(10):
        assert await task == "over"
    assert task.cancelling() == 0


async def test_a_call_that_ends_before() -> None:
    """Its watcher ends too; errors of the call go on."""
    watching = asyncio.Event()

    async def until_gone() -> None:
        watching.set()
        await asyncio.Event().wait()

    async def call() -> None:
        with Departures().of(until_gone):
            await watching.wait()
            raise ValueError("call")

    with pytest.raises(ValueError, match="call"):
        await call()
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_another_cancellation_goes_on() -> None:
    """A server that shuts down cancels its calls; also one whose browser has gone at that moment."""
    gone = asyncio.Event()

    async def until_gone() -> None:
        await gone.wait()

    for also_gone in (False, True):

        async def call() -> None:
            with Departures().of(until_gone):
                await asyncio.Event().wait()

        task = asyncio.create_task(call())
        await asyncio.sleep(0)
        if also_gone:
            gone.set()
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
