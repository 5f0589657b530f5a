"""What a process holds while it works, sampled again and again, how fast it grows in the last half, and what failed."""

from __future__ import annotations

import asyncio
import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Sequence

SAMPLES = 40  # of a run
_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 1e6


def resident(pid: int | None = None) -> float:
    """Return the memory of a process, this one unless named, in MB."""
    statm = Path("/proc", "self" if pid is None else str(pid), "statm").read_text(encoding="ascii")
    return int(statm.split()[1]) * _PAGE_MB


def sockets(pid: int | None = None) -> int:
    """Return how many sockets a process has open, this one unless named."""
    found = 0
    for entry in Path("/proc", "self" if pid is None else str(pid), "fd").iterdir():
        try:
            found += str(entry.readlink()).startswith("socket:")
        except FileNotFoundError:  # closed since
            continue
    return found


def timers() -> int:
    """Return how many timers the event loop has that were not cancelled."""
    scheduled: list[asyncio.TimerHandle] = getattr(asyncio.get_running_loop(), "_scheduled", [])
    return sum(not timer.cancelled() for timer in scheduled)


@attrs.frozen
class Sample:
    """What is held after so many logins: ``memory`` and ``peer``, the tenant's, are in MB."""

    logins: int
    memory: float
    peer: float
    sockets: int
    tasks: int = 0
    timers: int = 0


def tell(sample: Sample, logins: int) -> None:
    """Say on standard error how far a run of hours is."""
    print(f"{sample.logins:,} of {logins:,} logins, {sample.memory:.1f} MB", file=sys.stderr, flush=True)


def slope(samples: Sequence[Sample], figure: str) -> float:
    """Return by how much a figure grows in 100,000 logins: the line through the last half with the least squares."""
    half = samples[len(samples) // 2 :]
    points = [(sample.logins / 100_000, float(getattr(sample, figure))) for sample in half]
    middle_x, middle_y = (sum(axis) / len(points) for axis in zip(*points, strict=True))
    spread = sum((x - middle_x) ** 2 for x, _ in points)
    return sum((x - middle_x) * (y - middle_y) for x, y in points) / spread if spread else 0.0


def most(samples: Sequence[Sample], figure: str) -> tuple[float, float]:
    """Return the most that a figure came to in the second quarter, and in the last half."""
    quarter, half = len(samples) // 4, len(samples) // 2
    parts = samples[quarter:half] or samples, samples[half:]
    early, late = (max(float(getattr(sample, figure)) for sample in part) for part in parts)
    return early, late


def told(error: BaseException) -> str:
    """Return what failed: the error, the errors that caused it, and the line of code that its task was at.

    It counts as a kind: what is raised names no user.
    """
    steps = traceback.extract_tb(error.__traceback__)
    reasons: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        reasons.append(f"{type(cause).__name__}: {cause}".removesuffix(": "))
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return " <- ".join(reasons) + (f" (at {steps[0].line})" if steps else "")
