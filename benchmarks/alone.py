"""How long one login takes with nothing else in flight, beside the bare request and the bare cryptography in it."""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.exchange import FLOOR, OURS, bare, cryptography_of_a_login, ours
from benchmarks.measure import in_turns
from benchmarks.report import Bar, Report, Row
from benchmarks.server import Server, pinned

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from benchmarks.load import Operation

SUMMARY = "One exchange after the other, nothing else in flight: the time on the clock that half of them take at most"
HOW = (
    "by the clock, plain HTTP, one connection, the stub server answers at once; for each round the median of its "
    "exchanges, contenders in turns"
)
PACKAGES = ("passwordless-async", "aiohttp", "cryptography", "joserfc")
ROUNDS, MIN_ROUNDS, CALLS, COUNTED = 41, 5, 100, "exchanges"

_WARM_UP = 5  # exchanges before each turn


def run(rounds: int, calls: int) -> Report:
    """Measure ours and the floor."""
    with pinned() as processors, ExitStack() as stack:
        server = stack.enter_context(Server(processors.server))
        opened = {OURS: ours(server), FLOOR: bare(server, around=cryptography_of_a_login())}
        turns = {name: partial(_on_a_loop(stack, each), calls) for name, each in opened.items()}
        series = in_turns(turns, rounds=rounds)
    ratios = {name: figures.over(series[FLOOR]) for name, figures in series.items()}
    rows = [Row(name, figures, {"floor": ratios[name]}) for name, figures in series.items()]
    bars = [Bar("one exchange, p50 ÷ the floor's p50", ratios[OURS], must=1.25, goal=1.15)]
    return Report("alone", SUMMARY, f"{HOW}; {processors.how}", "µs", PACKAGES, rows, bars)


def _on_a_loop(stack: ExitStack, opened: AbstractAsyncContextManager[Operation]) -> Callable[[int], float]:
    """Return what measures so many operations on an event loop of its own, one after the other."""
    runner = stack.enter_context(asyncio.Runner())
    operation = runner.run(opened.__aenter__())
    stack.callback(lambda: runner.run(opened.__aexit__(None, None, None)))
    return lambda calls: runner.run(_half_take(operation, calls))


async def _half_take(operation: Operation, calls: int) -> float:
    """Return the microseconds that half of the operations take at most."""
    for _ in range(_WARM_UP):
        await operation()
    gc.collect()
    gc.disable()
    taken = []
    try:
        for _ in range(calls):
            began = time.perf_counter_ns()
            await operation()
            taken.append(time.perf_counter_ns() - began)
    finally:
        gc.enable()
    return statistics.median(taken) / 1000
