"""What the caller is told of a connection that cannot be made, and whether another try may help."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import aiohttp
import pytest
from yarl import URL

from helpers.servers import send
from passwordless_async._common.http import HttpRequest
from passwordless_async._common.secret import SecretBytes
from passwordless_async.client.traffic.transport import Transport
from passwordless_async.errors import NotSent
from passwordless_async.testing import ThrowAwayCa


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
