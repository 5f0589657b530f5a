"""Machines, and a network between them that delays, loses, and can be cut in either direction.

It is that of TCP: what is sent arrives in order, or not at all. A lost packet is sent again by the system, so that it
arrives later. While a direction is cut, what is sent that way waits; it arrives after the cut is healed.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

import attrs

if TYPE_CHECKING:
    import random
    import socket
    from collections.abc import Callable, Coroutine

    from simulation.loop import SimulatedLoop

    Factory = Callable[[], asyncio.Protocol]

MACHINE: contextvars.ContextVar[Machine | None] = contextvars.ContextVar("machine", default=None)
RETRANSMISSION = (0.2, 1.0)  # seconds after which a lost packet is sent again
_END = object()  # the sender has closed its end


def here() -> Machine:
    """Return the machine that the running task belongs to."""
    machine = MACHINE.get()
    assert machine is not None
    return machine


@attrs.define(eq=False, repr=False)
class Machine:
    """One process on a machine of its own; started again, it is another one with the same address.

    Attributes:
        address: Its IP address.
        network: What connects it with others.
        clock_wrong_by: Seconds that its wall clock is ahead of the time.
        state: ``buried``: it is dead, and its tasks run once more to be cancelled.
        tasks: Those that it has begun.
    """

    address: str
    network: Network
    clock_wrong_by: float = 0.0
    state: Literal["runs", "frozen", "dead", "buried"] = "runs"
    tasks: WeakKeyDictionary[asyncio.Task[Any], None] = attrs.field(factory=WeakKeyDictionary)
    _held: list[asyncio.Handle] = attrs.field(factory=list)
    context: contextvars.Context = attrs.field(factory=contextvars.copy_context)

    def __attrs_post_init__(self) -> None:
        self.context.run(MACHINE.set, self)

    def run(self, call: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run a coroutine on this machine."""
        return self.network.loop.create_task(call, context=self.context.copy())

    def admits(self, handle: asyncio.Handle) -> bool:
        """Return whether a callback of this machine may run now."""
        may_run = self.state in {"runs", "buried"}
        if not may_run:
            self._held.append(handle)
        return may_run

    def freeze(self) -> None:
        """Let nothing happen on this machine, as a system that swaps does."""
        if self.state == "runs":
            self.state = "frozen"

    def thaw(self) -> None:
        if self.state == "frozen":
            self._go_on("runs")

    def _go_on(self, state: Literal["runs", "buried"]) -> None:
        self.state = state
        self.network.loop._ready.extend(self._held)
        self._held.clear()

    def kill(self) -> None:
        """End the process at once. Its system closes its connections, and refuses others."""
        self.state = "dead"
        self.network.forget(self)

    async def bury(self) -> None:
        """Cancel the tasks of a dead machine, so that the loop is rid of them. Nothing of them reaches others."""
        self._go_on("buried")
        tasks = [task for task in self.tasks if not task.done()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


@attrs.define(eq=False, repr=False)
class _Direction:
    """What is on its way from one end of a connection to the other, in order."""

    source: Machine
    target: Machine
    receive: Callable[[Any], None]
    items: deque[Any] = attrs.field(factory=deque)

    def send(self, item: Any) -> None:
        self.items.append(item)
        self.source.network.carry(self)

    def arrive(self) -> None:
        if self.items:
            self.receive(self.items.popleft())


class Wire(asyncio.Transport):
    """One end of a connection."""

    def __init__(self, machine: Machine, peer: str) -> None:
        super().__init__({"peername": (peer, 0), "sockname": (machine.address, 0)})
        self.machine = machine
        self.outgoing: _Direction
        self._protocol: Any = None
        self._unread: list[Any] = []
        self._is_paused = self._is_closing = self.is_closed = False
        machine.network.wires[self] = None

    def begin(self, protocol: Any) -> None:
        self._protocol = protocol
        protocol.connection_made(self)

    def accept(self, item: Any) -> None:
        """Take what the peer has sent."""
        if self.is_closed:
            return
        if self._is_paused and isinstance(item, bytes):
            self._unread.append(item)
        elif isinstance(item, bytes):
            self._protocol.data_received(item)
        elif item is _END:
            if not self._protocol.eof_received():
                self.close()
        else:
            self.lose(item)

    def write(self, data: Any) -> None:
        if not self._is_closing and data:
            self.outgoing.send(bytes(data))

    def close(self) -> None:
        if not self._is_closing:
            self._is_closing = True
            self.outgoing.send(_END)
            self.machine.network.loop.call_soon(self.lose, None)

    def abort(self) -> None:
        if not self.is_closed:
            self._is_closing = True
            self.outgoing.send(ConnectionResetError("reset by the peer"))
            self.machine.network.loop.call_soon(self.lose, None)

    def lose(self, problem: Exception | None) -> None:
        """End the connection at this end."""
        self._is_closing = True
        if not self.is_closed:
            self.is_closed = True
            self.machine.network.wires.pop(self, None)
            self._protocol.connection_lost(problem)

    def vanish(self) -> None:
        """End the connection as the system of a killed process does."""
        self._is_closing = self.is_closed = True
        self.outgoing.send(ConnectionResetError("reset by the peer"))

    def pause_reading(self) -> None:
        self._is_paused = True

    def resume_reading(self) -> None:
        self._is_paused = False
        unread, self._unread = self._unread, []
        for item in unread:
            self.accept(item)

    def is_reading(self) -> bool:
        return not self._is_paused

    def is_closing(self) -> bool:
        return self._is_closing

    def get_protocol(self) -> Any:
        return self._protocol

    def set_protocol(self, protocol: Any) -> None:
        self._protocol = protocol

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """All that is written is on its way."""


class Listener:
    """What accepts connections at a port of a machine."""

    sockets = ()

    def __init__(self, machine: Machine, port: int, factory: Factory) -> None:
        self.machine = machine
        self.factory = factory
        self._place = machine.address, port

    def close(self) -> None:
        if self.machine.network.listeners.get(self._place) is self:
            del self.machine.network.listeners[self._place]

    async def wait_closed(self) -> None:
        """It is closed at once; its connections are another matter."""


class Network:
    """The network of one simulation.

    Attributes:
        latency: Seconds that a packet takes, at least and at most.
        loss: The share of packets that are sent again, after :data:`RETRANSMISSION`.
        wires: The ends of connections that are open.
        slow: Packets with these bytes take so many seconds longer.
    """

    def __init__(self, loop: SimulatedLoop, chance: random.Random) -> None:
        self.loop = loop
        self._chance = chance
        self.latency = (0.0005, 0.02)
        self.loss = 0.0
        self.slow: tuple[bytes, float] = b"", 0.0
        self.wires: dict[Wire, None] = {}
        self.listeners: dict[tuple[str, int], Listener] = {}
        self._cut: set[tuple[str, str]] = set()
        self._withheld: list[_Direction] = []
        self._healed = asyncio.Event()
        self._connected: WeakKeyDictionary[socket.socket, tuple[Machine, Listener]] = WeakKeyDictionary()

    def machine(self, address: str) -> Machine:
        return Machine(address, self)

    def cut(self, source: str, target: str) -> None:
        """Let nothing from one address arrive at another; the way back is another matter."""
        self._cut.add((source, target))

    def heal(self) -> None:
        self._cut.clear()
        withheld, self._withheld = self._withheld, []
        for direction in withheld:
            self.carry(direction)
        self._healed.set()
        self._healed = asyncio.Event()

    def delay(self) -> float:
        """Return the seconds that a packet takes."""
        lost = self.loss and self._chance.random() < self.loss
        return self._chance.uniform(*self.latency) + (self._chance.uniform(*RETRANSMISSION) if lost else 0.0)

    async def travel(self, source: str, target: str) -> None:
        """Return when a packet has arrived that is sent now."""
        await asyncio.sleep(self.delay())
        while (source, target) in self._cut:
            await self._healed.wait()
            await asyncio.sleep(self.delay())

    def carry(self, direction: _Direction) -> None:
        """Let something arrive, at the machine and in the context that it is for."""
        if (direction.source.address, direction.target.address) in self._cut:
            self._withheld.append(direction)
        else:
            delay = self.delay() + self._more_for(direction.items[-1])
            self.loop.call_later(delay, direction.arrive, context=direction.target.context.copy())

    def _more_for(self, item: Any) -> float:
        mark, seconds = self.slow
        return seconds if mark and isinstance(item, bytes) and mark in item else 0.0

    def listen(self, port: int, factory: Factory) -> Listener:
        machine = here()
        listener = self.listeners[machine.address, port] = Listener(machine, port, factory)
        return listener

    async def connect(self, sock: socket.socket, address: tuple[str, int]) -> None:
        """Do what the two systems do before either program hears of a connection."""
        machine = here()
        await self.travel(machine.address, address[0])
        listener = self.listeners.get(address[:2]) if machine.state == "runs" else None
        await self.travel(address[0], machine.address)
        if listener is None:
            raise ConnectionRefusedError(111, f"Connect call failed {address}")
        self._connected[sock] = machine, listener

    def open(self, sock: socket.socket, factory: Factory) -> tuple[Wire, Any]:
        """Give both programs their end of a connection: the server's its own when the first packet arrives."""
        machine, listener = self._connected.pop(sock)
        sock.close()
        near, far = Wire(machine, listener.machine.address), Wire(listener.machine, machine.address)

        def accept(item: Any) -> None:
            if far.get_protocol() is None and not far.is_closed:
                far.begin(listener.factory())
            far.accept(item)

        near.outgoing = _Direction(machine, listener.machine, accept)
        far.outgoing = _Direction(listener.machine, machine, near.accept)
        protocol = factory()
        near.begin(protocol)
        near.outgoing.send(b"")
        if listener.machine.state in {"dead", "buried"}:
            far.vanish()
        return near, protocol

    def forget(self, machine: Machine) -> None:
        """Close all that a dead machine has open."""
        for place, listener in list(self.listeners.items()):
            if listener.machine is machine:
                del self.listeners[place]
        for wire in [wire for wire in self.wires if wire.machine is machine]:
            del self.wires[wire]
            wire.vanish()
