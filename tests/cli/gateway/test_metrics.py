"""Counting calls, and where the figures are read."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from passwordless_async.cli.gateway import metrics
from passwordless_async.cli.gateway.figures import Figures
from passwordless_async.cli.gateway.reading import WrongSettings, read

REQUIRED = {"domain": "acme.eu.auth0.com", "client_id": "app", "base_url": "https://app.example"}
COUNT = 'passwordless_gateway_requests_total{route="pages",status="%s"} %s\n'
IN_FLIGHT = 'passwordless_gateway_requests_in_flight{route="pages"} %s\n'


async def test_calls_are_counted() -> None:
    """However they end, by their status; while they last, as in flight."""
    figures, arrived, released = Figures([], 1), asyncio.Event(), asyncio.Event()

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/missing":
            raise web.HTTPNotFound
        if request.path == "/defect":
            raise ValueError
        arrived.set()
        await released.wait()
        return web.Response()

    app = web.Application(middlewares=[metrics.counting_middleware(figures.row(0))])
    app.router.add_get("/{path:.*}", answer)
    async with TestClient(TestServer(app)) as http:
        call = asyncio.create_task(http.get("/"))
        await arrived.wait()
        assert IN_FLIGHT % 1 in figures.text()
        released.set()
        assert [(await call).status, (await http.get("/missing")).status] == [200, 404]
        with pytest.raises(AssertionError):
            assert (await http.get("/defect")).status == 200
    text = figures.text()
    assert [
        line for line in (IN_FLIGHT % 0, *(COUNT % (each, 1) for each in ("2xx", "4xx", "5xx"))) if line not in text
    ] == []


async def test_where_they_are_read() -> None:
    """On loopback, as text, for as long as they are shown."""
    bound = metrics.metrics_socket(read({**REQUIRED, "metrics_port": "0"}, {}, None))
    assert bound is not None
    figures = Figures([], 1)
    address: Any = bound.getsockname()
    assert address[0] == "127.0.0.1"
    url = f"http://127.0.0.1:{address[1]}"
    async with aiohttp.ClientSession() as http:
        async with metrics.serve_metrics(figures, bound):
            async with http.get(f"{url}/metrics") as response:
                assert (response.status, await response.text()) == (200, figures.text())
                assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
            async with http.get(f"{url}/") as response:
                assert response.status == 404
        with pytest.raises(aiohttp.ClientError):
            await http.get(f"{url}/metrics")


def test_no_port() -> None:
    """There are no figures then."""
    assert metrics.metrics_socket(read(REQUIRED, {}, None)) is None


def test_a_port_that_is_taken() -> None:
    """The sentence names it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(WrongSettings) as raised:
            metrics.metrics_socket(read({**REQUIRED, "metrics_port": str(port)}, {}, None))
    reason = "Address already in use"
    assert raised.value.message == f"--metrics-port: cannot listen on 127.0.0.1, port {port}: {reason}."
