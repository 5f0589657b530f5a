"""What a call of an API through DPoPMiddleware costs, beside a bare request and a bare signature."""

from __future__ import annotations

import time
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import aiohttp
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from benchmarks.load import OTP, SCOPE, on_a_loop, our_client, user
from benchmarks.measure import interleaved
from benchmarks.report import Bar, Report, Row
from benchmarks.server import Server, pinned
from passwordless_async import DPoPMiddleware

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from benchmarks.load import Operation

SUMMARY = "A call of an API through DPoPMiddleware, 64 in flight"
HOW = (
    "CPU time of the process for one, contenders in turns, plain HTTP, connections known; a GET and its answer of two "
    "bytes; signature: one by ES256 before each request, and nothing around it"
)
PACKAGES = ("passwordless-async", "aiohttp", "cryptography")
ROUNDS, MIN_ROUNDS, CALLS, COUNTED = 21, 5, 1000, "calls"

OURS, FLOOR, BARE = "DPoPMiddleware", "bare GET, signature", "bare GET"
IN_FLIGHT = 64


def run(rounds: int, calls: int) -> Report:
    """Measure the contenders."""
    with pinned() as processors, ExitStack() as stack:
        server = stack.enter_context(Server(processors.server))
        opened = {OURS: _ours(server), FLOOR: _bare(server, around=_signature()), BARE: _bare(server)}
        contenders = {name: on_a_loop(stack, each, IN_FLIGHT) for name, each in opened.items()}
        series = interleaved(contenders, rounds=rounds, calls=calls, clock=time.process_time_ns)
    rows = [
        Row(name, figures, {"floor": figures.over(series[FLOOR]), "bare": figures.over(series[BARE])})
        for name, figures in series.items()
    ]
    bars = [Bar("call ÷ (bare GET and bare signature)", series[OURS].over(series[FLOOR]), must=1.2, goal=1.08)]
    return Report("api-call", SUMMARY, f"{HOW}; {processors.how}", "µs", PACKAGES, rows, bars)


def _signature() -> Callable[[], object]:
    key, hashed = ec.generate_private_key(ec.SECP256R1()), ec.ECDSA(hashes.SHA256())
    return partial(key.sign, bytes(300), hashed)  # about as long as a proof


@asynccontextmanager
async def _ours(server: Server) -> AsyncIterator[Operation]:
    async with our_client(server.origin) as client:
        tokens = await client.exchange(user(0), OTP, scope=SCOPE)
        middlewares = [DPoPMiddleware(tokens, origins=[server.origin])]
        async with aiohttp.ClientSession(connector=server.connector(), middlewares=middlewares) as session:
            yield partial(_get, session, f"{server.origin}/api")


@asynccontextmanager
async def _bare(server: Server, *, around: Callable[[], object] | None = None) -> AsyncIterator[Operation]:
    async with aiohttp.ClientSession(connector=server.connector()) as session:

        async def get() -> object:
            if around is not None:
                around()
            return await _get(session, f"{server.origin}/api")

        yield get


async def _get(session: aiohttp.ClientSession, url: str) -> object:
    async with session.get(url) as response:
        return await response.read()
