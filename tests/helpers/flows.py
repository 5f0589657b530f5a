"""Flows driven by hand: stopped clocks, a tenant that knows nothing, answers and tokens."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey
from multidict import CIMultiDict

from passwordless_async import (
    DPoPKey,
    Email,
    Login,
    NoClientAuth,
)
from passwordless_async._common import clock as _clock
from passwordless_async._common.http import HttpResponse
from passwordless_async.auth0.application import Application
from passwordless_async.auth0.tenant import Tenant

if TYPE_CHECKING:
    from passwordless_async._common.http import HttpRequest
    from passwordless_async.auth0.tenant import DPoPMode, Flow

NOW = 1_700_000_000.75
ADA = Email("ada@example.com")
KEY = DPoPKey.generate()
SIGNING_KEY = RSAKey.generate_key(2048, {"kid": "k1"})
TOKENS = {"access_token": "opaque", "token_type": "DPoP", "expires_in": 86400}
WRONG = {"error": "invalid_grant", "error_description": "Wrong email or verification code."}
CHALLENGE = {"error": "use_dpop_nonce", "error_description": "Authorization server requires nonce in DPoP proof"}
REFUSED_PROOF = {"error": "invalid_dpop_proof"}
JWKS_URL = "https://tenant.example/.well-known/jwks.json"
TOKEN_URL = "https://tenant.example/oauth/token"


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> float:
        return self.time


def stop_clocks(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Stop the clocks."""
    stopped = Clock()
    monkeypatch.setattr(_clock, "now", stopped.now)
    monkeypatch.setattr(_clock, "monotonic", stopped.now)
    return stopped


def new_tenant(dpop: DPoPMode = "required") -> Tenant:
    """Return a tenant that knows neither nonce nor key."""
    return Tenant(Application("tenant.example", "client", NoClientAuth()), dpop=dpop)


def answer(
    status: int, body: Any = None, nonce: str | None = None, content_type: str = "application/json"
) -> HttpResponse:
    """Return an answer, with a nonce or without."""
    headers = CIMultiDict({"Content-Type": content_type})
    if nonce is not None:
        headers["DPoP-Nonce"] = nonce
    return HttpResponse(status, headers, body if isinstance(body, bytes) else json.dumps(body).encode())


def jwks(*kids: str) -> HttpResponse:
    """Return the tenant's key set: the one key under these names."""
    return answer(200, {"keys": [{**SIGNING_KEY.as_dict(private=False), "kid": kid} for kid in kids]})


def id_token(kid: str = "k1", **changes: Any) -> str:
    """Sign an ID token."""
    claims = {"iss": "https://tenant.example/", "aud": "client", "sub": "ada", "iat": int(NOW), "exp": int(NOW) + 60}
    return jwt.encode({"alg": "RS256", "kid": kid}, {**claims, **changes}, SIGNING_KEY, algorithms=["RS256"])


def access_token(jkt: str | None) -> str:
    """Return something of the form of a JWT access token, bound or not."""
    claims = {"sub": "ada"} if jkt is None else {"sub": "ada", "cnf": {"jkt": jkt}}
    return f"e30.{base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b'=').decode()}.c2ln"


def end(flow: Flow[Any], response: HttpResponse) -> Any:
    """Send the last answer and return what the flow returns."""
    with pytest.raises(StopIteration) as stopped:
        flow.send(response)
    return stopped.value.value


def proof(request: HttpRequest) -> dict[str, Any]:
    """Return the claims of a request's proof, verified with the key in its header by joserfc."""
    header = json.loads(base64.urlsafe_b64decode(request.headers["DPoP"].split(".")[0] + "=="))
    return jwt.decode(request.headers["DPoP"], ECKey.import_key(header["jwk"]), algorithms=["ES256"]).claims


def form(request: HttpRequest) -> dict[str, str]:
    """Return the parameters of a request."""
    return dict(parse_qsl(request.body.decode(), strict_parsing=True))


def login(scope: str | None = None, **parameters: Any) -> Login:
    """Return a login with a fixed key."""
    return Login(ADA, "123456", scope=scope, **{"key": KEY, **parameters})
