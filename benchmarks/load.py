"""Logins in flight: our client, an event loop or threads for each contender, and the CPU time of it all."""

from __future__ import annotations

import asyncio
import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import attrs

from benchmarks.stub import CLIENT_ID
from passwordless_async import INTERACTIVE, Email, PasswordlessClient

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager, ExitStack

    from aiohttp import ClientSession

    from benchmarks.measure import Batch, Prepare

    Operation = Callable[[], Awaitable[object]]

OTP, SCOPE = "123456", "openid"

_TIMEOUT = 60.0  # seconds; the server answers late on purpose


def user(number: int) -> Email:
    """Return a user. A code of a user is presented once: a benchmark numbers its users anew for each login."""
    return Email(f"user{number}@example.com")


def our_client(
    origin: str, *, session: ClientSession | None = None, in_flight: int = 512, adaptive: bool = INTERACTIVE.adaptive
) -> PasswordlessClient:
    """Make a client of ours: the one place that knows how."""
    profile = attrs.evolve(INTERACTIVE, timeout=_TIMEOUT, max_in_flight=in_flight, adaptive=adaptive)
    return PasswordlessClient(origin, CLIENT_ID, session=session, profile=profile)


def usernames() -> Callable[[], str]:
    """Return what gives the next user's name, for the form of a contender."""
    names = itertools.cycle([user(number).username for number in range(1000)])
    return lambda: next(names)


def form(username: str) -> dict[str, str]:
    """Return the fields of the grant, for contenders that are handed them."""
    return {
        "grant_type": "http://auth0.com/oauth/grant-type/passwordless/otp",
        "client_id": CLIENT_ID,
        "username": username,
        "realm": "email",
        "otp": OTP,
        "scope": SCOPE,
    }


async def all_of(operation: Operation, calls: int, in_flight: int) -> None:
    """Run an operation so many times, so many at once."""
    turns = iter(range(calls))

    async def work() -> None:
        for _ in turns:
            await operation()

    async with asyncio.TaskGroup() as workers:
        for _ in range(min(in_flight, calls)):
            workers.create_task(work())


def on_a_loop(
    stack: ExitStack,
    opened: AbstractAsyncContextManager[Operation],
    in_flight: int,
    loop: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> Prepare:
    """Return a contender with an event loop of its own, and warm connections in each turn.

    Args:
        stack: What closes it.
        opened: Gives its operation.
        in_flight: How many operations run at once.
        loop: Makes the loop; asyncio's own unless given.
    """
    runner = stack.enter_context(asyncio.Runner(loop_factory=loop))
    operation = runner.run(opened.__aenter__())
    stack.callback(lambda: runner.run(opened.__aexit__(None, None, None)))

    def prepare(calls: int) -> Batch:
        runner.run(all_of(operation, min(calls, in_flight), in_flight))
        return lambda: runner.run(all_of(operation, calls, in_flight))

    return prepare


def in_threads(stack: ExitStack, operation: Callable[[], object], in_flight: int) -> Prepare:
    """Return a contender with blocking operations, in as many threads."""
    threads = stack.enter_context(ThreadPoolExecutor(in_flight))

    def run(calls: int) -> None:
        for done in [threads.submit(operation) for _ in range(calls)]:
            done.result()

    def prepare(calls: int) -> Batch:
        run(min(calls, in_flight))
        return lambda: run(calls)

    return prepare
