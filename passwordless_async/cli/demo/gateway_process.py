"""Gateways as processes, seen from the parent: see :mod:`passwordless_async.cli.demo.gateway`."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import attrs

from passwordless_async.errors import TransportError
from passwordless_async.testing.process.child import kill, spawn
from passwordless_async.testing.process.pipe import READY, line

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from types import TracebackType
    from typing import Self

    from passwordless_async.cli.demo.gateway import GatewaySettings

_STOP = 10.0  # seconds that a gateway is given to end


class Refused(Exception):
    """A gateway's call failed.

    Attributes:
        code: The code of its error.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class GatewayEnded(TransportError):
    """The gateway has ended, and nobody asked it to."""

    advice = "Something on this machine has ended the process: run it again."

    def __init__(self) -> None:
        super().__init__("a gateway has ended")


class GatewayProcess:
    """A gateway; use it as ``async with``.

    Args:
        settings: What it is.
    """

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self._process: Process | None = None
        self._calls = READY
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._process = await spawn("passwordless_async.cli.demo.gateway")
        self._reading = asyncio.create_task(self._read(self._process))
        await self._ask(attrs.asdict(self._settings), READY)
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the gateway and wait until it is gone; a second call does nothing."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), _STOP)
        except TimeoutError:
            kill(process)
            await process.wait()
        if self._reading is not None:
            await self._reading

    async def kill(self) -> None:
        """End the gateway with no chance to do anything more; calls that wait fail with ``GatewayEnded``."""
        if self._process is not None:
            kill(self._process)
            await self._process.wait()

    async def call(self, call: str, **arguments: Any) -> Any:  # noqa: ANN401 - whatever JSON holds
        """Let the gateway do something.

        Raises:
            Refused: It failed.
            GatewayEnded: It has ended.
        """
        self._calls += 1
        return await self._ask({"id": self._calls, "call": call, "with": arguments}, self._calls)

    async def _ask(self, message: dict[str, Any], number: int) -> Any:  # noqa: ANN401
        if self._process is None or self._process.stdin is None or (self._reading and self._reading.done()):
            raise GatewayEnded
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        self._process.stdin.write(line(message))
        return await answer

    async def _read(self, process: Process) -> None:
        assert process.stdout is not None  # noqa: S101 - a pipe
        try:
            while received := await process.stdout.readline():
                message = json.loads(received)
                answer = self._answers.pop(message["id"])
                if answer.done():
                    continue
                if "error" in message:
                    answer.set_exception(Refused(message["error"]))
                else:
                    answer.set_result(message["value"])
        finally:
            for answer in self._answers.values():
                if not answer.done():
                    answer.set_exception(GatewayEnded())
            self._answers.clear()
