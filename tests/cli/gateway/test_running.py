"""One process or several: what is refused, and what users see of a worker that is killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from helpers.pipes import piped
from passwordless_async.cli.app import run
from passwordless_async.cli.gateway.reading import WrongSettings, read
from passwordless_async.cli.gateway.running import check_workers

if TYPE_CHECKING:
    from collections.abc import Callable

    from cli.gateway.conftest import Program, Service
    from helpers.sites import Browser
    from passwordless_async.testing import LocalTenant

REQUIRED = {"domain": "acme.eu.auth0.com", "client_id": "app", "base_url": "https://app.example"}
PATIENCE = 60


def pid_in(line: str) -> int:
    """Return the number of the process that a line is about."""
    found = re.search(r"is process (\d+)", line)
    assert found is not None
    return int(found[1])


def test_workers_need_a_store_in_common() -> None:
    """Sessions in the memory of one process are none in another."""
    check_workers(read({**REQUIRED, "workers": "4"}, {"PASSWORDLESS_ASYNC_STORE": "redis://cache"}, None))
    check_workers(read({**REQUIRED, "workers": "4", "store_from": "file:/run/store"}, {}, None))
    with pytest.raises(WrongSettings) as raised:
        check_workers(read({**REQUIRED, "workers": "4"}, {}, None))
    assert raised.value.message == (
        "--workers: 4 processes need a store that they share, and memory is that of one: "
        "name a Redis with --store or --store-from."
    )


def test_a_system_without_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence says what to do instead."""
    monkeypatch.delattr(os, "fork")
    with pytest.raises(WrongSettings) as raised:
        check_workers(read({**REQUIRED, "workers": "2"}, {}, None))
    sentence = "--workers: this system has one worker; start several gateways behind a load balancer."
    assert raised.value.message == sentence
    check_workers(read(REQUIRED, {}, None))


async def test_a_worker_is_killed(two_workers: Callable[..., Program], tenant: LocalTenant, service: Service) -> None:
    """Each worker in turn: the session goes on, in whichever worker answers; no call is refused a connection."""
    program = two_workers("--upstream", f"/api/={service.url}")
    workers = [pid_in(program.until(f"Worker {number} is process")) for number in (1, 2)]
    async with program.browser(tenant) as browser:
        await browser.log_in()
        for number, pid in enumerate(workers, 1):
            os.kill(pid, signal.SIGKILL)
            program.until(f"Worker {number} was ended by SIGKILL: it is started again.")
            answer = await again(browser, "/api/me")
            assert (answer.status, answer.json["proof"]) == (200, True)
        assert (await browser.post("/logout")).path == "/logged-out"
    program.process.send_signal(signal.SIGTERM)
    program.until("Stopping")
    assert await asyncio.to_thread(program.process.wait, PATIENCE) == 0


async def figures_of(url: str) -> dict[str, float]:
    """Return the figures that are above 0."""
    async with aiohttp.ClientSession() as http, http.get(url) as response:
        lines = [line.rpartition(" ") for line in (await response.text()).splitlines() if not line.startswith("#")]
    return {name: float(number) for name, _, number in lines if float(number)}


async def test_figures_of_workers(
    gateway: Callable[..., Program], tenant: LocalTenant, service: Service, redis_url: str, tmp_path: Path
) -> None:
    """They are sums over all workers, a worker that was killed included; health is not counted."""
    keys = tmp_path / "keys.json"
    assert run(["sessions", "keys", str(keys)]) == 0
    store = ("--store", redis_url, "--keys", str(keys), "--access-log", "off", "--metrics-port", "0")
    process = gateway("--workers", "2", *store, "--upstream", f"/api/={service.url}", first="Metrics on ")
    metrics = process.said.removeprefix("Metrics on ")
    workers = [pid_in(process.until(f"Worker {number} is process")) for number in (1, 2)]
    async with process.browser(tenant) as browser:
        await browser.log_in()
        for pid in (*workers, None):
            for _ in range(5):
                assert (await again(browser, "/api/me")).status == 200
            if pid is not None:
                os.kill(pid, signal.SIGKILL)
                process.until("was ended by SIGKILL")
                process.until("is process")
        await browser.get("/readyz")
        await browser.post("/logout")
    seen = await figures_of(metrics)
    assert seen['passwordless_gateway_requests_total{route="/api/",status="2xx"}'] == 15
    assert seen['passwordless_gateway_request_duration_seconds_count{route="/api/"}'] == 15
    # /login twice, /code twice, /, /logout and /logged-out
    assert sum(number for name, number in seen.items() if 'requests_total{route="pages"' in name) == 7
    events = {name: number for name, number in seen.items() if "events_total" in name}
    assert set(events.values()) == {1.0}
    assert seen["passwordless_gateway_worker_starts_total"] == 4
    assert not any("in_flight" in name for name in seen)


async def again(browser: Browser, path: str) -> Any:
    """Call once more if the connection was that of the worker that was killed."""
    try:
        return await browser.get(path)
    except aiohttp.ClientError:
        return await browser.get(path)


async def test_calls_in_flight_of_workers(
    two_workers: Callable[..., Program], tenant: LocalTenant, service: Service
) -> None:
    """They end before the process does."""
    program = two_workers("--upstream", f"/api/={service.url}")
    async with program.browser(tenant) as browser:
        await browser.log_in()
        call = asyncio.create_task(browser.get("/api/slow"))
        await service.arrived.wait()
        program.process.send_signal(signal.SIGTERM)
        program.until("Stopping")
        service.released.set()
        assert (await call).status == 200
    assert await asyncio.to_thread(program.process.wait, PATIENCE) == 0


def sockets_of(pid: int) -> set[str]:
    """Return the sockets that a process has."""
    files = set()
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed since it was listed
            files.add(str(file.readlink()))
    return {file for file in files if file.startswith("socket:")}


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="this system does not show the files of a process")
async def test_each_process_has_its_own_socket_alone(two_workers: Callable[..., Program]) -> None:
    """A process that serves figures keeps no port of users open, nor a worker that of figures."""
    program = two_workers("--metrics-port", "0", first="Metrics on ")
    one, other = (pid_in(program.until(f"Worker {number} is process")) for number in (1, 2))
    figures = pid_in(program.until("Metrics is process"))
    async with program.browser() as browser, asyncio.timeout(PATIENCE):
        # They close what is not theirs when they begin.
        while sockets_of(figures) & (sockets_of(one) | sockets_of(other)):
            assert (await browser.get("/healthz")).status == 200
    assert len(sockets_of(one) & sockets_of(other)) == 1


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no such signal")
async def test_the_terminal_is_closed(two_workers: Callable[..., Program]) -> None:
    """All processes of its group are told: they end in order."""
    program = two_workers()
    program.until("Worker 2 is process")
    async with program.browser() as browser:
        assert (await browser.get("/healthz")).status == 200
    os.killpg(program.process.pid, signal.SIGHUP)
    _, err = await asyncio.to_thread(program.process.communicate)
    assert (program.process.returncode, err.splitlines()[0]) == (0, "Stopping: calls in flight have 20 s.")


async def test_the_parent_is_killed(two_workers: Callable[..., Program]) -> None:
    """The workers end too, and with them the socket."""
    program = two_workers()
    program.until("Worker 2 is process")
    async with program.browser() as browser:
        assert (await browser.get("/healthz")).status == 200
    program.process.kill()
    assert await asyncio.to_thread(piped(program.process.stdout).read) == ""
    async with program.browser() as browser:
        with pytest.raises(aiohttp.ClientConnectorError):
            await browser.get("/healthz")
