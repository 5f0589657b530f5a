"""The transport against real sockets: what a server can do to a request, and what the caller is told."""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
import sys
import zlib
from typing import TYPE_CHECKING

import aiohttp
import pytest
from yarl import URL

from helpers.servers import OK, answering, send, served
from helpers.values import present
from passwordless_async._common.http import HttpRequest
from passwordless_async._common.secret import SecretBytes
from passwordless_async.auth0.refusals import refusal
from passwordless_async.client.traffic.connections import MAX_FIELD
from passwordless_async.client.traffic.transport import MAX_BODY, Transport
from passwordless_async.errors import (
    ClientClosed,
    MalformedAnswer,
    NotSent,
    OutcomeUnknown,
    PasswordlessError,
    RateLimited,
    UsageError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def compressed(body: bytes, *, coding: str = "gzip", status: str = "200 OK") -> bytes:
    """Make a response with a body in a coding."""
    head = f"HTTP/1.1 {status}\r\nContent-Encoding: {coding}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


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
