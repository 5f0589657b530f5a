"""A tenant on a machine of the simulation, which can crash and start again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from helpers.values import present
from passwordless_async.testing import LocalTenant
from passwordless_async.testing.endpoints.application import TenantApplication
from simulation.network import here

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

    async def restart(self) -> None:
        """Begin again on the running task's machine, after a crash: what the tenant knows was in its database."""
        assert here().address == ADDRESS
        state = present(self._state)
        state.draining = False
        self._runner = web.AppRunner(TenantApplication(state, self.faults).build(), access_log=None)
        await self._runner.setup()
        await self._accept(self._runner, self._bind())
