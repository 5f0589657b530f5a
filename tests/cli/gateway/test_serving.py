"""One process that serves: signals, and the life of what it opens."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from typing import TYPE_CHECKING

import aiohttp
import pytest

from passwordless_async.cli.gateway.plan import plan
from passwordless_async.cli.gateway.reading import read
from passwordless_async.cli.gateway.serving import Run, Stop, serve
from passwordless_async.testing import LocalTenant

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_a_signal(number: signal.Signals) -> None:
    """It is taken within the context alone; the first counts."""
    # The shell that started the tests may ignore it.
    before = signal.signal(number, signal.default_int_handler)
    try:
        stop = Stop()
        with stop.watch_signals():
            os.kill(os.getpid(), number)
            await stop.event.wait()
            os.kill(os.getpid(), signal.SIGTERM)
        assert (stop.number, signal.getsignal(number)) == (number, signal.default_int_handler)
    finally:
        signal.signal(number, before)


async def test_a_signal_that_is_ignored_stays_so() -> None:
    """As ``nohup`` starts a process that is to outlive its terminal."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Stop().watch_signals():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


async def test_a_life(tmp_path: Path) -> None:
    """It says when calls are taken and when no more are; responses have a name."""
    said: list[str] = []
    stop, ready = asyncio.Event(), asyncio.Event()
    async with LocalTenant() as tenant:
        flags = {"domain": tenant.url, "client_id": "public-client", "base_url": "http://127.0.0.1"}
        logs = {"access_log": str(tmp_path / "access"), "audit_log": str(tmp_path / "audit")}
        made = plan(read({**flags, **logs}, {}, None))
        with socket.create_server(("127.0.0.1", 0)) as bound:
            url = f"http://127.0.0.1:{bound.getsockname()[1]}"
            run = Run(stop, ready.set, lambda: said.append("stopping"))
            serving = asyncio.create_task(serve(made, bound, run))
            await ready.wait()
            async with aiohttp.ClientSession() as http, http.get(f"{url}/login") as response:
                assert (response.status, len(response.headers["X-Request-ID"])) == (200, 16)
                assert response.headers["Content-Security-Policy"]
            assert said == []
            stop.set()
            await serving
    assert said == ["stopping"]
    assert (tmp_path / "access").read_text().count("\n") == 1
