"""Logins by two gateway processes on one store, against one process: what is shared must not be what they wait for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from benchmarks.gateway import site
from benchmarks.measure import Series
from benchmarks.redis_server import redis_server
from benchmarks.report import Bar, Report, Row
from passwordless_async import Email
from passwordless_async.testing import TenantSettings

if TYPE_CHECKING:
    from passwordless_async.testing import TenantProcess
    from passwordless_async.testing.process.child import ChildProcess

SUMMARY = "Logins of two gateway processes on one store, against one"
HOW = (
    "logins for each second of CPU time of the busiest gateway, times the gateways: start, exchange, and a session "
    "opened; each gateway has 150 logins a second, so that it is not the tenant, on the same cores, that is measured"
)
PACKAGES = ("passwordless-async", "redis", "aiohttp")
ROUNDS, MIN_ROUNDS, CALLS, COUNTED = 5, 1, 500, "logins of a gateway"

_RATE = 150.0  # logins a second of each gateway


def run(rounds: int, calls: int) -> Report:
    """Measure one and two processes in turns."""
    one: list[float] = []
    two: list[float] = []
    for _ in range(rounds):
        with redis_server() as url:
            one.append(asyncio.run(_logins(url, 1, calls)))
        with redis_server() as url:
            two.append(asyncio.run(_logins(url, 2, calls)))
    alone, both = Series(tuple(one)), Series(tuple(two))
    rows = [Row("one process", alone), Row("two processes", both)]
    bars = [Bar("two processes ÷ one", both.over(alone), must=1.7, goal=1.9, higher=True)]
    return Report("processes", SUMMARY, HOW, "logins/s of CPU time", PACKAGES, rows, bars, [])


async def _logins(store: str, processes: int, calls: int) -> float:
    tenant = TenantSettings(code_lifetime=3600, messages_kept=4 * calls, requests_kept=1)
    async with site(store, tenant) as place:
        gateways = [await place.start() for _ in range(processes)]
        # Warm: nonces, keys and connections are not what is compared.
        await _log_in(place.tenant, gateways, "warm", calls // 10)
        before: list[float] = [(await gateway.call("counts"))["cpu"] for gateway in gateways]
        await _log_in(place.tenant, gateways, "user", calls)
        after: list[float] = [(await gateway.call("counts"))["cpu"] for gateway in gateways]
    return processes * calls / max(end - begin for begin, end in zip(before, after, strict=True))


async def _log_in(tenant: TenantProcess, gateways: list[ChildProcess], name: str, calls: int) -> None:
    """Log so many users in for each gateway, each gateway's at the same rate: none of them waits for the others."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    logins = []
    for number in range(calls * len(gateways)):
        await asyncio.sleep(began + number / (_RATE * len(gateways)) - loop.time())
        logins.append(asyncio.create_task(_log_one_in(tenant, gateways, f"{name}{number}@example.com", number)))
    await asyncio.gather(*logins)


async def _log_one_in(tenant: TenantProcess, gateways: list[ChildProcess], who: str, number: int) -> None:
    # On one for the start, and on the next for the rest, as behind a balancer.
    await gateways[number % len(gateways)].call("start", user=who)
    code = await tenant.code_for(Email(who))
    await gateways[(number + 1) % len(gateways)].call("login", user=who, code=code)
