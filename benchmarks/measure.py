"""Timing contenders against each other in one process.

What a machine does meanwhile - other programs, its clock, its caches - slows the contenders of one short round alike.
So they take turns in many rounds, and what is compared is ratios within a round; their median over the rounds counts.
"""

from __future__ import annotations

import gc
import random
import statistics
import time
import types
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Batch = Callable[[], object]
    """Does an operation as often as it was prepared for; the loop is its own, so that no call of ours is measured."""

    Prepare = Callable[[int], Batch]
    """Makes a batch of so many operations and all that they need, outside of the measurement."""

Name = TypeVar("Name")

HOW = "CPU time of the thread for one, contenders in turns"


@attrs.frozen
class Series:
    """One figure for each round.

    Attributes:
        samples: The figures, in the order of the rounds.
    """

    samples: tuple[float, ...]

    @property
    def median(self) -> float:
        """The figure in the middle."""
        return statistics.median(self.samples)

    @property
    def quartiles(self) -> tuple[float, float]:
        """The bounds of the middle half of the figures: the spread."""
        if len(self.samples) == 1:
            return self.samples * 2
        first, _, third = statistics.quantiles(self.samples, n=4, method="inclusive")
        return first, third

    def over(self, other: Series) -> Series:
        """Return the ratio to another series, round by round."""
        return Series(tuple(mine / its for mine, its in zip(self.samples, other.samples, strict=True)))


def prepare_all(makers: Mapping[str, Callable[[], Prepare]]) -> tuple[dict[str, Prepare], list[str]]:
    """Make the contenders.

    Returns:
        The contenders, and the names of those whose library is not installed.
    """
    contenders, absent = {}, []
    for name, make in makers.items():
        try:
            contenders[name] = make()
        except ModuleNotFoundError:
            absent.append(name)
    return contenders, absent


def interleaved(
    contenders: Mapping[str, Prepare],
    *,
    rounds: int,
    calls: int,
    clock: Callable[[], int] = time.thread_time_ns,
    shares: Mapping[str, int] = types.MappingProxyType({}),
) -> dict[str, Series]:
    """Measure contenders in turns.

    Args:
        contenders: What to measure, by name.
        rounds: How often each has its turn.
        calls: How many operations a turn has.
        clock: The nanoseconds that are measured. The thread's CPU time unless given: what other programs take of the
            machine does not count.
        shares: By what the calls of a slow contender are divided; 1 unless given.

    Returns:
        Microseconds, by the clock, for one operation, for each contender and round.
    """

    def turn(name: str) -> float:
        share = max(1, calls // shares.get(name, 1))
        return _timed(contenders[name](share), clock) / share

    return in_turns({name: partial(turn, name) for name in contenders}, rounds=rounds)


def in_turns(measures: Mapping[Name, Callable[[], float]], *, rounds: int) -> dict[Name, Series]:
    """Take figures in turns, in a new order in each round.

    The first round is not counted: it fills the library's caches, and imports what is imported late.
    """
    samples: dict[Name, list[float]] = {name: [] for name in measures}
    order = random.Random(0)  # noqa: S311 - no secret; the same in every run
    for _ in range(rounds + 1):
        # Shuffled: the contender before has filled the processor's caches, to the advantage of some and not of others.
        for name in order.sample(list(measures), len(measures)):
            samples[name].append(measures[name]())
    return {name: Series(tuple(figures[1:])) for name, figures in samples.items()}


def _timed(batch: Batch, clock: Callable[[], int]) -> float:
    # As timeit does: a collection would be charged to the contender at work, not to the one that made it due.
    gc.collect()
    gc.disable()
    try:
        start = clock()
        batch()
        elapsed = clock() - start
    finally:
        gc.enable()
    return elapsed / 1000


def repeat(operation: Callable[[], object]) -> Prepare:
    """Return a contender whose operation needs nothing new for a call."""

    def prepare(calls: int) -> Batch:
        turns = [None] * calls

        def batch() -> None:
            for _ in turns:
                operation()

        return batch

    return prepare
