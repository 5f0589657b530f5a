"""What a login costs the client, beside other libraries that can do it, or some of it.

A login is the exchange alone: of a start, no contender has more to do than to send a line of JSON.
"""

# ruff: noqa: PLC0415 - the other libraries are imported where they are measured: none of them needs to be installed

from __future__ import annotations

import ssl
import time
from contextlib import ExitStack
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

from benchmarks import peers_async, peers_threads
from benchmarks.exchange import bare, ours
from benchmarks.load import on_a_loop
from benchmarks.measure import interleaved, prepare_all
from benchmarks.report import Bar, Report, Row
from benchmarks.server import Server, pinned, trusted

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from benchmarks.load import Operation
    from benchmarks.measure import Batch, Prepare

SUMMARY = "A login over TLS (the exchange; the start is not in it), 64 in flight"
HOW = "CPU time of the process for one, all threads, contenders in turns; the slow ones have fewer calls in a round"
PACKAGES = (
    "passwordless-async",
    "aiohttp",
    "cryptography",
    "auth0-server-python",
    "auth0-python",
    "requests_oauth2client",
    "requests",
    "httpx2",
    "pyreqwest",
    "PyJWT",
)
ROUNDS, MIN_ROUNDS, CALLS, COUNTED = 9, 3, 1280, "logins"

IN_FLIGHT = 64
OURS = "passwordless-async"
SERVER_SDK, SDK, OAUTH2CLIENT = "auth0-server-python", "auth0-python", "requests_oauth2client"
HTTPX, FLOOR, RUST, LIMIT = "httpx2, by hand", "bare aiohttp", "bare pyreqwest", "asyncio streams"
# What each does: only ours does all of it.
NOTES = {
    OURS: "new key, DPoP, ID token validated",
    SERVER_SDK: "no DPoP, ID token validated, session stored",
    SDK: "no DPoP, ID token not read; threads",
    OAUTH2CLIENT: "new key, DPoP, ID token not validated; threads",
    HTTPX: "new key, DPoP, ID token not read; one AsyncClient",
    FLOOR: "no DPoP, ID token not read",
    RUST: "no DPoP, ID token not read; HTTP and TLS in Rust, in a thread",
    LIMIT: "no DPoP, nothing read but the length",
}
SHARES = {SERVER_SDK: 20, SDK: 10, OAUTH2CLIENT: 5, HTTPX: 4}


def run(rounds: int, calls: int) -> Report:
    """Measure all contenders that are installed."""
    with pinned() as processors, ExitStack() as stack:
        server = stack.enter_context(Server(processors.server, tls=True))
        if find_spec("certifi"):  # without it no library that reads the bundle is installed
            import certifi

            stack.enter_context(trusted(server, certifi.where()))
        asked: dict[str, list[float]] = {}
        contenders, absent = prepare_all(
            {
                name: partial(_counted, server, make, asked.setdefault(name, []))
                for name, make in _makers(stack, server).items()
            }
        )
        series = interleaved(contenders, rounds=rounds, calls=calls, clock=time.process_time_ns, shares=SHARES)
    rows = [
        Row(name, figures, {"ours": figures.over(series[OURS])}, f"{NOTES[name]}; requests: {max(asked[name]):.2f}")
        for name, figures in series.items()
    ]
    limits = {SERVER_SDK: (50, 80), SDK: (9, 13), OAUTH2CLIENT: (5, 8)}
    bars = [
        Bar(f"{name} ÷ ours", series[name].over(series[OURS]), must=must, goal=goal, higher=True)
        for name, (must, goal) in limits.items()
        if name in series
    ]
    how = f"{HOW}; {processors.how}; the libraries' TLS is {ssl.OPENSSL_VERSION}"
    return Report("peers", SUMMARY, how, "µs", PACKAGES, rows, bars, absent)


def _makers(stack: ExitStack, server: Server) -> dict[str, Callable[[], Prepare]]:
    def on_loop(opened: Callable[[Server], AbstractAsyncContextManager[Operation]]) -> Callable[[], Prepare]:
        return lambda: on_a_loop(stack, opened(server), IN_FLIGHT)

    return {
        OURS: on_loop(ours),
        FLOOR: on_loop(bare),
        LIMIT: on_loop(peers_async.streams),
        RUST: on_loop(peers_async.bare_pyreqwest),
        HTTPX: on_loop(peers_async.httpx2_by_hand),
        SERVER_SDK: on_loop(peers_async.auth0_server_python),
        SDK: partial(peers_threads.auth0_python, stack, server, IN_FLIGHT),
        OAUTH2CLIENT: partial(peers_threads.requests_oauth2client, stack, server, IN_FLIGHT),
    }


def _counted(server: Server, make: Callable[[], Prepare], asked: list[float]) -> Prepare:
    """Return a contender that also notes how many requests one of its logins took."""
    prepare = make()

    def prepare_counted(calls: int) -> Batch:
        batch = prepare(calls)
        server.tell(reset=True)

        def counted() -> None:
            batch()
            asked.append(server.tell().get("/oauth/token", 0) / calls)

        return counted

    return prepare_counted
