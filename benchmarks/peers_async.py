"""The contenders of :mod:`benchmarks.peers` that are written for asyncio."""

# ruff: noqa: PLC0415 - the other libraries are imported where they are measured: none of them needs to be installed

from __future__ import annotations

import asyncio
import base64
import secrets
import ssl
import time
import warnings
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from cryptography.hazmat.primitives.asymmetric import ec

from benchmarks.load import OTP, SCOPE, form, usernames
from benchmarks.stub import CLIENT_ID

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from benchmarks.load import Operation
    from benchmarks.server import Server

_OK, _BAD_REQUEST = 200, 400


@asynccontextmanager
async def auth0_server_python(server: Server) -> AsyncIterator[Operation]:
    """Log in as the SDK for servers does, with its metadata and keys cached."""
    with warnings.catch_warnings(record=True):  # that a library of its own is deprecated
        from auth0_server_python.auth_server import PasswordlessClient
        from auth0_server_python.auth_server.server_client import ServerClient
        from auth0_server_python.auth_types import VerifyPasswordlessOtpOptions

    username = usernames()
    client = PasswordlessClient(
        ServerClient(
            domain=urlsplit(server.origin).netloc,
            client_id=CLIENT_ID,
            client_secret=secrets.token_urlsafe(32),
            secret=secrets.token_urlsafe(32),
            state_store=_Store(),
            transaction_store=_Store(),
        )
    )

    async def login() -> object:
        return await client.verify(
            VerifyPasswordlessOtpOptions(connection="email", verification_code=OTP, email=username(), scope=SCOPE)
        )

    yield login


class _Store:
    """Keeps the last session, as an unencrypted cookie would: the cheapest store there can be."""

    def __init__(self) -> None:
        self._kept: dict[str, object] = {}

    async def set(self, identifier: str, state: object, **_: object) -> None:
        self._kept[identifier] = state

    async def get(self, identifier: str, **_: object) -> object:
        return self._kept.get(identifier)

    async def delete(self, identifier: str, **_: object) -> None:
        self._kept.pop(identifier, None)


@asynccontextmanager
async def httpx2_by_hand(server: Server) -> AsyncIterator[Operation]:
    """Log in as an application does that writes its own proofs: one client for all, and the newest nonce kept."""
    import httpx2
    import jwt

    username, url, nonce = usernames(), server.token_url, ""

    def proof() -> str:
        key = ec.generate_private_key(ec.SECP256R1())
        claims = {"jti": secrets.token_urlsafe(16), "htm": "POST", "htu": url, "iat": int(time.time()), "nonce": nonce}
        return jwt.encode(claims, key, "ES256", {"typ": "dpop+jwt", "jwk": _public_jwk(key)})

    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx2.AsyncClient(limits=limits, timeout=60) as client:

        async def login() -> object:
            nonlocal nonce
            for _ in range(2):
                response = await client.post(url, data=form(username()), headers={"DPoP": proof()})
                nonce = response.headers["DPoP-Nonce"]
                if response.status_code != _BAD_REQUEST:
                    break
            return response.raise_for_status().json()

        yield login


@asynccontextmanager
async def bare_pyreqwest(server: Server) -> AsyncIterator[Operation]:
    """Send the form through a client that is written in Rust, without a proof, and read the answer."""
    from pyreqwest.client import ClientBuilder

    username, url = usernames(), server.token_url
    builder = ClientBuilder().add_root_certificate_pem(server.ca.encode()).timeout(timedelta(seconds=60))
    async with builder.build() as client:

        async def post() -> object:
            response = await client.post(url).form(form(username())).build().send()
            return await response.json()

        yield post


def _public_jwk(key: ec.EllipticCurvePrivateKey) -> dict[str, Any]:
    numbers = key.public_key().public_numbers()
    x, y = (base64.urlsafe_b64encode(n.to_bytes(32)).rstrip(b"=").decode() for n in (numbers.x, numbers.y))
    return {"kty": "EC", "crv": "P-256", "x": x, "y": y}


@asynccontextmanager
async def streams(server: Server) -> AsyncIterator[Operation]:
    """Send the form through bare streams, and read the answer as bytes: the limit for asyncio's own."""
    context = ssl.create_default_context(cadata=server.ca)
    where = urlsplit(server.origin)
    username = usernames()
    idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    head = f"POST /oauth/token HTTP/1.1\r\nHost: {where.netloc}\r\nContent-Type: application/x-www-form-urlencoded\r\n"

    async def post() -> object:
        pair = idle.pop() if idle else await asyncio.open_connection(where.hostname, where.port, ssl=context)
        reader, writer = pair
        body = urlencode(form(username()))
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        answer = await reader.readuntil(b"\r\n\r\n")
        if int(answer.split(b" ", 2)[1]) != _OK:
            raise RuntimeError(answer.decode())
        length = int(answer.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        content = await reader.readexactly(length)
        idle.append(pair)
        return content

    try:
        yield post
    finally:
        for _, writer in idle:
            writer.close()
            await writer.wait_closed()
