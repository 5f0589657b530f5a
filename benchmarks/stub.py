"""A server for measurements: ``python -m benchmarks.stub``, started by :mod:`benchmarks.server`.

It answers as Auth0 does and does as little as it can, so that what is measured is the client: it looks at no code, and
reads the proof's claims without checking its signature. What a client checks is right: the nonce must be a valid one,
and the ID token is signed by RS256, anew every second. A request without a proof is answered with a bearer token.

It is told what to do, and tells what it counted, by lines of JSON through its standard input and output.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import secrets
import ssl
import sys
import threading
import time
from collections import Counter, deque
from functools import partial
from typing import Any, cast

from joserfc import jwt
from joserfc.jwk import RSAKey

from passwordless_async.testing import ThrowAwayCa

CLIENT_ID = "benchmark"
USER = "auth0|5f7c8ec7c33c6c004bbafe82"
LIFETIME = 36_000  # seconds

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_PROOF = re.compile(rb"\r\ndpop: *([^\r]+)", re.IGNORECASE)
_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found"}
_START = json.dumps({"_id": "5f7c8ec7c33c6c004bbafe82", "email_verified": True}).encode()
_CHALLENGE = {"error": "use_dpop_nonce", "error_description": "Authorization server requires nonce in DPoP proof"}

Answer = tuple[int, bytes, str]  # status, body, further header lines


class Service:
    """What is behind all connections.

    Attributes:
        delay: Seconds that an answer of the token endpoint takes.
        rotation: Logins after which the nonce is another one; 0: never.
        previous: How many nonces before the present one pass.
        counts: What was asked for, by path, and ``challenges`` and ``logins``.
    """

    def __init__(self) -> None:
        self.origin = ""
        self.delay = 0.0
        self.rotation = 0
        self.previous = 0
        self.counts: Counter[str] = Counter()
        self._nonces: deque[str] = deque([secrets.token_urlsafe(24)])
        self._key = RSAKey.generate_key(2048, {"kid": "stub", "use": "sig", "alg": "RS256"})
        self._id_token: tuple[int, str] = (0, "")

    def answer(self, path: str, head: bytes, body: bytes) -> Answer:
        """Answer a request."""
        self.counts[path] += 1
        match path:
            case "/oauth/token":
                return self._token(head, body)
            case "/passwordless/start":
                return 200, _START, ""
            case "/.well-known/jwks.json":
                return 200, json.dumps({"keys": [self._key.as_dict(private=False)]}).encode(), ""
            case "/.well-known/openid-configuration":
                return 200, json.dumps(self._discovery()).encode(), ""
            case "/api":
                return 200, b"{}", ""
        return 404, b"{}", ""

    def _token(self, head: bytes, body: bytes) -> Answer:
        proof = _PROOF.search(head)
        if proof and _claims(proof[1]).get("nonce") not in self._nonces:
            self.counts["challenges"] += 1
            return 400, json.dumps(_CHALLENGE).encode(), f"DPoP-Nonce: {self._nonces[-1]}\r\n"
        self.counts["logins"] += 1
        if self.rotation and self.counts["logins"] % self.rotation == 0:
            self._nonces.append(secrets.token_urlsafe(24))
            while len(self._nonces) > self.previous + 1:
                self._nonces.popleft()
        tokens = {
            "access_token": secrets.token_urlsafe(32),
            "scope": "openid",
            "expires_in": LIFETIME,
            "token_type": "DPoP" if proof else "Bearer",
        }
        if b"openid" in body:
            tokens["id_token"] = self._signed()
        return 200, json.dumps(tokens).encode(), f"DPoP-Nonce: {self._nonces[-1]}\r\n"

    def _signed(self) -> str:
        now = int(time.time())
        if self._id_token[0] != now:
            claims = {"iss": f"{self.origin}/", "aud": CLIENT_ID, "sub": USER, "iat": now, "exp": now + LIFETIME}
            claims |= {"email": "user@example.com", "email_verified": True}
            self._id_token = now, jwt.encode({"alg": "RS256", "typ": "JWT", "kid": "stub"}, claims, self._key)
        return self._id_token[1]

    def _discovery(self) -> dict[str, Any]:
        return {
            "issuer": f"{self.origin}/",
            "token_endpoint": f"{self.origin}/oauth/token",
            "jwks_uri": f"{self.origin}/.well-known/jwks.json",
            "dpop_signing_alg_values_supported": ["ES256"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }


def _claims(proof: bytes) -> dict[str, Any]:
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(proof.split(b".")[1] + b"=="))
    return claims


class _Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive, for clients that send a length and wait for the answer."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end]
            length = _LENGTH.search(head)
            complete = end + 4 + (int(length[1]) if length else 0)
            if len(self._received) < complete:
                return
            body, self._received = self._received[end + 4 : complete], self._received[complete:]
            self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        path = head.split(b" ", 2)[1].decode()
        status, content, more = self._service.answer(path, head, body)
        start = f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: application/json\r\n"
        message = f"{start}{more}Content-Length: {len(content)}\r\n\r\n".encode() + content
        if self._service.delay and path == "/oauth/token":
            asyncio.get_running_loop().call_later(self._service.delay, self._transport.write, message)
        else:
            self._transport.write(message)


async def serve(*, tls: bool) -> None:
    """Serve until the standard input ends."""
    service, loop, ended = Service(), asyncio.get_running_loop(), asyncio.Event()
    ca = ThrowAwayCa() if tls else None
    context = None
    if ca is not None:
        context = ca.server_context()
        context.verify_mode = ssl.CERT_NONE  # clients have no certificates
    server = await loop.create_server(partial(_Connection, service), "127.0.0.1", 0, ssl=context, backlog=4096)
    service.origin = f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    _say({"origin": service.origin, "ca": "" if ca is None else ca.pem.decode()})

    def obey(line: str) -> None:
        told = json.loads(line)
        if told.pop("reset", False):
            service.counts.clear()
        for name, value in told.items():
            setattr(service, name, value)
        _say(dict(service.counts))

    def listen() -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(obey, line)
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=listen, daemon=True).start()
    await ended.wait()


def _say(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    options = json.loads(sys.argv[1])
    if options["cpu"] is not None:
        os.sched_setaffinity(0, {options["cpu"]})
    asyncio.run(serve(tls=options["tls"]))
