"""An event loop in which time is virtual, the network is memory, and a seed decides which ready callback runs next.

Invariants:

- Time stands still while a callback is ready; otherwise it jumps to the next timer.
- Each callback belongs to the machine whose task asked for it. A dead machine runs none; a frozen one runs them later.
- With the same seed the same callbacks run at the same times.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import sys
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import aiohttp.connector

from passwordless_async._common import clock
from simulation.network import MACHINE, Network

if TYPE_CHECKING:
    import random
    import socket
    from collections.abc import Callable, Iterator
    from contextvars import Context

    Clocks = tuple[Callable[[], float], Callable[[], float]]

MAX_STEPS = 3_000_000  # callbacks of one simulation; more is a loop that never ends
EPOCH = 1_900_000_000.0  # seconds since the UNIX epoch: what the machines' clocks show at the beginning


class _Future(asyncio.Future[Any]):
    """A future whose place in sets is the same in each run."""

    number = 0

    def __hash__(self) -> int:
        return self.number


class _Task(asyncio.Task[Any]):
    """A task likewise."""

    number = 0

    def __hash__(self) -> int:
        return self.number


class SimulatedLoop(asyncio.BaseEventLoop):
    """A loop for the machines of one simulation.

    Args:
        chance: Where each decision comes from.
        is_stock: Whether ready callbacks run in the order in which they became ready, as in asyncio's own loops;
            otherwise in any order.

    Attributes:
        now: The time, in seconds.
        steps: The callbacks that have run.
        network: What connects the machines.
    """

    _ready: Any
    _scheduled: list[Any]

    def __init__(self, chance: random.Random, *, is_stock: bool) -> None:
        super().__init__()
        self._chance = chance
        self._is_stock = is_stock
        self.now = 1000.0
        self.steps = 0
        self._numbers = itertools.count()
        self.network = Network(self, chance)

    def time(self) -> float:
        return self.now

    def _run_once(self) -> None:
        """Run one callback."""
        self._collect_timers()
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise RuntimeError(f"{MAX_STEPS} callbacks, and no end")
        index = 0 if self._is_stock else self._chance.randrange(len(self._ready))
        handle = self._ready[index]
        del self._ready[index]
        if handle._cancelled:
            return
        machine = handle._context.get(MACHINE)
        if machine is None or machine.admits(handle):
            handle._run()

    def _collect_timers(self) -> None:
        """Make timers ready whose time has come; where nothing is ready, it comes now for the first of them."""
        timers = self._scheduled
        while timers and (not self._ready or timers[0]._cancelled or timers[0]._when <= self.now):
            timer = heapq.heappop(timers)
            timer._scheduled = False
            if not timer._cancelled:
                self.now = max(self.now, timer._when)
                self._ready.append(timer)
        if not self._ready:
            raise RuntimeError("every task waits, and nothing is to come")

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Leave it in the heap, from which it is taken when its time comes."""

    def _write_to_self(self) -> None:
        """Wake nothing up: there is one thread."""

    def create_future(self) -> asyncio.Future[Any]:
        future = _Future(loop=self)
        future.number = next(self._numbers)
        return future

    def create_task(self, coro: Any, *, name: str | None = None, context: Context | None = None) -> asyncio.Task[Any]:  # type: ignore[override]
        task = _Task(coro, loop=self, name=name, context=context)
        task.number = next(self._numbers)
        machine = MACHINE.get() if context is None else context.get(MACHINE)
        if machine is not None:
            machine.tasks[task] = None
        return task

    def run_in_executor(self, _executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """Run a function in a step of its own instead of in a thread, whose timing no seed would control."""

        async def call() -> Any:
            return func(*args)

        return self.create_task(call())

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        await self.network.connect(sock, address)

    async def create_connection(self, protocol_factory: Any, *_args: Any, sock: Any = None, **_more: Any) -> Any:
        return self.network.open(sock, protocol_factory)

    async def create_server(  # type: ignore[override]
        self, protocol_factory: Any, _host: Any = None, port: Any = None, **_more: Any
    ) -> Any:
        return self.network.listen(port, protocol_factory)


@contextmanager
def simulated_clocks(loop: SimulatedLoop) -> Iterator[None]:
    """Let the package and aiohttp read the simulation's clocks: each machine its own."""

    def wall_clock() -> float:
        machine = MACHINE.get()
        return EPOCH + loop.now + (0.0 if machine is None else machine.clock_wrong_by)

    stock = clock.now, clock.monotonic
    _set_clocks(stock, (wall_clock, loop.time))
    try:
        yield
    finally:
        _set_clocks((wall_clock, loop.time), stock)


def _set_clocks(old: Clocks, new: Clocks) -> None:
    """Replace the clocks, also where they are the default of a constructor's argument."""
    clock.now, clock.monotonic = new
    setattr(aiohttp.connector, "monotonic", new[1])  # noqa: B010 - not declared as public
    for defaults in _defaults(len(sys.modules)):
        defaults.update({name: new[old.index(value)] for name, value in defaults.items() if value in old})


@lru_cache(maxsize=1)
def _defaults(_modules: int) -> list[dict[str, Any]]:
    """Return the defaults of the constructors' keyword arguments; again where more modules are there."""
    modules = [module for name, module in list(sys.modules.items()) if name.startswith("passwordless_async")]
    kinds = {value for module in modules for value in vars(module).values() if isinstance(value, type)}
    found = (getattr(kind.__init__, "__kwdefaults__", None) for kind in kinds)  # type: ignore[misc]
    return [defaults for defaults in found if defaults]
