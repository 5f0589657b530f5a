"""A Redis server of a benchmark's own, on loopback, which keeps nothing on disk."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PROGRAM = "redis-server"
_HOST = "127.0.0.1"
_PATIENCE = 20.0  # seconds


@contextmanager
def redis_server() -> Iterator[str]:
    """Run a server and return its URL.

    Raises:
        ModuleNotFoundError: The program is not installed.
    """
    program = shutil.which(_PROGRAM)
    if program is None:
        raise ModuleNotFoundError(f"there is no {_PROGRAM}; Debian: apt-get install redis-server", name=_PROGRAM)
    with socket.create_server((_HOST, 0)) as listener:
        port = listener.getsockname()[1]
    with tempfile.TemporaryDirectory() as directory:
        command = [program, "--port", str(port), "--bind", _HOST, "--save", "", "--dir", directory]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: S603 - the server
        try:
            wait_for(port)
            yield f"redis://{_HOST}:{port}"
        finally:
            server.kill()
            server.wait()


def wait_for(port: int) -> None:
    """Return when a server listens on a port of loopback."""
    ends = time.monotonic() + _PATIENCE
    while True:
        try:
            socket.create_connection((_HOST, port), timeout=1).close()
        except ConnectionRefusedError:
            if time.monotonic() > ends:
                raise
            time.sleep(0.02)
        else:
            return
