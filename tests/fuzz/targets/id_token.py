"""ID tokens and logout tokens, with the tenant's keys known."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import attrs
from joserfc import jwt

from fuzz.engine import Target
from fuzz.parts import RSA, Signer, drive
from passwordless_async import ClientSecretPost, InvalidIdToken
from passwordless_async._common.http import HttpResponse
from passwordless_async._common.secret import Secret
from passwordless_async.auth0.application import Application
from passwordless_async.auth0.clocks import Clocks
from passwordless_async.auth0.id_token import ExpectedIdToken, claims_of
from passwordless_async.auth0.logout_token import EVENT, read_logout_header, read_logout_token
from passwordless_async.auth0.tenant import Tenant
from passwordless_async.errors import InvalidLogoutToken, OutcomeUnknown

if TYPE_CHECKING:
    from fuzz.mutator import Mutator

NOW = 1_700_000_000
ISSUER = "https://tenant.example/"
HEADER = {"alg": "ES256", "kid": "ec", "typ": "JWT"}
CLAIMS = {
    "iss": ISSUER,
    "aud": "client",
    "sub": "auth0|ada",
    "nonce": "n",
    "sid": "s",
    "amr": ["mfa"],
    "iat": NOW,
    "exp": NOW + 600,
    "auth_time": NOW,
    "at_hash": "n4bQgYhMfWWaL-qgxVrQFQ",
}
LOGOUT = {
    "iss": ISSUER,
    "aud": "client",
    "sub": "auth0|ada",
    "sid": "s",
    "jti": "1",
    "iat": NOW,
    "exp": NOW + 600,
    "events": {EVENT: {}},
}
NEAR = [
    *("none", "HS256", "RS256", "ES256", "ES384", "at+jwt", "JWT", "logout+jwt", ISSUER[:-1], "client", ["client"]),
    *(["client", "x"], [], NOW + 61, NOW - 661, NOW - 60, NOW + 660.5, "n", "m", 253_402_300_800, {EVENT: []}),
]
ODD = {"azp": "client", "nbf": NOW, "crit": ["exp"], "session_expiry": NOW, "nonce": "n", "events": {EVENT: {}}}
EXPECTED = (
    ExpectedIdToken(),
    ExpectedIdToken(nonce="n", max_age=60),
    ExpectedIdToken.after_refresh(CLAIMS),
)


@attrs.frozen
class Given:
    """A token.

    Attributes:
        foreign: Whether it was changed after it was signed, or signed by another key.
        expected: What it must show; None: it is to be a logout token.
    """

    token: str
    foreign: bool
    expected: ExpectedIdToken | None


class IdToken:
    """A tenant with its keys, an application with a client secret, and a stranger's key."""

    def __init__(self) -> None:
        self.signer, self.stranger = Signer("ec"), Signer("ec")
        application = Application("tenant.example", "client", ClientSecretPost("client-secret"))
        self.tenant = Tenant(application)
        jwks = {"keys": [self.signer.jwk, {**RSA.as_dict(private=False), "kid": "rsa"}]}
        self.tenant.keys.learn(HttpResponse(200, body=json.dumps(jwks).encode()))
        # RSA signatures take a hundred times as long: these are only changed afterwards.
        self.by_rsa = jwt.encode({"alg": "RS256", "kid": "rsa"}, CLAIMS, RSA, algorithms=["RS256"])

    def draw(self, mutator: Mutator) -> Given:
        expected = mutator.choice((*EXPECTED, None))
        if mutator.often(0.05):
            changed = mutator.text(self.by_rsa)
            return Given(changed, changed != self.by_rsa, expected)
        right = mutator.often(0.9)
        claims: Any = dict(CLAIMS if (expected is not None) is right else LOGOUT)
        if mutator.often(0.3):
            name = mutator.choice(tuple(ODD))
            claims[name] = ODD[name]
        header: Any = mutator.value(HEADER, NEAR) if mutator.often(0.4) else HEADER
        foreign = mutator.often(0.1)
        token = mutator.jwt(header, mutator.value(claims, NEAR), (self.stranger if foreign else self.signer).sign)
        changed = token if mutator.often(0.85) else mutator.text(token)
        return Given(changed, foreign or changed != token, expected)

    def check(self, given: Given) -> str:
        try:
            accepted = self._logout(given) if given.expected is None else self._login(given, given.expected)
        except (InvalidIdToken, InvalidLogoutToken) as error:
            return f"{type(error).__name__}: {error.claim}"
        except OutcomeUnknown:
            return "the key cannot be fetched"
        assert not given.foreign, "a token is accepted that the tenant did not sign"
        return accepted

    def _logout(self, given: Given) -> str:
        token, application = Secret(given.token), self.tenant.application
        header = read_logout_header(token, application)
        read_logout_token(token, header, self.tenant.keys.get(header.kid, header.alg), application, Clocks(NOW))
        return "logout"

    def _login(self, given: Given, expected: ExpectedIdToken) -> str:
        flow = claims_of(
            self.tenant, Secret(given.token), access_token=Secret("test"), expected=expected, clocks=Clocks(NOW)
        )
        claims = drive(flow, lambda _request: HttpResponse(503))
        assert claims is not None
        assert (claims["iss"], claims["exp"] > NOW - 60, "client" in claims["aud"]) == (ISSUER, True, True)
        assert expected.nonce in (None, claims.get("nonce"))
        return "login"


def make() -> Target:
    """Return the target."""
    id_token = IdToken()
    return Target(id_token.draw, id_token.check)
