"""The gateway's listening socket: a port, or a socket in the file system."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from typing import TYPE_CHECKING

from aiohttp import web

from passwordless_async.cli.gateway.reading import Values, WrongSettings
from passwordless_async.cli.terminal.failure import cannot_listen

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

BACKLOG = 2048  # connections that wait to be accepted; the system may have a lower bound


@contextlib.contextmanager
def listening(values: Values) -> Iterator[socket.socket]:
    """Listen at the address of the settings.

    Raises:
        WrongSettings: That is not possible.
    """
    file = values.of["unix_socket"]
    try:
        made = _port(values.of["host"], values.of["port"]) if file is None else _file(file)
    except (OSError, UnicodeError) as error:
        problem = _problem(values, error)
    else:
        with made:
            try:
                yield made
            finally:
                if file is not None:
                    file.unlink(missing_ok=True)
        return
    raise WrongSettings(problem)


@contextlib.asynccontextmanager
async def serve_beside(app: web.Application, bound: socket.socket, *, shutdown_seconds: float) -> AsyncIterator[None]:
    """Serve an application beside the gateway, at a socket, within the context; calls are not logged."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=shutdown_seconds)
    await runner.setup()
    try:
        await web.SockSite(runner, bound).start()
        yield
    finally:
        await runner.cleanup()


def url_of(bound: socket.socket) -> str:
    """Return where a socket listens, for people."""
    name = bound.getsockname()
    if not isinstance(name, tuple):
        return f"unix:{name}"
    host = f"[{name[0]}]" if ":" in name[0] else name[0]
    return f"http://{host}:{name[1]}"


def _port(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    made = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":
            # On other systems it would let two programs use one port.
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
        made.listen(BACKLOG)
    except BaseException:
        made.close()
        raise
    return made


def _file(file: Path) -> socket.socket:
    if not hasattr(socket, "AF_UNIX"):
        raise OSError("this system has no such sockets")
    made = socket.socket(socket.AF_UNIX)
    try:
        _remove_stale(file)
        made.bind(str(file))
        made.listen(BACKLOG)
    except BaseException:
        made.close()
        raise
    return made


def _remove_stale(file: Path) -> None:
    """Remove the socket of a process that has ended without doing so; one that is in use stays."""
    if not file.exists():
        return
    if not stat.S_ISSOCK(file.stat().st_mode):
        raise OSError("there is a file that is no socket")
    with socket.socket(socket.AF_UNIX) as asking:
        try:
            asking.connect(str(file))
        except ConnectionRefusedError:
            file.unlink()
            return
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def _problem(values: Values, error: OSError | UnicodeError) -> str:
    name = "unix_socket"
    if values.of[name] is None:
        is_host = isinstance(error, socket.gaierror | UnicodeError) or error.errno == errno.EADDRNOTAVAIL
        name = "host" if is_host else "port"
    at = values.of[name] if name != "port" else f"{values.of['host']}, port {values.of['port']}"
    return f"{values.sources[name]}: {cannot_listen(str(at), error)}"
