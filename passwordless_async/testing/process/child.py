"""A Python module as a child process that is called by lines: both ends of the pipe.

The parent writes one JSON object a line to the child's standard input; the child answers each with a line of its own.

.. code-block:: text

    parent: ChildProcess                          child: run(open_calls)
    {"setup": …}                              ─▶
                                              ◀─  {"id": 0, "value": null}
    {"id": 1, "call": "codes", "with": {…}}   ─▶
                                              ◀─  {"id": 1, "value": …}  or  {"id": 1, "error": …, "kind": …}

Invariants:

- Control needs no port and no secret: only the two processes have the pipe.
- The child ends when its standard input ends, so it also ends if the parent is killed.
- Calls run concurrently and may be answered in any order; the ``id`` matches an answer to its call.
- The answer to a call that was cancelled is dropped, never taken for another call's.
- Every child is reaped, even if entering or leaving is cancelled.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import signal
import sys
from typing import TYPE_CHECKING, Any, Self, TypeVar

from passwordless_async.errors import TransportError, UsageError

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    Calls = Mapping[str, Callable[..., Any]]
    OpenCalls = Callable[[Any], AbstractAsyncContextManager[Calls]]

Stream = TypeVar("Stream")

_MAX_LINE_BYTES = 16 * 1024 * 1024  # the codes of a hundred thousand users
_READY = 0  # the id of the answer to the setup
_START_SECONDS = 30.0  # until a child must be ready; importing takes a tenth of a second on an idle machine
_STOP_SECONDS = 5.0  # that a child is given to end before it is killed
_GRACE_SECONDS = 2.0  # that calls in flight are given once the parent has gone


class CallFailed(Exception):
    """A call failed in the child; the message is the child's."""


_ERRORS: Mapping[str, type[Exception]] = {
    kind.__name__: kind for kind in (CallFailed, LookupError, TypeError, ValueError)
}


class ChildProcess:
    """A module that runs as a child process; use it as ``async with`` (POSIX only).

    The child has a process session of its own, so a Ctrl-C in the terminal reaches the parent alone.

    Args:
        module: The module to run; its ``__main__`` calls :func:`run`.
        setup: What the child needs to begin, as JSON.
        stop_seconds: Seconds that the child is given to end before it is killed.

    Raises:
        TransportError: On entering or at a call: the child has ended.
        TimeoutError: On entering: it was not ready within half a minute.
        CallFailed: On entering: it could not begin, for example because its port is taken.
        UsageError: On entering: it is running already.
    """

    def __init__(self, module: str, setup: object, *, stop_seconds: float = _STOP_SECONDS) -> None:
        self._module = module
        self._setup = setup
        self._stop_seconds = stop_seconds
        self._process: Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._calls = _READY
        self._pending: dict[int, asyncio.Future[Any]] = {}

    @property
    def pid(self) -> int | None:
        """The child's process id; None before it was started and after it was closed."""
        return None if self._process is None else self._process.pid

    async def __aenter__(self) -> Self:
        if self._process is not None:
            raise UsageError("process", "is running already: make another for a second one")
        starting = asyncio.create_task(self._spawn())
        try:
            await asyncio.shield(starting)
            async with asyncio.timeout(_START_SECONDS):
                await (await self._send({"setup": self._setup}, _READY))
        except BaseException:
            await asyncio.wait([starting])
            await self.aclose()
            raise
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.aclose()

    async def call(self, name: str, **arguments: Any) -> Any:  # noqa: ANN401 - any JSON value
        """Return what a call yields in the child.

        Raises:
            CallFailed: It failed; ``LookupError``, ``TypeError`` and ``ValueError`` are raised as such.
            TransportError: The child has ended.
        """
        self._calls += 1
        return await (await self._send({"id": self._calls, "call": name, "with": arguments}, self._calls))

    def kill(self) -> None:
        """Kill the child at once; pending calls raise ``TransportError``."""
        if self._process is not None:
            _kill(self._process)

    async def aclose(self) -> None:
        """End the child and wait until it is gone; a second call does nothing."""
        process, self._process = self._process, None
        if process is None:
            return
        ending = asyncio.create_task(self._end(process))
        try:
            async with asyncio.timeout(self._stop_seconds):
                await asyncio.shield(ending)
        except TimeoutError:
            _kill(process)
            await ending
        except BaseException:
            _kill(process)
            await asyncio.wait([ending])
            raise

    async def _spawn(self) -> None:
        pipe = asyncio.subprocess.PIPE
        command = (sys.executable, "-m", self._module)
        self._process = await asyncio.create_subprocess_exec(
            *command, stdin=pipe, stdout=pipe, limit=_MAX_LINE_BYTES, start_new_session=True
        )
        self._reader = asyncio.create_task(self._read(self._process))

    async def _send(self, message: Mapping[str, Any], number: int) -> asyncio.Future[Any]:
        if self._process is None or self._reader is None:
            raise RuntimeError("the child process is not running")
        if self._reader.done():
            raise _ended(self._process)
        line = _line(message)  # before it is pending: what is no JSON gets no answer
        answer = self._pending[number] = asyncio.get_running_loop().create_future()
        stdin = _pipe(self._process.stdin)
        try:
            stdin.write(line)
            await stdin.drain()
        except ConnectionError:
            pass  # the reader sees the end of the child, and fails the answer
        except asyncio.CancelledError:
            answer.cancel()
            raise
        return answer

    async def _read(self, process: Process) -> None:
        stdout = _pipe(process.stdout)
        try:
            while received := await stdout.readline():
                message = json.loads(received)
                self._settle(self._pending.pop(message["id"]), message)
            await process.wait()
        finally:
            for answer in self._pending.values():
                if not answer.done():
                    answer.set_exception(_ended(process))
            self._pending.clear()

    @staticmethod
    def _settle(answer: asyncio.Future[Any], message: Mapping[str, Any]) -> None:
        if answer.done():  # the caller was cancelled
            return
        if "error" in message:
            answer.set_exception(_ERRORS[message["kind"]](message["error"]))
        else:
            answer.set_result(message["value"])

    async def _end(self, process: Process) -> None:
        stdin = _pipe(process.stdin)
        stdin.close()
        with contextlib.suppress(ConnectionError):
            await stdin.wait_closed()
        await process.wait()
        if self._reader is not None:
            await self._reader


def run(open_calls: OpenCalls) -> None:
    """Be the child: answer calls until standard input ends, or SIGINT or SIGTERM arrives.

    Args:
        open_calls: Makes, from the parent's setup, what may be called: functions, async or not, by name. An ``OSError``
            on entering it ends the child, and raises ``CallFailed`` in the parent.
    """
    try:
        asyncio.run(_until_signalled(open_calls))
    except BrokenPipeError:
        sys.stdout = None  # the parent has gone: nothing is left to flush at exit


async def _until_signalled(open_calls: OpenCalls) -> None:
    task = asyncio.create_task(_serve(open_calls))
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def _serve(open_calls: OpenCalls) -> None:
    requests = asyncio.StreamReader(limit=_MAX_LINE_BYTES)
    loop = asyncio.get_running_loop()
    pipe, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(requests), sys.stdin)
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(pipe.close)
        if not (first := await requests.readline()):
            return
        try:
            calls = await stack.enter_async_context(open_calls(json.loads(first)["setup"]))
        except OSError as error:
            _write(_failure(_READY, CallFailed(str(error))))
            return
        _write({"id": _READY, "value": None})
        await _answer_all(calls, requests)


async def _answer_all(calls: Calls, requests: asyncio.StreamReader) -> None:
    in_flight: set[asyncio.Task[None]] = set()
    async with asyncio.TaskGroup() as group:
        while request := await requests.readline():
            task = group.create_task(_answer(calls, json.loads(request)))
            in_flight.add(task)
            task.add_done_callback(in_flight.discard)
        if in_flight:
            _, late = await asyncio.wait(in_flight, timeout=_GRACE_SECONDS)
            for task in late:
                task.cancel()


async def _answer(calls: Calls, message: Mapping[str, Any]) -> None:
    try:
        value = calls[message["call"]](**message["with"])
        if inspect.isawaitable(value):
            value = await value
    except tuple(_ERRORS.values()) as error:
        _write(_failure(message["id"], error))
    else:
        _write({"id": message["id"], "value": value})


def _failure(number: int, error: Exception) -> Mapping[str, Any]:
    kind = next(name for name, kind in _ERRORS.items() if isinstance(error, kind))
    return {"id": number, "error": str(error), "kind": kind}


def _line(message: Mapping[str, Any]) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def _write(message: Mapping[str, Any]) -> None:
    sys.stdout.buffer.write(_line(message))
    sys.stdout.buffer.flush()


def _pipe(stream: Stream | None) -> Stream:
    if stream is None:
        raise RuntimeError("the child was started without a pipe")
    return stream


def _kill(process: Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()


def _ended(process: Process) -> TransportError:
    return TransportError(f"the child process has ended with status {process.returncode}")
