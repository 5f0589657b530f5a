"""An API that knows its issuer's keys, and a client with a key and tokens of that issuer; no network."""

from __future__ import annotations

import json
import time
from typing import Any

import attrs
from joserfc import jwt
from joserfc.jwk import RSAKey

from passwordless_async import DPoPKey, MemoryReplayStore, NonceIssuer, ProofGenerator, ResourceServer
from passwordless_async._common.http import HttpResponse

ISSUER = "https://issuer.example/"
BASE = "https://api.example"
# Making an RSA key takes a tenth of a second: one for all tests.
KEY = RSAKey.generate_key(2048, {"kid": "k1"})


def make_server(**options: Any) -> ResourceServer:
    """Return a resource server that has its issuer's keys."""
    settings = {"issuer": ISSUER, "audience": BASE, "base_url": BASE, "replay": MemoryReplayStore()}
    server = ResourceServer(**{**settings, **options})
    keys = json.dumps({"keys": [KEY.as_dict(private=False)]}).encode()
    server._fetchers[ISSUER].keys.signing.learn(HttpResponse(200, body=keys))
    return server


@attrs.define
class ApiClient:
    """A client of the API."""

    key: DPoPKey = attrs.field(factory=DPoPKey.generate)
    now: float = attrs.field(factory=time.time)

    def clock(self) -> float:
        """Return the time that the test set."""
        return self.now

    def nonces(self) -> NonceIssuer:
        """Return an issuer of nonces by the test's clock."""
        return NonceIssuer(clock=self.clock)

    def token(self, *, bound: bool = True, **claims: Any) -> str:
        """Return a token with the scope ``read``, with changes to its claims."""
        confirmation = {"cnf": {"jkt": self.key.thumbprint}} if bound else {}
        right = {"iss": ISSUER, "aud": [BASE], "sub": "ada", "azp": "client", "scope": "read"}
        times = {"iat": int(self.now), "exp": int(self.now) + 600}
        return jwt.encode({"alg": "RS256", "kid": "k1"}, {**right, **times, **confirmation, **claims}, KEY)

    def headers(self, path: str = "/me", *, url: str = "", nonce: str | None = None, **claims: Any) -> dict[str, str]:
        """Return the header fields of a GET request with a bound token and its proof."""
        token = self.token(**claims)
        proof = ProofGenerator(self.key, clock=self.clock).proof(
            "GET", url or f"{BASE}{path}", nonce=nonce, access_token=token
        )
        return {"Authorization": f"DPoP {token}", "DPoP": proof}
