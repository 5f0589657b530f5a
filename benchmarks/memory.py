"""How much memory the key of a session takes while it is idle and while it is in use, and how much logins take.

Each figure is taken in a process of its own: what another kind of key has left in the allocators must not serve it.
"""

from __future__ import annotations

import gc
import importlib.util
import json
import os
import secrets
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.measure import Series
from benchmarks.memory_logins import frames_entered, gone_by, in_flight
from benchmarks.report import Bar, Report, Row
from passwordless_async.dpop import DPoPKey, ProofGenerator

if TYPE_CHECKING:
    from collections.abc import Callable

SUMMARY = "Memory of a session's key, idle and in use, and of logins"
HOW = (
    "growth of a new process by so many keys, a tenth as many of the kinds that are slow to make; by a 25th as many "
    "logins in flight, whose answers the server holds back; by ten times as many that go by, once, with a canned "
    "answer in place of the transport; counted: by a 100th as many logins in flight, or bare posts of aiohttp, objects "
    "that the garbage collector tracks, and bytes that Python allocates; frames: those of Python that a login, or a "
    "post, enters and resumes from its start to its end, 64 in flight"
)
PACKAGES = ("passwordless-async", "aiohttp", "cryptography", "uvloop")
ROUNDS, MIN_ROUNDS, CALLS, COUNTED = 5, 1, 100_000, "keys"

_WARM_UP = 100  # keys that are made before the measurement
_STATM = Path("/proc/self/statm")


def _imported() -> DPoPKey:
    return DPoPKey.from_bytes(secrets.token_bytes(32))  # one in 2**32 is no scalar, and refused


def _used() -> DPoPKey:
    key = DPoPKey.generate()
    ProofGenerator(key).proof("POST", "https://tenant.example/oauth/token")
    return key


def _used_and_compact() -> DPoPKey:
    key = _used()
    key.compact()
    return key


IDLE = "idle, from a store"
KINDS: dict[str, tuple[Callable[[], DPoPKey], int]] = {
    IDLE: (_imported, 1),
    "idle, used before": (_used_and_compact, 10),
    "live, generated": (DPoPKey.generate, 10),
    "live, used": (_used, 10),
}


# With TLS most of it is asyncio's own: a buffer of 256 KB for each connection. uvloop's has memory once it is used.
IN_FLIGHT, IN_FLIGHT_TLS, GONE_BY = "login in flight", "login in flight, TLS", "logins gone by, all of them"
IN_FLIGHT_UVLOOP = "login in flight, TLS, uvloop"
COUNTED_LOGIN, COUNTED_POST = "login in flight, counted", "bare post in flight, counted"
LOGINS: dict[str, Callable[[int], dict[str, float]]] = {
    IN_FLIGHT: lambda keys: in_flight(max(1, keys // 25), _resident_figure),
    IN_FLIGHT_TLS: lambda keys: in_flight(max(1, keys // 25), _resident_figure, tls=True),
    IN_FLIGHT_UVLOOP: lambda keys: in_flight(max(1, keys // 25), _resident_figure, tls=True, on_uvloop=True),
    GONE_BY: lambda keys: {"resident": gone_by(keys * 10, _resident)},
    COUNTED_LOGIN: lambda keys: _counted(keys, is_bare=False),
    COUNTED_POST: lambda keys: _counted(keys, is_bare=True),
}
COUNTED_BARS = {"objects": (1.8, 1.5), "bytes": (1.7, 1.4), "frames": (1.5, 1.3)}  # login ÷ post: must and goal


def run(rounds: int, calls: int) -> Report:
    """Measure each kind of key in as many processes as there are rounds, and logins as well."""
    rows = []
    absent = [] if importlib.util.find_spec("uvloop") else [IN_FLIGHT_UVLOOP]
    for kind in (kind for kind in (*KINDS, *LOGINS) if kind not in absent):
        # Minutes, of which the most counts anyway: once is enough.
        times = 1 if kind == GONE_BY else rounds
        grown = [_in_a_new_process(kind, calls) for _ in range(times)]
        rows += [Row(f"{kind}, {meter}", Series(tuple(each[meter] for each in grown))) for meter in grown[0]]
    figures = {row.name: row.figures for row in rows}
    ratios = {
        name: figures[f"{COUNTED_LOGIN}, {name}"].over(figures[f"{COUNTED_POST}, {name}"]) for name in COUNTED_BARS
    }
    bars = [
        Bar("bytes of an idle session's key, resident", figures[f"{IDLE}, resident"], must=600, goal=300),
        Bar(f"bytes of a {IN_FLIGHT}, plain HTTP", figures[f"{IN_FLIGHT}, resident"], must=24_576, goal=16_384),
        Bar(f"bytes of a {IN_FLIGHT_TLS}", figures[f"{IN_FLIGHT_TLS}, resident"], must=204_800, goal=122_880),
        Bar(
            f"bytes of {calls * 10:,} logins gone by", figures[f"{GONE_BY}, resident"], must=50_000_000, goal=10_000_000
        ),
        *(
            Bar(f"{name} of a login in flight ÷ a bare post's", ratios[name], must=must, goal=goal)
            for name, (must, goal) in COUNTED_BARS.items()
        ),
    ]
    if not absent:
        bars.append(
            Bar(f"bytes of a {IN_FLIGHT_UVLOOP}", figures[f"{IN_FLIGHT_UVLOOP}, resident"], must=204_800, goal=122_880)
        )
    return Report("memory", SUMMARY, HOW, "bytes", PACKAGES, rows, bars, absent)


def _in_a_new_process(kind: str, keys: int) -> dict[str, float]:
    # In the directory that this was run from, so that it finds the same modules.
    command = [sys.executable, "-m", "benchmarks.memory", kind, str(keys)]
    ended = subprocess.run(command, check=True, stdout=subprocess.PIPE)  # noqa: S603 - a command of our own
    figures: dict[str, float] = json.loads(ended.stdout)
    return figures


def _bytes_per_key(kind: str, keys: int) -> dict[str, float]:
    """Measure in this process: first its resident memory, then, by as many keys again, what Python allocates."""
    if kind in LOGINS:
        return LOGINS[kind](keys)
    make, divisor = KINDS[kind]
    count = max(1, keys // divisor)
    kept = [make() for _ in range(_WARM_UP)]
    resident = _growth(make, count, _resident, kept)
    tracemalloc.start()
    traced = _growth(make, count, lambda: tracemalloc.get_traced_memory()[0], kept)
    return {"resident": resident, "traced by Python": traced}


def _counted(keys: int, *, is_bare: bool) -> dict[str, float]:
    logins = max(1, keys // 100)
    frames = frames_entered(logins, is_bare=is_bare)
    tracemalloc.start()
    return in_flight(logins, _counts, is_bare=is_bare) | {"frames": frames}


def _counts() -> dict[str, float]:
    return {"objects": len(gc.get_objects()), "bytes": tracemalloc.get_traced_memory()[0]}


def _growth(make: Callable[[], DPoPKey], count: int, measure: Callable[[], int], kept: list[DPoPKey]) -> float:
    first = len(kept)
    kept += kept[:1] * count  # the list has its size before the measurement
    gc.collect()
    before = measure()
    for index in range(first, first + count):
        kept[index] = make()
    gc.collect()
    return (measure() - before) / count


def _resident_figure() -> dict[str, float]:
    return {"resident": _resident()}


def _resident() -> int:
    """Return the bytes of this process that are in memory; where the system does not say, the most that ever were."""
    if _STATM.exists():
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    import resource  # noqa: PLC0415 - POSIX alone has it

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    print(json.dumps(_bytes_per_key(sys.argv[1], int(sys.argv[2]))))
