"""Counts calls, and serves ``/metrics`` on its own port, on loopback."""

from __future__ import annotations

import socket
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import web

from passwordless_async._common import clock as _clock
from passwordless_async.cli.gateway.figures import IN_FLIGHT
from passwordless_async.cli.gateway.listening import serve_beside
from passwordless_async.cli.gateway.reading import Values, WrongSettings
from passwordless_async.cli.terminal.failure import cannot_listen

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp.typedefs import Handler, Middleware

    from passwordless_async.cli.gateway.figures import Figures, Row

_HOST = "127.0.0.1"
_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def counting_middleware(row: Row) -> Middleware:
    """Return the middleware that counts the calls of a process."""

    @web.middleware
    async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
        route, began = row.route_of(request.path), _clock.monotonic()
        status = int(HTTPStatus.INTERNAL_SERVER_ERROR)
        row.add(IN_FLIGHT, route)
        try:
            response = await handler(request)
            status = response.status
        except web.HTTPException as error:
            status = error.status
            raise
        else:
            return response
        finally:
            row.add(IN_FLIGHT, route, amount=-1.0)
            row.count_call(route, status, _clock.monotonic() - began)

    return count


def metrics_socket(values: Values) -> socket.socket | None:
    """Return a socket that listens for those who read the figures; None if there is no port for them.

    Raises:
        WrongSettings: The port is taken.
    """
    port = values.of["metrics_port"]
    if port is None:
        return None
    try:
        return socket.create_server((_HOST, port))
    except OSError as error:
        problem = f"{values.sources['metrics_port']}: {cannot_listen(f'{_HOST}, port {port}', error)}"
    raise WrongSettings(problem)


@asynccontextmanager
async def serve_metrics(figures: Figures, bound: socket.socket) -> AsyncIterator[None]:
    """Serve ``/metrics`` within the context."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text=figures.text(), headers={"Content-Type": _TYPE})

    app = web.Application()
    app.router.add_get("/metrics", answer)
    async with serve_beside(app, bound, shutdown_seconds=1.0):
        yield
