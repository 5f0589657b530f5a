"""Ports of this machine: one to listen on, and whether a program listens on one."""

from __future__ import annotations

import asyncio
import socket


def listening() -> tuple[socket.socket, str]:
    """Listen on a port; return its origin as well."""
    taken = socket.create_server(("127.0.0.1", 0))
    return taken, f"http://127.0.0.1:{taken.getsockname()[1]}"


async def is_open(port: int) -> bool:
    """Return whether a program listens on a port."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
