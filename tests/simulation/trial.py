"""Runs the simulation that a seed stands for."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING
from unittest.mock import patch

import attrs

from simulation import promises
from simulation.loop import SimulatedLoop, simulated_clocks
from simulation.world import World

if TYPE_CHECKING:
    from simulation.program import Trial


@attrs.frozen
class Outcome:
    """What came of a simulation: the same each time.

    Attributes:
        callbacks: How many ran.
        seconds: How long it took, by its clock.
        logins: The logins that came to tokens before the end.
        users: The users who logged in.
        rotations: The refresh tokens that were replaced.
        orphans: The results whose caller had gone.
        errors: The errors that calls raised, by name.
    """

    callbacks: int
    seconds: float
    logins: int
    users: int
    rotations: int
    orphans: int
    errors: tuple[str, ...]


def simulate(trial: Trial) -> Outcome:
    """Run a simulation; what must hold is asserted."""
    random.seed(trial.seed)  # the client's own chance: its jitter
    chance = random.Random(trial.seed)  # noqa: S311 - no secret
    loop = SimulatedLoop(chance, is_stock=trial.setting.is_stock)
    try:
        # Keys are made by OpenSSL, which has random bytes of its own: nothing depends on which they are.
        with simulated_clocks(loop), patch("os.urandom", chance.randbytes), patch("random._urandom", chance.randbytes):
            return loop.run_until_complete(_simulate(trial, loop))
    finally:
        loop.close()


async def _simulate(trial: Trial, loop: SimulatedLoop) -> Outcome:
    loop.network.latency = (trial.setting.latency / 20, trial.setting.latency)
    world = World(trial.setting, loop.network)
    try:
        await world.begin()
        await world.run(trial.program)
        await world.end()
        outcome = _outcome(world)
        promises.nothing_is_held(world)
        await promises.every_user_can_log_in(world)
        await promises.no_session_is_lost(world)
        await promises.no_browser_is_forgotten(world)
        await world.close()
        promises.check(world)
    finally:
        await world.bury()
    return attrs.evolve(outcome, callbacks=loop.steps, seconds=loop.now)


def _outcome(world: World) -> Outcome:
    logins = [who for presented in world.presented.values() for who in [presented.who] if presented.has_tokens]
    errors = [call.task.exception() for call in world.calls if call.task.done() and not call.task.cancelled()]
    return Outcome(
        callbacks=0,
        seconds=0.0,
        logins=len(logins),
        users=len(set(logins)),
        rotations=world.tenant.stats.refresh_rotations,
        orphans=sum(sum(process.events.values()) for process in world.processes),
        errors=tuple(type(error).__name__ for error in errors if error is not None),
    )
