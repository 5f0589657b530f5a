"""One checkout's package, measured: :mod:`benchmarks.against` starts this script once for each checkout.

The checkout comes first on ``PYTHONPATH``. Only the public API is used, so that older checkouts run too, and nothing
else of this directory, so that no second checkout is imported. The script answers lines of JSON:

.. code-block:: text

    parent                                             child
                                                   ◀─  {"package": "/…/passwordless_async/__init__.py"}
    {"operation": "exchange", "calls": 1000}       ─▶
                                                   ◀─  {"microseconds": 312.5}
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from contextlib import AsyncExitStack
from itertools import count, islice
from typing import TYPE_CHECKING

import aiohttp
import attrs

import passwordless_async
from passwordless_async import INTERACTIVE, DPoPMiddleware, Email, PasswordlessClient

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator

IN_FLIGHT = 64
_OTP, _SCOPE = "123456", "openid"
_TIMEOUT = 60.0  # seconds: a loaded machine is no failure


class Contender:
    """What can be measured; each operation takes one of the arguments that its ``…_arguments`` make."""

    def __init__(self, client: PasswordlessClient, http: aiohttp.ClientSession, api: str) -> None:
        self._client = client
        self._http = http
        self._api = api
        # A code of a user is presented once: each exchange is a new user's.
        self._users = (Email(f"user{number}@example.com") for number in count())

    def exchange(self, calls: int) -> tuple[Callable[[Email], Awaitable[object]], Iterable[Email]]:
        """Exchange a code for tokens."""
        return self._exchange, list(islice(self._users, calls))

    def api_call(self, calls: int) -> tuple[Callable[[str], Awaitable[object]], Iterable[str]]:
        """Call an API through :class:`~passwordless_async.DPoPMiddleware`."""
        return self._call_api, [self._api] * calls

    async def _exchange(self, who: Email) -> object:
        return await self._client.exchange(who, _OTP, scope=_SCOPE)

    async def _call_api(self, url: str) -> object:
        async with self._http.get(url) as response:
            return await response.read()


async def opened(stack: AsyncExitStack, origin: str, client_id: str) -> Contender:
    """Open a client, and a session of aiohttp with the tokens of a user who logs in."""
    profile = attrs.evolve(INTERACTIVE, timeout=_TIMEOUT, max_in_flight=512)
    client = await stack.enter_async_context(PasswordlessClient(origin, client_id, profile=profile))
    tokens = await client.exchange(Email("caller@example.com"), _OTP, scope=_SCOPE)
    http = aiohttp.ClientSession(middlewares=[DPoPMiddleware(tokens, origins=[origin])])
    return Contender(client, await stack.enter_async_context(http), f"{origin}/api")


async def run(operation: Callable[[object], Awaitable[object]], arguments: Iterable[object]) -> None:
    """Run an operation for each argument, 64 at once."""
    waiting: Iterator[object] = iter(arguments)

    async def work() -> None:
        for argument in waiting:
            await operation(argument)

    async with asyncio.TaskGroup() as workers:
        for _ in range(IN_FLIGHT):
            workers.create_task(work())


def microseconds(runner: asyncio.Runner, contender: Contender, operation: str, calls: int) -> float:
    """Return the CPU time of this process for one call; connections are warm, and what a call needs is made before."""
    prepare = getattr(contender, operation)
    runner.run(run(*prepare(min(calls, IN_FLIGHT))))
    call, arguments = prepare(calls)
    gc.collect()
    gc.disable()
    try:
        began = time.process_time_ns()
        runner.run(run(call, arguments))
        return (time.process_time_ns() - began) / calls / 1000
    finally:
        gc.enable()


def main(origin: str, client_id: str) -> None:
    """Answer lines until standard input ends."""
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        contender = runner.run(opened(stack, origin, client_id))
        try:
            _say({"package": passwordless_async.__file__})
            for line in sys.stdin:
                _say({"microseconds": microseconds(runner, contender, **json.loads(line))})
        finally:
            runner.run(stack.aclose())


def _say(message: dict[str, object]) -> None:
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
