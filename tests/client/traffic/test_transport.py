"""The transport against real sockets: what a server can do to a request, and what the caller is told."""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
import pytest
from yarl import URL

from helpers.values import present
from passwordless_async._common.http import HttpRequest
from passwordless_async._common.secret import SecretBytes
from passwordless_async.client.traffic.transport import MAX_BODY, Transport
from passwordless_async.errors import (
    MalformedAnswer,
    NotSent,
    OutcomeUnknown,
    PasswordlessError,
    TransportError,
    UsageError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


@asynccontextmanager
async def served(handler: Handler) -> AsyncIterator[HttpRequest]:
    """Serve on a free loopback port; gives a POST to it."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        yield HttpRequest("POST", URL(f"http://{host}:{port}/oauth/token"), {}, SecretBytes(b"otp=123456"))


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


async def test_an_answer_is_read_to_its_end() -> None:
    """Status, header fields and body arrive as they were sent, and two fields of one name stay two."""
    answer = b"HTTP/1.1 403 No\r\nDPoP-Nonce: a\r\nDPoP-Nonce: b\r\nContent-Length: 4\r\n\r\nbody"
    async with served(answering(answer)) as request, Transport(None, timeout=5) as transport:
        response = await transport.send(request)
    assert (response.status, response.body) == (403, b"body")
    assert response.headers.getall("dpop-nonce") == ["a", "b"]


async def test_a_refused_connection_was_not_sent() -> None:
    """A refused connection raises ``NotSent``: trying again is safe."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = URL(f"http://127.0.0.1:{unused.getsockname()[1]}/oauth/token")
        error = await send(HttpRequest("POST", url, {}, SecretBytes(b"otp=123456")))
    assert isinstance(error, NotSent)
    assert error.retryable


async def test_a_failed_tls_handshake_was_not_sent() -> None:
    """The handshake comes before the request: a server that does not speak TLS has read nothing of it."""

    async def not_tls(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)

    async with served(not_tls) as request:
        error = await send(HttpRequest("POST", request.url.with_scheme("https"), {}, request.body))
    assert isinstance(error, NotSent)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Len", id="half a header"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{", id="half a body"),
        pytest.param(b"SMTP ready\r\n\r\n", id="no HTTP"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 20_000 + b"\r\n\r\n", id="a header of 20 KB"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: minus\r\n\r\n", id="a length that is no number"),
    ],
)
async def test_a_broken_answer_leaves_the_outcome_unknown(answer: bytes) -> None:
    """The request had left when the connection broke: the code may be spent."""
    async with served(answering(answer)) as request:
        error = await send(request)
    assert isinstance(error, OutcomeUnknown)
    assert not error.retryable


async def test_silence_leaves_the_outcome_unknown() -> None:
    """A server that takes the request and never answers ends in a time-out."""
    stop = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"123456")
        await stop.wait()

    async with served(silent) as request:
        error = await send(request, seconds=0.05)
        stop.set()
    assert isinstance(error, OutcomeUnknown)
    assert "time-out" in str(error)


async def test_a_redirect_is_not_followed() -> None:
    """A redirect is an answer like any other: the credentials do not follow it."""
    elsewhere: list[bytes] = []

    async def other(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        elsewhere.append(await reader.read(1))

    async with served(other) as target:
        answer = f"HTTP/1.1 307 Go\r\nLocation: {target.url}\r\nContent-Length: 0\r\n\r\n".encode()
        async with served(answering(answer)) as request, Transport(None, timeout=5) as transport:
            response = await transport.send(request)
    assert response.status == 307
    assert elsewhere == []


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (MAX_BODY + 1) + b" " * (MAX_BODY + 1), id="by length"
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + (b"10000\r\n" + b" " * 65536 + b"\r\n") * 160,
            id="10 MB in chunks",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n" + gzip.compress(b"{}"),
            id="compressed unasked",
        ),
    ],
)
async def test_a_body_is_bounded(answer: bytes) -> None:
    """A body beyond its bound, or one that could be on unpacking, is not read; the answer is refused."""
    async with served(answering(answer)) as request:
        error = await send(request)
    assert isinstance(error, MalformedAnswer)
    assert error.status == 200


async def test_the_largest_body_passes() -> None:
    """The bound itself is allowed."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % MAX_BODY + b" " * MAX_BODY
    async with served(answering(answer)) as request, Transport(None, timeout=5) as transport:
        assert len((await transport.send(request)).body) == MAX_BODY


async def test_cookies_are_neither_kept_nor_sent() -> None:
    """What one user's answer sets does not go out with the next user's request."""
    heads: list[bytes] = []

    async def setting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            heads.append(await reader.readuntil(b"123456"))
            writer.write(OK.replace(b"Content-Type", b"Set-Cookie: did=1; Path=/\r\nContent-Type"))

    async with served(setting) as served_at, Transport(None, timeout=5) as transport:
        # By name: aiohttp keeps no cookies of bare addresses anyway.
        url = served_at.url.with_host("localhost")
        for _ in range(2):
            await transport.send(HttpRequest("POST", url, {}, served_at.body))
    assert len(heads) == 2
    assert not any(b"ookie" in head for head in heads)


async def test_only_the_connections_of_the_callers_session_are_used() -> None:
    """Its cookies, default header fields and middlewares stay out; the session is not closed."""
    heads: list[bytes] = []
    calls: list[str] = []

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"123456"))
        writer.write(OK)

    async def middleware(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        calls.append(request.method)
        return await handler(request)

    async with (
        served(echo) as request,
        aiohttp.ClientSession(headers={"X-Internal": "1"}, cookies={"a": "b"}, middlewares=[middleware]) as session,
    ):
        async with Transport(session, timeout=5) as transport:
            await transport.send(request)
        assert not session.closed
        assert len(present(session.connector)._conns) == 1
    assert calls == []
    assert b"X-Internal" not in heads[0]
    assert b"Cookie" not in heads[0]


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


async def test_a_client_is_entered_once() -> None:
    """A second enter would leave the first one's connections open."""
    async with Transport(None, timeout=5) as transport:
        with pytest.raises(UsageError, match="client: is open already"):
            await transport.__aenter__()


async def test_a_proof_does_not_wait_for_the_callers_pool() -> None:
    """The bound of the caller's pool is known, so that no more is signed than there are connections."""
    for total, per_host, limit in ((7, 0, 7), (0, 3, 3), (0, 0, sys.maxsize)):
        connector = aiohttp.TCPConnector(limit=total, limit_per_host=per_host)
        async with aiohttp.ClientSession(connector=connector) as session:
            assert Transport(session, timeout=5).limit == limit
    assert sys.maxsize == Transport(None, timeout=5).limit


async def test_a_failure_keeps_nothing_of_the_http_client() -> None:
    """Errors of aiohttp show the request's header fields in their repr: none hangs on ours, in no way."""
    async with served(answering(b"")) as request:
        error = await send(request.with_header("DPoP", "proof"))
    assert isinstance(error, PasswordlessError)
    assert error.__cause__ is None
    assert error.__context__ is None


async def test_a_transport_that_is_not_open_says_so() -> None:
    """Before async with and after it, nothing can be sent."""
    transport = Transport(None, timeout=5)
    request = HttpRequest("GET", URL("http://127.0.0.1:1/"), {})
    with pytest.raises(UsageError, match="client: is not open"):
        await transport.send(request)
    async with transport:
        pass
    await transport.aclose()
    with pytest.raises(UsageError, match="client: is not open"):
        await transport.send(request)


async def test_a_session_must_be_one_and_open() -> None:
    """Something else, or a closed session, is refused by name."""
    with pytest.raises(UsageError, match=r"session: must be an aiohttp\.ClientSession"):
        Transport(ssl.create_default_context(), timeout=5)  # type: ignore[arg-type]
    session = aiohttp.ClientSession()
    await session.close()
    with pytest.raises(UsageError, match="session: is closed"):
        await Transport(session, timeout=5).__aenter__()
