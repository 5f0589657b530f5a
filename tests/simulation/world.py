"""Programs of calls on a virtual clock and a simulated network: delays, partitions, and faults of the tenant."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import attrs

from helpers import programs
from simulation.loop import SimulatedLoop, simulated_clocks
from simulation.tenant import ADDRESS, SimulatedTenant

if TYPE_CHECKING:
    from simulation.network import Network

VERBS = ["start"] * 5 + ["exchange"] * 5 + ["rest"] * 9 + ["cancel"] * 3 + ["refresh"] * 4 + ["many"] * 2
VERBS += ["twin", "wrong_code", "revoke", "fault", "no_fault", "cut", "cut"]
OURS = "127.0.0.2"


@attrs.frozen
class Trial:
    """What a seed stands for.

    Attributes:
        seed: The seed.
        is_stock: Whether ready callbacks run in the order in which they became ready.
        setting: How the client and the tenant are set.
        program: The steps.
    """

    seed: int
    is_stock: bool
    setting: programs.Setting
    program: list[tuple[str, int, int]]


def trial_of(seed: int) -> Trial:
    """Return what a seed stands for: always the same."""
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
    return Trial(seed, chance.random() < 0.5, setting, steps)


class World(programs.World):
    """Runs a program on the simulated network, where time is virtual and may be waited for."""

    network: Network

    async def _step(self, verb: str, user: int, number: int) -> None:
        if verb == "rest":
            await asyncio.sleep(number / 100)
        else:
            await super()._step(verb, user, number)

    def complain(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Take complaints, but none of aiohttp's server about a request whose connection is gone."""
        if "RequestHandler" not in repr(context):
            super().complain(loop, context)

    async def _server_is_rid_of_us(self, before: set[asyncio.Task[Any]]) -> None:
        self.network.heal()  # what waits to arrive is the end of connections
        await super()._server_is_rid_of_us(before)

    def cut(self, _user: int, number: int) -> None:
        """Cut the tenant off for a while, in some cases for longer than a transmission may take."""
        self.network.cut(OURS, ADDRESS)
        self.network.cut(ADDRESS, OURS)
        asyncio.get_running_loop().call_later(number / 3, self.network.heal)


async def _play(trial: Trial, network: Network) -> None:
    machine, ours = network.machine(ADDRESS), network.machine(OURS)
    tenant = SimulatedTenant(programs.settings_of(trial.setting))
    await machine.run(tenant.__aenter__())
    await ours.run(_run(trial, network, tenant))
    await machine.run(tenant.aclose())


async def _run(trial: Trial, network: Network, tenant: SimulatedTenant) -> None:
    world = World(tenant, trial.setting)
    world.network = network
    await world.run(trial.program)
    world.check()


def simulate(trial: Trial) -> str:
    """Run a trial; what must hold is asserted. Return what is the same each time: how far it came."""
    random.seed(trial.seed)  # the client's jitter
    loop = SimulatedLoop(random.Random(trial.seed), is_stock=trial.is_stock)  # noqa: S311 - no secret
    try:
        with simulated_clocks(loop):
            loop.run_until_complete(_play(trial, loop.network))
    finally:
        loop.close()
    return f"{loop.steps} callbacks in {loop.now:.6f} seconds"
