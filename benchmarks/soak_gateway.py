"""Many logins through four gateway workers on one Redis server: does a worker grow, and does anything fail.

Workers, tenant, API and browsers are processes of their own (API and browsers share one). The monotonic clock of the
workers, by which they forget, is moved on so that ten hours pass in any run. That of Redis is real: what a session or a
code takes there is there until it expires, and is told per login.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import attrs
from redis.asyncio import Redis

from benchmarks import moved_clock, soak
from benchmarks.gateway_browsers import WORKERS, Browser, Crowd, Seen, site
from benchmarks.growth import SAMPLES, Sample, resident, slope, sockets, tell, told
from benchmarks.redis_server import redis_server
from passwordless_async.testing import TenantProcess, TenantSettings

if TYPE_CHECKING:
    from benchmarks.gateway_workers import Workers
    from benchmarks.report import Report

SUMMARY = "Four gateway workers on one Redis that log users in for long: memory, sockets and errors"
HOW = (
    "new users, 64 browsers at once, each request at any worker; each logs in by the pages and calls an API twice "
    "through the proxy, with tokens that are renewed after a second; half of them log out, the other sessions end "
    "after two minutes; ten hours pass by a clock of the workers that is moved on; memory is resident, that of all "
    "workers together, its slope that of the last half"
)
ROUNDS, MIN_ROUNDS, CALLS, COUNTED = 1, 1, 20_000, "logins"

_AT_ONCE, _API_CALLS = 64, 2
# A worker that all browsers ask at once has a connection of each, one to the API and one to the tenant for each, and a
# few to Redis; idle ones are kept for a while.
_SOCKETS = WORKERS * (3 * _AT_ONCE + 8)
BARS = {
    **{name: soak.BARS[name] for name in soak.BARS if name.startswith("growth") or name == "errors"},
    "sockets, at most": (_SOCKETS, _SOCKETS / 2),
}
_SESSION_SECONDS = 120
_TOKEN_SECONDS = 31  # that access tokens live: they are renewed half a minute before
# As the image in examples/compose: large tables that are freed go back to the system, and leave no holes.
_ALLOCATOR = ("env", "MALLOC_MMAP_THRESHOLD_=131072")
_OK, _MOVED = 200, 303
_SHOWN = 100  # characters of an answer that was not expected


def run(rounds: int, calls: int) -> Report:
    """Soak so many logins, in each round by new workers on a new server."""
    figures: dict[str, list[float]] = {}
    errors: Counter[str] = Counter()
    for _ in range(rounds):
        with redis_server() as url, tempfile.TemporaryDirectory() as directory:
            for name, figure in asyncio.run(_soak(url, calls, Path(directory), errors)).items():
                figures.setdefault(name, []).append(figure)
    return soak.report("soak-gateway", SUMMARY, HOW, figures, BARS, errors)


async def _soak(store: str, logins: int, directory: Path, errors: Counter[str]) -> dict[str, float]:
    settings = TenantSettings(
        messages_kept=8 * _AT_ONCE,
        requests_kept=1,
        id_token_alg="ES256",  # noqa: S106 - the name of an algorithm
        access_token_lifetime=_TOKEN_SECONDS,
    )
    options = {"session-for": str(_SESSION_SECONDS), "access-log": "/dev/null", "audit-log": "/dev/null"}
    command = *_ALLOCATOR, *moved_clock.worker(moved_clock.HOURS * 3600.0 * _AT_ONCE / logins)
    async with (
        site(store, directory, settings, command, **options) as (tenant, workers),
        Redis.from_url(store) as redis,
    ):
        await workers.open(WORKERS)
        empty = (await redis.info("memory"))["used_memory"]
        crowd = _Crowds(tenant, workers, logins)
        figures = await crowd.run()
        used = (await redis.info("memory"))["used_memory"] - empty
        stats = await tenant.stats()
        errors.update(crowd.errors)
    return {
        **figures,
        "errors": float(crowd.errors.total() + stats.presented_again + stats.refresh_reuse_detected),
        "refreshes": float(stats.refresh_rotations),
        "bytes in Redis for each login": used / logins,
    }


@attrs.define(eq=False)
class _Crowds:
    """Browsers, so many at a time.

    Attributes:
        errors: What browsers met that they should not, and how often.
    """

    _tenant: TenantProcess
    _workers: Workers
    _logins: int
    errors: Counter[str] = attrs.field(factory=Counter, init=False)
    _samples: list[Sample] = attrs.field(factory=list, init=False)

    async def run(self) -> dict[str, float]:
        """Log all in, and return what was held meanwhile."""
        began, numbers, done = time.perf_counter(), iter(range(self._logins)), 0
        async with aiohttp.TCPConnector(limit=_AT_ONCE) as connector:
            while batch := list(itertools.islice(numbers, _AT_ONCE)):
                # A crowd remembers what no log may have; none of that is looked for here.
                crowd = Crowd(self._tenant, self._workers, 0)
                await asyncio.gather(*(self._live(Browser(crowd, number, connector), number) for number in batch))
                done += len(batch)
                for pid in self._workers.pids:
                    os.kill(pid, moved_clock.SIGNAL)
                if done >= self._logins * (len(self._samples) + 1) / SAMPLES:
                    self._samples.append(self._sample(done))
                    tell(self._samples[-1], self._logins)
        return self._figures(time.perf_counter() - began)

    async def _live(self, browser: Browser, number: int) -> None:
        try:
            await browser.log_in(attempts=1)
            for _ in range(_API_CALLS):
                self._expect("GET /api/me", await browser.ask("GET", "/api/me"), _OK, browser.subject)
            if number % 2 == 0:
                self._expect("POST /logout", await browser.ask("POST", "/logout"), _MOVED, "")
        except Exception as error:  # noqa: BLE001 - an hour's run does not end with the first error
            self.errors[told(error)] += 1

    def _expect(self, what: str, seen: Seen, status: int, text: str) -> None:
        if (seen.status, seen.text) != (status, text):
            self.errors[f"{what} answered {seen.status} {seen.alert or seen.text[:_SHOWN]}"] += 1

    def _sample(self, done: int) -> Sample:
        pids = self._workers.pids
        return Sample(done, sum(map(resident, pids)), resident(self._tenant.pid), sum(map(sockets, pids)))

    def _figures(self, seconds: float) -> dict[str, float]:
        samples = self._samples
        return {
            "growth of memory, MB per 100,000 logins": slope(samples, "memory"),
            "growth of the tenant's memory, MB per 100,000 logins": slope(samples, "peer"),
            "memory in the middle, MB": samples[len(samples) // 2].memory,
            "memory at the end, MB": samples[-1].memory,
            "the tenant's memory at the end, MB": samples[-1].peer,
            "sockets, at most": max(sample.sockets for sample in samples),
            "logins": float(self._logins),
            "logins a second": self._logins / seconds,
        }
