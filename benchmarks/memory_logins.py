"""How much memory logins take: in flight, and when a great many have gone by; see :mod:`benchmarks.memory`.

In flight the stub server holds every answer back, in a process of its own. For those that go by there is no server:
a canned answer takes the place of the transport, an opaque token without an ID token, so that what is measured is what
the client and ``exchange_many`` keep.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import ssl
from contextlib import aclosing
from typing import TYPE_CHECKING

import aiohttp
from multidict import CIMultiDict

from benchmarks.load import OTP, SCOPE, our_client, user
from benchmarks.server import Server, allow_connections
from passwordless_async import Login
from passwordless_async._common.http import HttpResponse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from passwordless_async import PasswordlessClient
    from passwordless_async._common.http import HttpRequest
    from passwordless_async.auth0.tokens import TokenSet

_WARM_UP, _WARM_UP_GONE_BY = 64, 20_000  # logins before the measurement
_AT_ONCE = 256  # of those that go by; exchange_many's own default
_CONNECTING = 200  # at once: the handshakes of all would take longer than a connection may
_HELD = 3600.0  # seconds: until the end
_FILES = 16_384
_CANNED = HttpResponse(
    200,
    CIMultiDict({"Content-Type": "application/json", "DPoP-Nonce": "n" * 32}),
    b'{"access_token":"opaque-access-token-of-a-user","token_type":"DPoP","expires_in":86400}',
)


def in_flight(logins: int, resident: Callable[[], int], *, tls: bool) -> float:
    """Return the resident bytes for each of so many exchanges that wait for their answers."""
    allow_connections(_FILES)
    with Server(tls=tls) as server:
        return asyncio.run(_in_flight(server, logins, resident))


async def _in_flight(server: Server, logins: int, resident: Callable[[], int]) -> float:
    context = ssl.create_default_context(cadata=server.ca) if server.ca else True
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, ssl=context)) as session,
        our_client(server.origin, session=session, in_flight=logins + _WARM_UP) as client,
    ):
        await asyncio.gather(*(client.exchange(user(-number), OTP, scope=SCOPE) for number in range(1, _WARM_UP + 1)))
        server.tell(delay=_HELD, reset=True)
        gc.collect()
        before = resident()
        waiting: list[asyncio.Task[TokenSet]] = []
        try:
            for first in range(0, logins, _CONNECTING):
                waiting += [_start(client, number) for number in range(first, min(first + _CONNECTING, logins))]
                await _until_held(server, waiting)
            gc.collect()
            grown = resident() - before
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
    return grown / logins


def _start(client: PasswordlessClient, number: int) -> asyncio.Task[TokenSet]:
    return asyncio.create_task(client.exchange(user(number), OTP, scope=SCOPE))


async def _until_held(server: Server, waiting: list[asyncio.Task[TokenSet]]) -> None:
    while server.tell().get("/oauth/token", 0) < len(waiting):
        await asyncio.sleep(0.02)
        if any(task.done() for task in waiting):
            raise RuntimeError("an exchange ended before its answer")


def gone_by(logins: int, resident: Callable[[], int]) -> float:
    """Return the bytes by which the resident memory grows, at the most, while so many logins go by."""
    return asyncio.run(_gone_by(logins, resident))


async def _gone_by(logins: int, resident: Callable[[], int]) -> float:
    numbers = itertools.count()
    async with our_client("https://tenant.example") as client:
        client._transport.send = _answer  # noqa: SLF001 - the transport is what is left out
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
