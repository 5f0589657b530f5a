"""A tenant on a machine of the simulation, which can crash and start again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from aiohttp import web

from helpers.values import present
from passwordless_async.testing import LocalTenant
from passwordless_async.testing.endpoints.application import TenantApplication
from passwordless_async.testing.state.records import Presentations
from simulation.network import here

if TYPE_CHECKING:
    import socket

ADDRESS, PORT = "127.0.0.1", 8080  # plain http is allowed for loopback addresses


class _Presentations(Presentations):
    """As a tenant notes them; a refresh that is refused (4xx) has spent no refresh token, so it may be sent again."""

    def note_response(self, grant: tuple[str, ...] | None, status: int, *, challenged: bool) -> None:
        is_refused = grant is not None and grant[0] == "refresh_token" and 400 <= status < 500
        super().note_response(grant, status, challenged=challenged or is_refused)


class SimulatedTenant(LocalTenant):
    """A tenant that listens at a port of the simulated network."""

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        present(self._state).presentations = _Presentations(self.stats)
        return self

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
