"""The CPU of a protected request beside that of the bare handler and the bare cryptography.

The cryptography of a request is the signature of its token (RS256), and that of its proof (ES256) if the token is
bound. A server remembers verified tokens, so both are measured: a token that comes again, and one that is new. The
middlewares are measured on a verifier of proofs too, whose tokens the application checks: by looking one up.

aiohttp.web is measured as a server on loopback. The ASGI application, a small one of Starlette, is called as a server
calls it: without the cost of a server, its handler is as bare as can be.

The floor is measured in two ways: the bare handler and the cryptography by itself, in a loop, added up; and a handler
that does the cryptography for the same requests. The second is higher: within a request the processor's caches hold
other things, and a request with a proof has more bytes to read.
"""

# ruff: noqa: PLC0415 - Starlette is imported where it is measured

from __future__ import annotations

import asyncio
import contextlib
import json
import queue
import socket
import threading
import time
from base64 import urlsafe_b64decode
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import attrs
from aiohttp import web
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from joserfc import jwt
from joserfc.jwk import RSAKey

from benchmarks.measure import HOW, Series, interleaved
from benchmarks.report import Bar, Report, Row
from passwordless_async import DPoPKey, DPoPVerifier, MemoryReplayStore, ProofGenerator, ResourceServer
from passwordless_async._common.http import HttpResponse
from passwordless_async.adapters import aiohttp_web, asgi

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from benchmarks.measure import Batch, Prepare

SUMMARY = "A protected request beside the bare handler and the bare cryptography"
PACKAGES = ("passwordless-async", "aiohttp", "starlette", "cryptography")
ROUNDS, MIN_ROUNDS, CALLS, COUNTED = 21, 3, 200, "requests"

ISSUER, BASE, PATH = "https://issuer.example/", "https://api.example", "/messages"
ES256, RS256 = ec.ECDSA(hashes.SHA256()), hashes.SHA256()
SCOPES = {"read:messages"}
MUST, GOAL = 1.5, 1.25
MIDDLEWARE = {"aiohttp.web": (1.35, 1.2), "ASGI": (1.45, 1.25)}  # on a verifier: must and goal
HANDLER = "bare handler"
FLOOR = "floor"
FIELDS = {
    "Host": "api.example",
    "Accept": "application/json",
    "Accept-Encoding": "gzip, deflate",
    "User-Agent": "benchmark",
}


@attrs.frozen
class Kind:
    """What comes with a request."""

    name: str
    is_bound: bool
    is_new: bool  # the token was not seen before


KINDS = (
    Kind("bound", is_bound=True, is_new=False),
    Kind("Bearer", is_bound=False, is_new=False),
    Kind("bound, new token", is_bound=True, is_new=True),
    Kind("Bearer, new token", is_bound=False, is_new=True),
)
PROOF = Kind("proof", is_bound=True, is_new=False)  # by a middleware on a verifier, which checks no token


@attrs.define
class Client:
    """A client of the API: its key, and the tokens of its issuer."""

    signing: Any = attrs.field(factory=lambda: RSAKey.generate_key(2048, {"kid": "k1"}))
    proofs: ProofGenerator = attrs.field(factory=lambda: ProofGenerator(DPoPKey.generate()))
    _made: int = 0

    def server(self, entries: int) -> ResourceServer:
        """Return a resource server that has the issuer's keys."""
        server = ResourceServer(
            issuer=ISSUER,
            audience=BASE,
            base_url=BASE,
            dpop="preferred",
            replay=MemoryReplayStore(max_entries=2 * entries),
        )
        keys = json.dumps({"keys": [self.signing.as_dict(private=False)]}).encode()
        server._fetchers[ISSUER].keys.signing.learn(HttpResponse(200, body=keys))  # noqa: SLF001 - without a network
        return server

    def verifier(self, entries: int) -> DPoPVerifier:
        """Return a verifier of proofs."""
        return DPoPVerifier(base_url=BASE, replay=MemoryReplayStore(max_entries=2 * entries))

    def claims(self, _token: str) -> dict[str, Any]:
        """Return the claims of a token, as the check of an application does that knows it."""
        return {"sub": "auth0|65f1c2a9b7d84e0012ab34cd", "cnf": {"jkt": self.proofs.key.thumbprint}}

    def token(self, *, bound: bool) -> str:
        """Return a token that no other call returned, as a tenant makes them."""
        self._made += 1
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "sub": "auth0|65f1c2a9b7d84e0012ab34cd",
            "aud": [BASE, f"{ISSUER}userinfo"],
            "iat": now,
            "exp": now + 86_400,
            "scope": "openid profile email read:messages write:messages offline_access",
            "azp": "kT3oXw9mZ1cVbN7qRsLyHpUeJdGfAi52",
            "permissions": ["read:messages", "write:messages"],
            "jti": str(self._made),
        }
        if bound:
            claims["cnf"] = {"jkt": self.proofs.key.thumbprint}
        return jwt.encode({"alg": "RS256", "typ": "JWT", "kid": "k1"}, claims, self.signing)

    def requests(self, kind: Kind, calls: int) -> Iterator[dict[str, str]]:
        """Yield the header fields of requests."""
        token = self.token(bound=kind.is_bound)
        for _ in range(calls):
            if kind.is_new:
                token = self.token(bound=kind.is_bound)
            if kind.is_bound:
                proof = self.proofs.proof("GET", BASE + PATH, access_token=token)
                yield {**FIELDS, "Authorization": f"DPoP {token}", "DPoP": proof}
            else:
                yield {**FIELDS, "Authorization": f"Bearer {token}"}


class Cryptography:
    """The bare cryptography of requests, for a handler that does nothing else with them."""

    def __init__(self, client: Client) -> None:
        self._token_key, self._scheme = client.signing.public_key, padding.PKCS1v15()
        self._proof_key = _public(client)
        self._due: deque[tuple[Any, ...]] = deque()

    def expect(self, kind: Kind, requests: list[dict[str, str]]) -> None:
        """Take apart the tokens and proofs of the requests that will come, in order."""
        for fields in requests:
            token = None if kind is PROOF else _taken_apart(fields["Authorization"].split()[1])
            self._due.append((token, _proof_of(fields) if kind.is_bound else None))

    def do(self) -> None:
        """Check the signatures of the next request."""
        token, proof = self._due.popleft()
        if token:
            self._token_key.verify(*token, self._scheme, RS256)
        if proof:
            signature, message = proof
            self._proof_key.verify(signature, message, ES256)


def run(rounds: int, calls: int) -> Report:
    """Measure each adapter with each kind of token."""
    client = Client()
    entries = (rounds + 2) * calls * 4
    with contextlib.closing(asyncio.new_event_loop()) as loop, contextlib.ExitStack() as stack:
        contenders: dict[str, Prepare] = {"ES256": partial(_es256, client), "RS256": partial(_rs256, client)}
        for name, driver in ADAPTERS.items():
            bare = stack.enter_context(driver(loop, client))
            contenders[f"{name}, {HANDLER}"] = bare.requests(KINDS[1])
            for kind in (*KINDS[:2], PROOF):  # the cryptography of a request is the same for a token that is new
                floor = stack.enter_context(driver(loop, client, cryptography=Cryptography(client)))
                contenders[f"{name}, {kind.name}, {FLOOR}"] = floor.requests(kind)
            for kind in KINDS:
                protected = stack.enter_context(driver(loop, client, server=client.server(entries)))
                contenders[f"{name}, {kind.name}"] = protected.requests(kind)
            guarded = stack.enter_context(driver(loop, client, verifier=client.verifier(entries)))
            contenders[f"{name}, {PROOF.name}"] = guarded.requests(PROOF)
        series = interleaved(contenders, rounds=rounds, calls=calls)
    return _report(series)


def _report(series: Mapping[str, Series]) -> Report:
    rows, bars = [_itself(name, series[name]) for name in ("ES256", "RS256")], []
    for adapter in ADAPTERS:
        bare = series[f"{adapter}, {HANDLER}"]
        rows.append(_itself(f"{adapter}, {HANDLER}", bare))
        for kind in KINDS:
            name = f"{adapter}, {kind.name}"
            floor = series[f"{adapter}, {KINDS[not kind.is_bound].name}, {FLOOR}"]
            total = _sum(bare, series["RS256"], *([series["ES256"]] if kind.is_bound else []))
            if not kind.is_new:
                rows.append(Row(f"{name}, {FLOOR}", floor, {"sum": floor.over(total), "floor": floor.over(floor)}))
            ratios = {"sum": series[name].over(total), "floor": series[name].over(floor)}
            rows.append(Row(name, series[name], ratios))
            bars += [
                Bar(f"{name} ÷ handler and cryptography, added up", ratios["sum"], must=MUST, goal=GOAL),
                Bar(f"{name} ÷ handler with cryptography", ratios["floor"], must=MUST, goal=GOAL),
            ]
        name = f"{adapter}, {PROOF.name}"
        floor, total = series[f"{name}, {FLOOR}"], _sum(bare, series["ES256"])
        ratios = {"sum": series[name].over(total), "floor": series[name].over(floor)}
        rows.append(Row(f"{name}, {FLOOR}", floor, {"sum": floor.over(total), "floor": floor.over(floor)}))
        rows.append(Row(name, series[name], ratios))
        must, goal = MIDDLEWARE[adapter]
        bars.append(Bar(f"{name} ÷ handler with cryptography", ratios["floor"], must=must, goal=goal))
    return Report("protected", SUMMARY, HOW, "µs", PACKAGES, rows, bars)


def _itself(name: str, figures: Series) -> Row:
    return Row(name, figures, {"sum": figures.over(figures), "floor": figures.over(figures)})


def _sum(*series: Series) -> Series:
    return Series(tuple(map(sum, zip(*(each.samples for each in series), strict=True))))


def _public(client: Client) -> ec.EllipticCurvePublicKey:
    return ec.derive_private_key(int.from_bytes(client.proofs.key.to_bytes()), ec.SECP256R1()).public_key()


def _proof_of(fields: Mapping[str, str]) -> tuple[bytes, bytes]:
    raw, message = _taken_apart(fields["DPoP"])
    return encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:])), message


def _es256(client: Client, calls: int) -> Batch:
    key = _public(client)
    made = [_proof_of(fields) for fields in client.requests(KINDS[0], calls)]

    def batch() -> None:
        for signature, message in made:
            key.verify(signature, message, ES256)

    return batch


def _rs256(client: Client, calls: int) -> Batch:
    key, scheme = client.signing.public_key, padding.PKCS1v15()
    made = [_taken_apart(client.token(bound=False)) for _ in range(calls)]

    def batch() -> None:
        for signature, message in made:
            key.verify(signature, message, scheme, RS256)

    return batch


def _taken_apart(token: str) -> tuple[bytes, bytes]:
    message, _, signature = token.rpartition(".")
    return urlsafe_b64decode(signature + "=="), message.encode()


class _Asker(threading.Thread):
    """A client of a server in the main thread: one connection, one request after the other."""

    def __init__(self, loop: asyncio.AbstractEventLoop, port: int) -> None:
        super().__init__(daemon=True)
        self._loop = loop
        self._connection = socket.create_connection(("127.0.0.1", port))
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._batches: queue.SimpleQueue[tuple[list[bytes], asyncio.Future[None]]] = queue.SimpleQueue()

    def ask(self, wires: list[bytes]) -> asyncio.Future[None]:
        """Send requests; return what is done when all are answered."""
        done: asyncio.Future[None] = self._loop.create_future()
        self._batches.put((wires, done))
        return done

    def run(self) -> None:
        """Send what there is."""
        while True:
            wires, done = self._batches.get()
            answers = {self._answer(wire) for wire in wires}
            if answers == {b"200"}:
                self._loop.call_soon_threadsafe(done.set_result, None)
            else:
                self._loop.call_soon_threadsafe(done.set_exception, RuntimeError(f"the statuses were {answers}"))

    def _answer(self, wire: bytes) -> bytes:
        self._connection.sendall(wire)
        answer = b""
        while b"\r\n\r\n" not in answer or not answer.endswith(b"}"):
            answer += self._connection.recv(65_536) or b"\r\n\r\n}"  # closed
        return answer[9:12]


class _Driver:
    """Sends requests to a handler."""

    def __init__(self, loop: asyncio.AbstractEventLoop, client: Client, cryptography: Cryptography | None) -> None:
        self._loop, self._client, self._cryptography = loop, client, cryptography

    def batch(self, requests: list[dict[str, str]]) -> Batch:
        """Return what sends requests."""
        raise NotImplementedError

    def requests(self, kind: Kind) -> Prepare:
        """Return what sends requests of a kind."""

        def prepare(calls: int) -> Batch:
            requests = list(self._client.requests(kind, calls))
            if self._cryptography is not None:
                self._cryptography.expect(kind, requests)
            return self.batch(requests)

        return prepare


class _Aiohttp(_Driver):
    """The server of aiohttp.web on loopback, in this thread; its client is in another."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        client: Client,
        *,
        server: ResourceServer | None = None,
        verifier: DPoPVerifier | None = None,
        cryptography: Cryptography | None = None,
    ) -> None:
        super().__init__(loop, client, cryptography)
        listener = socket.create_server(("127.0.0.1", 0))

        async def messages(_request: web.Request) -> web.Response:
            if cryptography is not None:
                cryptography.do()
            return web.json_response({"messages": []})

        middlewares = [] if verifier is None else [aiohttp_web.dpop_middleware(verifier, client.claims)]
        app = web.Application(middlewares=middlewares)
        handler = messages if server is None else aiohttp_web.protect(server, scopes=SCOPES)(messages)
        app.router.add_get(PATH, handler)
        self._runner = web.AppRunner(app, access_log=None, keepalive_timeout=3600)
        loop.run_until_complete(self._runner.setup())
        loop.run_until_complete(web.SockSite(self._runner, listener).start())
        self._asker = _Asker(loop, listener.getsockname()[1])
        self._asker.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_failure: object) -> None:
        self._loop.run_until_complete(self._runner.cleanup())

    def batch(self, requests: list[dict[str, str]]) -> Batch:
        """Return what sends requests."""
        wires = [_wire(fields) for fields in requests]
        return lambda: self._loop.run_until_complete(self._asker.ask(wires))


def _wire(fields: dict[str, str]) -> bytes:
    lines = [f"GET {PATH} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode()


class _Starlette(_Driver):
    """An application of Starlette, called as a server calls it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_failure: object) -> None:
        """Do nothing: there is no server."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        client: Client,
        *,
        server: ResourceServer | None = None,
        verifier: DPoPVerifier | None = None,
        cryptography: Cryptography | None = None,
    ) -> None:
        from starlette.applications import Starlette
        from starlette.responses import JSONResponse
        from starlette.routing import Route

        super().__init__(loop, client, cryptography)

        async def messages(_request: object) -> JSONResponse:
            if cryptography is not None:
                cryptography.do()
            return JSONResponse({"messages": []})

        app: Any = Starlette(routes=[Route(PATH, messages)])
        if server is not None:
            app = asgi.DPoPASGIMiddleware(app, server=server)
        elif verifier is not None:
            app = asgi.DPoPASGIMiddleware(app, verifier, client.claims)
        self._app: Any = app

    def batch(self, requests: list[dict[str, str]]) -> Batch:
        """Return what calls it with requests."""
        scopes = [_scope(fields) for fields in requests]
        return lambda: self._loop.run_until_complete(self._send(scopes))

    async def _send(self, scopes: Sequence[dict[str, Any]]) -> None:
        statuses: list[int] = []

        async def send(message: dict[str, Any]) -> None:
            if "status" in message:
                statuses.append(message["status"])

        for scope in scopes:
            await self._app(scope, _receive, send)
        if set(statuses) != {200}:
            raise RuntimeError(statuses)


async def _receive() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


def _scope(fields: dict[str, str]) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "https",
        "path": PATH,
        "raw_path": PATH.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in fields.items()],
        "client": ("192.0.2.1", 50_000),
        "server": ("10.0.0.1", 8000),
    }


ADAPTERS: dict[str, Any] = {"aiohttp.web": _Aiohttp, "ASGI": _Starlette}
