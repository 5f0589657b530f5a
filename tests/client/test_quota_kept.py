"""A tenant with a quota, and more logins than it takes at once: they are spaced, not bounced.

On the simulated network no other process delays a request, so the figures are exact.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from passwordless_async import INTERACTIVE, Email, Login, MemoryStore, PasswordlessClient, Start
from passwordless_async.client.events import Sent
from passwordless_async.testing import TenantSettings
from simulation.loop import SimulatedLoop, simulated_clocks
from simulation.tenant import ADDRESS, SimulatedTenant

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from passwordless_async.client.events import Event
    from simulation.network import Machine, Network

QUOTA = 50  # requests a second
LOGINS = 150
IDEAL = LOGINS / QUOTA  # seconds


@attrs.frozen
class World:
    """A tenant with a quota on a machine of its own, and the statuses of its responses."""

    network: Network
    machine: Machine
    tenant: SimulatedTenant
    statuses: list[int | None] = attrs.field(factory=list)

    def note(self, event: Event) -> None:
        if isinstance(event, Sent):
            self.statuses.append(event.status)

    async def log_in(self, names: range, store: MemoryStore | None, *, outage: bool = False) -> tuple[float, float]:
        """Log users in by a client, and return the seconds that the codes and the logins took."""
        loop, profile = asyncio.get_running_loop(), attrs.evolve(INTERACTIVE, requests_per_second=QUOTA)
        client_id = self.tenant.public_client_id
        async with PasswordlessClient(
            self.tenant.url, client_id, profile=profile, store=store, on_event=self.note
        ) as client:
            crowd = [Start(Email(f"user{number}@example.com")) for number in names]
            began = loop.time()
            await _all(client.start_many(crowd))
            started = loop.time()
            away = self.machine.run(self.go_away()) if outage else None
            await _all(client.exchange_many(Login(each.who, self.tenant.outbox.code_for(each.who)) for each in crowd))
            ended = loop.time()
            if away is not None:
                await away
        return started - began, ended - started

    async def go_away(self) -> None:
        """Take the tenant out for a moment, while they log in."""
        await asyncio.sleep(1.0)
        async with self.tenant.outage():
            await asyncio.sleep(0.7)


async def _all(outcomes: AsyncIterator[Any]) -> None:
    assert [outcome.error async for outcome in outcomes if outcome.error is not None] == []


def simulate(play: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    """Run a play on the simulated network; no request of it may be answered 429."""
    random.seed(1)  # the client's jitter
    loop = SimulatedLoop(random.Random(1), is_stock=True)  # noqa: S311 - no secret

    async def run() -> None:
        machine = loop.network.machine(ADDRESS)
        tenant = SimulatedTenant(TenantSettings(requests_per_second=QUOTA, id_token_alg="ES256"))
        await machine.run(tenant.__aenter__())
        world = World(loop.network, machine, tenant)
        await play(world)
        await machine.run(tenant.aclose())
        assert (world.statuses.count(429), tenant.stats.presented_again) == (0, 0)

    try:
        with simulated_clocks(loop):
            loop.run_until_complete(run())
    finally:
        loop.close()


@pytest.mark.slow
@pytest.mark.parametrize("outage", [False, True], ids=["steady", "outage"])
def test_the_quota_is_kept_and_used(*, outage: bool) -> None:
    """No request is answered 429, nearly all of the quota is used, and all log in despite an outage."""

    async def play(world: World) -> None:
        ours = world.network.machine("127.0.0.2")
        codes, logins = await ours.run(world.log_in(range(LOGINS), None, outage=outage))
        assert IDEAL * 0.95 <= codes <= IDEAL / 0.95
        assert IDEAL * 0.95 <= logins <= IDEAL / 0.95 + 3.0 * outage

    simulate(play)


@pytest.mark.slow
def test_five_machines_use_one_quota_together() -> None:
    """As one machine does, by a store that they share."""

    async def play(world: World) -> None:
        store, share = MemoryStore(), LOGINS // 5
        ours = [world.network.machine(f"127.0.0.{2 + number}") for number in range(5)]
        crowds = [
            machine.run(world.log_in(range(number * share, (number + 1) * share), store))
            for number, machine in enumerate(ours)
        ]
        assert max(sum(times) for times in await asyncio.gather(*crowds)) <= 2 * IDEAL / 0.9

    simulate(play)
