"""Many logins, or starts, at once: read lazily, a bounded number in flight, outcomes in order of completion.

Invariants:

- Memory depends on ``concurrency``, not on the number of items: an item is read when there is a slot for it, and its
  slot is free again when its outcome was taken.
- A failed item is an outcome with an error; it does not raise and does not affect the others.
- When the generator ends, by exhaustion, ``aclose``, an error or a cancellation, none of its tasks is left running.
- An outcome that the caller takes is passed to :attr:`Batch.take` before it is yielded; every other one is passed to
  :attr:`Batch.keep_untaken`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable
from contextlib import aclosing
from typing import Any, Generic, TypeVar

import attrs

from passwordless_async._common import clock as _clock
from passwordless_async._common.secret import hide, type_name
from passwordless_async.client.outcomes import Progress
from passwordless_async.errors import PasswordlessError, UsageError

Item = TypeVar("Item")
Result = TypeVar("Result")


def _take_nothing(_result: object) -> None:
    pass


async def _keep_nothing(_result: object) -> None:
    pass


@attrs.frozen
class Batch(Generic[Item, Result]):
    """The operation for each of many items.

    Attributes:
        argument: The name of the argument that holds the items.
        kind: The type of an item.
        run: Processes an item; a failure is part of the result.
        error_of: Returns the error of a result, None for a success.
        take: Receives each result before the consumer gets it; nothing by default.
        keep_untaken: Receives each result that the consumer does not get; nothing by default.
    """

    argument: str
    kind: type[Item]
    run: Callable[[Item], Awaitable[Result]]
    error_of: Callable[[Result], PasswordlessError | None]
    take: Callable[[Result], None] = _take_nothing
    keep_untaken: Callable[[Result], Awaitable[None]] = _keep_nothing

    async def read(self, items: Iterable[Item] | AsyncIterable[Item]) -> AsyncGenerator[Item | UsageError, None]:
        """Read items lazily, and close an async generator that holds them; the error stands for one of a wrong type.

        It is not raised here: an item such as a pair of an address and a code would show in this frame.
        """
        if isinstance(items, AsyncIterable):
            source = aiter(items)
            try:
                async for item in source:
                    yield self._checked(item)
            finally:
                if isinstance(source, AsyncGenerator):
                    await source.aclose()
        else:
            for item in items:
                yield self._checked(item)

    def _checked(self, value: object) -> Item | UsageError:
        if isinstance(value, self.kind):
            return value
        return UsageError(self.argument, f"must hold {self.kind.__name__} values, not {type(value).__name__}")


@attrs.define(eq=False)
class _Counter:
    """Counts items for the progress hook."""

    hook: Callable[[Progress], None] | None
    began_at: float = attrs.field(factory=_clock.monotonic)
    begun: int = 0
    done: int = 0
    failed: int = 0

    def end(self, *, failed: bool) -> None:
        self.done += 1
        self.failed += failed
        if self.hook is not None:
            self.hook(Progress(self.done, self.failed, self.begun - self.done, _clock.monotonic() - self.began_at))


@attrs.define(eq=False)
class _Pipeline(Generic[Item, Result]):
    """One run of a batch: items in flight, and results that wait to be taken (None: there are no more)."""

    batch: Batch[Item, Result]
    slots: asyncio.Semaphore
    count: _Counter
    results: asyncio.Queue[Result | None] = attrs.field(factory=asyncio.Queue)

    async def feed(self, items: Iterable[Item] | AsyncIterable[Item]) -> Exception | None:
        """Start an item for each free slot, wait for all of them, and return the error of reading the items, if any."""
        failure: Exception | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                try:
                    await self.slots.acquire()
                    async with aclosing(self.batch.read(items)) as source:
                        async for item in source:
                            if isinstance(item, UsageError):
                                failure = item
                                break
                            self.count.begun += 1
                            tasks.create_task(self._run(item))
                            await self.slots.acquire()
                except Exception as error:  # noqa: BLE001 - the caller's iterable may raise anything; it is raised to them
                    failure = error
        finally:
            self.results.put_nowait(None)
        return failure

    async def _run(self, item: Item) -> None:
        self.results.put_nowait(await self.batch.run(item))

    async def aclose(self, feeder: asyncio.Task[Any]) -> None:
        """Cancel the items in flight, wait for them, and keep the results that were not taken.

        A cancellation that arrives meanwhile is raised at the end: it must not cost a result.
        """
        feeder.cancel()
        cancelled = await _finish(feeder, pass_on=True)
        untaken = [self.results.get_nowait() for _ in range(self.results.qsize())]
        keeping = asyncio.gather(*(self.batch.keep_untaken(result) for result in untaken if result is not None))
        cancelled = await _finish(keeping, pass_on=False) or cancelled
        if cancelled:
            raise asyncio.CancelledError


async def outcomes(
    batch: Batch[Item, Result],
    items: Iterable[Item] | AsyncIterable[Item],
    *,
    concurrency: int,
    progress: Callable[[Progress], None] | None = None,
) -> AsyncGenerator[Result, None]:
    """Process each item and yield the results as they complete.

    At most ``concurrency`` items are in flight, or finished and not yet taken. If reading the items raises, those in
    flight are finished before the error is raised here. ``progress`` is called each time a result was taken; its
    exceptions are raised here. Raises ``UsageError`` if ``items`` is not iterable, or holds values of another type.
    """
    # A list of wrong values, such as codes, would show in a traceback; its iterator does not.
    if not isinstance(items, AsyncIterable):
        items = iter(items) if isinstance(items, Iterable) else hide(items)
    if not isinstance(items, AsyncIterable | Iterable):
        raise UsageError(batch.argument, f"must be an iterable or async iterable, not {type_name(items)}")
    pipeline = _Pipeline(batch, asyncio.Semaphore(concurrency), _Counter(progress))
    feeder = asyncio.create_task(pipeline.feed(items))
    try:
        while (result := await pipeline.results.get()) is not None:
            batch.take(result)
            yield result
            pipeline.slots.release()
            # After the yield: an exception from the progress hook must not cost the result.
            pipeline.count.end(failed=batch.error_of(result) is not None)
        if (failure := await feeder) is not None:
            raise failure
    finally:
        await pipeline.aclose(feeder)


async def _finish(work: asyncio.Future[Any], *, pass_on: bool) -> bool:
    """Wait until work is done, and return whether the caller was cancelled; ``pass_on`` cancels the work as well."""
    cancelled = False
    while not work.done():
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError:
            cancelled = True
            if pass_on:
                work.cancel()
    return cancelled
