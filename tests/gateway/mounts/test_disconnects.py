"""A browser that goes away ends its call."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, cast

import pytest

from passwordless_async.gateway.mounts import disconnects
from passwordless_async.gateway.mounts.disconnects import DisconnectWatch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


@pytest.fixture
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at once."""
    monkeypatch.setattr(disconnects, "_PATIENCE_SECONDS", 0.0)


class Loop:
    """An event loop whose time passes when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, seconds: float, call: Callable[[Loop], None], loop: Loop) -> None:
        self.timers.append((self.now + seconds, lambda: call(loop)))

    def pass_until(self, now: float) -> None:
        """Let the time pass to that of the one timer, and fire it."""
        self.now = now
        ((due, fire),) = self.timers
        assert due == now
        self.timers.clear()
        fire()


class Call:
    """A call that notes that its browser is watched."""

    def __init__(self) -> None:
        self.is_watched = False

    def begin(self) -> None:
        self.is_watched = True


def test_each_call_is_watched_after_a_quarter_of_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """One timer serves all calls, and there is none without calls."""
    loop, watch = Loop(), DisconnectWatch()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: loop)
    first, second, third = calls = [cast("Any", Call()) for _ in range(3)]
    watch.add(first)
    loop.now = 0.125
    watch.add(second)
    loop.pass_until(0.25)
    assert [call.is_watched for call in calls] == [True, False, False]
    loop.pass_until(0.5)
    assert ([call.is_watched for call in calls], loop.timers) == ([True, True, False], [])
    watch.add(third)
    loop.pass_until(0.75)
    assert (third.is_watched, loop.timers) == (True, [])


def test_a_call_that_has_ended_is_not_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most have ended by then, and cost nothing."""
    loop, watch, call = Loop(), DisconnectWatch(), cast("Any", Call())
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: loop)
    watch.add(call)
    watch.discard(call)
    loop.pass_until(0.25)
    assert (call.is_watched, loop.timers) == (False, [])


async def test_the_end_of_a_call_is_told() -> None:
    """Nothing of it is kept."""
    watch = DisconnectWatch()
    with watch.of(asyncio.Event().wait):  # type: ignore[arg-type] # what it returns is not read
        assert len(watch._new) == 1
    assert watch._new == {}


def until(gone: asyncio.Event) -> Callable[[], Awaitable[None]]:
    """Return what waits until a browser has gone."""

    async def until_gone() -> None:
        await gone.wait()

    return until_gone


@pytest.mark.usefixtures("_at_once")
async def test_a_browser_that_goes() -> None:
    """What is under way is cancelled, and the task goes on as if nothing had been."""
    gone = asyncio.Event()

    async def call() -> str:
        with DisconnectWatch().of(until(gone)):
            gone.set()
            await asyncio.Event().wait()
        return "over"

    task = asyncio.create_task(call())
    done, _ = await asyncio.wait([task], timeout=10)
    assert (done, task.result(), task.cancelling()) == ({task}, "over", 0)


@pytest.mark.usefixtures("_at_once")
@pytest.mark.parametrize("outcome", [None, ValueError("call")])
async def test_a_call_that_ends_otherwise_when_its_browser_goes(outcome: Exception | None) -> None:
    """What it returns or raises counts."""
    gone = asyncio.Event()

    async def call() -> str:
        with DisconnectWatch().of(until(gone)):
            gone.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if outcome is not None:
                    raise outcome from None
        return "over"

    task = asyncio.create_task(call())
    await asyncio.wait([task], timeout=10)
    assert (task.exception(), None if outcome else task.result()) == (outcome, None if outcome else "over")


@pytest.mark.usefixtures("_at_once")
async def test_a_call_of_a_task_that_was_cancelled_before() -> None:
    """The cancellation that the task has survived is not that of the browser, which goes no further."""
    gone, started = asyncio.Event(), asyncio.Event()

    async def call() -> str:
        started.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        with DisconnectWatch().of(until(gone)):
            gone.set()
            await asyncio.Event().wait()
        return "over"

    task = asyncio.create_task(call())
    await started.wait()
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=10)
    assert (done, task.result(), task.cancelling()) == ({task}, "over", 1)


@pytest.mark.usefixtures("_at_once")
async def test_a_call_that_ends_before() -> None:
    """Its watcher ends too; errors of the call go on."""
    watching = asyncio.Event()

    async def until_gone() -> None:
        watching.set()
        await asyncio.Event().wait()

    async def call() -> None:
        with DisconnectWatch().of(until_gone):
            await watching.wait()
            raise ValueError("call")

    with pytest.raises(ValueError, match="call"):
        await call()
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.usefixtures("_at_once")
async def test_another_cancellation_goes_on() -> None:
    """A server that shuts down cancels its calls; also one whose browser has gone at that moment."""
    gone = asyncio.Event()

    for also_gone in (False, True):

        async def call() -> None:
            with DisconnectWatch().of(until(gone)):
                await asyncio.Event().wait()

        task = asyncio.create_task(call())
        await asyncio.sleep(0)
        if also_gone:
            gone.set()
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
