"""Many logins at once: read lazily, a bounded number in flight, outcomes in order of completion.

The promises: memory depends on ``concurrency`` and not on the number of logins; one login's failure is an outcome;
whoever leaves the loop, by whatever door, leaves no task behind; and an outcome that was not taken is not lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import attrs

from passwordless_async._common import clock as _clock
from passwordless_async.client.outcomes import Progress
from passwordless_async.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from passwordless_async.errors import PasswordlessError

Item = TypeVar("Item")
Result = TypeVar("Result")


@attrs.frozen
class Many(Generic[Item, Result]):
    """How one of many is done, and what is made of it.

    Attributes:
        argument: The name of the argument that holds the items.
        kind: What an item must be.
        each: Does one; its failure is a part of what it gives.
        failure: Tells why one failed; None where it did not.
        untaken: Takes what was done when nobody was there any more to take it.
    """

    argument: str
    kind: type[Item]
    each: Callable[[Item], Awaitable[Result]]
    failure: Callable[[Result], PasswordlessError | None]
    untaken: Callable[[Result], Awaitable[None]]


@attrs.define(eq=False)
class _Count:
    """Counts for the progress hook."""

    hook: Callable[[Progress], None] | None
    began: float = attrs.field(factory=_clock.monotonic)
    begun: int = 0
    done: int = 0
    failed: int = 0

    def end(self, *, failed: bool) -> None:
        self.done += 1
        self.failed += failed
        if self.hook is not None:
            self.hook(Progress(self.done, self.failed, self.begun - self.done, _clock.monotonic() - self.began))


async def outcomes(
    many: Many[Item, Result],
    items: Iterable[Item] | AsyncIterable[Item],
    *,
    concurrency: int,
    progress: Callable[[Progress], None] | None = None,
) -> AsyncGenerator[Result, None]:
    """Do each item.

    Args:
        many: How.
        items: The items; where reading them raises, what is in flight is finished before that is raised here.
        concurrency: How many may be in flight, or finished and not yet taken.
        progress: Is told how far it has come, each time one is taken; what it raises is raised here.

    Raises:
        UsageError: ``items`` is no iterable, or holds something else than items.
    """
    if not isinstance(items, AsyncIterable | Iterable):
        raise UsageError(many.argument, f"must be an iterable or async iterable, not {type(items).__name__}")
    finished: asyncio.Queue[Result | None] = asyncio.Queue()
    slots = asyncio.Semaphore(concurrency)
    count = _Count(progress)

    async def finish(item: Item) -> None:
        finished.put_nowait(await many.each(item))

    async def feed() -> Exception | None:
        failure = None
        try:
            async with asyncio.TaskGroup() as children:
                try:
                    await slots.acquire()
                    # Closed when it is left, so that a source that holds something open lets it go.
                    async with aclosing(_each(many, items)) as each:
                        async for item in each:
                            count.begun += 1
                            children.create_task(finish(item))
                            await slots.acquire()
                except Exception as error:  # noqa: BLE001 - whatever the caller's iterable raises is raised to the caller
                    failure = error
        finally:
            finished.put_nowait(None)
        return failure

    feeder = asyncio.create_task(feed())
    try:
        while (outcome := await finished.get()) is not None:
            yield outcome
            slots.release()
            # Not before: what it raises must not cost the outcome.
            count.end(failed=many.failure(outcome) is not None)
        if (failure := await feeder) is not None:
            raise failure
    finally:
        await _end(many, feeder, finished)


async def _end(many: Many[Any, Result], feeder: asyncio.Task[Any], finished: asyncio.Queue[Result | None]) -> None:
    """End what is in flight, wait for what has left, and keep what nobody took; a cancellation comes afterwards."""
    feeder.cancel()
    cancelled = await _ended(feeder, again=True)
    untaken = [finished.get_nowait() for _ in range(finished.qsize())]
    keeping = asyncio.gather(*(many.untaken(outcome) for outcome in untaken if outcome is not None))
    cancelled = await _ended(keeping, again=False) or cancelled
    if cancelled:
        raise asyncio.CancelledError


async def _ended(work: asyncio.Future[Any], *, again: bool) -> bool:
    """Wait for work to end, and tell whether that was asked to stop; it is passed on to the work where that may be."""
    cancelled = False
    while not work.done():
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError:
            cancelled = True
            if again:
                work.cancel()
    return cancelled


async def _each(many: Many[Item, Result], items: Iterable[Item] | AsyncIterable[Item]) -> AsyncGenerator[Item, None]:
    if isinstance(items, AsyncIterable):
        source = aiter(items)
        try:
            async for item in source:
                yield _checked(many, item)
        finally:
            if isinstance(source, AsyncGenerator):
                await source.aclose()
    else:
        for item in items:
            yield _checked(many, item)


def _checked(many: Many[Item, Any], value: object) -> Item:
    if not isinstance(value, many.kind):
        raise UsageError(many.argument, f"must hold {many.kind.__name__} values, not {type(value).__name__}")
    return value
