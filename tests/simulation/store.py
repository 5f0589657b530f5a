"""A store on a machine of its own, which answers over the network, and can be lost."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from passwordless_async import MemoryStore, StoreUnavailable
from simulation.network import here

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from simulation.network import Network

ADDRESS = "127.0.0.9"
_PATIENCE_SECONDS = 1.0  # in which a store answers, or counts as unreachable


class Server:
    """What the store keeps.

    Attributes:
        inner: All that is kept.
        is_down: Whether it refuses connections.
        was_lost: Whether all that was kept has been lost at least once.
        was_missed: Whether a call has failed.
    """

    def __init__(self) -> None:
        self.inner = MemoryStore()
        self.is_down = self.was_lost = self.was_missed = False

    def lose(self) -> None:
        """Forget everything."""
        self.inner = MemoryStore(keys=self.inner.keys)
        self.was_lost = True


class RemoteStore:
    """One process's way to the store. A call takes effect or not, and its answer arrives or not."""

    def __init__(self, server: Server, network: Network) -> None:
        self.keys = server.inner.keys
        self._server = server
        self._network = network

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        if name.startswith("__"):
            raise AttributeError(name)

        async def ask(*args: Any, **parameters: Any) -> Any:
            try:
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    return await self._ask(name, args, parameters)
            except TimeoutError:
                self._server.was_missed = True
                raise StoreUnavailable("no answer in time") from None

        return ask

    async def _ask(self, name: str, args: tuple[Any, ...], parameters: dict[str, Any]) -> Any:
        machine = here()
        await self._network.travel(machine.address, ADDRESS)
        if self._server.is_down or machine.state != "runs":
            self._server.was_missed = True
            await self._network.travel(ADDRESS, machine.address)
            raise StoreUnavailable("refused")
        answer = await getattr(self._server.inner, name)(*args, **parameters)
        await self._network.travel(ADDRESS, machine.address)
        return answer
