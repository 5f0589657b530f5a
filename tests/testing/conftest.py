"""A bare client for the tenant's tests: proofs by joserfc alone, requests by aiohttp alone."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import time
import uuid
from typing import TYPE_CHECKING, Any

import aiohttp
import attrs
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey
from joserfc.jws import JWSRegistry

from passwordless_async.auth0.identity import Email
from passwordless_async.testing import LocalTenant, TenantSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from ssl import SSLContext

    from multidict import CIMultiDictProxy

    Opener = Callable[..., Awaitable["Wire"]]

ADA = Email("ada@example.com")
OTP_GRANT = "http://auth0.com/oauth/grant-type/passwordless/otp"
ABSENT: Any = ...  # a member that a test takes away
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
pytest_plugins = ["passwordless_async.testing.plugin"]


@attrs.frozen
class Answer:
    """What came back."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes
    json: Any

    @property
    def words(self) -> tuple[int, str, str]:
        """Return status, error and description."""
        return self.status, self.json["error"], self.json["error_description"]


def without_absent(members: dict[str, Any]) -> dict[str, Any]:
    """Leave out what a test took away."""
    return {name: value for name, value in members.items() if value is not ABSENT}


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@attrs.define
class Wire:
    """One application's view of one tenant, with a key of its own."""

    tenant: LocalTenant
    session: aiohttp.ClientSession
    nonce: str | None = None
    key: ECKey = attrs.field(factory=lambda: ECKey.generate_key("P-256", auto_kid=False))

    @property
    def thumbprint(self) -> str:
        """Return the key's thumbprint."""
        return self.key.thumbprint()

    async def send(self, method: str, path: str, **options: Any) -> Answer:
        """Send a request; no redirect is followed."""
        async with self.session.request(method, self.tenant.url + path, allow_redirects=False, **options) as response:
            body = await response.read()
            parsed = await response.json() if body and response.content_type == "application/json" else None
            return Answer(response.status, response.headers, body, parsed)

    async def start(self, *, headers: dict[str, str] | None = None, **members: Any) -> Answer:
        """Ask for a code for Ada."""
        body = {
            "client_id": self.tenant.public_client_id,
            "connection": "email",
            "email": ADA.address,
            "send": "code",
            **members,
        }
        return await self.send("POST", "/passwordless/start", json=without_absent(body), headers=headers)

    def form(self, **members: Any) -> dict[str, str]:
        """Return the form of the grant for Ada's newest code."""
        code = members.pop("otp") if "otp" in members else self.tenant.outbox.code_for(ADA)
        form = {
            "grant_type": OTP_GRANT,
            "client_id": self.tenant.public_client_id,
            "username": ADA.address,
            "realm": "email",
            "otp": code,
            "scope": "openid",
            **members,
        }
        return without_absent(form)

    def proof(
        self,
        *,
        header: dict[str, Any] | None = None,
        method: str = "POST",
        path: str = "/oauth/token",
        access_token: str | None = None,
        **claims: Any,
    ) -> str:
        """Make a proof; members given as ABSENT are left out."""
        jwk = self.key.as_dict(private=False)
        head = {"typ": "dpop+jwt", "alg": "ES256", "jwk": {name: jwk[name] for name in ("kty", "crv", "x", "y")}}
        body = {"jti": uuid.uuid4().hex, "htm": method, "htu": self.tenant.url + path, "iat": int(time.time())}
        if self.nonce is not None:
            body["nonce"] = self.nonce
        if access_token is not None:
            digest = hashlib.sha256(access_token.encode()).digest()
            body["ath"] = _base64url(digest)
        return self.sign({**head, **(header or {})}, json.dumps(without_absent({**body, **claims})).encode())

    def sign(self, header: dict[str, Any], payload: bytes) -> str:
        """Sign any header over any payload: joserfc's ES256 without joserfc's checks of what it signs."""
        segments = [_base64url(json.dumps(without_absent(header)).encode()), _base64url(payload)]
        signature = JWSRegistry.algorithms["ES256"].sign(".".join(segments).encode(), self.key)
        return ".".join([*segments, _base64url(signature)])

    def assertion(self, *, alg: str = "ES256", header: dict[str, Any] | None = None, **claims: Any) -> str:
        """Sign a client assertion for the ready client; claims given as ABSENT are left out."""
        client = self.tenant.client_for("private_key_jwt", alg)
        key = (ECKey if alg == "ES256" else RSAKey).import_key(client.private_jwk)
        now = int(time.time())
        body = {
            "iss": client.client_id,
            "sub": client.client_id,
            "aud": self.tenant.issuer,
            "iat": now,
            "exp": now + 60,
            "jti": uuid.uuid4().hex,
        }
        head = {"alg": alg, "kid": key.kid, **(header or {})}
        return jwt.encode(head, without_absent({**body, **claims}), key, algorithms=[alg])

    def asserting(self, assertion: str | None = None, **members: Any) -> dict[str, Any]:
        """Return the members of a request by the ready client, with a fresh assertion unless another is given."""
        return {
            "client_id": "private-key-jwt-client",
            "client_assertion_type": JWT_BEARER,
            "client_assertion": assertion or self.assertion(),
            **members,
        }

    async def exchange(self, *, proof: str | list[str] | None = ABSENT, **members: Any) -> Answer:
        """Send the grant, with a fresh proof unless another, several or none is given."""
        return await self.token(self.form(**members), proof=proof)

    async def token(self, form: dict[str, Any], *, proof: str | list[str] | None = ABSENT) -> Answer:
        """Send any form to the token endpoint and learn the nonce."""
        if proof is ABSENT:
            proof = self.proof()
        proofs = [] if proof is None else [proof] if isinstance(proof, str) else proof
        headers = [("DPoP", value) for value in proofs]
        answer = await self.send("POST", "/oauth/token", data=without_absent(form), headers=headers)
        self.nonce = answer.headers.get("DPoP-Nonce", self.nonce)
        return answer

    async def refresh(self, refresh_token: str, *, proof: str | None = ABSENT, **members: Any) -> Answer:
        """Refresh, with a fresh proof unless another or none is given."""
        form = {
            "grant_type": "refresh_token",
            "client_id": self.tenant.public_client_id,
            "refresh_token": refresh_token,
            **members,
        }
        return await self.token(form, proof=proof)

    async def mfa(self, grant: str, mfa_token: str, *, proof: str | None = ABSENT, **members: Any) -> Answer:
        """Send the grant of a second factor: ``otp``, ``oob`` or ``recovery-code``."""
        form = {
            "grant_type": f"http://auth0.com/oauth/grant-type/mfa-{grant}",
            "client_id": self.tenant.public_client_id,
            "mfa_token": mfa_token,
            **members,
        }
        return await self.token(form, proof=proof)

    async def login(self, **members: Any) -> Answer:
        """Start, learn a nonce if none is known, exchange."""
        await self.start()
        if self.nonce is None:
            await self.exchange(otp="000")
        return await self.exchange(**members)

    async def userinfo(self, access_token: str, *, scheme: str = "DPoP", proof: str | None = ABSENT) -> Answer:
        """Ask who the token's user is."""
        if proof is ABSENT:
            proof = self.proof(method="GET", path="/userinfo", access_token=access_token)
        headers = {"Authorization": f"{scheme} {access_token}"}
        return await self.send("GET", "/userinfo", headers=headers if proof is None else {**headers, "DPoP": proof})


@pytest.fixture
async def wire_for() -> AsyncIterator[Opener]:
    """Open tenants with settings of the test's own."""
    async with contextlib.AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())

        async def open_tenant(*, ssl: SSLContext | None = None, **settings: Any) -> Wire:
            tenant = await stack.enter_async_context(LocalTenant(TenantSettings(**settings), ssl=ssl))
            return Wire(tenant, session)

        yield open_tenant


@pytest.fixture
def absent() -> Any:
    """Stand for a member that a test takes away."""
    return ABSENT


@pytest.fixture
async def wire(wire_for: Opener) -> Wire:
    """Open a tenant with the default settings."""
    return await wire_for()


@pytest.fixture
async def warm(wire: Wire) -> Wire:
    """Open a tenant, have a code sent to Ada and learn a nonce."""
    await wire.start()
    await wire.exchange(otp="000")
    wire.tenant.requests.clear()
    return wire
