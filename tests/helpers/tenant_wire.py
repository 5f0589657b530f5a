"""A bare client for the tenant's tests: proofs by joserfc alone, requests by aiohttp alone."""

from __future__ import annotations

import base64
import hashlib
import json
import time
import uuid
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qsl, urlsplit

import attrs
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey
from joserfc.jws import JWSRegistry

from passwordless_async.auth0.identity import Email
from passwordless_async.testing import BOUND_API, LocalTenant

if TYPE_CHECKING:
    from ssl import SSLContext

    import aiohttp
    from multidict import CIMultiDictProxy

ADA = Email("ada@example.com")
OTP_GRANT = "http://auth0.com/oauth/grant-type/passwordless/otp"
ABSENT: Any = ...  # a member that a test takes away
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@attrs.frozen
class Answer:
    """A response."""

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
        assert client.private_jwk is not None
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


class Opener(Protocol):
    """Opens tenants with settings of the test's own."""

    async def __call__(self, *, ssl: SSLContext | None = None, **settings: Any) -> Wire:
        """Open a tenant."""


def segment_of(token: str, number: int) -> Any:
    """Return a segment of a JWT: 0 is its header, 1 its claims."""
    segment = token.split(".")[number]
    return json.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))


def claims_of(token: str) -> Any:
    """Return the claims of a JWT, unchecked."""
    return segment_of(token, 1)


def basic(client_id: str, secret: str) -> dict[str, str]:
    """Return the header of HTTP Basic."""
    return {"Authorization": "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()}


async def published_keys(wire: Wire) -> list[dict[str, Any]]:
    """Return the published key set's keys."""
    keys: list[dict[str, Any]] = (await wire.send("GET", "/.well-known/jwks.json")).json["keys"]
    return keys


async def follow_link(wire: Wire, link: str | None = None) -> tuple[str, dict[str, str]]:
    """Follow a link, by default the newest, and return its target and the target's parameters."""
    path = (link or wire.tenant.outbox.link_for(ADA)).removeprefix(wire.tenant.url)
    answer = await wire.send("GET", path)
    assert answer.status == 302, answer.body
    location = urlsplit(answer.headers["Location"])
    return location._replace(query="").geturl(), dict(parse_qsl(location.query))


async def ask_and_follow(wire: Wire, **auth_params: Any) -> dict[str, str]:
    """Request a link, follow it and return the parameters of its target."""
    params = {"scope": "openid", **auth_params}
    assert (await wire.start(send="link", authParams=params)).status == 200
    return (await follow_link(wire))[1]


async def redeem_code(wire: Wire, code: str, **members: Any) -> Answer:
    """Send the authorization code grant."""
    form = {"grant_type": "authorization_code", "client_id": wire.tenant.public_client_id, "code": code, **members}
    return await wire.token(form)


async def log_in_offline(wire: Wire, **members: Any) -> Any:
    """Log in with a refresh token and return the body."""
    scope = "openid email offline_access"
    return (await wire.login(**{"scope": scope, "audience": BOUND_API, **members})).json


async def revoke(wire: Wire, token: str, **members: Any) -> Answer:
    """Revoke a token."""
    body = {"client_id": wire.tenant.public_client_id, "token": token, **members}
    return await wire.send("POST", "/oauth/revoke", json=body)


async def start_database(wire: Wire, **members: Any) -> Answer:
    """Start a login by the database connection; members given as ABSENT are left out."""
    body = {
        "client_id": wire.tenant.public_client_id,
        "connection": "Username-Password-Authentication",
        "email": ADA.address,
        **members,
    }
    return await wire.send("POST", "/otp/challenge", json=without_absent(body))


async def open_auth_session(wire: Wire, **members: Any) -> str:
    """Start a login of Ada, whom the database connection knows, and return its ``auth_session``."""
    wire.tenant.users.add(ADA, database=True)
    session: str = (await start_database(wire, **members)).json["auth_session"]
    return session


async def exchange_database(wire: Wire, auth_session: str, **members: Any) -> Answer:
    """Send the OTP grant of a database connection."""
    return await wire.exchange(username=ABSENT, realm=ABSENT, auth_session=auth_session, **members)


async def stop_at_mfa(wire: Wire, *mfa: str, **members: Any) -> Any:
    """Log in as far as the second factor and return the body of the refusal."""
    wire.tenant.users.add(ADA, mfa=mfa)
    answer = await wire.login(**{"scope": "openid offline_access", "audience": BOUND_API, **members})
    assert answer.json["error"] == "mfa_required"
    return answer.json


async def challenge_factor(wire: Wire, mfa_token: str, **members: Any) -> Answer:
    """Challenge a factor."""
    body = {"mfa_token": mfa_token, "client_id": wire.tenant.public_client_id, "challenge_type": "otp oob"}
    return await wire.send("POST", "/mfa/challenge", json={**body, **members})


async def list_factors(wire: Wire, mfa_token: str) -> Answer:
    """List the factors of a login."""
    return await wire.send("GET", "/mfa/authenticators", headers={"Authorization": f"Bearer {mfa_token}"})


async def associate_factor(wire: Wire, mfa_token: str, **members: Any) -> Answer:
    """Begin to associate a factor."""
    body = {"client_id": wire.tenant.public_client_id, **members}
    return await wire.send("POST", "/mfa/associate", json=body, headers={"Authorization": f"Bearer {mfa_token}"})
