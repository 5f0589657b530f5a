"""Histories: several callers with connections of their own, and a fault in the middle.

Times in a history are the numbers of its events, not those of a clock. A call that raises ``StoreUnavailable`` has no
answer: it may have taken effect, and may yet do.
"""

from __future__ import annotations

import asyncio
import itertools
from random import Random
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import attrs

from linearizability.checker import FAULT, UNKNOWN, Losses, Model, Operation, is_linearizable
from linearizability.objects import KINDS, Memory
from passwordless_async.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

Loss: TypeAlias = Literal["nothing", "everything", "last", "unreplicated"]


@attrs.define
class Recorder:
    """Records what is called, object by object."""

    histories: dict[tuple[str, str], list[Operation]] = attrs.field(factory=dict)
    _events: Iterator[int] = attrs.field(factory=lambda: itertools.count(1), init=False)
    _calls: int = attrs.field(default=0, init=False)
    _awaited: dict[int, asyncio.Event] = attrs.field(factory=dict, init=False)
    _calm: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)  # no fault is under way

    def __attrs_post_init__(self) -> None:
        self._calm.set()

    async def call(self, store: Any, kind: str, key: str, memory: Memory) -> Operation:
        """Make one call and record it."""
        name, arguments = KINDS[kind].draw(memory)
        memory.said.setdefault(name, []).append(arguments)
        begin, answer, end = next(self._events), UNKNOWN, float("inf")
        self._calls += 1
        if self._calls in self._awaited:
            self._awaited[self._calls].set()
        try:
            answer = await KINDS[kind].call(store, key, name, arguments)
            end = next(self._events)
        except StoreUnavailable:
            pass
        operation = Operation(name, arguments, answer, begin, end)
        self.histories.setdefault((kind, key), []).append(operation)
        if answer is UNKNOWN:
            # Or most of a history would be calls without an answer, which say nothing.
            await self._calm.wait()
        return operation

    async def until(self, calls: int) -> None:
        """Wait until so many calls were made."""
        await self._awaited.setdefault(calls, asyncio.Event()).wait()

    async def fault(self, fault: Callable[[], Awaitable[None]]) -> None:
        """Do something to the servers, and record for each object that it was done."""
        begin = next(self._events)
        self._calm.clear()
        await fault()
        self._calm.set()
        operation = Operation(FAULT, (), None, begin, next(self._events))
        for history in self.histories.values():
            history.append(operation)


@attrs.frozen(kw_only=True)
class Plan:
    """How a history is made.

    Attributes:
        seed: What all is drawn from.
        callers: How many call at the same time.
        calls: How many calls each makes.
        kinds: What is called; of each kind two objects.
        faults: What is done to the servers, one after the other, spread over the calls.
        loses: What a fault may lose: ``nothing``; ``everything``, as a server without persistence; the ``last`` calls,
            as a fail-over; or of these only calls that were not answered or whose answer promises no replica:
            ``unreplicated``.
    """

    seed: int
    callers: int = 4
    calls: int = 60
    kinds: Sequence[str] = tuple(KINDS)
    faults: Sequence[Callable[[], Awaitable[None]]] = ()
    loses: Loss = "nothing"


def _note(memory: Memory, operation: Operation) -> None:
    """Remember what the next calls are drawn from."""
    if operation.answer is UNKNOWN:
        return
    if operation.name in {"read", "peek"} and operation.answer is not None:
        memory.text = operation.answer
    elif operation.name == "begin_start":
        memory.mark = operation.answer[1]
    elif operation.name == "open":
        memory.opened = True


async def record(plan: Plan, connect: Callable[[], Any]) -> Recorder:
    """Make a history: ``connect`` returns a store with a connection of its own, as a context."""
    recorder, objects = Recorder(), [(kind, f"{kind} {plan.seed} {number}") for kind in plan.kinds for number in (1, 2)]
    total = plan.callers * plan.calls

    async def caller(name: str) -> None:
        random = Random(f"{plan.seed} {name}")  # noqa: S311 - no secret
        memories = {
            each: Memory(random, name, 1000 * (100 * plan.seed + number)) for number, each in enumerate(objects)
        }
        async with connect() as store:
            for _ in range(plan.calls):
                kind, key = each = random.choice(objects)
                _note(memories[each], await recorder.call(store, kind, key, memories[each]))

    async def faults() -> None:
        for number, fault in enumerate(plan.faults, start=1):
            await recorder.until(total * number // (len(plan.faults) + 1))
            await recorder.fault(fault)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(faults())
        for number in range(plan.callers):
            tasks.create_task(caller(f"c{number}"))
    return recorder


def violations(plan: Plan, recorder: Recorder) -> list[str]:
    """Return the histories that no order of their calls explains."""
    found = []
    for (kind, key), history in recorder.histories.items():
        durable = KINDS[kind].durable if plan.loses == "unreplicated" else frozenset[str]()
        losses = Losses(everything=plan.loses == "everything", durable=durable)
        counted = [each for each in history if each.name != FAULT or plan.loses != "nothing"]
        if not is_linearizable(counted, KINDS[kind].model, losses):
            lines = "\n  ".join(map(str, _unexplained(counted, KINDS[kind].model, losses)))
            found.append(f"{key}, seed {plan.seed}: no order of these calls explains their answers\n  {lines}")
    return found


def _unexplained(history: Sequence[Operation], model: Model, losses: Losses) -> Sequence[Operation]:
    """Return the shortest beginning of a history that is not explained; what has no answer by then is unknown."""
    ended = sorted(history, key=lambda operation: operation.end)
    for length, last in enumerate(ended, start=1):
        under_way = [attrs.evolve(each, answer=UNKNOWN) for each in ended[length:] if each.begin < last.end]
        if not is_linearizable([*ended[:length], *under_way], model, losses):
            return [*ended[:length], *under_way]
    return ended
