"""Is there one order of the calls that explains every answer? The search of Wing and Gong, with memoisation (Lowe).

A history is linearizable if each call can be given one moment between its begin and its end, so that the calls, one
after the other in the order of these moments, have the answers that they had. A call without an answer took effect at
some moment after its begin, or never.

What is documented as possible loss is in the history as a call of its own, ``FAULT``: there a store may fall back to an
earlier state, but not to one before the last answered call that it promised to keep.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

FAULT = "fault"
_MAX_PLACES = 2_000_000  # of the search; a history of thirty calls visits some hundred


class Unknown:
    """The answer of a call that failed: it may have taken effect."""

    def __repr__(self) -> str:
        return "?"


UNKNOWN = Unknown()


@attrs.frozen
class Operation:
    """A call with its answer.

    Attributes:
        name: What was called.
        arguments: With what.
        answer: What came of it, or :data:`UNKNOWN`.
        begin: When it was called, in events of the history.
        end: When the answer came; infinite for one without.
    """

    name: str
    arguments: tuple[Any, ...]
    answer: Any = UNKNOWN
    begin: float = 0
    end: float = math.inf

    def __str__(self) -> str:
        return f"[{self.begin:4.0f}, {self.end:4.0f}] {self.name}{self.arguments} -> {self.answer}"


class Model(Protocol):
    """What one object of a store does if calls come one after the other."""

    initial: Any

    def step(self, state: Any, name: str, arguments: tuple[Any, ...]) -> tuple[Any, Any]:
        """Return the answer to a call, and the state after it."""


class Kept(NamedTuple):
    """A state, and the earlier ones that a fault may bring back."""

    state: Any
    earlier: frozenset[Any] = frozenset()


@attrs.frozen
class Losses:
    """What a fault may lose.

    Attributes:
        everything: Whether it loses all: a server without persistence. Otherwise it may lose the last calls.
        durable: The names of the calls whose answer promises that they, and all before them, are kept.
    """

    everything: bool = False
    durable: frozenset[str] = frozenset()


NO_LOSS = Losses()


def is_linearizable(history: Sequence[Operation], model: Model, losses: Losses = NO_LOSS) -> bool:
    """Return whether some order of the calls explains all answers."""
    needed = sum(1 << number for number, operation in enumerate(history) if operation.answer is not UNKNOWN)
    begin = 0, Kept(model.initial)
    seen, left = {begin}, [begin]
    while left:
        done, kept = left.pop()
        if done & needed == needed:
            return True
        for number in _next(history, done):
            for after in _after(kept, history[number], model, losses):
                place = done | 1 << number, after
                if place not in seen:
                    seen.add(place)
                    left.append(place)
        if len(seen) > _MAX_PLACES:
            raise RuntimeError("too many calls without an answer: the history cannot be checked")
    return False


def _next(history: Sequence[Operation], done: int) -> Iterable[int]:
    """Return the calls that may be the next: none of the others ended before they began."""
    open_ = [number for number in range(len(history)) if not done >> number & 1]
    first_end = min(history[number].end for number in open_)
    return [number for number in open_ if history[number].begin <= first_end]


def _after(kept: Kept, operation: Operation, model: Model, losses: Losses) -> Iterator[Kept]:
    """Yield the states that a call may lead to, if it can have had its answer."""
    if operation.name == FAULT:
        if losses.everything:
            yield Kept(model.initial)
        else:
            yield from (Kept(state) for state in {kept.state, *kept.earlier})
        return
    answer, state = model.step(kept.state, operation.name, operation.arguments)
    if operation.answer is not UNKNOWN and answer != operation.answer:
        return
    if state == kept.state:
        yield kept
    elif operation.name in losses.durable and operation.answer is not UNKNOWN:
        yield Kept(state)
    else:
        yield Kept(state, kept.earlier | {kept.state})
