"""What a login through the gateway costs, beside the bare client's start, exchange and stored session.

Three processes: the browsers (this one), the gateway and the bare client (the child), and the tenant. Only the child's
CPU is measured, so what browsers and tenant take is not in it. ``python -m benchmarks.gateway_login`` is the child.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import socket
import time
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import attrs
from aiohttp import web

from benchmarks.measure import Series
from benchmarks.redis_server import redis_server
from benchmarks.report import Bar, Report, Row
from passwordless_async import TESTING, Email, KeyRing, MemoryStore, PasswordlessClient
from passwordless_async.gateway import Gateway
from passwordless_async.stores.redis import RedisStore
from passwordless_async.testing import BOUND_API, TenantProcess, TenantSettings
from passwordless_async.testing.process.child import ChildProcess
from passwordless_async.testing.process.child import run as run_child

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence

SUMMARY = "A login through the gateway, beside the bare client's start, exchange and stored session"
HOW = (
    "CPU time of the gateway's process for one login, 16 at once, contenders in turns; browsers and tenant in "
    "processes of their own; a browser asks for the login page, names an address, gets the code's page and types the "
    "code: four requests with its cookies, over kept connections; budgets by address and by user; constant pages: the "
    "same four requests to a server that does nothing with them, the least that a gateway on aiohttp.web can take"
)
PACKAGES = ("passwordless-async", "aiohttp", "cryptography", "Jinja2", "redis")
ROUNDS, MIN_ROUNDS, CALLS, COUNTED = 9, 1, 300, "logins"

MEMORY, REDIS = "in memory", "on Redis"
GATEWAY, BARE, CONSTANT = "gateway", "bare client", "constant pages"
SCOPE = "openid profile email offline_access"
_AT_ONCE = 16
_BROWSER = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language": "en-US,en;q=0.7,de;q=0.3",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Site": "same-origin",
}


def run(rounds: int, calls: int) -> Report:
    """Measure with a tenant of its own, in memory and on a Redis server of its own where there is one."""
    rows, bars, absent = [], [], []
    for store in (MEMORY, REDIS):
        try:
            with _store(store) as url:
                found = asyncio.run(_measure(url, rounds, calls))
        except ModuleNotFoundError as missing:
            absent.append(f"{missing.name}, for the rows {store}")
            continue
        ratio = found[GATEWAY].over(found[BARE])
        rows += [
            Row(f"{name}, {store}", figures, {"bare client": figures.over(found[BARE])})
            for name, figures in found.items()
        ]
        bars.append(Bar(f"CPU of a login ÷ bare client, {store}", ratio, must=2.0, goal=1.5))
    return Report("gateway-login", SUMMARY, HOW, "µs", PACKAGES, rows, bars, absent)


@contextmanager
def _store(name: str) -> Iterator[str | None]:
    if name == MEMORY:
        yield None
        return
    with redis_server() as url:
        yield url


async def _measure(store: str | None, rounds: int, calls: int) -> dict[str, Series]:
    found: dict[str, list[float]] = {GATEWAY: [], BARE: [], CONSTANT: []}
    settings = TenantSettings(messages_kept=2 * (rounds + 1) * calls, requests_kept=1)
    async with TenantProcess(settings) as tenant:
        setup = {"tenant": tenant.url, "client_id": tenant.public_client_id, "store": store}
        async with (
            ChildProcess("benchmarks.gateway_login", setup, stop_seconds=5.0) as child,
            aiohttp.TCPConnector(limit=0) as connector,
        ):
            load = _Load(tenant, child, connector, await child.call("origins"))
            contenders = {GATEWAY: load.through_gateway, BARE: load.bare, CONSTANT: load.without_login}
            for round_ in range(rounds + 1):
                for name in list(contenders)[:: 1 if round_ % 2 else -1]:
                    used = await contenders[name](calls)
                    if round_:  # the first fills caches and pools
                        found[name].append(used / calls * 1e6)
    return {name: Series(tuple(figures)) for name, figures in found.items()}


@attrs.frozen
class _Load:
    """Logs users in by both contenders; each is a new one."""

    tenant: TenantProcess
    child: ChildProcess
    connector: aiohttp.BaseConnector
    origins: Mapping[str, str]
    _numbers: Iterator[int] = attrs.field(factory=itertools.count)

    async def through_gateway(self, calls: int) -> float:
        """Return the seconds of CPU that so many logins of browsers took."""
        return await self._browsers(calls, self._log_in)

    async def without_login(self, calls: int) -> float:
        """Return the seconds of CPU that the same requests took of a server that answers each with the same bytes."""
        return await self._browsers(calls, self._walk)

    async def _browsers(self, calls: int, walk: Callable[[str], Awaitable[None]]) -> float:
        before: float = await self.child.call("cpu")
        await _for_all(walk, [self._user() for _ in range(calls)])
        after: float = await self.child.call("cpu")
        return after - before

    async def bare(self, calls: int) -> float:
        """Return the seconds of CPU that so many logins of the client took."""
        users = [self._user() for _ in range(calls)]
        started: float = await self.child.call("start", users=users)
        codes = await self.tenant.codes(map(Email, users))
        opened: float = await self.child.call("log_in", users=users, codes=codes)
        return started + opened

    def _user(self) -> str:
        return f"user{next(self._numbers):06}@example.com"

    async def _log_in(self, who: str) -> None:
        async with self._browser() as http:
            await self._ask_for_code(http, self.origins[GATEWAY], who)
            code = await self.tenant.code_for(Email(who))
            await _ask(http, "POST", f"{self.origins[GATEWAY]}/code", 303, code=code)
            if not any(cookie.key == "session" for cookie in http.cookie_jar):
                raise RuntimeError("a login has no session")

    async def _walk(self, who: str) -> None:
        async with self._browser() as http:
            await self._ask_for_code(http, self.origins[CONSTANT], who)
            await _ask(http, "POST", f"{self.origins[CONSTANT]}/code", 303, code="123456")

    def _browser(self) -> aiohttp.ClientSession:
        """Return a browser with an address of its own."""
        address = next(self._numbers)
        headers = {**_BROWSER, "X-Forwarded-For": f"10.{address >> 16 & 255}.{address >> 8 & 255}.{address & 255}"}
        jar = aiohttp.CookieJar(unsafe=True)
        return aiohttp.ClientSession(cookie_jar=jar, headers=headers, connector=self.connector, connector_owner=False)

    @staticmethod
    async def _ask_for_code(http: aiohttp.ClientSession, origin: str, who: str) -> None:
        await _ask(http, "GET", f"{origin}/login", 200)
        await _ask(http, "POST", f"{origin}/login", 303, identifier=who)
        await _ask(http, "GET", f"{origin}/code", 200)


async def _ask(http: aiohttp.ClientSession, method: str, url: str, status: int, **form: str) -> None:
    async with http.request(method, url, data=form or None, allow_redirects=False) as response:
        await response.read()
    if response.status != status:
        raise RuntimeError(f"{method} {url}: {response.status}")


async def _for_all(do: Callable[[Any], Awaitable[None]], those: Sequence[Any]) -> None:
    waiting = iter(those)

    async def some() -> None:
        for each in waiting:
            await do(each)

    await asyncio.gather(*(some() for _ in range(_AT_ONCE)))


@asynccontextmanager
async def open_gateway(setup: Mapping[str, Any]) -> AsyncIterator[dict[str, Callable[..., Any]]]:
    """Serve a gateway in the child, and log users in by its client alone; gives its calls."""
    keys = KeyRing(secrets.token_bytes(32), users=secrets.token_bytes(32))
    url, tenant, client_id = setup["store"], setup["tenant"], setup["client_id"]
    store = MemoryStore(keys=keys) if url is None else RedisStore(url, keys=keys)
    async with AsyncExitStack() as stack:
        if isinstance(store, RedisStore):
            await stack.enter_async_context(store)
        client = PasswordlessClient(tenant, client_id, profile=TESTING, store=store)
        await stack.enter_async_context(client)
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=512)) for _ in range(2)]
        ours, constant = (f"http://127.0.0.1:{each.getsockname()[1]}" for each in sockets)
        gateway = Gateway(client, base_url=ours, scope=SCOPE, audience=BOUND_API, trusted_proxies=1)
        for listening, app in zip(sockets, (gateway.aiohttp(), constant_pages()), strict=True):
            runner = web.AppRunner(app, access_log=None)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.SockSite(runner, listening).start()
        bare, origins = _Bare(client), {GATEWAY: ours, CONSTANT: constant}
        yield {"origins": lambda: origins, "cpu": time.process_time, "start": bare.start, "log_in": bare.log_in}


def constant_pages() -> web.Application:
    """Return an application that does nothing: pages, header fields and a cookie as long as the gateway's."""
    headers = {**{f"X-Field-{number}": "x" * 24 for number in range(9)}, "Set-Cookie": f"login={'x' * 400}; Path=/"}

    async def answer(request: web.Request) -> web.Response:
        if request.method == "GET":
            return web.Response(body=b"x" * 1500, headers=headers, content_type="text/html")
        await request.read()
        return web.Response(status=303, headers={**headers, "Location": "/code"})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    return app


@attrs.frozen
class _Bare:
    """What an application does that has a client and no gateway."""

    _client: PasswordlessClient

    async def start(self, users: Sequence[str]) -> float:
        """Send users codes; return the seconds of CPU that it took."""
        began = time.process_time()
        await _for_all(self._start, users)
        return time.process_time() - began

    async def log_in(self, users: Sequence[str], codes: Sequence[str]) -> float:
        """Exchange codes and open sessions; return the seconds of CPU that it took."""
        began = time.process_time()
        await _for_all(self._log_in, list(zip(users, codes, strict=True)))
        return time.process_time() - began

    async def _start(self, user: str) -> None:
        await self._client.start(Email(user))

    async def _log_in(self, login: tuple[str, str]) -> None:
        user, code = login
        tokens = await self._client.exchange(Email(user), code, scope=SCOPE, audience=BOUND_API)
        await self._client.sessions.open(tokens)


if __name__ == "__main__":
    run_child(open_gateway)
