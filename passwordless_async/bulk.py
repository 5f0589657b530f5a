"""Many logins at once: read lazily, a bounded number in flight, outcomes in order of completion.

The promises: memory depends on ``concurrency`` and not on the number of logins; one login's failure is an outcome; and
whoever leaves the loop, by whatever door, leaves no task behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing
from typing import TYPE_CHECKING

from passwordless_async.errors import PasswordlessError, UsageError
from passwordless_async.identity import Login
from passwordless_async.tokens import Outcome

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from passwordless_async.tokens import TokenSet


async def outcomes(
    exchange: Callable[[Login], Awaitable[TokenSet]],
    logins: Iterable[Login] | AsyncIterable[Login],
    *,
    concurrency: int,
) -> AsyncGenerator[Outcome, None]:
    """Run an exchange for each login.

    Args:
        exchange: What exchanges one login.
        logins: The logins; where reading them raises, what is in flight is finished before that is raised here.
        concurrency: How many may be in flight, or finished and not yet taken.

    Raises:
        UsageError: ``logins`` holds something else than logins.
    """
    finished: asyncio.Queue[Outcome | None] = asyncio.Queue()
    slots = asyncio.Semaphore(concurrency)

    async def finish(login: Login) -> None:
        finished.put_nowait(await _outcome(exchange, login))

    async def feed() -> Exception | None:
        failure = None
        try:
            async with asyncio.TaskGroup() as children:
                try:
                    await slots.acquire()
                    # Closed when it is left, so that a source that holds something open lets it go.
                    async with aclosing(_each(logins)) as each:
                        async for login in each:
                            children.create_task(finish(login))
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
        if (failure := await feeder) is not None:
            raise failure
    finally:
        feeder.cancel()
        await asyncio.wait([feeder])


async def _each(logins: Iterable[Login] | AsyncIterable[Login]) -> AsyncGenerator[Login, None]:
    if isinstance(logins, AsyncIterable):
        source = aiter(logins)
        try:
            async for login in source:
                yield _login(login)
        finally:
            if isinstance(source, AsyncGenerator):
                await source.aclose()
    else:
        for login in logins:
            yield _login(login)


def _login(value: object) -> Login:
    if not isinstance(value, Login):
        raise UsageError("logins", f"must hold Login values, not {type(value).__name__}")
    return value


async def _outcome(exchange: Callable[[Login], Awaitable[TokenSet]], login: Login) -> Outcome:
    try:
        return Outcome(login, tokens=await exchange(login))
    except PasswordlessError as error:
        return Outcome(login, error=error)
