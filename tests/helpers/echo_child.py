"""A child process for the tests of :class:`~passwordless_async.testing.process.child.ChildProcess`."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from passwordless_async.testing.process.child import CallFailed, run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping


@asynccontextmanager
async def open_calls(setup: Any) -> AsyncIterator[Mapping[str, Callable[..., Any]]]:
    if setup == "refuse":
        raise OSError("no such port")
    gate = asyncio.Event()

    async def wait_for_gate(value: str) -> str:
        await gate.wait()
        return value

    def fail(kind: str, message: str) -> None:
        raise {"CallFailed": CallFailed, "ValueError": ValueError, "KeyError": KeyError}[kind](message)

    yield {"setup": lambda: setup, "wait_for_gate": wait_for_gate, "open_gate": gate.set, "fail": fail}


if __name__ == "__main__":
    run(open_calls)
