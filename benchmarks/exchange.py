"""What an exchange costs the client, beside the bare request of aiohttp that is in it."""

# ruff: noqa: PLC0415 - uvloop is imported where it is measured: it does not need to be installed

from __future__ import annotations

import itertools
import time
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import aiohttp
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from benchmarks.against import against
from benchmarks.load import OTP, SCOPE, form, on_a_loop, our_client, user, usernames
from benchmarks.measure import interleaved, prepare_all
from benchmarks.report import Bar, Report, Row
from benchmarks.server import Server, pinned

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from benchmarks.load import Operation
    from benchmarks.measure import Prepare

    Opened = Callable[[str], AbstractAsyncContextManager[Operation]]

__all__ = ["against", "run"]

SUMMARY = "A code exchanged for tokens: new key, proof with nonce, validated ID token; 64 in flight"
HOW = (
    "CPU time of the process for one, contenders in turns, plain HTTP, connections and keys known; bare: a post of the "
    "form, and the JSON of the answer; cryptography: a key made, a signature, an ID token verified, nothing around them"
)
PACKAGES = ("passwordless-async", "aiohttp", "cryptography", "joserfc", "uvloop")
ROUNDS, MIN_ROUNDS, CALLS, COUNTED = 21, 5, 1000, "exchanges"

OURS, BARE = "passwordless-async", "bare aiohttp"
FLOOR = "bare aiohttp, cryptography"
UVLOOP = ", uvloop"
IN_FLIGHT = 64


def run(rounds: int, calls: int) -> Report:
    """Measure the contenders on asyncio's loop and on uvloop's."""
    contenders: dict[str, Opened] = {
        OURS: ours,
        f"{OURS}, no ID token": partial(ours, scope=None),
        FLOOR: partial(bare, around=cryptography_of_a_login()),
        BARE: bare,
    }
    makers: dict[str, Callable[[], Prepare]] = {}
    with pinned() as processors, ExitStack() as stack:
        server = stack.enter_context(Server(processors.server))
        for name, opened in contenders.items():
            makers[name] = partial(on_a_loop, stack, opened(server.origin), IN_FLIGHT)
            makers[name + UVLOOP] = partial(_on_uvloop, stack, opened(server.origin))
        prepared, absent = prepare_all(makers)
        series = interleaved(prepared, rounds=rounds, calls=calls, clock=time.process_time_ns)
    bars = [
        Bar(f"exchange ÷ bare aiohttp{loop}", series[OURS + loop].over(series[BARE + loop]), must=1.7, goal=1.3)
        for loop in ("", UVLOOP)
        if OURS + loop in series
    ]
    rows = [Row(name, figures, {"bare": figures.over(series[BARE])}) for name, figures in series.items()]
    return Report("exchange", SUMMARY, f"{HOW}; {processors.how}", "µs", PACKAGES, rows, bars, absent)


def cryptography_of_a_login() -> Callable[[], None]:
    """Return what no client can do without: a key made, a proof signed, an ID token verified; nothing around them."""
    hashed, padded = ec.ECDSA(hashes.SHA256()), padding.PKCS1v15()
    issuer = rsa.generate_private_key(65537, 2048)
    message = bytes(300)  # about as long as a proof, and as an ID token
    signature, verify = issuer.sign(message, padded, hashes.SHA256()), issuer.public_key().verify

    def login() -> None:
        ec.generate_private_key(ec.SECP256R1()).sign(message, hashed)
        verify(signature, message, padded, hashes.SHA256())

    return login


def _on_uvloop(stack: ExitStack, opened: AbstractAsyncContextManager[Operation]) -> Prepare:
    import uvloop

    return on_a_loop(stack, opened, IN_FLIGHT, uvloop.new_event_loop)


@asynccontextmanager
async def ours(
    origin: str, *, session: aiohttp.ClientSession | None = None, scope: str | None = SCOPE
) -> AsyncIterator[Operation]:
    """Open our client; gives what exchanges a code."""
    async with our_client(origin, session=session) as client:
        # A code of a user is presented once: each exchange is a new user's.
        numbers = itertools.count()

        async def exchange() -> object:
            return await client.exchange(user(next(numbers)), OTP, scope=scope)

        yield exchange


@asynccontextmanager
async def bare(
    origin: str,
    *,
    connector: aiohttp.BaseConnector | None = None,
    around: Callable[[], object] | None = None,
) -> AsyncIterator[Operation]:
    """Open a session of aiohttp; gives what sends the same form without a proof, and reads the answer.

    Args:
        origin: The server.
        connector: Its connections.
        around: What else is done, before the request.
    """
    url, username = f"{origin}/oauth/token", usernames()
    async with aiohttp.ClientSession(connector=connector) as session:

        async def post() -> object:
            if around is not None:
                around()
            async with session.post(url, data=form(username())) as response:
                return await response.json()

        yield post
