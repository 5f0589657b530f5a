"""What a call through the gateway costs, beside a bare reverse proxy and the bare signature, and beside nginx.

Processes: the load (this one), the gateway and the bare proxies (the child), nginx, and the service behind them (the
stub). ``python -m benchmarks.gateway_proxy`` is the child.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import time
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp import web
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from multidict import CIMultiDict

from benchmarks.measure import Series
from benchmarks.nginx_proxy import nginx_proxy
from benchmarks.report import Bar, Report, Row
from benchmarks.server import Server
from passwordless_async import TESTING, Email, PasswordlessClient
from passwordless_async.gateway import Gateway, Upstream
from passwordless_async.testing import BOUND_API, LocalTenant
from passwordless_async.testing.process.child import ChildProcess
from passwordless_async.testing.process.child import run as run_child

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from benchmarks.nginx_proxy import Nginx

SUMMARY = "A call through the gateway, beside a bare reverse proxy and the bare signature"
HOW = (
    "CPU time of the proxy's process for one GET with keep-alive, sessions in memory, 16 at once, contenders in turns; "
    "load and service in processes of their own. The bare signature is made in a loop, with warm caches and nothing "
    "else running; the bare proxy that signs makes one for each call, as no gateway with bound tokens can do without, "
    "and costs more than their sum: that sum is the bar's floor all the same. nginx: proxy_pass with kept connections, "
    "one process, no session, no token. p99: at 200 in flight, by the wall clock, of this machine alone, with what the "
    "load itself takes"
)
PACKAGES = ("passwordless-async", "aiohttp", "cryptography", "yarl", "multidict")
ROUNDS, MIN_ROUNDS, CALLS, COUNTED = 9, 1, 2000, "calls"

OURS, BARE, SIGNING, NGINX = "gateway", "bare aiohttp proxy", "bare proxy that signs", "nginx"
SIGNATURE, SUM = "bare signature", "bare proxy + signature"
ADA = Email("ada@example.com")
AT_ONCE, IN_FLIGHT = 16, 200
_HOP_BY_HOP = frozenset({"connection", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"})


def run(rounds: int, calls: int) -> Report:
    """Measure with a service of its own, and beside nginx where there is one."""
    absent = []
    with Server() as service, ExitStack() as stack:
        nginx = None
        try:
            nginx = stack.enter_context(nginx_proxy(service.origin))
        except ModuleNotFoundError:
            absent.append(NGINX)
        found, late = asyncio.run(_measure(service.origin, nginx, rounds, calls))
    series = {name: Series(tuple(figures)) for name, figures in found.items()}
    series[SUM] = Series(tuple(map(sum, zip(found[BARE], found[SIGNATURE], strict=True))))
    ratio = series[OURS].over(series[SUM])
    rows = [Row(name, figures, {"sum": figures.over(series[SUM])}) for name, figures in series.items()]
    rows += [Row(f"p99, {name}", Series(tuple(figures))) for name, figures in late.items()]
    bars = [Bar("CPU of a call ÷ (bare proxy + bare signature)", ratio, must=1.6, goal=1.3)]
    return Report("gateway-proxy", SUMMARY, HOW, "µs", PACKAGES, rows, bars, absent)


async def _measure(
    service: str, nginx: Nginx | None, rounds: int, calls: int
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    contenders = [OURS, BARE, SIGNING, *([] if nginx is None else [NGINX])]
    found: dict[str, list[float]] = {name: [] for name in (*contenders, SIGNATURE)}
    late: dict[str, list[float]] = {name: [] for name in contenders}
    async with (
        ChildProcess("benchmarks.gateway_proxy", {"service": service}, stop_seconds=5.0) as child,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar()) as http,
    ):
        where = await child.call("places")
        if nginx is not None:
            where[NGINX] = f"{nginx.origin}/api"
        headers = {"Cookie": where["cookie"], "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}
        for round_ in range(rounds + 1):
            for name in contenders[:: 1 if round_ % 2 else -1]:
                asks, before = partial(_ask, http, where[name], headers), await _cpu(name, child, nginx)
                await _times(asks, calls, AT_ONCE)
                used = (await _cpu(name, child, nginx) - before) / calls * 1e6
                waits = await _times(asks, calls, IN_FLIGHT)
                if round_:  # the first fills caches and pools
                    found[name].append(used)
                    late[name].append(sorted(waits)[len(waits) * 99 // 100] * 1e6)
            if round_:
                found[SIGNATURE].append(await child.call("signatures", number=calls))
    return found, late


async def _cpu(name: str, child: ChildProcess, nginx: Nginx | None) -> float:
    """Return the seconds of CPU that a contender's process took until now."""
    used: float = nginx.cpu() if nginx is not None and name == NGINX else await child.call("cpu")
    return used


async def _ask(http: aiohttp.ClientSession, url: str, headers: Mapping[str, str]) -> None:
    async with http.get(url, headers=headers) as response:
        body = await response.read()
    if (response.status, body) != (200, b"{}"):
        raise RuntimeError(f"{url}: {response.status}")


async def _times(do: Callable[[], Awaitable[None]], calls: int, at_once: int) -> list[float]:
    """Return how long each call took, in seconds."""
    waiting, took = iter(range(calls)), []

    async def some() -> None:
        for _ in waiting:
            began = time.perf_counter()
            await do()
            took.append(time.perf_counter() - began)

    await asyncio.gather(*(some() for _ in range(at_once)))
    return took


def bare_proxy(
    service: str, http: aiohttp.ClientSession, *, first: Callable[[], object] = lambda: None
) -> web.Application:
    """Return a reverse proxy as one writes it in twenty lines: streams both ways, hop-by-hop fields removed.

    Args:
        service: The origin of what is behind it.
        http: What calls that.
        first: Called for each call, before it is passed on.
    """

    async def forward(request: web.Request) -> web.StreamResponse:
        first()
        headers = CIMultiDict(pair for pair in request.headers.items() if pair[0].lower() not in _HOP_BY_HOP)
        data = request.content if request.can_read_body else None
        url = f"{service}{request.raw_path}"
        async with http.request(request.method, url, headers=headers, data=data, allow_redirects=False) as response:
            back = CIMultiDict(pair for pair in response.headers.items() if pair[0].lower() not in _HOP_BY_HOP)
            answer = web.StreamResponse(status=response.status, headers=back)
            await answer.prepare(request)
            async for piece in response.content.iter_any():
                await answer.write(piece)
            await answer.write_eof()
            return answer

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", forward)
    return app


@asynccontextmanager
async def open_proxies(setup: Mapping[str, Any]) -> AsyncIterator[dict[str, Callable[..., Any]]]:
    """Serve the gateway and the bare proxy in the child; gives its calls."""
    service = setup["service"]
    async with AsyncExitStack() as stack:
        tenant = await stack.enter_async_context(LocalTenant())
        client = PasswordlessClient(tenant.url, tenant.public_client_id, profile=TESTING)
        await stack.enter_async_context(client)
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=512))
        origin = f"http://127.0.0.1:{listening.getsockname()[1]}"
        upstream = Upstream("/up/", service, max_per_session=IN_FLIGHT)
        gateway = Gateway(client, base_url=origin, audience=BOUND_API, upstreams=[upstream])
        await _serve(stack, gateway.aiohttp(), listening)
        await client.start(ADA)
        scope = "openid offline_access"
        session = await client.sessions.login(ADA, tenant.outbox.code_for(ADA), scope=scope, audience=BOUND_API)
        http = aiohttp.ClientSession(auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar())
        await stack.enter_async_context(http)
        places = {"cookie": f"session={session.identifier}", OURS: f"{origin}/up/api"}
        for name, app in ((BARE, bare_proxy(service, http)), (SIGNING, bare_proxy(service, http, first=_signing()))):
            bare = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=512))
            await _serve(stack, app, bare)
            places[name] = f"http://127.0.0.1:{bare.getsockname()[1]}/api"
        # The tenant is in this process too, and its objects are not the proxies': the collector need not look at them.
        gc.collect()
        gc.freeze()
        yield {"places": lambda: places, "cpu": time.process_time, "signatures": _signatures}


async def _serve(stack: AsyncExitStack, app: web.Application, listening: socket.socket) -> None:
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.SockSite(runner, listening).start()


def _signing() -> Callable[[], object]:
    """Return what makes a signature as long as a proof's."""
    key, text, algorithm = ec.generate_private_key(ec.SECP256R1()), b"x" * 400, ec.ECDSA(hashes.SHA256())
    return lambda: key.sign(text, algorithm)


def _signatures(number: int) -> float:
    """Return the microseconds of CPU that one signature takes."""
    sign = _signing()
    began = time.process_time()
    for _ in range(number):
        sign()
    return (time.process_time() - began) / number * 1e6


if __name__ == "__main__":
    run_child(open_proxies)
