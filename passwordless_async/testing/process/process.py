"""A tenant in a process of its own: for measurements, where client and server must not share one interpreter."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any, Literal, Self

from passwordless_async.errors import TransportError
from passwordless_async.testing.checks.ready_clients import ReadyClient
from passwordless_async.testing.process.address import TenantAddress
from passwordless_async.testing.process.child import kill, spawn
from passwordless_async.testing.process.pipe import ERRORS, READY, line
from passwordless_async.testing.settings.settings import TenantSettings
from passwordless_async.testing.state.stats import TenantStats

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Iterable, Sequence
    from types import TracebackType

    from passwordless_async.testing.faults.faults import AnyFault
    from passwordless_async.testing.state.users import Named

_START = 30.0  # seconds until a child must listen; importing takes a tenth of one on an idle machine
_STOP = 5.0  # seconds that a child is given to end before it is killed


class TenantProcess(TenantAddress):
    """A :class:`~passwordless_async.testing.LocalTenant` in a child process (POSIX only).

    The child lives as long as the ``async with``; it also ends when this process dies, however it dies. It has a
    session of its own, so a Ctrl-C in the terminal reaches the parent alone.

    Args:
        settings: How the tenant behaves.
        host: The address to listen on.
        port: The port; 0 takes a free one.

    Raises:
        TransportError: On entering: the child cannot listen; at a call: it has ended.
        TimeoutError: On entering: it did not listen within half a minute.
    """

    def __init__(self, settings: TenantSettings | None = None, *, host: str = "127.0.0.1", port: int = 0) -> None:
        super().__init__(settings or TenantSettings())
        self._wish = {"settings": self.settings.to_json(), "host": host, "port": port}
        self._process: Process | None = None
        self._calls = 0
        self._turn = asyncio.Lock()

    @property
    def pid(self) -> int | None:
        """The child's process id; None before it was started and after it ended."""
        return None if self._process is None else self._process.pid

    async def code_for(self, who: Named) -> str:
        """Return the newest code that somebody was sent.

        Raises:
            LookupError: Nothing was sent to them, or the newest message holds a link.
        """
        return (await self.codes([who]))[0]

    async def codes(self, whos: Iterable[Named]) -> list[str]:
        """Return the newest code of each of many users, in their order, in one round trip.

        Raises:
            LookupError: One of them was sent none.
        """
        users = [(who.realm, who.username) for who in whos]
        codes: list[str] = await self._call("codes", users=users)
        return codes

    async def client_for(self, method: str, alg: str = "RS256") -> ReadyClient:
        """Return an application, as :meth:`LocalTenant.client_for <passwordless_async.testing.LocalTenant.client_for>`.

        Raises:
            ValueError: There is no such method.
        """
        return ReadyClient.from_json(await self._call("client_for", method=method, alg=alg))

    async def add_user(self, who: Named, **options: Any) -> None:  # noqa: ANN401 - see Users.add
        """Give somebody an account; the options are those of ``tenant.users.add``."""
        await self._call("add_user", realm=who.realm, username=who.username, options=options)

    async def mfa(self, what: Literal["otp", "code", "recovery_code", "approve", "deny"], who: Named) -> str | None:
        """Return a code of somebody's second factor, or let them approve or deny the newest push message.

        Raises:
            LookupError: They have no such factor, or were sent nothing.
        """
        answer: str | None = await self._call("mfa", what=what, realm=who.realm, username=who.username)
        return answer

    async def stats(self) -> TenantStats:
        """Return what the tenant has counted so far."""
        return TenantStats(**await self._call("stats"))

    async def add_fault(
        self,
        fault: AnyFault | str,
        *,
        path: str | None = None,
        times: int | None = None,
        after: int = 0,
        **options: float | str | Sequence[str],
    ) -> None:
        """Switch a fault on, as :meth:`Faults.add <passwordless_async.testing.Faults.add>` does."""
        await self._call("add_fault", fault=fault, path=path, times=times, after=after, **options)

    async def clear_faults(self) -> None:
        """Switch all faults off."""
        await self._call("clear_faults")

    async def advance(self, seconds: float) -> None:
        """Let the tenant's codes, nonces and tokens grow older by so many seconds."""
        await self._call("advance", seconds=seconds)

    async def __aenter__(self) -> Self:
        starting = asyncio.create_task(spawn("passwordless_async.testing"))
        try:
            # Shielded, here and at the end: a child whose start is cut short is lost to the event loop.
            self._process = await asyncio.shield(starting)
            async with asyncio.timeout(_START):
                self._url = await self._listen(self._process)
        except BaseException:
            await asyncio.wait([starting])
            self._process = starting.result() if starting.exception() is None else None
            await self.aclose()
            raise
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the child and wait until it is gone; a second call does nothing."""
        process, self._process = self._process, None
        if process is None:
            return
        ending = asyncio.create_task(_end(process))
        try:
            async with asyncio.timeout(_STOP):
                await asyncio.shield(ending)
        except TimeoutError:
            kill(process)
            await ending
        except BaseException:
            # Killed and still waited for: a child that nobody reaps is reported when the loop has closed.
            kill(process)
            await asyncio.wait([ending])
            raise

    async def _listen(self, process: Process) -> str:
        answer = await self._ask(process, self._wish, number=READY)
        if "error" in answer:
            raise TransportError(f"the tenant process cannot listen: {answer['error']}")
        url: str = answer["value"]["url"]
        return url

    async def _call(self, name: str, **arguments: Any) -> Any:  # noqa: ANN401 - whatever JSON holds
        if self._process is None:
            raise RuntimeError("the tenant process is not running")
        async with self._turn:
            self._calls += 1
            message = {"id": self._calls, "call": name, "with": arguments}
            answer = await self._ask(self._process, message, number=self._calls)
        if "error" in answer:
            raise ERRORS[answer["kind"]](answer["error"])
        return answer["value"]

    async def _ask(self, process: Process, message: dict[str, Any], *, number: int) -> dict[str, Any]:
        assert process.stdin is not None  # noqa: S101 - both are pipes
        assert process.stdout is not None  # noqa: S101
        with contextlib.suppress(ConnectionError):
            process.stdin.write(line(message))
            await process.stdin.drain()
        answer: dict[str, Any] = {}
        # A caller that was cancelled has left its answer in the pipe: it is passed over.
        while answer.get("id") != number:
            received = await process.stdout.readline()
            if not received:
                raise TransportError(f"the tenant process has ended with status {await process.wait()}")
            answer = json.loads(received)
        return answer


async def _end(process: Process) -> None:
    if process.stdin is not None:
        process.stdin.close()
        with contextlib.suppress(ConnectionError):
            await process.stdin.wait_closed()
    if process.stdout is not None:
        await process.stdout.read()
    await process.wait()
