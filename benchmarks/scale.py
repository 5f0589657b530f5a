"""What many logins at once cost: requests on the wire, and time on the clock."""

# ruff: noqa: PLC0415 - uvloop is imported where it is measured: it does not need to be installed

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from typing import TYPE_CHECKING

from benchmarks.exchange import bare, cryptography_of_a_login
from benchmarks.load import OTP, SCOPE, all_of, our_client, user
from benchmarks.measure import Series
from benchmarks.report import Bar, Report, Row
from benchmarks.server import Server, allow_connections, pinned
from passwordless_async import Login

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from passwordless_async import PasswordlessClient

    Loop = Callable[[], asyncio.AbstractEventLoop] | None

SUMMARY = "Many logins at once: requests for tokens, nonces that change, answers that are late"
HOW = (
    "counted by the server, or taken by the clock; plain HTTP; cold: at most 1,000 at once by a new client; changing: "
    "another nonce after 200 logins, at 64 in flight, answers in 20 ms; late: a fifth of the logins in flight, each "
    "answered after 1 s (sooner if there are fewer than 10,000 logins), after one login that made the nonce known; "
    "fixed limit: how many are in flight does not follow the time that answers take; floor: as many bare posts of "
    "aiohttp, each with the cryptography of a login"
)
PACKAGES = ("passwordless-async", "aiohttp", "uvloop")
ROUNDS, MIN_ROUNDS, CALLS, COUNTED = 3, 1, 10_000, "logins"

COLD, ROTATION, AT_ONCE, ANSWER = 1000, 200, 64, 0.02  # logins, logins, logins, seconds
WAVES, LATE = 5, 1.0  # of logins that are answered late; seconds that 10,000 of them wait for an answer
_FILES = 8192


def run(rounds: int, calls: int) -> Report:
    """Measure on asyncio's loop and, where it is installed, on uvloop's."""
    loops: dict[str, Loop] = {"": None}
    absent = []
    try:
        import uvloop
    except ModuleNotFoundError:
        absent.append("uvloop")
    else:
        loops[", uvloop"] = uvloop.new_event_loop
    allow_connections(_FILES)
    found: dict[str, list[float]] = {}
    with pinned() as processors, Server(processors.server) as server:
        for _ in range(rounds):
            for suffix, loop in loops.items():
                for name, figure in _round(server, calls, loop).items():
                    found.setdefault(name + suffix, []).append(figure)
    series = {name: Series(tuple(figures)) for name, figures in found.items()}
    ideal = _late(calls) * WAVES
    floor = series["late, floor: CPU seconds"]
    cold = min(COLD, calls)
    bars = [
        Bar(f"token requests for {cold:,} cold logins", series["cold: requests"], must=cold + 2, goal=cold + 1),
        Bar("requests for a login, nonces changing", series["changing: requests for one"], must=1.35, goal=1.05),
    ]
    for name, how in (("late", "adaptive"), ("late, fixed limit", "fixed limit")):
        time_taken = Series(tuple(figure / ideal for figure in found[f"{name}: seconds"]))
        cpu = series[f"{name}: CPU seconds"].over(floor)
        bars += [
            Bar(f"late answers, {how}: time ÷ the ideal {ideal:.2f} s", time_taken, must=1.4, goal=1.2),
            Bar(f"late answers, {how}: CPU ÷ floor", cpu, must=1.2, goal=1.1),
        ]
    rows = [Row(name, figures) for name, figures in series.items()]
    return Report("scale", SUMMARY, f"{HOW}; {processors.how}", "as named", PACKAGES, rows, bars, absent)


def _round(server: Server, calls: int, loop: Loop) -> dict[str, float]:
    figures: dict[str, float] = {}
    with asyncio.Runner(loop_factory=loop) as runner:
        cold = min(COLD, calls)
        server.tell(delay=ANSWER, rotation=0, previous=0, reset=True)
        runner.run(_exchange(server, cold, cold))
        figures["cold: requests"] = server.tell()["/oauth/token"]
        for name, previous in (("changing", 0), ("changing, the one before passes", 1)):
            server.tell(rotation=ROTATION, previous=previous, reset=True)
            runner.run(_exchange(server, calls, AT_ONCE))
            figures[f"{name}: requests for one"] = server.tell()["/oauth/token"] / calls
        for name, adaptive in (("late", True), ("late, fixed limit", False)):
            server.tell(delay=_late(calls), rotation=0, reset=True)
            seconds = runner.run(_late_answers(server, calls, adaptive=adaptive))
            figures[f"{name}: seconds"], figures[f"{name}: CPU seconds"] = seconds
            _require_all_sent(server, calls)
        server.tell(delay=_late(calls), rotation=0, reset=True)
        figures["late, floor: seconds"], figures["late, floor: CPU seconds"] = runner.run(_late_floor(server, calls))
        _require_all_sent(server, calls)
    return figures


def _require_all_sent(server: Server, calls: int) -> None:
    if server.tell()["logins"] < calls // WAVES * WAVES:
        raise RuntimeError("not every login was sent")


def _late(calls: int) -> float:
    return min(LATE, LATE * calls / CALLS)


async def _exchange(server: Server, calls: int, in_flight: int) -> None:
    async with our_client(server.origin, in_flight=in_flight) as client:
        await _all(client, calls, in_flight)


async def _late_answers(server: Server, calls: int, *, adaptive: bool) -> tuple[float, float]:
    in_flight = max(1, calls // WAVES)
    # Of the slots of a client some are kept for refreshes and starts.
    async with our_client(server.origin, in_flight=2 * in_flight, adaptive=adaptive) as client:
        await _all(client, 1, 1, first=in_flight * WAVES)
        began, cpu_began = time.perf_counter(), time.process_time()
        await _all(client, in_flight * WAVES, in_flight)
        return time.perf_counter() - began, time.process_time() - cpu_began


async def _late_floor(server: Server, calls: int) -> tuple[float, float]:
    in_flight = max(1, calls // WAVES)
    async with bare(server, around=cryptography_of_a_login()) as post:
        await post()
        began, cpu_began = time.perf_counter(), time.process_time()
        await all_of(post, in_flight * WAVES, in_flight)
        return time.perf_counter() - began, time.process_time() - cpu_began


async def _all(client: PasswordlessClient, calls: int, in_flight: int, *, first: int = 0) -> None:
    async with aclosing(client.exchange_many(_logins(first, calls), concurrency=in_flight)) as outcomes:
        async for outcome in outcomes:
            if outcome.error is not None:
                raise outcome.error


def _logins(first: int, calls: int) -> Iterator[Login]:
    return (Login(user(number), OTP, scope=SCOPE) for number in range(first, first + calls))
