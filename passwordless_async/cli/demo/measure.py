"""Logging a crowd in, with a watch in hand.

What is measured: ``seconds`` runs from the moment the first login is handed to the client until the last outcome is
back; codes were asked for before, so the connections are open, and no nonce is known. A login's latency runs from the
moment the client takes it, with a slot free, until its outcome is in the caller's hands: making the key, signing, the
round trips, validating the ID token, and every wait for a turn on an event loop that is busy with the other logins.
With many logins in flight most of it is that wait: ``--concurrency 1`` shows a login on its own.

What is counted is counted by the tenant, in its own process.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

import attrs

from passwordless_async._common import clock as _clock
from passwordless_async.auth0.identity import Email, Login
from passwordless_async.testing import BOUND_API

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from passwordless_async.client.client import PasswordlessClient
    from passwordless_async.client.outcomes import Outcome
    from passwordless_async.testing import TenantProcess, TenantStats

SCOPE = "openid profile email offline_access"
AUDIENCE = BOUND_API
_CODES_AT_ONCE = 10_000  # users whose codes are read from the tenant in one go


@attrs.frozen
class Run:
    """What happened.

    Attributes:
        people: Who was to be logged in.
        outcomes: What became of each, in order of completion.
        seconds: How long it took.
        latencies: Seconds of each login that succeeded, ascending.
        stats: What the tenant had counted by then, the requests for codes included.
    """

    people: Sequence[Email]
    outcomes: Sequence[Outcome]
    seconds: float
    latencies: Sequence[float]
    stats: TenantStats

    @property
    def logins(self) -> int:
        """How many succeeded."""
        return sum(outcome.error is None for outcome in self.outcomes)

    @property
    def failures(self) -> int:
        """How many did not."""
        return len(self.people) - self.logins

    def figures(self) -> dict[str, Any]:
        """Return the figures under the names of the JSON output."""
        return {
            "logins": self.logins,
            "failures": self.failures,
            "seconds": round(self.seconds, 3),
            "logins_per_second": round(self.logins / self.seconds, 1),
            "latency_ms": {f"p{percent}": _percentile(self.latencies, percent) for percent in (50, 95, 99)},
            "wire_requests": self.stats.wire_requests,
            "token_requests": self.stats.token_requests,
            "nonce_challenges": self.stats.nonce_challenges,
            "distinct_keys": self.stats.distinct_keys,
        }


def _percentile(ascending: Sequence[float], percent: int) -> float | None:
    """Return a percentile by nearest rank, in milliseconds; None of nothing."""
    if not ascending:
        return None
    return round(ascending[math.ceil(len(ascending) * percent / 100) - 1] * 1000, 2)


async def ask_for_codes(
    client: PasswordlessClient, people: Iterable[Email], *, concurrency: int, tick: Callable[[], None]
) -> None:
    """Have a code sent to everybody; the first refusal ends it and is raised."""
    waiting = iter(people)

    async def ask() -> None:
        for who in waiting:
            await client.start(who)
            tick()

    try:
        async with asyncio.TaskGroup() as askers:
            for _ in range(concurrency):
                askers.create_task(ask())
    except ExceptionGroup as refusals:
        raise refusals.exceptions[0] from None


async def codes_of(tenant: TenantProcess, people: Sequence[Email]) -> list[str]:
    """Return the code that each was sent: the tenant tells, as nobody reads these mails."""
    codes: list[str] = []
    for first in range(0, len(people), _CODES_AT_ONCE):
        codes += await tenant.codes(people[first : first + _CODES_AT_ONCE])
    return codes


async def log_in(
    client: PasswordlessClient,
    people: Sequence[Email],
    codes: Sequence[str],
    *,
    concurrency: int,
    tick: Callable[[], None],
) -> tuple[list[Outcome], list[float], float]:
    """Exchange everybody's code.

    Returns:
        The outcomes in order of completion, the latencies of those that succeeded in seconds, ascending, and the
        seconds that it took.
    """

    def logins() -> Iterator[Login]:
        for who, code in zip(people, codes, strict=True):
            # The client reads a login when it has a slot for it: the tag is the time at which it took it.
            yield Login(who, code, scope=SCOPE, audience=AUDIENCE, tag=_clock.monotonic())

    outcomes, latencies = [], []
    began = _clock.monotonic()
    async for outcome in client.exchange_many(logins(), concurrency=concurrency):
        if outcome.error is None:
            latencies.append(_clock.monotonic() - outcome.login.tag)
        outcomes.append(outcome)
        tick()
    return outcomes, sorted(latencies), _clock.monotonic() - began
