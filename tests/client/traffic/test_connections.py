"""Which connections a request uses, and how often it is sent."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from typing import TYPE_CHECKING

import pytest
from yarl import URL

from helpers.servers import OK, served
from helpers.values import present
from passwordless_async._common.http import HttpRequest
from passwordless_async._common.secret import SecretBytes
from passwordless_async.client.traffic.transport import Transport
from passwordless_async.errors import TransportError
from passwordless_async.testing import ThrowAwayCa

if TYPE_CHECKING:
    import ssl


async def test_connections_are_kept() -> None:
    """Requests one after the other go through one connection."""
    connections = 0

    async def many(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while True:
            await reader.readuntil(b"123456")
            writer.write(OK)

    async with served(many) as request, Transport(None, timeout=5) as transport:
        for _ in range(5):
            await transport.send(request)
    assert connections == 1


async def test_a_request_is_sent_once() -> None:
    """Where aiohttp would retry an idempotent request, ours is sent once: it may contain a proof."""
    heads: list[bytes] = []

    async def break_the_second(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            if len(heads) > 1:
                break
            writer.write(OK)

    async with served(break_the_second) as request, Transport(None, timeout=5) as transport:
        asked = HttpRequest("GET", request.url, {"DPoP": "a proof"})
        await transport.send(asked)
        with pytest.raises(TransportError):
            await transport.send(asked)
    assert len(heads) == 2


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_bytes_on_an_idle_connection_are_no_response(method: str) -> None:
    """What arrives on an idle connection is not taken for the response of the next request."""
    connections = 0
    repeated = asyncio.Event()

    async def twice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        number = connections
        await reader.readuntil(b"\r\n\r\n")
        answer = OK.replace(b"{}", b"%02d" % number)
        writer.write(answer)
        await writer.drain()
        if number == 1:
            await repeated.wait()
            writer.write(answer)
            await writer.drain()
            await reader.read()

    async with served(twice) as request, Transport(None, timeout=5) as transport:
        asked = request if method == "POST" else HttpRequest("GET", request.url, {})
        first = await transport.send(asked)
        repeated.set()
        (idle,) = (c for pool in present(present(transport._session).connector)._conns.values() for c, _ in pool)
        for _ in range(1000):
            if idle.should_close:
                break
            await asyncio.sleep(0)
        second = await transport.send(asked)
    assert (first.body, second.body) == (b"01", b"02")


class _Frozen:
    """A server in a thread: answers one request on each connection, and closes it when told, whatever the loop does."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"{'http' if context is None else 'https'}://127.0.0.1:{self.listener.getsockname()[1]}/oauth/token"
        self.requests = 0
        self._context = context
        self._answered: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection = self.listener.accept()[0]
                if self._context is not None:
                    connection = self._context.wrap_socket(connection, server_side=True)
                while b"123456" not in connection.recv(65_536):
                    pass
                self.requests += 1
                self._answered.append(connection)
                connection.sendall(OK)

    def close_idle(self) -> None:
        """Close the connections that were answered; the bytes of that are in the client's socket at the return."""
        while self._answered:
            connection = self._answered.pop()
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self._thread.join(5)
        self.close_idle()


@pytest.mark.parametrize("encrypted", [False, True])
async def test_a_connection_that_was_closed_unseen_is_not_used(encrypted: bool) -> None:  # noqa: FBT001 - a parameter
    """The process stood still while the server closed its connections: the next request takes a fresh one."""
    ca = ThrowAwayCa()
    server = _Frozen(ca.server_context() if encrypted else None)
    context = ca.client_context() if encrypted else None
    async with Transport(None, timeout=5, ssl=context) as transport:
        request = HttpRequest("POST", URL(server.url), {}, SecretBytes(b"otp=123456"))
        for number in range(1, 4):
            assert (await transport.send(request)).status == 200
            assert server.requests == number
            server.close_idle()  # without a turn of the event loop until the next request
    server.close()


async def test_many_connections_that_were_closed_unseen_are_not_used() -> None:
    """However many of the pool are closed, the request is sent: on a fresh one."""
    closing = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"123456")
        started.release()
        await closing.wait()
        writer.write(OK)

    started = asyncio.Semaphore(0)
    async with served(handle) as request, Transport(None, timeout=5) as transport:
        many = [asyncio.ensure_future(transport.send(request)) for _ in range(20)]
        for _ in many:
            await started.acquire()
        closing.set()
        assert [(await each).status for each in many] == [200] * 20
        # Their ends are unread when the next request is sent, or are read by then: either way none is used.
        assert (await transport.send(request)).status == 200
