"""A module as a child process: calls, errors, cancellation, and every way for it to end."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest

from passwordless_async.errors import TransportError, UsageError
from passwordless_async.testing.process.child import CallFailed, ChildProcess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CHILD = "helpers.echo_child"


@pytest.fixture
async def child() -> AsyncIterator[ChildProcess]:
    async with ChildProcess(CHILD, {"name": "ada"}) as opened:
        yield opened


@pytest.fixture(autouse=True)
def helpers_are_importable(monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config) -> None:
    root = pytestconfig.rootpath
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(root), str(root / "tests"))))


async def test_calls_are_answered_in_any_order(child: ChildProcess) -> None:
    """A call that waits in the child does not hold up the calls after it."""
    waiting = asyncio.create_task(child.call("wait_for_gate", value="late"))
    assert await child.call("setup") == {"name": "ada"}
    assert not waiting.done()

    await child.call("open_gate")

    assert await waiting == "late"


async def test_a_call_that_is_no_json_is_not_pending(child: ChildProcess) -> None:
    """It raises here and waits for no answer; the next call is answered."""
    with pytest.raises(TypeError, match="JSON"):
        await child.call("setup", value=object())

    assert child._pending == {}
    assert await child.call("setup") == {"name": "ada"}


async def test_the_answer_to_a_cancelled_call_is_dropped(child: ChildProcess) -> None:
    """A cancelled call's answer is not taken for the next call's."""
    waiting = asyncio.create_task(child.call("wait_for_gate", value="dropped"))
    await child.call("setup")
    waiting.cancel()
    await asyncio.wait([waiting])

    await child.call("open_gate")

    assert await child.call("setup") == {"name": "ada"}


@pytest.mark.parametrize(
    ("kind", "raised"), [("CallFailed", CallFailed), ("ValueError", ValueError), ("KeyError", LookupError)]
)
async def test_a_failed_call_raises_what_the_child_raised(
    child: ChildProcess, kind: str, raised: type[Exception]
) -> None:
    """An error comes through the pipe with its message, and the next call works."""
    with pytest.raises(raised, match="the reason") as caught:
        await child.call("fail", kind=kind, message="the reason")

    assert type(caught.value) is raised
    assert await child.call("setup") == {"name": "ada"}


async def test_a_child_that_cannot_begin_says_why() -> None:
    """An ``OSError`` while the child opens its calls raises ``CallFailed`` in the parent."""
    with pytest.raises(CallFailed, match="no such port"):
        async with ChildProcess(CHILD, "refuse"):
            pass


async def test_a_killed_child_fails_pending_and_later_calls(child: ChildProcess) -> None:
    """A call in flight and every call after it raise ``TransportError`` with the exit status."""
    waiting = asyncio.create_task(child.call("wait_for_gate", value="never"))
    await child.call("setup")

    child.kill()

    with pytest.raises(TransportError, match="ended with status -9"):
        await waiting
    with pytest.raises(TransportError, match="ended with status -9"):
        await child.call("setup")


@pytest.mark.slow
async def test_closing_ends_a_child_with_calls_in_flight() -> None:
    """Closing cancels what still waits in the child, and fails the caller; closing again does nothing."""
    child = ChildProcess(CHILD, None)
    async with child:
        waiting = asyncio.create_task(child.call("wait_for_gate", value="never"))
        await child.call("setup")
    await child.aclose()

    assert child.pid is None
    with pytest.raises(TransportError, match="has ended"):
        await waiting
    with pytest.raises(RuntimeError, match="not running"):
        await child.call("setup")


@pytest.mark.slow
async def test_a_child_that_does_not_end_is_killed() -> None:
    """A child that outlives ``stop_seconds`` is killed and reaped."""
    child = ChildProcess(CHILD, None, stop_seconds=0.05)
    async with child:
        waiting = asyncio.create_task(child.call("wait_for_gate", value="never"))
        await child.call("setup")
        pid = child.pid

    assert pid is not None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(TransportError, match="ended with status -9"):
        await waiting


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.0, 0.02, 0.1, 0.3])
async def test_a_cancelled_start_leaves_no_child(seconds: float) -> None:
    """Whenever entering is cancelled, the child is reaped."""
    child = ChildProcess(CHILD, None)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(seconds), child:
            await asyncio.Event().wait()

    assert child.pid is None


async def test_a_child_that_runs_is_not_started_again(child: ChildProcess) -> None:
    """A second entry is a clear error, and the child that runs still answers."""
    pid = child.pid
    with pytest.raises(UsageError, match="process: is running already"):
        await child.__aenter__()
    assert (child.pid, await child.call("setup")) == (pid, {"name": "ada"})
