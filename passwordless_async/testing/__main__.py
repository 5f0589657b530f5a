"""A tenant as a process of its own, for :class:`~passwordless_async.testing.TenantProcess`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from typing import TYPE_CHECKING, Any

from passwordless_async.testing.process.pipe import MAX_LINE, READY, Servant, failure, line
from passwordless_async.testing.settings.settings import TenantSettings
from passwordless_async.testing.tenant import LocalTenant

if TYPE_CHECKING:
    from collections.abc import Callable


async def serve() -> None:
    """Run a tenant until standard input ends or this task is cancelled."""
    requests = asyncio.StreamReader(limit=MAX_LINE)
    loop = asyncio.get_running_loop()
    pipe, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(requests), sys.stdin)
    try:
        if wish := await requests.readline():
            await _serve(json.loads(wish), requests)
    finally:
        pipe.close()


async def _serve(wish: dict[str, Any], requests: asyncio.StreamReader) -> None:
    async with contextlib.AsyncExitStack() as stack:
        settings = TenantSettings(**wish["settings"])
        try:
            tenant = await stack.enter_async_context(LocalTenant(settings, host=wish["host"], port=wish["port"]))
        except OSError as error:
            _write(failure(READY, error))
            return
        servant = Servant(tenant)
        _write(line({"id": READY, "value": {"url": tenant.url}}))
        while request := await requests.readline():
            _write(servant.answer(request))


def _write(answer: bytes) -> None:
    sys.stdout.buffer.write(answer)
    sys.stdout.buffer.flush()


async def _until_signalled() -> None:
    task = asyncio.create_task(serve())
    stop: Callable[[], object] = task.cancel
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    with contextlib.suppress(asyncio.CancelledError):
        await task


def main() -> None:
    """Run the process; a parent that is gone is no error."""
    try:
        asyncio.run(_until_signalled())
    except BrokenPipeError:
        sys.stdout = None  # nothing is left to flush at exit


if __name__ == "__main__":
    main()
