"""Proofs against Auth0's own verifier for APIs, called for real."""

from __future__ import annotations

import time
from typing import Any

import pytest
from auth0_api_python import ApiClient, ApiClientOptions  # type: ignore[import-untyped] # it has no types
from auth0_api_python.errors import BaseAuthError  # type: ignore[import-untyped] # likewise
from joserfc import jwt
from joserfc.jwk import RSAKey

from passwordless_async import DPoPKey, ProofGenerator

ISSUER = "https://acme.eu.auth0.com/"
AUDIENCE = "https://api.example"
URL = "https://api.example/things/%C3%A4?page=2"


@pytest.fixture(scope="module")
def signing_key() -> RSAKey:
    """Make the tenant's key."""
    return RSAKey.generate_key(2048, {"kid": "tenant-key", "alg": "RS256", "use": "sig"})


@pytest.fixture
def api(signing_key: RSAKey) -> ApiClient:
    """Set the verifier up; discovery and key set come from memory."""
    documents: dict[str, dict[str, Any]] = {
        f"{ISSUER}.well-known/openid-configuration": {"issuer": ISSUER, "jwks_uri": f"{ISSUER}jwks"},
        f"{ISSUER}jwks": {"keys": [signing_key.as_dict(private=False)]},
    }

    async def fetch(url: str, **_: Any) -> dict[str, Any]:
        return documents[url]

    return ApiClient(
        ApiClientOptions(domain="acme.eu.auth0.com", audience=AUDIENCE, dpop_required=True, custom_fetch=fetch)
    )


def bound_token(signing_key: RSAKey, key: DPoPKey) -> str:
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "email|1", "iat": now, "exp": now + 60}
    return jwt.encode({"alg": "RS256", "kid": "tenant-key"}, claims | {"cnf": {"jkt": key.thumbprint}}, signing_key)


async def test_our_proof_is_accepted(api: ApiClient, signing_key: RSAKey) -> None:
    """A bound token and our proof pass every check of the verifier."""
    key = DPoPKey.generate()
    token = bound_token(signing_key, key)
    proof = ProofGenerator(key).proof("GET", URL, access_token=token)
    claims = await api.verify_request({"authorization": f"DPoP {token}", "dpop": proof}, "GET", URL)
    assert claims["sub"] == "email|1"
    assert claims["cnf"] == {"jkt": key.thumbprint}


@pytest.mark.parametrize(
    ("method", "url", "own_key"),
    [
        ("POST", URL, True),
        ("GET", "https://api.example/other", True),
        ("GET", URL, False),
    ],
    ids=["other method", "other URL", "other key"],
)
async def test_a_wrong_proof_is_refused(
    api: ApiClient, signing_key: RSAKey, method: str, url: str, *, own_key: bool
) -> None:
    """The verifier does look: a proof for another request, or by another key, does not pass."""
    key = DPoPKey.generate()
    token = bound_token(signing_key, key)
    proofs = ProofGenerator(key if own_key else DPoPKey.generate())
    proof = proofs.proof(method, url, access_token=token)
    with pytest.raises(BaseAuthError):
        await api.verify_request({"authorization": f"DPoP {token}", "dpop": proof}, "GET", URL)
