"""Requests as a hostile client combines them, in the server of aiohttp.web and in an ASGI application.

Each is made of pieces that are right, nearly right, or anything; a seed makes the same requests again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from random import Random
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import attrs
from aiohttp import web
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from helpers.apis import BASE, ISSUER, ApiClient, make_server
from passwordless_async import DPoPKey, MemoryReplayStore, ProofGenerator, ResourceMetadata
from passwordless_async.adapters import aiohttp_web, asgi, starlette
from passwordless_async.errors import TemporarilyUnavailable
from passwordless_async.resource_server.fetching import KeyFetcher

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Ask = Callable[["Hostile"], Awaitable[int]]

# 503: the replay store, or the issuer's keys, cannot be asked. Any other 5xx is a fault.
STATUSES = {200, 307, 400, 401, 403, 404, 405, 413, 414, 431, 503}
METHODS = ["GET"] * 60 + ["get", "HEAD", "POST", "OPTIONS", "CONNECT", "X" * 20, "G T", "", "\x00", "*"]
TARGETS = ["/me"] * 40 + [
    *("/me?x=1", "/me#x", "//me", "/ME", "/me/", "/%6de", "/m%65", "/me%2F", "/me%", "/me%zz", "/a/../me", "/./me"),
    *(
        "/me;x",
        "",
        "*",
        "http://api.example/me",
        "https://[::1",
        "api.example:443",
        "/health",
        "/%68ealth",
        "/static/x",
    ),
    *("/static/%2e%2e/me", "/static/..%2fme", "/static//x", "/\xff", "/%ff", "/" + "x" * 9000, "/health?me", "\\me"),
    *("/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/v1", "/v1/me", "/me\x00", " /me"),
]
NAMES = ["Authorization", "authorization", "AUTHORIZATION", "DPoP", "dpop", "Host", "Forwarded", "X-Forwarded-Host"]
HOSTS = ["api.example", "old.example", "evil.example", "api.example:443", "", "[", "a" * 300, "api.example, x", "\xff"]
FORWARDED = ["host=old.example", 'host="old.example"', "for=x;host=a, host=b", 'host="', ";;", "=", "x" * 9000, ","]
SCHEMES = ["DPoP", "Bearer", "dpop", "BEARER", "Basic", "", "DPoP,", "DPoP\t", "Bearer  ", "\xff", "D P o P"]
_QUIET = logging.getLogger("hostile")
_QUIET.disabled = True  # aiohttp says of each malformed request why it is one


@attrs.frozen
class Hostile:
    """One request."""

    method: str
    target: str
    fields: list[tuple[str, str]]


@attrs.define
class Attacker:
    """Makes requests.

    Args:
        seed: The same requests for the same seed and number.
    """

    seed: int = 0
    client: ApiClient = attrs.field(factory=ApiClient)
    random: Random = attrs.field(init=False)  # what all is drawn from
    _tokens: list[str] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.random = Random(self.seed)  # noqa: S311 - no secret
        make = self.client.token
        header, payload, signature = make().split(".")
        other = DPoPKey.generate().thumbprint
        confirmations: list[Any] = [{}, {"jkt": other}, {"jkt": 7}, [], "x", None, {"jkt": "x", "x5t#S256": "y"}]
        self._tokens = [
            *(make(), make(bound=False), make(scope="write"), make(bound=False, scope="read")),
            *(
                make(exp=1),
                make(exp="x"),
                make(iat=2**70),
                make(nbf=2**40),
                make(aud=["x"]),
                make(aud=7),
                make(iss="x"),
            ),
            *(make(sub=None), make(sub=7), make(scope=7), make(scope=["read"]), make(permissions={}), make(nonce="n")),
            *(make(cnf=confirmation) for confirmation in confirmations),
            *(f"{header}.{payload}.", f"{header}..{signature}", f".{payload}.{signature}", f"{header}.{payload}"),
            *("..", "e30.e30.e30", "eyJhbGciOiJub25lIn0.e30.", "a" * 20_000, "\xff", "", "x y", "null", "A" * 3),
            *(f"eyJhbGciOiJIUzI1NiIsImtpZCI6ImsxIn0.{payload}.{signature}", f"{header}.{payload}.{signature}x"),
        ]

    def request(self) -> Hostile:
        """Return the next request."""
        draw = self.random
        if draw.random() < 0.2:  # right, but for what is added
            fields = list(self.client.headers().items())
        else:
            token = self._token()
            fields = [("Authorization", f"{draw.choice(SCHEMES[: draw.choice((2, 11))])} {token}")]
            fields += [("DPoP", self._proof(token)) for _ in range(draw.choice((0, 1, 1, 1, 2)))]
        fields += [(draw.choice(NAMES), self._value()) for _ in range(draw.choice((0, 0, 0, 1, 2, 4)))]
        draw.shuffle(fields)
        return Hostile(draw.choice(METHODS), draw.choice(TARGETS), fields)

    def _token(self) -> str:
        draw = self.random
        return self._edited(draw.choice(self._tokens[: draw.choice((2, 2, 100))]))

    def _proof(self, token: str) -> str:
        draw = self.random
        claims: dict[str, Any] = {"url": f"{BASE}/me", "access_token": token}
        if draw.random() < 0.2:
            claims["nonce"] = draw.choice(["x", "y" * 500])
        try:
            proof = ProofGenerator(self.client.key).proof(draw.choice(["GET", "GET", "POST"]), **claims)
        except Exception:  # noqa: BLE001 - a token that no proof can be made for
            proof = ".".join(draw.choice(["e30", "eyJhIjoxfQ", "W10", "bnVsbA", "", "A" * 86]) for _ in range(3))
        return self._edited(proof)

    def _edited(self, text: str) -> str:
        """Return a text as it is, or with an edit at some place."""
        draw = self.random
        if draw.random() < 0.6 or not text:
            return text
        at = draw.randrange(len(text))
        return (
            text[:at]
            + draw.choice(["", "A", ".", "=", "\xff", " ", "\t", ",", "%00", "{"])
            + text[at + draw.choice((0, 1, 9)) :]
        )

    def _value(self) -> str:
        draw = self.random
        kinds = (
            HOSTS,
            FORWARDED,
            SCHEMES,
            self._tokens,
            ["".join(map(chr, draw.choices(range(32, draw.choice((127, 256))), k=12)))],
        )
        return draw.choice(draw.choice(kinds))


class Unreachable(KeyFetcher):
    """Has its keys, and cannot fetch others."""

    async def find(self, kid: str, alg: str) -> Any:
        """Return a key."""
        found = self.keys.get(kid, alg)
        if found is None:
            raise TemporarilyUnavailable(status=503, error="temporarily_unavailable")
        return found


def server() -> Any:
    """Return a server of several names whose issuer cannot be reached for other keys."""
    made = make_server(
        base_url=[BASE, "https://old.example/v1"],
        dpop="preferred",
        replay=MemoryReplayStore(max_entries=10_000_000),
        metadata=ResourceMetadata(),
    )

    made._fetchers[ISSUER] = Unreachable(made._fetchers[ISSUER].keys, None)
    return made


def asgi_door() -> Ask:
    """Return what asks an ASGI application, which is guarded twice."""

    async def me(request: Any) -> PlainTextResponse:
        return PlainTextResponse(request[asgi.AUTHORIZED].subject)

    async def health(_request: Any) -> PlainTextResponse:
        return PlainTextResponse("")

    api = server()
    endpoint = starlette.protect(api, scopes={"read"}, trusted_proxies=1)(me)
    inner = Starlette(routes=[Route("/me", endpoint), Route("/health", health)])
    app = asgi.DPoPASGIMiddleware(inner, server=api, public=["/health", "/static/*"], trusted_proxies=1)

    async def ask(request: Hostile) -> int:
        path, _, query = request.target.partition("?")
        fields = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in request.fields]
        scope = {"type": "http", "method": request.method, "path": unquote(path, errors="replace"), "headers": fields}
        raw = {"raw_path": path.encode("latin-1"), "query_string": query.encode("latin-1"), "root_path": ""}
        statuses: list[int] = []

        async def send(message: Any) -> None:
            statuses.extend([message["status"]] if "status" in message else [])

        await app({**scope, **raw, "scheme": "https", "server": None}, _receive, send)
        return statuses[0]

    return ask


async def _receive() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


class Transport(asyncio.Transport):
    """Takes what a server writes."""

    def __init__(self) -> None:
        super().__init__()
        self.head: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.closed = False

    def is_closing(self) -> bool:
        return self.closed

    def write(self, data: Any) -> None:
        if not self.head.done():
            self.head.set_result(bytes(data))

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def close(self) -> None:
        self.closed = True
        self.write(b"HTTP/1.1 400 closed")

    abort = close


async def aiohttp_door() -> Ask:
    """Return what sends the bytes of a request to an application of aiohttp.web, which is guarded twice."""

    async def me(request: web.Request) -> web.Response:
        return web.Response(text=request[aiohttp_web.AUTHORIZED].subject)

    async def health(_request: web.Request) -> web.Response:
        return web.Response()

    api = server()
    guarded = aiohttp_web.dpop_middleware(api, public=["/health", "/static/*"], trusted_proxies=1)
    app = web.Application(middlewares=[guarded])
    app.router.add_route("*", "/me", aiohttp_web.protect(api, scopes={"read"}, trusted_proxies=1)(me))
    app.router.add_get("/health", health)
    runner = web.AppRunner(app, access_log=None, logger=_QUIET)
    await runner.setup()

    async def ask(request: Hostile) -> int:
        assert runner.server is not None
        protocol, transport = runner.server(), Transport()
        protocol.connection_made(transport)
        protocol.data_received(wire(request))
        try:
            async with asyncio.timeout(10):
                head = await transport.head
        finally:
            protocol.connection_lost(None)
        return int(head.split(b" ", 2)[1][:3])

    return ask


def wire(request: Hostile) -> bytes:
    """Return the bytes of a request."""
    fields = [f"{name}: {value}" for name, value in request.fields]
    lines = [f"{request.method} {request.target} HTTP/1.1", "Host: api.example", *fields]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


async def attack(ask: Ask, requests: int, *, seed: int) -> Counter[int]:
    """Send requests; return how often each status was the answer. Another one than :data:`STATUSES` ends it."""
    attacker, seen = Attacker(seed), Counter[int]()
    for number in range(1, requests + 1):
        request = attacker.request()
        status = await ask(request)
        assert status in STATUSES, (seed, number, status, request)
        seen[status] += 1
    return seen
