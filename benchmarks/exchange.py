"""What an exchange costs the client, beside the bare request of aiohttp and the bare cryptography that are in it."""

# ruff: noqa: PLC0415 - uvloop is imported where it is measured: it does not need to be installed

from __future__ import annotations

import itertools
import time
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import aiohttp
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from benchmarks.against import against
from benchmarks.load import OTP, SCOPE, form, on_a_loop, our_client, user, usernames
from benchmarks.measure import interleaved, prepare_all
from benchmarks.report import Bar, Report, Row
from benchmarks.server import Server, pinned

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from benchmarks.load import Operation
    from benchmarks.measure import Prepare, Series

    Opened = Callable[[Server], AbstractAsyncContextManager[Operation]]

__all__ = ["against", "run"]

SUMMARY = "A code exchanged for tokens: new key, proof with nonce, validated ID token; 64 in flight"
HOW = (
    "CPU time of the process for one, contenders in turns, plain HTTP and TLS, connections and keys known; bare: a "
    "post of the form, and the JSON of the answer; cryptography: a key made, a signature, an ID token verified, "
    "nothing around them"
)
PACKAGES = ("passwordless-async", "aiohttp", "cryptography", "joserfc", "uvloop")
ROUNDS, MIN_ROUNDS, CALLS, COUNTED = 21, 5, 1000, "exchanges"

OURS, BARE = "passwordless-async", "bare aiohttp"
FLOOR = "bare aiohttp, cryptography"
TLS, UVLOOP = ", TLS", ", uvloop"
IN_FLIGHT = 64


def run(rounds: int, calls: int) -> Report:
    """Measure the contenders on asyncio's loop, plain and over TLS, and on uvloop's."""
    makers: dict[str, Callable[[], Prepare]] = {}
    with pinned() as processors, ExitStack() as stack:
        for suffix, tls in (("", False), (TLS, True)):
            server = stack.enter_context(Server(processors.server, tls=tls))
            for name, opened in _contenders().items():
                makers[name + suffix] = partial(on_a_loop, stack, opened(server), IN_FLIGHT)
                if not tls:
                    makers[name + UVLOOP] = partial(_on_uvloop, stack, opened(server))
        prepared, absent = prepare_all(makers)
        series = interleaved(prepared, rounds=rounds, calls=calls, clock=time.process_time_ns)
    return _report(series, processors.how, absent)


def _contenders() -> dict[str, Opened]:
    return {
        OURS: ours,
        f"{OURS}, no ID token": partial(ours, scope=None),
        FLOOR: partial(bare, around=cryptography_of_a_login()),
        BARE: bare,
    }


def _report(series: Mapping[str, Series], how: str, absent: list[str]) -> Report:
    kinds = [suffix for suffix in ("", TLS, UVLOOP) if OURS + suffix in series]
    bars = [
        Bar(f"exchange ÷ floor{suffix}", series[OURS + suffix].over(series[FLOOR + suffix]), must=1.2, goal=1.1)
        for suffix in kinds
    ]
    rows = []
    for name, figures in series.items():
        suffix = next((each for each in (TLS, UVLOOP) if name.endswith(each)), "")
        ratios = {"floor": figures.over(series[FLOOR + suffix]), "bare": figures.over(series[BARE + suffix])}
        rows.append(Row(name, figures, ratios))
    return Report("exchange", SUMMARY, f"{HOW}; {how}", "µs", PACKAGES, rows, bars, absent)


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
async def ours(server: Server, *, scope: str | None = SCOPE, in_flight: int | None = None) -> AsyncIterator[Operation]:
    """Open our client; gives what exchanges a code.

    Args:
        server: The server.
        scope: What is asked for; without ``openid`` there is no ID token.
        in_flight: How many exchanges may be in flight, however late their answers are; the usual unless given.
    """
    # Of the slots of a client some are kept for refreshes and starts.
    limit: dict[str, Any] = {} if in_flight is None else {"in_flight": 2 * in_flight, "adaptive": False}
    async with (
        aiohttp.ClientSession(connector=server.connector()) as session,
        our_client(server.origin, session=session, **limit) as client,
    ):
        # A code of a user is presented once: each exchange is a new user's.
        numbers = itertools.count()

        async def exchange() -> object:
            return await client.exchange(user(next(numbers)), OTP, scope=scope)

        yield exchange


@asynccontextmanager
async def bare(server: Server, *, around: Callable[[], object] | None = None) -> AsyncIterator[Operation]:
    """Open a session of aiohttp; gives what sends the same form without a proof, and reads the answer.

    Args:
        server: The server.
        around: What else is done, before the request.
    """
    username = usernames()
    async with aiohttp.ClientSession(connector=server.connector()) as session:

        async def post() -> object:
            if around is not None:
                around()
            async with session.post(server.token_url, data=form(username())) as response:
                return await response.json()

        yield post
