"""A tenant on a machine of the simulation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from passwordless_async.testing import LocalTenant

if TYPE_CHECKING:
    import socket

ADDRESS, PORT = "127.0.0.1", 8080  # plain http is allowed for loopback addresses


class SimulatedTenant(LocalTenant):
    """A tenant that listens at a port of the simulated network."""

    def _bind(self) -> list[socket.socket]:
        self._port = PORT
        return []

    async def _accept(self, runner: web.AppRunner, listeners: list[socket.socket]) -> None:
        del listeners
        self._sites = [web.TCPSite(runner, port=PORT)]
        await self._sites[0].start()
