"""What each operation asks of Redis and of its own process: the coefficients of a capacity plan.

Counts are the server's own (``INFO commandstats``), so they are the same on each machine; CPU is of this machine alone.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import socket
import time
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import attrs
from aiohttp import web
from redis.asyncio import Redis

from benchmarks.measure import Series
from benchmarks.redis_server import redis_server
from benchmarks.report import Bar, Report, Row
from passwordless_async import INTERACTIVE, ClientSecretPost, Email, KeyRing, PasswordlessClient
from passwordless_async.gateway import Gateway
from passwordless_async.stores.redis import RedisStore, batches
from passwordless_async.testing import BOUND_API, TenantProcess, TenantSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from passwordless_async import StoredSession

SUMMARY = "What each operation asks of Redis: round trips, commands, and CPU on both sides"
HOW = (
    "each operation for as many users, one at a time; round trips are the client's, commands the server's, those in "
    "its scripts included (INFO commandstats); server µs is its CPU time (INFO cpu), own µs this process's; the tenant "
    "is another process, and its userinfo endpoint the API; bytes by used_memory; no quota is set; through a gateway, "
    "a login is four requests of a browser: two pages and two forms"
)
PACKAGES = ("passwordless-async", "redis", "aiohttp", "cryptography", "Jinja2")
ROUNDS, MIN_ROUNDS, CALLS, COUNTED = 5, 1, 300, "users"

METERS = ("round trips", "commands", "server µs", "own µs")
IN_GATEWAY = "login through a gateway"  # whose own CPU is not told: the browser is in this process too
START_BYTES, SESSION_BYTES = "bytes of a code under way", "bytes of a session and its code"
# Of round trips: the worst number that passes, and the goal. Once a second a nonce is polled besides.
BOUNDS = (("start", 2.5, 2.1), ("log in", 2.5, 2.1), ("API call", 1.5, 1.1), ("refresh", 3.5, 3.1))
SCOPE = "openid email offline_access"
_SETTLE_SECONDS = 0.05  # for reports that no caller waits for


def run(rounds: int, calls: int) -> Report:
    """Measure on a server of its own."""
    with redis_server() as url:
        found = asyncio.run(_measure(url, rounds, calls))
    bars = [
        Bar(f"round trips of {name}", found[f"{name}, round trips"], must=must, goal=goal)
        for name, must, goal in BOUNDS
    ]
    return Report(
        "store", SUMMARY, HOW, "as named", PACKAGES, [Row(name, figures) for name, figures in found.items()], bars
    )


async def _measure(url: str, rounds: int, calls: int) -> dict[str, Series]:
    keys = KeyRing(secrets.token_bytes(32), users=secrets.token_bytes(32))
    settings = TenantSettings(messages_kept=2 * rounds * calls, requests_kept=1)
    found: dict[str, list[float]] = {}
    async with (
        Redis.from_url(url) as raw,
        TenantProcess(settings) as tenant,
        RedisStore(url, keys=keys) as store,
        PasswordlessClient(
            tenant.url,
            tenant.confidential_client.client_id,
            client_auth=ClientSecretPost(tenant.confidential_client.secret),
            profile=INTERACTIVE,
            store=store,
        ) as client,
        _gateway(client) as site,
    ):
        await _Round(tenant, client, raw, site, {}).go(5)  # opens connections, fetches keys
        for _ in range(rounds):
            round_ = _Round(tenant, client, raw, site, {})
            await round_.go(calls)
            for name, figure in round_.found.items():
                found.setdefault(name, []).append(figure)
    return {name: Series(tuple(figures)) for name, figures in found.items()}


_NUMBERS = itertools.count()


@attrs.frozen
class _Round:
    """Each operation for as many users."""

    tenant: TenantProcess
    client: PasswordlessClient
    raw: Redis
    site: str  # the gateway's URL
    found: dict[str, float]

    async def go(self, calls: int) -> None:
        users = [next(_NUMBERS) for _ in range(calls)]
        await self.raw.flushall()
        empty = await self._used()
        await self._each("start", self._start, users)
        self.found[START_BYTES] = (await self._used() - empty) / calls
        codes = await self.tenant.codes(map(_who, users))
        sessions = await self._each("log in", self._log_in, list(zip(users, codes, strict=True)))
        self.found[SESSION_BYTES] = (await self._used() - empty) / calls
        identifiers = [session.id for session in sessions]
        await self._each("read", self.client.sessions.get, identifiers)
        await self._each("API call", self._call, identifiers)
        await self._each("refresh", self.client.sessions.refresh, identifiers)
        await self._each("close", self.client.sessions.close, identifiers)
        await self._each(IN_GATEWAY, self._log_in_by_browser, [next(_NUMBERS) for _ in range(calls)])
        del self.found[f"{IN_GATEWAY}, own µs"]

    async def _start(self, user: int) -> None:
        await self.client.start(_who(user), forwarded_for=_address(user))

    async def _log_in(self, login: tuple[int, str]) -> StoredSession:
        user, code = login
        return await self.client.sessions.login(
            _who(user), code, scope=SCOPE, audience=BOUND_API, forwarded_for=_address(user)
        )

    async def _log_in_by_browser(self, user: int) -> None:
        headers = {"X-Forwarded-For": _address(user), "Sec-Fetch-Site": "same-origin", "Accept": "text/html"}
        async with aiohttp.ClientSession(headers=headers, cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
            await self._ask(http, "GET", "/login")
            await self._ask(http, "POST", "/login", identifier=_who(user).address)
            await self._ask(http, "GET", "/code")
            await self._ask(http, "POST", "/code", code=await self.tenant.code_for(_who(user)))
            if not any(cookie.key == "session" for cookie in http.cookie_jar):
                raise RuntimeError("a login has no session")

    async def _ask(self, http: aiohttp.ClientSession, method: str, path: str, **form: str) -> None:
        async with http.request(method, self.site + path, data=form or None, allow_redirects=False) as response:
            await response.read()

    async def _call(self, identifier: str) -> None:
        async with (
            self.client.sessions.api(identifier, origins=[self.tenant.url]) as api,
            api.request("GET", f"{self.tenant.url}/userinfo") as response,
        ):
            await response.read()
        if not response.ok:
            raise RuntimeError(f"the API answered {response.status}")

    async def _each(self, name: str, do: Callable[[Any], Awaitable[Any]], those: list[Any]) -> list[Any]:
        """Do an operation for each; note what it asked of the server and of this process."""
        commands, server = await self._commands(), await self._server_cpu()
        with _round_trips() as trips:
            own = time.process_time()
            done = [await do(each) for each in those]
            own = time.process_time() - own
            await asyncio.sleep(_SETTLE_SECONDS)
        figures = (
            trips[0],
            await self._commands() - commands,
            (await self._server_cpu() - server) * 1e6,
            own * 1e6,
        )
        self.found.update(
            {f"{name}, {meter}": figure / len(those) for meter, figure in zip(METERS, figures, strict=True)}
        )
        return done

    async def _commands(self) -> int:
        """Return how many commands the server has run: in scripts too, but neither scripts themselves nor ours."""
        stats = await self.raw.info("commandstats")
        return sum(each["calls"] for name, each in stats.items() if name not in {"cmdstat_info", "cmdstat_eval"})

    async def _server_cpu(self) -> float:
        cpu = await self.raw.info("cpu")
        return float(cpu["used_cpu_sys"]) + float(cpu["used_cpu_user"])

    async def _used(self) -> int:
        return int((await self.raw.info("memory"))["used_memory"])


@asynccontextmanager
async def _gateway(client: PasswordlessClient) -> AsyncIterator[str]:
    """Serve a gateway in this process."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        gateway = Gateway(client, base_url=url, scope=SCOPE, audience=BOUND_API, trusted_proxies=1)
        runner = web.AppRunner(gateway.aiohttp(), access_log=None)
        await runner.setup()
        try:
            await web.SockSite(runner, listening).start()
            yield url
        finally:
            await runner.cleanup()


@contextmanager
def _round_trips() -> Iterator[list[int]]:
    """Count the round trips of stores in this process."""
    trips, ask = [0], batches._by_connection  # noqa: SLF001 - what is counted

    async def counted(*arguments: Any) -> Any:  # noqa: ANN401 - its own
        trips[0] += 1
        return await ask(*arguments)

    batches._by_connection = counted  # type: ignore[assignment]  # noqa: SLF001
    try:
        yield trips
    finally:
        batches._by_connection = ask  # noqa: SLF001


def _who(user: int) -> Email:
    return Email(f"user{user:07}@example.com")


def _address(user: int) -> str:
    return f"8.{user >> 16 & 255}.{user >> 8 & 255}.{user & 255}"
