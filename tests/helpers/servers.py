"""Servers on loopback that answer with any bytes, and one request to them."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from yarl import URL

from passwordless_async._common.http import HttpRequest
from passwordless_async._common.secret import SecretBytes
from passwordless_async.client.traffic.transport import Transport
from passwordless_async.errors import PasswordlessError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


@asynccontextmanager
async def served(handler: Handler) -> AsyncIterator[HttpRequest]:
    """Serve on a free loopback port; gives a POST to it. At its end connections are closed, used or not."""
    handling: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        handling.add(task)
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        try:
            yield HttpRequest("POST", URL(f"http://{host}:{port}/oauth/token"), {}, SecretBytes(b"otp=123456"))
        finally:
            for task in handling:
                task.cancel()


def answering(*chunks: bytes) -> Handler:
    """Read a request and answer with these bytes."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"123456")
        for chunk in chunks:
            writer.write(chunk)
            await writer.drain()

    return handle


async def send(request: HttpRequest, *, seconds: float = 5) -> object:
    """Send through a transport of its own; gives the response or the error."""
    async with Transport(None, timeout=seconds) as transport:
        try:
            return await transport.send(request)
        except PasswordlessError as error:
            return error
