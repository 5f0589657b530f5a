"""The same programs on a virtual clock and a seeded network: delays, partitions, and a service that is cut off."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from helpers import programs
from passwordless_async.testing import LocalTenant

if TYPE_CHECKING:
    import socket

simloop = pytest.importorskip("simloop", reason="simloop, which simulates the network, needs Python 3.12")

SEEDS = range(25)
HOST, PORT = "127.0.0.1", 8080  # a machine of its own, with the address that plain http is allowed for
VERBS = ["start"] * 5 + ["exchange"] * 5 + ["rest"] * 9 + ["cancel"] * 3 + ["refresh"] * 4 + ["many"] * 2
VERBS += ["twin", "wrong_code", "revoke", "fault", "no_fault", "cut", "cut"]


def _network() -> Any:
    loop: Any = asyncio.get_running_loop()
    return loop.net


class SimulatedTenant(LocalTenant):
    """A tenant on a machine of the simulation, which has no sockets."""

    def _bind(self) -> list[socket.socket]:
        self._port = PORT
        return []

    async def _accept(self, runner: web.AppRunner, listeners: list[socket.socket]) -> None:
        del listeners
        self._sites = [web.TCPSite(runner, port=PORT)]
        await self._sites[0].start()


class SimulatedWorld(programs.World):
    """Runs a program on the simulated network, where time is virtual and may be waited for."""

    async def _step(self, verb: str, user: int, number: int) -> None:
        if verb == "rest":
            await asyncio.sleep(number / 100)
        else:
            await super()._step(verb, user, number)

    async def _server_is_rid_of_us(self, before: set[asyncio.Task[Any]]) -> None:
        """Look at nothing: a connect that is given up leaves a connection at the simulated server for ever."""

    def cut(self, _user: int, number: int) -> None:
        """Cut the service off for a while, longer than a transmission may take in some cases."""
        network = _network()
        network.partition({"driver"}, {HOST})
        asyncio.get_running_loop().call_later(number / 3, network.heal)


def program_of(seed: int) -> tuple[list[tuple[str, int, int]], Any]:
    """Return a program and a setting; the same ones for the same seed."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    steps = [(verb, chance.randrange(programs.USERS), chance.randrange(41)) for verb in chance.choices(VERBS, k=60)]
    setting = programs.Setting(
        adaptive=chance.random() < 0.5,
        circuit=chance.random() < 0.3,
        in_flight=chance.choice([100, 1, 2]),
        nonces=chance.randrange(len(programs.NONCES)),
        orphans=chance.choice(["keeps", "none", "fails"]),
        grace=chance.choice([programs.PATIENCE, 0.0]),
    )
    return steps, setting


async def play(seed: int) -> None:
    """Run a program between two machines of the simulation, and check what came of it."""
    program, setting = program_of(seed)
    network = _network()
    network.set_defaults(latency=(0.001, 0.05))
    machine = network.host(HOST)
    tenant = SimulatedTenant(programs.settings_of(setting))
    await machine.create_task(tenant.__aenter__())
    world = SimulatedWorld(tenant, setting)
    await world.run(program)
    world.check()
    await machine.create_task(tenant.aclose())


@pytest.mark.parametrize("seed", SEEDS)
def test_any_network_keeps_the_promises(seed: int) -> None:
    """Under delay and partitions each user has their own tokens, nothing is sent twice, and nothing is lost or left."""
    report = simloop.explore(lambda: play(seed), [seed])
    assert report is None, report.render()
