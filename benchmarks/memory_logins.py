"""How much memory logins take: in flight, and when a great many have gone by; see :mod:`benchmarks.memory`.

In flight the stub server holds every answer back, in a process of its own. For those that go by there is no server:
a canned answer takes the place of the transport, an opaque token without an ID token, so that what is measured is what
the client and ``exchange_many`` keep.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import itertools
import sys
from contextlib import aclosing
from typing import TYPE_CHECKING

from multidict import CIMultiDict

from benchmarks.exchange import bare, ours
from benchmarks.load import OTP, all_of, our_client, user
from benchmarks.server import Server, allow_connections
from passwordless_async import Login
from passwordless_async._common.http import HttpResponse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractAsyncContextManager

    from benchmarks.load import Operation
    from passwordless_async import PasswordlessClient
    from passwordless_async._common.http import HttpRequest

_WARM_UP, _WARM_UP_GONE_BY = 64, 20_000  # logins before the measurement
_AT_ONCE = 256  # of those that go by; exchange_many's own default
_CONNECTING = 50  # at once: the handshakes of all would take longer than a connection may
_HELD = 3600.0  # seconds: until the end
_FILES = 16_384
_CANNED = HttpResponse(
    200,
    CIMultiDict({"Content-Type": "application/json", "DPoP-Nonce": "n" * 32}),
    b'{"access_token":"opaque-access-token-of-a-user","token_type":"DPoP","expires_in":86400}',
)


def in_flight(
    logins: int,
    figures: Callable[[], Mapping[str, float]],
    *,
    tls: bool = False,
    is_bare: bool = False,
    on_uvloop: bool = False,
) -> dict[str, float]:
    """Return by how much figures of this process grow for each of so many exchanges that wait for their answers."""
    allow_connections(_FILES)
    loop = importlib.import_module("uvloop").new_event_loop if on_uvloop else None
    with Server(tls=tls) as server, asyncio.Runner(loop_factory=loop) as runner:
        opened = bare(server) if is_bare else ours(server, in_flight=logins + _WARM_UP)
        return runner.run(_in_flight(server, opened, logins, figures))


async def _in_flight(
    server: Server,
    opened: AbstractAsyncContextManager[Operation],
    logins: int,
    figures: Callable[[], Mapping[str, float]],
) -> dict[str, float]:
    async with opened as exchange:
        await asyncio.gather(*(exchange() for _ in range(_WARM_UP)))
        server.tell(delay=_HELD, reset=True)
        gc.collect()
        before = figures()
        waiting: list[asyncio.Task[object]] = []
        try:
            for first in range(0, logins, _CONNECTING):
                waiting += [_task(exchange) for _ in range(first, min(first + _CONNECTING, logins))]
                await _until_held(server, waiting)
            gc.collect()
            grown = {name: figure - before[name] for name, figure in figures().items()}
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
    return {name: figure / logins for name, figure in grown.items()}


def frames_entered(logins: int, *, is_bare: bool) -> float:
    """Return how many frames of Python each of so many exchanges, or bare posts, enters and resumes."""
    with Server() as server:
        return asyncio.run(_frames_entered(bare(server) if is_bare else ours(server), logins))


async def _frames_entered(opened: AbstractAsyncContextManager[Operation], logins: int) -> float:
    entered = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal entered
        entered += event == "call"

    async with opened as exchange:
        await all_of(exchange, _WARM_UP, _WARM_UP)
        sys.setprofile(count)
        try:
            await all_of(exchange, logins, _WARM_UP)
        finally:
            sys.setprofile(None)
    return entered / logins


def _task(exchange: Operation) -> asyncio.Task[object]:
    async def login() -> object:
        return await exchange()

    return asyncio.create_task(login())


async def _until_held(server: Server, waiting: list[asyncio.Task[object]]) -> None:
    while server.tell().get("/oauth/token", 0) < len(waiting):
        await asyncio.sleep(0.02)
        for task in waiting:
            if task.done():
                raise RuntimeError("an exchange ended before its answer") from task.exception()


def gone_by(logins: int, resident: Callable[[], int]) -> float:
    """Return the bytes by which the resident memory grows, at the most, while so many logins go by."""
    return asyncio.run(_gone_by(logins, resident))


async def _gone_by(logins: int, resident: Callable[[], int]) -> float:
    numbers = itertools.count()
    async with our_client("https://tenant.example") as client:
        client._transport.send = _answer  # type: ignore[assignment, method-assign]  # noqa: SLF001 - the transport is what is left out
        await _drain(client, numbers, min(_WARM_UP_GONE_BY, logins))
        gc.collect()
        before = resident()
        return await _drain(client, numbers, logins, resident) - before


async def _answer(_request: HttpRequest, departs: Callable[[], None] | None = None) -> HttpResponse:
    if departs is not None:
        departs()
    await asyncio.sleep(0)
    return _CANNED


async def _drain(
    client: PasswordlessClient, numbers: Iterator[int], logins: int, resident: Callable[[], int] = int
) -> int:
    most = done = 0
    each = (Login(user(number), OTP) for number in itertools.islice(numbers, logins))
    async with aclosing(client.exchange_many(each, concurrency=_AT_ONCE)) as outcomes:
        async for outcome in outcomes:
            if outcome.error is not None:
                raise outcome.error
            done += 1
            if done % 1000 == 0 or done == logins:
                most = max(most, resident())
    return most
