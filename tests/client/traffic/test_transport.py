"""The transport against real sockets: what a server can do to a request, and what the caller is told."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
import ssl
import sys
import threading
import zlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from yarl import URL

from helpers.values import present
from passwordless_async._common.http import HttpRequest
from passwordless_async._common.secret import SecretBytes
from passwordless_async.auth0.refusals import refusal
from passwordless_async.client.traffic.transport import MAX_BODY, MAX_FIELD, Transport
from passwordless_async.errors import (
    ClientClosed,
    MalformedAnswer,
    NotSent,
    OutcomeUnknown,
    PasswordlessError,
    RateLimited,
    TransportError,
    UsageError,
)
from passwordless_async.testing import ThrowAwayCa

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


def compressed(body: bytes, *, coding: str = "gzip", status: str = "200 OK") -> bytes:
    """Make a response with a body in a coding."""
    head = f"HTTP/1.1 {status}\r\nContent-Encoding: {coding}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


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
        pytest.param(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000 + b"\r\n\r\n", id="a header of 70 KB"),
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
        pytest.param(compressed(gzip.compress(b" " * (MAX_BODY + 1))), id="262 KB in a small gzip"),
        pytest.param(compressed(gzip.compress(b"{}"), coding="br"), id="an unknown coding"),
        pytest.param(compressed(b"{}"), id="no gzip, though it says so"),
    ],
)
async def test_a_body_is_bounded(answer: bytes) -> None:
    """A body beyond its bound, or one that could be on unpacking, is not read; the answer says why."""
    async with served(answering(answer)) as request, Transport(None, timeout=5) as transport:
        response = await transport.send(request)
    assert (response.status, response.body, response.is_empty, response.json_of_any_type()) == (200, b"", False, None)
    with pytest.raises(MalformedAnswer, match=f"(over|to) {MAX_BODY} bytes") as caught:
        response.require_json_object()
    assert caught.value.status == 200


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 429 No\r\nRetry-After: 7\r\n\r\n" + b" " * (MAX_BODY + 1), id="an endless page"),
        pytest.param(compressed(b"?", coding="br", status="429 No\r\nRetry-After: 7"), id="a page in Brotli"),
    ],
)
async def test_a_refusal_counts_though_its_body_cannot_be_read(answer: bytes) -> None:
    """A gateway's page is no reason to throw away what its status says: a 429 spent no code."""
    async with served(answering(answer)) as request, Transport(None, timeout=5) as transport:
        response = await transport.send(request)
    error = refusal(request, response)
    assert isinstance(error, RateLimited)
    assert error.retry_after == 7.0


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
    """Before async with and after it, nothing can be sent; opened again, it sends."""
    transport = Transport(None, timeout=5)
    request = HttpRequest("GET", URL("http://127.0.0.1:1/"), {})
    with pytest.raises(UsageError, match="client: is not open"):
        await transport.send(request)
    async with transport:
        pass
    await transport.aclose()
    with pytest.raises(ClientClosed, match="client: is not open any more"):
        await transport.send(request)


async def test_a_callers_cancellation_while_the_transport_is_closed_is_the_callers() -> None:
    """It does not become an error as the cancellations by closing do."""
    transport = await Transport(None, timeout=5).__aenter__()
    closing = asyncio.create_task(transport.aclose())
    # It begins after closing has cancelled what was being sent.
    sending = asyncio.ensure_future(transport.send(HttpRequest("GET", URL("https://192.0.2.1/"), {})))
    await asyncio.sleep(0)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    await closing


async def test_a_session_must_be_one_and_open() -> None:
    """Something else, or a closed session, is refused by name."""
    with pytest.raises(UsageError, match=r"session: must be an aiohttp\.ClientSession"):
        Transport(ssl.create_default_context(), timeout=5)  # type: ignore[arg-type]
    session = aiohttp.ClientSession()
    await session.close()
    with pytest.raises(UsageError, match="session: is closed"):
        await Transport(session, timeout=5).__aenter__()


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(compressed(gzip.compress(b"{}")), id="gzip"),
        pytest.param(compressed(zlib.compress(b"{}"), coding="deflate"), id="deflate"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Encoding: Identity\r\nContent-Length: 2\r\n\r\n{}", id="identity"),
    ],
)
async def test_a_body_that_is_compressed_unasked_is_decoded(answer: bytes) -> None:
    """The code is spent: a login is not thrown away for what a gateway did to the body."""
    async with served(answering(answer)) as request, Transport(None, timeout=5) as transport:
        assert (await transport.send(request)).body == b"{}"


async def test_a_long_header_field_is_read() -> None:
    """A header field that is longer than aiohttp's default costs no login; the bound itself is allowed."""
    field = b"a" * (MAX_FIELD - 100)
    answer = OK.replace(b"Content-Type", b"X-Long: " + field + b"\r\nContent-Type")
    async with served(answering(answer)) as request, Transport(None, timeout=5) as transport:
        assert (await transport.send(request)).headers["X-Long"] == field.decode()


async def test_the_bounds_of_the_callers_session_count() -> None:
    """A session that allows longer header fields lends that too."""
    field = b"a" * (MAX_FIELD + 1_000)
    answer = OK.replace(b"Content-Type", b"X-Long: " + field + b"\r\nContent-Type")
    async with (
        served(answering(answer)) as request,
        aiohttp.ClientSession(max_field_size=2 * MAX_FIELD, max_line_size=2 * MAX_FIELD) as session,
        Transport(session, timeout=5) as transport,
    ):
        assert len((await transport.send(request)).headers["X-Long"]) == len(field)


HOOKS_BEFORE = ("on_request_start", "on_connection_create_start", "on_connection_create_end", "on_request_headers_sent")
HOOKS_AFTER = ("on_request_chunk_sent", "on_request_end")


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("hook", [*HOOKS_BEFORE, *HOOKS_AFTER])
async def test_what_a_hook_raises_does_not_leave(method: str, hook: str) -> None:
    """An exception of the application's own hook becomes an error that says whether bytes may have left."""
    if (method, hook) == ("GET", "on_request_chunk_sent"):
        pytest.skip("a request without a body has no chunks")
    answer = OK

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()

    async def fails(*_: object) -> None:
        raise LookupError("a secret of the application")

    trace = aiohttp.TraceConfig()
    getattr(trace, hook).append(fails)
    async with (
        served(handle) as request,
        aiohttp.ClientSession(trace_configs=[trace]) as session,
        Transport(session, timeout=5) as transport,
    ):
        asked = request if method == "POST" else HttpRequest("GET", request.url, {})
        with pytest.raises(OutcomeUnknown if hook in HOOKS_AFTER else NotSent) as caught:
            await transport.send(asked)
    assert "secret" not in str(caught.value)


class _Departures:
    """Counts the requests that are about to be written."""

    def __init__(self) -> None:
        self.number = 0

    def __call__(self) -> None:
        self.number += 1


async def test_a_request_that_is_cancelled_in_a_handshake_did_not_depart() -> None:
    """A request departs when its connection is there; one that waits for a handshake has sent nothing."""
    greeted, stop = asyncio.Event(), asyncio.Event()

    async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        greeted.set()
        await stop.wait()

    departures = _Departures()
    async with served(silent) as request, Transport(None, timeout=5) as transport:
        asked = HttpRequest("POST", request.url.with_scheme("https"), {}, request.body)

        async def send_it() -> object:
            return await transport.send(asked, departures)

        sending = asyncio.create_task(send_it())
        await greeted.wait()
        sending.cancel()
        ended = await asyncio.gather(sending, return_exceptions=True)
        stop.set()
    assert isinstance(ended[0], asyncio.CancelledError)
    assert departures.number == 0


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_a_request_departs_once(method: str) -> None:
    """A request with a connection departs, with and without a body."""
    departures = _Departures()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)

    async with served(handle) as request, Transport(None, timeout=5) as transport:
        asked = request if method == "POST" else HttpRequest("GET", request.url, {})
        await transport.send(asked, departures)
    assert departures.number == 1


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


async def test_a_refused_certificate_is_no_reason_to_try_again() -> None:
    """Nothing was sent, the verifier's words are in the message, and the same call would fail again."""

    async def nothing(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    server = await asyncio.start_server(nothing, "127.0.0.1", 0, ssl=ThrowAwayCa().server_context())
    async with server:
        url = URL(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/oauth/token")
        error = await send(HttpRequest("POST", url, {}, SecretBytes(b"otp=123456")))
    assert isinstance(error, NotSent)
    assert not error.retryable
    assert NotSent.retryable
    assert "self-signed certificate" in str(error)
    assert "certificate" in error.advice


class _Resolver(aiohttp.abc.AbstractResolver):
    """Fails for every name."""

    def __init__(self, error: OSError) -> None:
        self._error = error

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> Any:  # noqa: ARG002 - aiohttp's
        """Fail."""
        raise self._error

    async def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize(
    ("error", "retryable"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), False),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"), True),
        (OSError(None, "DNS server returned answer with no data"), True),
    ],
)
async def test_a_name_that_does_not_resolve(error: OSError, retryable: bool) -> None:  # noqa: FBT001 - a parameter
    """Nothing was sent. Trying again helps where the name server failed, and not where it knows no such name."""
    connector = aiohttp.TCPConnector(resolver=_Resolver(error))
    async with aiohttp.ClientSession(connector=connector) as session, Transport(session, timeout=5) as transport:
        with pytest.raises(NotSent, match=r"the name acme\.example was not found") as caught:
            await transport.send(HttpRequest("GET", URL("https://acme.example/"), {}))
    assert caught.value.retryable is retryable
    assert "domain" in caught.value.advice


def unchecked(**settings: object) -> ssl.SSLContext:
    """Make a context that does not check all that it should."""
    context = ssl.create_default_context()
    for name, value in settings.items():
        setattr(context, name, value)
    return context


@pytest.mark.parametrize(
    "lent",
    [
        pytest.param(False, id="ssl=False"),
        pytest.param(unchecked(check_hostname=False), id="no host name"),
        pytest.param(unchecked(check_hostname=False, verify_mode=ssl.CERT_NONE), id="no certificate"),
        pytest.param(unchecked(verify_mode=ssl.CERT_OPTIONAL), id="an optional certificate"),
    ],
)
async def test_a_session_that_does_not_check_certificates_is_refused(
    lent: ssl.SSLContext | bool,  # noqa: FBT001 - aiohttp's
) -> None:
    """Codes and secrets would go to any server. Where the service is plain http on loopback, TLS does not matter."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=lent)) as session:
        with pytest.raises(UsageError, match="session: does not check certificates"):
            Transport(session, timeout=5)
        async with Transport(session, timeout=5, checks=False) as transport:
            assert transport.require_api()


async def test_a_session_that_stops_checking_certificates_is_refused() -> None:
    """What it lends is looked at again when the client is opened."""
    context = ssl.create_default_context()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
        transport = Transport(session, timeout=5)
        context.check_hostname = False
        with pytest.raises(UsageError, match="session: does not check certificates"):
            await transport.__aenter__()


async def test_a_session_that_checks_certificates_is_taken() -> None:
    """By the authorities, or by the fingerprint of the one certificate that is right."""
    for lent in (True, ssl.create_default_context(), aiohttp.Fingerprint(b"f" * 32)):
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=lent)) as session:
            assert Transport(session, timeout=5).limit == 100


def test_another_event_loop_is_named() -> None:
    """In another event loop than its own, nothing is sent; after it was closed, it opens in the next one."""
    transport = Transport(None, timeout=5)

    async def use() -> None:
        async with served(answering(OK)) as request, transport:
            assert (await transport.send(request)).status == 200

    async def misuse() -> None:
        request = HttpRequest("GET", URL("http://127.0.0.1:1/"), {})
        with pytest.raises(UsageError, match="event loop"):
            await transport.send(request)
        with pytest.raises(UsageError, match="event loop"):
            assert transport.require_api()
        with pytest.raises(UsageError, match="event loop"):
            await transport.__aenter__()
        with pytest.raises(UsageError, match="event loop"):
            await transport.aclose()

    asyncio.run(use())
    asyncio.run(use())
    with asyncio.Runner() as runner:
        runner.run(transport.__aenter__())
        asyncio.run(misuse())
        runner.run(transport.aclose())
