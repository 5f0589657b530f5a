"""A resource server that checks every proof by joserfc, and does what a test tells it."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from aiohttp import web
from joserfc import jws, jwt
from joserfc.jwk import ECKey
from joserfc.jws import JWSRegistry
from yarl import URL

from passwordless_async import DPoPKey, TokenSet
from passwordless_async._common.secret import Secret

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Awaitable, Callable

REGISTRY = JWSRegistry(algorithms=["ES256"], strict_check_header=False)
TOKEN = "an-access-token"


@attrs.define
class Resource:
    """The server: what it saw and how it answers.

    Attributes:
        nonce: What nonce a proof needs now; None: none.
        single_use: Whether each nonce passes once.
        challenge_body: The body of a 401.
        challenge_headers: The header fields of a 401, in place of the right ones.
        requests: What arrived: method, path, header fields and body.
        problems: What was wrong with any proof; a test asserts that this is empty.
    """

    url: str = ""
    nonce: str | None = None
    single_use: bool = False
    challenge_body: bytes = b"{}"
    challenge_headers: dict[str, str] | None = None
    hold: asyncio.Event | None = None
    requests: list[tuple[str, str, Any, bytes]] = attrs.field(factory=list)
    problems: list[str] = attrs.field(factory=list)
    seen: set[str] = attrs.field(factory=set)
    outstanding: set[str] = attrs.field(factory=set)
    waiting: int = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.method, request.path, request.headers, await request.read()))
        if "location" in request.query:
            return web.Response(status=int(request.query["status"]), headers={"Location": request.query["location"]})
        if "Authorization" not in request.headers:
            return web.json_response({"anonymous": True})
        claims = self.checked(request)
        if not self.passes(claims.get("nonce")):
            return self.challenge()
        if self.hold is not None:
            self.waiting += 1
            await self.hold.wait()
        headers = {"DPoP-Nonce": self.fresh()} if self.nonce else {}
        return web.json_response({"body": len(self.requests[-1][3])}, headers=headers)

    def checked(self, request: web.Request) -> dict[str, Any]:
        """Verify the proof by joserfc, and note what is wrong with it."""
        proofs = request.headers.getall("DPoP", [])
        scheme, _, token = request.headers["Authorization"].partition(" ")
        header = jws.extract_compact(proofs[0].encode()).headers()
        claims = jwt.decode(proofs[0], ECKey.import_key(header["jwk"]), registry=REGISTRY).claims
        ath = base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()
        expected = {
            "htm": request.method,
            "htu": f"{self.url}{URL(request.path_qs, encoded=True).raw_path}",
            "ath": ath,
        }
        facts = {
            "one proof": len(proofs) == 1,
            "scheme": scheme == "DPoP",
            "typ": header["typ"] == "dpop+jwt",
            "public": set(header["jwk"]) == {"crv", "kty", "x", "y"},
            "jti": claims["jti"] not in self.seen,
            **{name: claims[name] == value for name, value in expected.items()},
        }
        self.seen.add(claims["jti"])
        self.problems += [f"{name}: {claims}" for name, good in facts.items() if not good]
        return claims

    def passes(self, nonce: str | None) -> bool:
        if self.nonce is None:
            return True
        if not self.single_use:
            return nonce == self.nonce
        known = nonce in self.outstanding
        self.outstanding.discard(nonce)
        return known

    def fresh(self) -> str:
        if not self.single_use:
            return self.nonce or ""
        nonce = f"nonce-{len(self.seen)}-{len(self.outstanding)}"
        self.outstanding.add(nonce)
        return nonce

    def challenge(self) -> web.Response:
        challenge = 'Bearer realm="x", DPoP error="use_dpop_nonce"'
        headers = self.challenge_headers or {"WWW-Authenticate": challenge, "DPoP-Nonce": self.fresh()}
        return web.Response(status=401, body=self.challenge_body, headers=headers)


@pytest.fixture
async def make_resource() -> AsyncIterator[Callable[..., Awaitable[Resource]]]:
    """Start resource servers on free loopback ports; each checks at its end that no proof was wrong."""
    started: list[tuple[web.AppRunner, Resource]] = []

    async def make(**settings: Any) -> Resource:
        resource = Resource(**settings)
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{path:.*}", resource.handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        resource.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        started.append((runner, resource))
        return resource

    yield make
    for runner, resource in started:
        await runner.cleanup()
        assert resource.problems == []


@pytest.fixture
async def resource(make_resource: Callable[..., Awaitable[Resource]]) -> Resource:
    """Start a server that wants a nonce."""
    return await make_resource(nonce="nonce-1")


@pytest.fixture
def tokens() -> TokenSet:
    """Make tokens that are bound to a key."""
    return TokenSet(Secret(TOKEN), "DPoP", None, "", None, None, None, DPoPKey.generate())
