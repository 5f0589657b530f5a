"""The capacity plan against a run: many sessions on one Redis server, and the calls of a slice of their users' day.

The plan multiplies what ``store`` and ``sessions`` measure of one operation on an almost empty server. Here the server
holds all sessions, and operations come 64 at once: what the plan says of memory and of Redis' time must hold then too.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from typing import TYPE_CHECKING

import attrs
from redis.asyncio import Redis

from benchmarks.growth import resident
from benchmarks.measure import Series
from benchmarks.redis_server import redis_server
from benchmarks.report import Bar, Report, Row
from benchmarks.sessions import of_two_kilobytes
from passwordless_async import INTERACTIVE, Email, KeyRing, PasswordlessClient
from passwordless_async._common.secret import Secret
from passwordless_async.stores.redis import RedisStore
from passwordless_async.testing import BOUND_API, TenantProcess, TenantSettings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable

    from passwordless_async import TokenSet

SUMMARY = "The capacity plan against a run: many sessions on one Redis server, and a slice of their users' day"
HOW = (
    "sessions with 2 KB of tokens, each of a user of its own, after a hundredth as many whole logins at a tenant; then "
    "a slice of a day in which each user makes ten API calls a minute, refreshes every hour and logs in once: a tenth "
    "of the reads, all refreshes and logins, 64 at once; memory by used_memory, time by INFO cpu; the plan's "
    "figures are those of docs/explanation/capacity.md"
)
PACKAGES = ("passwordless-async", "redis", "aiohttp", "cryptography")
ROUNDS, MIN_ROUNDS, CALLS, COUNTED = 1, 1, 100_000, "sessions"

# The plan: bytes in Redis, and microseconds of its time.
SESSION_BYTES = 3500
START_US, LOGIN_US, READ_US, REFRESH_US = 152, 159, 33, 196
CALLS_A_MINUTE, REFRESHES_A_DAY = 10, 24
OWN_MB = 60  # of the process: sessions in use, names that the benchmark keeps, and what its allocators keep

SCOPE = "openid email offline_access"
_AT_ONCE = 64
_REAL = 100  # one session in so many is a whole login
_MINUTES_A_DAY = 24 * 60


def run(rounds: int, calls: int) -> Report:
    """Compare on a server of its own for each round."""
    figures: dict[str, list[float]] = {}
    for _ in range(rounds):
        with redis_server() as url:
            for name, figure in asyncio.run(_measure(url, calls)).items():
                figures.setdefault(name, []).append(figure)
    series = {name: Series(tuple(found)) for name, found in figures.items()}
    bars = [
        Bar("memory of Redis ÷ plan", series["Redis, MB"].over(series["Redis by the plan, MB"]), must=1.1, goal=1.0),
        Bar(
            "time of Redis ÷ plan",
            series["Redis in the slice, ms"].over(series["Redis in the slice by the plan, ms"]),
            must=1.1,
            goal=1.0,
        ),
        Bar("memory of the process, MB more", series["own memory, MB more"], must=OWN_MB, goal=OWN_MB / 2),
    ]
    rows = [Row(name, found) for name, found in series.items()]
    return Report("capacity", SUMMARY, HOW, "as named", PACKAGES, rows, bars)


async def _measure(url: str, sessions: int) -> dict[str, float]:
    keys = KeyRing(secrets.token_bytes(32), users=secrets.token_bytes(32))
    settings = TenantSettings(messages_kept=4 * _AT_ONCE, requests_kept=1)
    profile = attrs.evolve(INTERACTIVE, starts_per_hour=None, max_in_flight=_AT_ONCE)
    async with (
        Redis.from_url(url) as raw,
        TenantProcess(settings) as tenant,
        RedisStore(url, keys=keys) as store,
        PasswordlessClient(tenant.url, tenant.public_client_id, profile=profile, store=store) as client,
    ):
        return await _Run(tenant, client, raw).go(sessions)


@attrs.frozen
class _Run:
    tenant: TenantProcess
    client: PasswordlessClient
    raw: Redis
    _numbers: itertools.count[int] = attrs.field(factory=itertools.count)

    async def go(self, sessions: int) -> dict[str, float]:
        """Open the sessions, play the slice, and return what both took and what the plan says."""
        real = await self._log_in(max(sessions // _REAL, _AT_ONCE))
        tokens = of_two_kilobytes((await self.client.sessions.get(real[0])).tokens)
        own, empty = resident(), await self._used()
        began = time.perf_counter()
        opened = await _all(self._open(tokens) for _ in range(sessions))
        seconds, used = time.perf_counter() - began, await self._used() - empty
        logins = max(len(real) // _AT_ONCE, 1)
        refreshes = logins * REFRESHES_A_DAY
        # A slice of the day in which so many log in; a tenth of its calls, for each costs the same.
        reads = logins * CALLS_A_MINUTE * _MINUTES_A_DAY // 10
        before = await self._server_ms()
        await _all(self._read(opened[secrets.randbelow(sessions)]) for _ in range(reads))
        read = await self._server_ms()
        await _all(self._refresh(each) for each in itertools.islice(itertools.cycle(real), refreshes))
        await self._log_in(logins)
        after = await self._server_ms()
        plan = reads * READ_US + refreshes * REFRESH_US + logins * (START_US + LOGIN_US)
        return {
            "Redis, MB": used / 1e6,
            "Redis by the plan, MB": sessions * SESSION_BYTES / 1e6,
            "Redis in the slice, ms": after - before,
            "Redis in the slice by the plan, ms": plan / 1000,
            "Redis for a read, µs": (read - before) / reads * 1000,
            "sessions opened in a second": sessions / seconds,
            "reads, refreshes and logins of the slice": float(reads + refreshes + logins),
            "own memory, MB more": resident() - own,
        }

    async def _log_in(self, users: int) -> list[str]:
        """Log so many new users in, and return their sessions' identifiers."""
        identifiers: list[str] = []
        whos = (Email(f"user{next(self._numbers):07}@example.com") for _ in range(users))
        while batch := list(itertools.islice(whos, _AT_ONCE)):
            await _all(map(self._start, batch))
            codes = await self.tenant.codes(batch)
            identifiers += await _all(self._session(who, code) for who, code in zip(batch, codes, strict=True))
        return identifiers

    async def _session(self, who: Email, code: str) -> str:
        return (await self.client.sessions.login(who, code, scope=SCOPE, audience=BOUND_API)).id

    # These return no session: results that wait for the last of them would be memory of the benchmark.

    async def _start(self, who: Email) -> str:
        await self.client.start(who)
        return who.address

    async def _read(self, identifier: str) -> str:
        await self.client.sessions.get(identifier)
        return identifier

    async def _refresh(self, identifier: str) -> str:
        await self.client.sessions.refresh(identifier)
        return identifier

    async def _open(self, tokens: TokenSet) -> str:
        own = attrs.evolve(tokens, refresh_token=Secret(secrets.token_urlsafe(34)))
        return await self.client.sessions.open(own, user=f"auth0|{next(self._numbers):024}")

    async def _used(self) -> int:
        return int((await self.raw.info("memory"))["used_memory"])

    async def _server_ms(self) -> float:
        cpu = await self.raw.info("cpu")
        return (float(cpu["used_cpu_sys"]) + float(cpu["used_cpu_user"])) * 1000


async def _all(calls: Iterable[Awaitable[str]]) -> list[str]:
    """Make all calls, so many at once, and return what they return."""
    waiting = iter(calls)

    async def some() -> list[str]:
        return [await call for call in waiting]

    return list(itertools.chain.from_iterable(await asyncio.gather(*(some() for _ in range(_AT_ONCE)))))
