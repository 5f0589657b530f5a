"""The engine of all fuzz targets: draws inputs from a seed, checks each, and counts what came of them.

Invariants:

- A check returns the name of an outcome. Whatever it raises, and five seconds of CPU without an end, is a finding.
- An input is drawn from the seed and its index alone: a finding names both, and the same input comes again.
- A target is made anew every 50,000 inputs, so that what it remembers does not grow.
"""

from __future__ import annotations

import signal
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import attrs

from benchmarks.commands import raise_if_interrupted
from fuzz.mutator import Mutator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

_MAX_CPU_SECONDS = 5.0  # for one input
_INPUTS_OF_ONE_TARGET = 50_000
_MAX_SHOWN = 2_000  # characters of an input


@attrs.frozen
class Target:
    """What is fuzzed.

    Attributes:
        draw: Draws an input.
        check: Hands the input to the code, and returns the name of the outcome: a value, or the typed error of this
            part of the library. It raises whatever is neither.
        close: Gives back what the target holds.
    """

    draw: Callable[[Mutator], Any]
    check: Callable[[Any], str]
    close: Callable[[], None] = lambda: None


class Finding(AssertionError):
    """An input that has an outcome which is neither a value nor a typed error."""


class Hang(BaseException):
    """A check took more CPU than any input may; no ``except Exception`` stops it."""


def run(
    make: Callable[[], Target],
    inputs: int,
    *,
    seed: int,
    first: int = 0,
    report: Callable[[int, Counter[str]], None] = lambda _done, _seen: None,
) -> Counter[str]:
    """Check inputs, and return how often each outcome came; ``report`` is told every 50,000.

    Raises:
        Finding: An input broke a promise; its cause is what was raised.
    """
    seen = Counter[str]()
    for begin in range(first, first + inputs, _INPUTS_OF_ONE_TARGET):
        target = make()
        try:
            for index in range(begin, min(begin + _INPUTS_OF_ONE_TARGET, first + inputs)):
                raise_if_interrupted()
                seen[_outcome(target, seed, index)] += 1
        finally:
            target.close()
        report(seen.total(), seen)
    return seen


def _outcome(target: Target, seed: int, index: int) -> str:
    given = target.draw(Mutator(seed, index))
    try:
        with _bounded():
            return target.check(given)
    except (Exception, Hang) as error:
        shown = repr(given)[:_MAX_SHOWN]
        raise Finding(f"seed {seed}, input {index}: {type(error).__name__}: {error}\n{shown}") from error


@contextmanager
def _bounded() -> Iterator[None]:
    """Raise :class:`Hang` within code that takes too long, by its CPU: a busy machine makes no finding."""
    before = signal.signal(signal.SIGVTALRM, _hang)
    signal.setitimer(signal.ITIMER_VIRTUAL, _MAX_CPU_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _hang(_number: int, _frame: FrameType | None) -> NoReturn:
    raise Hang(f"more than {_MAX_CPU_SECONDS:.0f} s of CPU")
