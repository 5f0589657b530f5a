"""What an exchange costs the client, beside the bare request of aiohttp that is in it."""

# ruff: noqa: PLC0415 - uvloop is imported where it is measured: it does not need to be installed

from __future__ import annotations

import time
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import aiohttp
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from benchmarks.load import OTP, SCOPE, USERS, form, on_a_loop, our_client, usernames
from benchmarks.measure import interleaved, prepare_all
from benchmarks.report import Bar, Report, Row
from benchmarks.server import Server, pinned

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Callable

    from benchmarks.load import Operation
    from benchmarks.measure import Prepare

SUMMARY = "A code exchanged for tokens: new key, proof with nonce, validated ID token; 64 in flight"
HOW = (
    "CPU time of the process for one, contenders in turns, plain HTTP, connections and keys known; bare: a post of the "
    "form, and the JSON of the answer; cryptography: a key made, a signature, an ID token verified, nothing around them"
)
PACKAGES = ("passwordless-async", "aiohttp", "cryptography", "joserfc", "uvloop")
ROUNDS, MIN_ROUNDS, CALLS, COUNTED = 21, 5, 1000, "exchanges"

OURS, BARE = "passwordless-async", "bare aiohttp"
FLOOR = "bare aiohttp, cryptography"
IN_FLIGHT = 64


def run(rounds: int, calls: int) -> Report:
    """Measure both, on asyncio's loop and on uvloop's."""
    with pinned() as processors, ExitStack() as stack:
        server = stack.enter_context(Server(processors.server))
        contenders, absent = prepare_all(
            {
                name + suffix: partial(_contender, stack, opened, server.origin, loop)
                for suffix, loop in (("", lambda: None), (", uvloop", _uvloop))
                for name, opened in (
                    (OURS, ours),
                    (f"{OURS}, no ID token", partial(ours, scope=None)),
                    (FLOOR, partial(bare, around=cryptography_of_a_login())),
                    (BARE, bare),
                )
            }
        )
        series = interleaved(contenders, rounds=rounds, calls=calls, clock=time.process_time_ns)
    bars = [Bar("exchange ÷ bare aiohttp", series[OURS].over(series[BARE]), must=1.7, goal=1.3)]
    if f"{OURS}, uvloop" in series:
        both = series[f"{OURS}, uvloop"].over(series[f"{BARE}, uvloop"])
        bars.append(Bar("exchange ÷ bare aiohttp, uvloop", both, must=1.7, goal=1.3))
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


def _uvloop() -> Callable[[], asyncio.AbstractEventLoop]:
    import uvloop

    return uvloop.new_event_loop


def _contender(
    stack: ExitStack,
    opened: Callable[[str], AsyncIterator[Operation]],
    origin: str,
    loop: Callable[[], Callable[[], asyncio.AbstractEventLoop] | None],
) -> Prepare:
    return on_a_loop(stack, opened(origin), IN_FLIGHT, loop())


@asynccontextmanager
async def ours(
    origin: str, *, session: aiohttp.ClientSession | None = None, scope: str | None = SCOPE
) -> AsyncIterator[Operation]:
    """Open our client; gives what exchanges a code."""
    async with our_client(origin, session=session) as client:
        turns = iter(range(10**12))

        async def exchange() -> object:
            return await client.exchange(USERS[next(turns) % len(USERS)], OTP, scope=scope)

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
