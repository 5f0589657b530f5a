"""Requests to an API through both middlewares, guarded twice: methods, targets, tokens, proofs, proxies' fields."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import attrs

from fuzz.engine import Target
from helpers.hostile import STATUSES, Attacker, Hostile, aiohttp_door, asgi_door

if TYPE_CHECKING:
    from fuzz.mutator import Mutator
    from helpers.hostile import Ask


@attrs.frozen
class Given:
    """A request, and the middleware that it goes to."""

    door: str
    request: Hostile


class ApiRequest:
    """An attacker with tokens of their own, and the doors."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._attacker = Attacker()
        self._doors: dict[str, Ask] = {"asgi": asgi_door(), "aiohttp": self._runner.run(aiohttp_door())}

    def draw(self, mutator: Mutator) -> Given:
        self._attacker.random = mutator.random
        return Given(mutator.choice(tuple(self._doors)), self._attacker.request())

    def check(self, given: Given) -> str:
        status = self._runner.run(self._asked(given))
        assert status in STATUSES, status
        return f"{given.door} {status}"

    async def _asked(self, given: Given) -> int:
        return await self._doors[given.door](given.request)


def make() -> Target:
    """Return the target."""
    requests = ApiRequest()
    return Target(requests.draw, requests.check, requests._runner.close)
