"""Access tokens through a resource server that knows its issuer's keys, and cannot fetch others."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import attrs
from joserfc import jwt

from fuzz.engine import Target
from fuzz.parts import RSA, Signer
from helpers.hostile import Unreachable
from passwordless_async import InvalidToken, ResourceServer
from passwordless_async._common.http import HttpResponse
from passwordless_async._common.secret import Secret
from passwordless_async.errors import TemporarilyUnavailable

if TYPE_CHECKING:
    from fuzz.mutator import Mutator

NOW = 1_700_000_000
ISSUER, AUDIENCE = "https://issuer.example/", "https://api.example"
PROFILE = {"alg": "ES256", "kid": "ec", "typ": "at+jwt"}
AUTH0 = {"alg": "ES256", "kid": "ec", "typ": "JWT"}
CLAIMS = {
    "iss": ISSUER,
    "aud": [AUDIENCE],
    "sub": "ada",
    "client_id": "client",
    "azp": "client",
    "jti": "1",
    "iat": NOW,
    "exp": NOW + 600,
    "scope": "read write",
    "permissions": ["read:all"],
}
NEAR = [
    *("none", "HS256", "RS256", "ES256", "ES384", "rsa", "at+jwt", "JWT", "dpop+jwt", "logout+jwt", ISSUER[:-1]),
    *(AUDIENCE, "client", ["client"], NOW - 11, NOW + 11, NOW + 601, NOW - 590.5, {"jkt": "A" * 43}, "read read"),
    *({"jkt": "A" * 43, "x5t#S256": "B"}, 253_402_300_800),
]
ODD = {"nonce": "n", "at_hash": "h", "nbf": NOW, "auth_time": NOW, "cnf": {"jkt": "A" * 43}, "crit": ["exp"]}


@attrs.frozen
class Given:
    """A token, and whether it was changed after it was signed, or signed by a key that is not the issuer's."""

    token: str
    foreign: bool


class AccessToken:
    """A resource server, its issuer's key and a stranger's."""

    def __init__(self) -> None:
        self.issuer, self.stranger = Signer("ec"), Signer("ec")
        self.server = ResourceServer(
            issuer=ISSUER,
            audience=AUDIENCE,
            base_url=AUDIENCE,
            dpop="off",
            clock=lambda: NOW,
            algorithms=["ES256", "RS256"],
        )
        fetcher = self.server._fetchers[ISSUER]
        jwks = {"keys": [self.issuer.jwk, {**RSA.as_dict(private=False), "kid": "rsa"}]}
        fetcher.keys.signing.learn(HttpResponse(200, body=json.dumps(jwks).encode()))
        self.server._fetchers[ISSUER] = Unreachable(fetcher.keys, None)
        # RSA signatures take a hundred times as long: these are only changed afterwards.
        self.by_rsa = jwt.encode({"alg": "RS256", "kid": "rsa"}, CLAIMS, RSA, algorithms=["RS256"])

    def draw(self, mutator: Mutator) -> Given:
        if mutator.often(0.05):
            changed = mutator.text(self.by_rsa)
            return Given(changed, changed != self.by_rsa)
        header: Any = mutator.choice((PROFILE, AUTH0))
        claims: Any = {**CLAIMS, "jti": str(mutator.index)}
        if mutator.often(0.3):
            name = mutator.choice(tuple(ODD))
            claims[name] = ODD[name]
        header = mutator.value(header, NEAR) if mutator.often(0.4) else header
        claims = mutator.value(claims, NEAR)
        foreign = mutator.often(0.1)
        token = mutator.jwt(header, claims, (self.stranger if foreign else self.issuer).sign)
        changed = token if mutator.often(0.85) else mutator.text(token)
        return Given(changed, foreign or changed != token)

    def check(self, given: Given) -> str:
        try:
            self.server._validate(Secret(given.token)).send(None)
        except StopIteration as stopped:
            assert not given.foreign, "a token is accepted that its issuer did not sign"
            claims = stopped.value.own_claims()
            assert (claims["iss"], claims["exp"] > NOW - 10, AUDIENCE in claims["aud"]) == (ISSUER, True, True)
            return "accepted"
        except InvalidToken as error:
            return error.error_description
        except TemporarilyUnavailable:
            return "unknown key"
        raise AssertionError("the server waits for something")


def make() -> Target:
    """Return the target."""
    access_token = AccessToken()
    return Target(access_token.draw, access_token.check)
