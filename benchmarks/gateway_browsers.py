"""A crowd of browsers at four gateway workers, while workers die and keys rotate: what must hold is proven, not timed.

Each browser logs in, calls an API ten times through the gateway and logs out, every request at any of the workers. In
four acts a worker is killed, a sealing key is added, it is promoted, and the tenant signs with another key. A third of
the browsers type their code after the act of their login, a third pause in the middle of their calls until it is over.
"""

from __future__ import annotations

import asyncio
import re
import socket
import tempfile
import time
from collections import Counter, defaultdict
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import attrs
from aiohttp import web
from yarl import URL

from benchmarks.gateway_workers import COMMAND, Workers
from benchmarks.measure import Series
from benchmarks.redis_server import redis_server
from benchmarks.report import Bar, Report, Row
from passwordless_async import Email, MemoryReplayStore, PasswordlessClient, ResourceServer
from passwordless_async.adapters.aiohttp_web import AUTHORIZED, protect
from passwordless_async.stores.redis import RedisStore
from passwordless_async.testing import BOUND_API, TenantProcess, TenantSettings, User

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from benchmarks.gateway_workers import Worker

SUMMARY = "A crowd of browsers at four gateway workers, while workers die and keys rotate: nothing is lost or crossed"
HOW = (
    "counted by the browsers, the tenant and the API, 128 browsers at once, each request at any worker; a browser "
    "whose request met a worker that had died asks for the page again, as a person would"
)
PACKAGES = ("passwordless-async", "redis", "aiohttp")
ROUNDS, MIN_ROUNDS, CALLS, COUNTED = 1, 1, 2000, "browsers"

WORKERS, API_CALLS = 4, 10
_AT_ONCE = 128  # browsers
_ATTEMPTS = 50  # that a browser makes at anything
_TOKEN_SECONDS = 31  # that access tokens live: they are renewed half a minute before
_SPARE = 20  # codes for each browser: those whose worker died ask for another
_OK, _MOVED, _LOG_IN_FIRST, _SHORTLY = 200, 303, 401, 503
_PAUSE_SECONDS = 1.0  # of a browser whose page says "try again shortly": a starved machine may be slow to its store
_RESEND = re.compile(r'data-resend-in="(\d+)"')
_ALERT = re.compile(r'role="alert">([^<]*)<')

# What must come out: the figure's name, and the only value that passes.
EXPECTED = {
    "browsers that did not end logged out": 0,
    "calls answered with another user": 0,
    "sessions that opened something after the logout": 0,
    "codes and refresh tokens presented twice": 0,
    "refresh tokens reused": 0,
    "secrets in logs": 0,
}


def run(rounds: int, calls: int) -> Report:
    """Prove it on a server of its own for each round."""
    found: dict[str, list[float]] = {}
    failures: list[str] = []
    for _ in range(rounds):
        with redis_server() as url, tempfile.TemporaryDirectory() as directory:
            for name, figure in asyncio.run(prove(url, calls, Path(directory), failures)).items():
                found.setdefault(name, []).append(figure)
    series = {name: Series(tuple(figures)) for name, figures in found.items()}
    notes = {"browsers that did not end logged out": failures[0]} if failures else {}
    rows = [Row(name, figures, notes=notes.get(name, "")) for name, figures in series.items()]
    bars = [Bar(name, series[name], must=value, goal=value) for name, value in EXPECTED.items()]
    return Report("gateway-browsers", SUMMARY, HOW, "as named", PACKAGES, rows, bars)


async def prove(store: str, browsers: int, directory: Path, failures: list[str]) -> dict[str, float]:
    """Return the figures; why browsers did not end logged out is added to ``failures``."""
    settings = TenantSettings(
        messages_kept=_SPARE * browsers, requests_kept=1, code_lifetime=3600.0, access_token_lifetime=_TOKEN_SECONDS
    )
    async with site(store, directory, settings) as (tenant, workers):
        await workers.open(WORKERS)
        crowd = Crowd(tenant, workers, browsers)
        began = time.perf_counter()
        await crowd.run()
        seconds = time.perf_counter() - began
        failures += crowd.failures
        await workers.aclose()
        stats = await tenant.stats()
        return {
            "browsers that did not end logged out": len(crowd.failures),
            "calls answered with another user": crowd.counts["another user"],
            "sessions that opened something after the logout": crowd.counts["opened after logout"],
            "codes and refresh tokens presented twice": stats.presented_again,
            "refresh tokens reused": stats.refresh_reuse_detected,
            "lines of logs": len(workers.logs.splitlines()),
            "secrets in logs": len(found_in(workers.logs, crowd.secrets)),
            "logins": stats.tokens_issued - stats.refresh_rotations,
            "refreshes": stats.refresh_rotations,
            "requests whose worker had died": crowd.counts["gone"],
            "logins that were begun again": crowd.counts["begun again"],
            "calls that were made again": crowd.counts["called again"],
            "pages that said to try again": crowd.counts["told to try again"],
            "sessions that ended early": crowd.counts["ended early"],
            "sessions left in the store": await _sessions_left(store, tenant, workers, browsers),
            "seconds": seconds,
        }


@asynccontextmanager
async def site(
    store: str, directory: Path, settings: TenantSettings, command: Sequence[str] = COMMAND, **more: str
) -> AsyncIterator[tuple[TenantProcess, Workers]]:
    """Run a tenant and an API; gives the tenant, and workers that are to be started, with ``more`` options.

    ``command`` is their program.
    """
    async with AsyncExitStack() as stack:
        tenant = await stack.enter_async_context(TenantProcess(settings))
        api = await stack.enter_async_context(_api(tenant))
        options = {
            "domain": tenant.url, "client-id": tenant.public_client_id, "base-url": "http://127.0.0.1",
            "audience": BOUND_API, "store": store, "upstream": f"/api/={api}", "trusted-proxies": "1",
            "access-log": "-", "audit-log": "-", **more,
        }  # fmt: skip
        workers = Workers(directory, [f"--{name}={value}" for name, value in options.items()], command)
        stack.push_async_callback(workers.aclose)
        yield tenant, workers


@asynccontextmanager
async def _api(tenant: TenantProcess) -> AsyncIterator[str]:
    """Serve an API that says whom it was called by; gives where it is."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
        origin = f"http://127.0.0.1:{listening.getsockname()[1]}"
        server = ResourceServer(
            issuer=tenant.issuer, audience=BOUND_API, base_url=origin, replay=MemoryReplayStore(max_entries=1_000_000)
        )

        @protect(server)
        async def me(request: web.Request) -> web.Response:
            return web.Response(text=request[AUTHORIZED].subject)

        app = web.Application()
        app.router.add_get("/me", me)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.SockSite(runner, listening).start()
        try:
            yield origin
        finally:
            await runner.cleanup()


def found_in(log: bytes, secrets: set[str]) -> set[str]:
    """Return the secrets that a log has; digits count as words, and not as the fraction of a time."""
    text = log.decode()
    words = set(re.findall(r"\b\d+\b", re.sub(r"\d+\.\d+", "", text)))
    return {secret for secret in secrets if (secret in words if secret.isdigit() else secret in text)}


async def _sessions_left(store: str, tenant: TenantProcess, workers: Workers, browsers: int) -> int:
    """Return how many sessions are left: those whose worker died before the browser had them."""
    async with (
        RedisStore(store, keys=workers.keys) as redis,
        PasswordlessClient(tenant.url, tenant.public_client_id, store=redis) as client,
    ):
        users = [User.of(email_of(number)).subject for number in range(browsers)]
        return sum([len(await client.sessions.list(user)) for user in users])


def email_of(number: int) -> Email:
    """Return the address of a browser's user."""
    return Email(f"user{number:06}@example.com")


@attrs.define(eq=False)
class _Act:
    do: Callable[[], Awaitable[None]]
    begun: asyncio.Event = attrs.field(factory=asyncio.Event)
    over: asyncio.Event = attrs.field(factory=asyncio.Event)


@attrs.define(eq=False)
class Crowd:
    """All browsers.

    Attributes:
        counts: What browsers met.
        asked_at: By path, the worker that the first form is sent to.
        secrets: What no log may have: codes, cookies and the users' addresses.
        failures: Why browsers did not end logged out.
    """

    tenant: TenantProcess
    workers: Workers
    _browsers: int
    counts: Counter[str] = attrs.field(factory=Counter, init=False)
    asked_at: defaultdict[str, asyncio.Future[Worker]] = attrs.field(
        factory=lambda: defaultdict(asyncio.Future), init=False
    )
    secrets: set[str] = attrs.field(factory=set, init=False, repr=False)
    failures: list[str] = attrs.field(factory=list, init=False)

    async def run(self) -> None:
        """Let all browsers log in, call and log out, while the acts take place."""
        doings = (self._die, self.workers.add_key, self.workers.promote_key, self.tenant.rotate_signing_key)
        acts, room = [_Act(do) for do in doings], asyncio.Semaphore(_AT_ONCE)
        async with aiohttp.TCPConnector(limit=0) as connector, asyncio.TaskGroup() as group:
            for number in range(self._browsers):
                browser, act = Browser(self, number, connector), acts[number // 3 % len(acts)]
                # One in three hurries, one types its code after the act, and one pauses in its calls until then.
                waits = ((None, None), (act.over, None), (None, act.over))[number % 3]
                group.create_task(self._one(browser, act.begun, waits, room))
            for act in acts:
                act.begun.set()
                await act.do()
                act.over.set()

    async def _die(self) -> None:
        victim = await self.asked_at["/code"]
        await victim.kill()
        await self.workers.replace(victim)

    async def _one(
        self,
        browser: Browser,
        begun: asyncio.Event,
        waits: tuple[asyncio.Event | None, asyncio.Event | None],
        room: asyncio.Semaphore,
    ) -> None:
        await begun.wait()
        async with room:
            try:
                await browser.live(*waits)
            except Failed as error:
                self.failures.append(str(error))


class Failed(Exception):
    """A browser could not go on, or its worker has gone."""


class Gone(Failed):
    """The worker that a request met had died, or died before it answered."""


class Again(Failed):
    """A login did not succeed, and its page says to try again."""


@attrs.frozen
class Seen:
    """What a browser sees of a response."""

    status: int
    text: str = attrs.field(repr=False)

    @property
    def alert(self) -> str:
        """The text of the page's problem."""
        match = _ALERT.search(self.text)
        return "" if match is None else match[1]

    @property
    def resend_in(self) -> float:
        """After how many seconds the page lets a user ask for another code."""
        match = _RESEND.search(self.text)
        return 0.0 if match is None else float(match[1])


class Browser:
    """One user's browser: it has cookies of its own, and asks any worker."""

    def __init__(self, crowd: Crowd, number: int, connector: aiohttp.BaseConnector) -> None:
        self.who = email_of(number)
        self.subject = User.of(self.who).subject
        self._crowd = crowd
        self._url = URL()
        self._jar = aiohttp.CookieJar(unsafe=True)
        address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        headers = {"X-Forwarded-For": address, "Sec-Fetch-Site": "same-origin", "Accept": "text/html"}
        self._options: dict[str, Any] = {
            "connector": connector, "connector_owner": False, "cookie_jar": self._jar, "headers": headers,
        }  # fmt: skip
        crowd.secrets.add(self.who.address)

    async def live(self, types_after: asyncio.Event | None, pauses_until: asyncio.Event | None) -> None:
        """Log in, call the API and log out; the code is typed, and the calls go on, after an event."""
        await self.log_in(types_after)
        for call in range(API_CALLS):
            if call == API_CALLS // 2 and pauses_until is not None:
                await pauses_until.wait()
            await self._call()
        await self._log_out()

    async def log_in(self, types_after: asyncio.Event | None = None, attempts: int = _ATTEMPTS) -> None:
        """Log in, with as many attempts as it takes."""
        reason: Failed | None = None
        for _ in range(attempts):
            try:
                await self._try_login(types_after)
            except (Gone, Again) as error:
                reason = error
                self._crowd.counts["begun again"] += 1
            else:
                return
        raise Failed("no login") from reason

    async def _try_login(self, types_after: asyncio.Event | None) -> None:
        await self.ask("GET", "/login")
        sent = await self.ask("POST", "/login", identifier=self.who.address)
        page = await self.ask("GET", "/code")
        if sent.status == _SHORTLY:
            await self._pause()
            raise Again(f"POST /login: {sent.status} {sent.alert}")
        if (sent.status, page.status) != (_MOVED, _OK):
            raise Failed(f"no code: {sent.status} {sent.alert}, {page.status} {page.alert}")
        try:
            code = await self._crowd.tenant.code_for(self.who)
        except LookupError as error:
            # The worker died before it sent one. The page says when another may be asked for.
            await asyncio.sleep(page.resend_in)
            await self.ask("POST", "/code/resend")
            raise Again("no code came") from error
        self._crowd.secrets.add(code)
        if types_after is not None:
            await types_after.wait()
        seen = await self.type(code)
        if self.session is not None:
            return
        self._crowd.counts[seen.alert] += 1
        # The code was spent by a worker that died. The page says so, and offers another one.
        await asyncio.sleep(seen.resend_in)
        await self.ask("POST", "/code/resend")
        raise Again(f"POST /code: {seen.status} {seen.alert}")

    async def _pause(self) -> None:
        self._crowd.counts["told to try again"] += 1
        await asyncio.sleep(_PAUSE_SECONDS)

    async def type(self, code: str) -> Seen:
        """Type a code."""
        return await self.ask("POST", "/code", code=code)

    async def _call(self) -> None:
        for _ in range(_ATTEMPTS):
            try:
                seen = await self.ask("GET", "/api/me")
            except Gone:
                seen = Seen(0, "")
            if seen.status == _OK:
                self._crowd.counts["another user"] += seen.text != self.subject
                return
            if seen.status in {_MOVED, _LOG_IN_FIRST}:
                self._crowd.counts["ended early"] += 1
                await self.log_in()
            elif seen.status == _SHORTLY:
                await self._pause()
            self._crowd.counts["called again"] += 1
        raise Failed(f"no call: {seen.status} {seen.alert}")

    async def _log_out(self) -> None:
        session = self.session or ""
        for _ in range(_ATTEMPTS):
            try:
                await self.ask("POST", "/logout")
                if self.session is None:
                    break
            except Gone:
                pass
        else:
            raise Failed("no logout")
        self._crowd.counts["opened after logout"] += await self._still_opens(session)

    async def _still_opens(self, session: str) -> bool:
        for _ in range(_ATTEMPTS):
            self._jar.update_cookies({"session": session}, response_url=self._url)
            try:
                return (await self.ask("GET", "/api/me")).status == _OK
            except Gone:
                pass
        raise Failed("no worker answered")

    @property
    def session(self) -> str | None:
        """The identifier of the browser's session."""
        return next((cookie.value for cookie in self._jar if cookie.key == "session"), None)

    async def ask(self, method: str, path: str, **form: str) -> Seen:
        """Send a request to any worker."""
        worker = self._crowd.workers.any()
        self._url = URL(worker.origin)
        if form and not self._crowd.asked_at[path].done():
            self._crowd.asked_at[path].set_result(worker)
        try:
            async with (
                aiohttp.ClientSession(**self._options) as http,
                http.request(method, worker.origin + path, data=form or None, allow_redirects=False) as response,
            ):
                seen = Seen(response.status, await response.text())
        except aiohttp.ClientConnectionError as error:
            self._crowd.counts["gone"] += 1
            raise Gone(f"{method} {path}") from error
        self._crowd.secrets.update(cookie.value for cookie in self._jar if cookie.value)
        return seen
