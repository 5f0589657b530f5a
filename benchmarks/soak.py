"""Many logins by one client that is never restarted: does anything grow, is anything left, does anything fail.

Sockets are real, and the tenant is another process. The monotonic clock, by which the library forgets, is moved on so
that ten hours pass in any run: codes are remembered for an hour, sessions end after half an hour without use. The wall
clock, which both processes share, is left alone.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import time
from collections import Counter
from typing import TYPE_CHECKING

import attrs

from benchmarks import moved_clock
from benchmarks.growth import SAMPLES, Sample, most, resident, slope, sockets, tell, timers, told
from benchmarks.measure import Series
from benchmarks.report import Bar, Report, Row
from passwordless_async import INTERACTIVE, Email, Lifetimes, MemoryStore, PasswordlessClient
from passwordless_async.testing import TenantProcess, TenantSettings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from passwordless_async import TokenSet, UserSession

SUMMARY = "A client that logs users in for hours: memory, tasks, sockets, timers and errors"
HOW = (
    "new users, 64 at once; each gets a code, logs in and calls an API; of ten, eight have a stored session, which one "
    "of them refreshes and half of them close, and two have tokens alone, which are refreshed and handed over; ten "
    "hours pass by a clock that is moved on; memory is resident, its slope that of the last half"
)
PACKAGES = ("passwordless-async", "aiohttp", "cryptography")
ROUNDS, MIN_ROUNDS, CALLS, COUNTED = 1, 1, 100_000, "logins"

SCOPE = "openid email offline_access"
_AT_ONCE = 64
_LIFETIMES = Lifetimes(idle=1800.0, absolute=4 * 3600.0)
# The tenant is asked for codes at once; beyond these it forgets messages and requests.
_TENANT = TenantSettings(messages_kept=4 * _AT_ONCE, requests_kept=1, id_token_alg="ES256")  # noqa: S106 - the name of an algorithm
# A starved machine is slow, which is no error.
_PROFILE = attrs.evolve(
    INTERACTIVE,
    starts_per_hour=None,
    max_in_flight=_AT_ONCE,
    timeout=120.0,
    single=attrs.evolve(INTERACTIVE.single, patience=120.0),
)


def run(rounds: int, calls: int) -> Report:
    """Soak so many logins, in each round by a new client."""
    figures: dict[str, list[float]] = {}
    errors: Counter[str] = Counter()
    for _ in range(rounds):
        for name, figure in asyncio.run(_soak(calls, errors)).items():
            figures.setdefault(name, []).append(figure)
    return report("soak", SUMMARY, HOW, figures, BARS, errors)


def report(
    name: str,
    summary: str,
    how: str,
    figures: dict[str, list[float]],
    all_bars: dict[str, tuple[float, float]],
    errors: Counter[str],
) -> Report:
    """Return the report of a soak; the row of the errors tells which they were."""
    series = {each: Series(tuple(found)) for each, found in figures.items()}
    bars = [Bar(each, series[each], must=must, goal=goal) for each, (must, goal) in all_bars.items()]
    told = ", ".join(f"{what}: {times}" for what, times in errors.most_common(10))
    rows = [Row(each, found, notes=told if each == "errors" else "") for each, found in series.items()]
    return Report(name, summary, how, "as named", PACKAGES, rows, bars)


# What must come out: the worst value that passes, and the goal.
BARS = {
    "growth of memory, MB per 100,000 logins": (1.0, 0.25),
    "growth of the tenant's memory, MB per 100,000 logins": (5.0, 1.0),
    "tasks more in the last half than before": (0, 0),
    "sockets more in the last half than before": (4, 0),
    "tasks left": (0, 0),
    "sockets left": (0, 0),
    "timers left": (0, 0),
    "errors": (0, 0),
}


async def _soak(logins: int, errors: Counter[str]) -> dict[str, float]:
    before = {"tasks": len(asyncio.all_tasks()), "timers": timers()}
    async with TenantProcess(_TENANT) as tenant:
        before |= {"tasks": len(asyncio.all_tasks()), "sockets": sockets()}
        crowd = Crowd(tenant, logins)
        with crowd.clock.set():
            figures = await crowd.run()
        await asyncio.sleep(0)
        left = {
            "tasks left": len(asyncio.all_tasks()) - before["tasks"],
            "sockets left": sockets() - before["sockets"],
            "timers left": timers() - before["timers"],
        }
        stats = await tenant.stats()
    figures |= left
    errors.update(crowd.errors)
    figures["errors"] = sum(crowd.errors.values()) + stats.presented_again + stats.refresh_reuse_detected
    figures["refreshes"] = stats.refresh_rotations
    return {name: float(figure) for name, figure in figures.items()}


@attrs.define(eq=False)
class Crowd:
    """Users of one client.

    Attributes:
        clock: By which the client forgets; ten hours pass in a run.
        errors: What failed, and how often.
    """

    tenant: TenantProcess
    _logins: int
    clock: moved_clock.MovedClock = attrs.field(factory=moved_clock.MovedClock, init=False)
    errors: Counter[str] = attrs.field(factory=Counter, init=False)
    _kept: int = attrs.field(default=0, init=False)  # token sets that were handed over
    _samples: list[Sample] = attrs.field(factory=list, init=False)

    async def run(self) -> dict[str, float]:
        """Log all in, and return what was held meanwhile."""
        store, began = MemoryStore(max_sessions=1_000_000), time.perf_counter()
        async with PasswordlessClient(
            self.tenant.url, self.tenant.public_client_id, profile=_PROFILE, store=store, lifetimes=_LIFETIMES
        ) as client:
            done = 0
            for users in _batches(range(self._logins)):
                await self._batch(client, users)
                self.clock.move(moved_clock.HOURS * 3600.0 * len(users) / self._logins)
                done += len(users)
                if done >= self._logins * (len(self._samples) + 1) / SAMPLES:
                    self._samples.append(self._sample(done))
                    tell(self._samples[-1], self._logins)
        return self._figures(time.perf_counter() - began)

    async def _batch(self, client: PasswordlessClient, users: Sequence[int]) -> None:
        """Let users live at once, and count what fails: an hour's run does not end with the first error."""
        lives = (self._live(client, number) for number in users)
        for outcome in await asyncio.gather(*lives, return_exceptions=True):
            if isinstance(outcome, Exception):
                self.errors[told(outcome)] += 1
            elif isinstance(outcome, BaseException):
                raise outcome

    async def _live(self, client: PasswordlessClient, number: int) -> None:
        who, userinfo, origins = Email(f"user{number:07}@example.com"), f"{self.tenant.url}/userinfo", [self.tenant.url]
        await client.start(who)
        code = await self.tenant.code_for(who)
        if number % 10 >= 8:  # noqa: PLR2004 - as told in HOW
            tokens = await client.exchange(who, code, scope=SCOPE)
            own = client.session(await client.refresh(tokens), origins=origins, on_refresh=self._keep)
            await own.renew(own.tokens)
            await _call(own, userinfo)
            return
        session = await client.sessions.login(who, code, scope=SCOPE)
        async with client.sessions.api(session.id, origins=origins) as api:
            await _call(api, userinfo)
        if number % 10 == 0:
            await client.sessions.refresh(session.id)
        if number % 2 == 0:
            await client.sessions.close(session.id)

    def _keep(self, _tokens: TokenSet) -> None:
        self._kept += 1

    def _sample(self, done: int) -> Sample:
        gc.collect()
        return Sample(done, resident(), resident(self.tenant.pid), sockets(), len(asyncio.all_tasks()), timers())

    def _figures(self, seconds: float) -> dict[str, float]:
        samples = self._samples
        (tasks_before, tasks), (sockets_before, most_sockets) = most(samples, "tasks"), most(samples, "sockets")
        return {
            "growth of memory, MB per 100,000 logins": slope(samples, "memory"),
            "growth of the tenant's memory, MB per 100,000 logins": slope(samples, "peer"),
            "tasks more in the last half than before": tasks - tasks_before,
            "sockets more in the last half than before": most_sockets - sockets_before,
            "memory in the middle, MB": samples[len(samples) // 2].memory,
            "memory at the end, MB": samples[-1].memory,
            "the tenant's memory at the end, MB": samples[-1].peer,
            "tasks, at most": max(sample.tasks for sample in samples),
            "sockets, at most": max(sample.sockets for sample in samples),
            "timers, at most": max(sample.timers for sample in samples),
            "logins": self._logins,
            "handed over": self._kept,
            "logins a second": self._logins / seconds,
        }


async def _call(api: UserSession, url: str) -> None:
    async with api.request("GET", url) as response:
        response.raise_for_status()
        await response.read()


def _batches(numbers: range) -> Iterator[tuple[int, ...]]:
    them = iter(numbers)
    while batch := tuple(itertools.islice(them, _AT_ONCE)):
        yield batch
