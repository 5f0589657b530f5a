"""A tenant with a quota, and more logins than it takes: how much of the quota is used, and how often it is overrun."""

from __future__ import annotations

import asyncio
import time
from http import HTTPStatus

import attrs

from benchmarks.measure import Series
from benchmarks.report import Bar, Report, Row
from passwordless_async import INTERACTIVE, Email, Login, PasswordlessClient, Start
from passwordless_async.client.events import Sent
from passwordless_async.testing import LocalTenant, TenantSettings

SUMMARY = "Logins at a tenant that takes 25 requests a second: kept, used, and outlasting an outage"
HOW = (
    "by the clock, in one process with the tenant; a start and an exchange for each login; the outage lasts 3 s, for "
    "1,000 logins, in the middle of the exchanges and does not count as time"
)
PACKAGES = ("passwordless-async", "aiohttp")
ROUNDS, MIN_ROUNDS, CALLS, COUNTED = 1, 1, 1000, "logins"

QUOTA, OUTAGE = 25, 0.003  # requests a second; seconds for each login


def run(rounds: int, calls: int) -> Report:
    """Measure with and without an outage."""
    found: dict[str, list[float]] = {}
    for _ in range(rounds):
        for suffix, outage in (("", False), (", an outage", True)):
            for name, figure in asyncio.run(_log_in(calls, outage=outage)).items():
                found.setdefault(name + suffix, []).append(figure)
    series = {name: Series(tuple(figures)) for name, figures in found.items()}
    bars = []
    for suffix in ("", ", an outage"):
        bars += [
            Bar(f"% of the quota used{suffix}", series[f"% of the quota{suffix}"], must=95, goal=97, higher=True),
            Bar(f"% of requests answered 429{suffix}", series[f"% answered 429{suffix}"], must=1, goal=0),
            Bar(f"logins that failed{suffix}", series[f"failed{suffix}"], must=0, goal=0),
        ]
    return Report("quota", SUMMARY, HOW, "as named", PACKAGES, [Row(*row) for row in series.items()], bars, [])


async def _log_in(calls: int, *, outage: bool) -> dict[str, float]:
    statuses: list[int | None] = []
    profile = attrs.evolve(INTERACTIVE, requests_per_second=QUOTA)
    settings = TenantSettings(requests_per_second=QUOTA, code_lifetime=3600)
    async with (
        LocalTenant(settings) as tenant,
        PasswordlessClient(
            tenant.url,
            tenant.public_client_id,
            profile=profile,
            on_event=lambda event: statuses.append(event.status) if isinstance(event, Sent) else None,
        ) as client,
    ):
        crowd = [Start(Email(f"user{number}@example.com")) for number in range(calls)]
        began = time.perf_counter()
        receipts = [outcome async for outcome in client.start_many(crowd)]
        failing = asyncio.create_task(_fail(tenant, calls)) if outage else None
        logins = (Login(start.who, tenant.outbox.code_for(start.who), scope="openid") for start in crowd)
        outcomes = [outcome async for outcome in client.exchange_many(logins)]
        seconds = time.perf_counter() - began - (OUTAGE * calls if outage else 0)
        if failing is not None:
            await failing
    served = [status for status in statuses if status is not None and status != HTTPStatus.TOO_MANY_REQUESTS]
    return {
        "% of the quota": 100 * len(served) / seconds / QUOTA,
        "% answered 429": 100 * statuses.count(HTTPStatus.TOO_MANY_REQUESTS) / len(statuses),
        "failed": sum(each.error is not None for each in receipts) + sum(each.error is not None for each in outcomes),
        "seconds": seconds,
    }


async def _fail(tenant: LocalTenant, calls: int) -> None:
    while tenant.stats.tokens_issued < calls // 2:  # noqa: ASYNC110 - nothing signals it
        await asyncio.sleep(0.01)
    async with tenant.outage():
        await asyncio.sleep(OUTAGE * calls)
