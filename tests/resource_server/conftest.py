"""An issuer of access tokens on loopback, a client with a key, and servers that accept its tokens."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey
from joserfc.jws import JWSRegistry

from helpers import conformance
from passwordless_async import DPoPKey, MemoryReplayStore, ProofGenerator, ResourceServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

AUDIENCE = "https://api.example"
BASE = "https://api.example"
# Making an RSA key takes a tenth of a second: one for all tests.
KEY = RSAKey.generate_key(2048, {"kid": "k1"})
OTHER_KEY = RSAKey.generate_key(2048, {"kid": "k2"})
EC_KEY = ECKey.generate_key("P-256", {"kid": "ec"})
ABSENT: Any = object()


def without_absent(members: dict[str, Any]) -> dict[str, Any]:
    """Leave out the members that stand for none."""
    return {name: value for name, value in members.items() if value is not ABSENT}


@attrs.define
class Client:
    """A client with a key, and the tokens that an issuer gives it."""

    issuer: str = "https://issuer.example/"
    key: DPoPKey = attrs.field(factory=DPoPKey.generate)
    signing_key: Any = KEY
    now: float = attrs.field(factory=lambda: float(int(time.time())))  # whole, as the times of a token are

    absent = ABSENT

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Return right claims of Auth0's dialect, with changes."""
        right = {
            "iss": self.issuer,
            "aud": [AUDIENCE, f"{self.issuer}userinfo"],
            "sub": "auth0|ada",
            "azp": "client-1",
            "iat": int(self.now),
            "exp": int(self.now) + 60,
            "scope": "openid read:messages",
            "permissions": ["messages:read"],
        }
        return without_absent({**right, **changes})

    def profile_claims(self, **changes: Any) -> dict[str, Any]:
        """Return right claims of RFC 9068, with changes."""
        return self.claims(**{"azp": ABSENT, "permissions": ABSENT, "client_id": "client-1", "jti": "j-1", **changes})

    def sign(self, claims: dict[str, Any], *, key: Any = None, **header: Any) -> str:
        """Sign claims with the issuer's key, or another one."""
        signing_key = key or self.signing_key
        members = {"alg": "RS256", "typ": "JWT", "kid": signing_key.kid, **header}
        return jwt.encode(without_absent(members), claims, signing_key, algorithms=[members["alg"]])

    def compact(self, header: dict[str, Any], claims: dict[str, Any], key: Any = None) -> str:
        """Sign any members of a header and claims by RS256, whatever they say."""

        def sign(signing_input: bytes) -> bytes:
            return JWSRegistry().get_alg("RS256").sign(signing_input, key or self.signing_key)

        return conformance.compact(header, claims, sign)

    def token(self, *, bound: bool = False, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """Return a token, with changes to its claims and its header."""
        cnf = {"cnf": {"jkt": self.key.thumbprint}} if bound else {}
        return self.sign(self.claims(**{**cnf, **claims}), **(header or {}))

    def bearer(self, token: str | None = None, **claims: Any) -> list[tuple[str, str]]:
        """Return the header fields of a request with a Bearer token."""
        return [("Authorization", f"Bearer {token or self.token(**claims)}")]

    def dpop(self, token: str | None = None, *, path: str = "/me", **claims: Any) -> list[tuple[str, str]]:
        """Return the header fields of a GET request with a bound token and its proof."""
        token = token or self.token(bound=True, **claims)
        proof = ProofGenerator(self.key).proof("GET", f"{BASE}{path}", access_token=token)
        return [("Authorization", f"DPoP {token}"), ("DPoP", proof)]


@attrs.define
class Issuer:
    """What an issuer publishes on loopback, and how often it was asked."""

    keys: list[Any] = attrs.field(factory=lambda: [KEY])
    asked: list[str] = attrs.field(factory=list)
    metadata: dict[str, Any] = attrs.field(factory=dict)  # changes to the document
    answers: dict[str, Any] = attrs.field(factory=dict)  # by path: what to answer instead
    hold: asyncio.Event | None = None  # that the key set waits for
    is_asked: asyncio.Event = attrs.field(factory=asyncio.Event)  # for the key set
    url: str = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        self.asked.append(request.path)
        instead = self.answers.get(request.path)
        if instead is not None:
            return instead() if callable(instead) else web.Response(**{"content_type": "application/json", **instead})
        if request.path == "/.well-known/openid-configuration":
            return web.json_response({"issuer": self.url, "jwks_uri": f"{self.url}jwks", **self.metadata})
        if request.path == "/jwks":
            self.is_asked.set()
            if self.hold is not None:
                await self.hold.wait()
            return web.json_response({"keys": [key.as_dict(private=False) for key in self.keys]})
        return web.Response(status=404)


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    """Run an issuer."""
    issuer = Issuer()
    app = web.Application()
    app.router.add_get("/{path:.*}", issuer.answer)
    async with TestServer(app) as server:
        issuer.url = f"http://127.0.0.1:{server.port}/"
        yield issuer


@pytest.fixture
def client() -> Client:
    """Return a client of an issuer that is not there."""
    return Client()


@pytest.fixture(scope="session")
def client_of_session() -> Client:
    """Return a client for the examples of a property."""
    return Client()


@pytest.fixture
def user(issuer: Issuer) -> Client:
    """Return a client of the issuer."""
    return Client(issuer.url)


@pytest.fixture
def make_server(issuer: Issuer) -> Any:
    """Return what makes a resource server for the issuer's tokens."""

    def make(**options: Any) -> ResourceServer:
        settings = {"issuer": issuer.url, "audience": AUDIENCE, "base_url": BASE, "replay": MemoryReplayStore()}
        return ResourceServer(**{**settings, **options})

    return make


@pytest.fixture(scope="session")
def other_key() -> RSAKey:
    """Return a key that the issuer does not publish at first."""
    return OTHER_KEY


@pytest.fixture(scope="session")
def ec_key() -> ECKey:
    """Return an EC key."""
    return EC_KEY
