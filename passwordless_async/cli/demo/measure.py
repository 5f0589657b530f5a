"""Logs many users in, and measures the time.

``seconds`` runs from the moment the client takes the first login until the last outcome. The codes were sent before, so
connections are open, and no nonce is known. A login's latency runs from the moment the client has a free slot for it
until its outcome: making the key, signing, the round trips, validating the ID token, and every wait for the event loop.
With many logins in flight, most of it is that wait; ``--concurrency 1`` shows a single login. The tenant counts, in its
own process.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

import attrs

from passwordless_async._common import clock as _clock
from passwordless_async.auth0.identity import Email, Login
from passwordless_async.testing import BOUND_API, PLAIN_API

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from passwordless_async.auth0.tenant import DPoPMode
    from passwordless_async.client.client import PasswordlessClient
    from passwordless_async.client.outcomes import Outcome
    from passwordless_async.testing import TenantProcess, TenantStats

SCOPE = "openid profile email offline_access"
_CODES_AT_ONCE = 10_000  # codes that are read from the tenant in one call


@attrs.frozen
class CrowdLogins:
    """The logins of a crowd."""

    people: Sequence[Email]
    outcomes: Sequence[Outcome]  # in order of completion
    seconds: float  # that all took
    latencies: Sequence[float]  # seconds of each login that succeeded, ascending
    stats: TenantStats  # the tenant's counts so far, including the starts

    @property
    def logins(self) -> int:
        """The number of logins that succeeded."""
        return sum(outcome.error is None for outcome in self.outcomes)

    @property
    def failures(self) -> int:
        """The number of users without tokens."""
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
    """Return a percentile by nearest rank, in milliseconds; None without values."""
    if not ascending:
        return None
    return round(ascending[math.ceil(len(ascending) * percent / 100) - 1] * 1000, 2)


async def send_codes(
    client: PasswordlessClient, people: Iterable[Email], *, concurrency: int, tick: Callable[[], None]
) -> None:
    """Send each user a code; the first refusal ends the others and is raised."""
    waiting = iter(people)

    async def work() -> None:
        for who in waiting:
            await client.start(who)
            tick()

    try:
        async with asyncio.TaskGroup() as workers:
            for _ in range(concurrency):
                workers.create_task(work())
    except ExceptionGroup as refusals:
        raise refusals.exceptions[0] from None


async def codes_of(tenant: TenantProcess, people: Sequence[Email]) -> list[str]:
    """Return each user's code, as the tenant tells it in place of a mailbox."""
    codes: list[str] = []
    for first in range(0, len(people), _CODES_AT_ONCE):
        codes += await tenant.codes(people[first : first + _CODES_AT_ONCE])
    return codes


def audience_of(dpop: DPoPMode) -> str:
    """Return an API at which a mode works: for ``off``, one without sender constraining."""
    return PLAIN_API if dpop == "off" else BOUND_API


async def log_in(
    client: PasswordlessClient,
    people: Sequence[Email],
    codes: Sequence[str],
    *,
    concurrency: int,
    tick: Callable[[], None],
    audience: str = BOUND_API,
) -> tuple[list[Outcome], list[float], float]:
    """Exchange each user's code for tokens for an API.

    Returns the outcomes in order of completion, the latencies of those that succeeded, ascending, and the seconds that
    all took.
    """

    def logins() -> Iterator[Login]:
        for who, code in zip(people, codes, strict=True):
            # The client takes a login once it has a free slot: the tag is that time.
            yield Login(who, code, scope=SCOPE, audience=audience, tag=_clock.monotonic())

    outcomes, latencies = [], []
    began = _clock.monotonic()
    async for outcome in client.exchange_many(logins(), concurrency=concurrency):
        if outcome.error is None:
            latencies.append(_clock.monotonic() - outcome.login.tag)
        outcomes.append(outcome)
        tick()
    return outcomes, sorted(latencies), _clock.monotonic() - began
