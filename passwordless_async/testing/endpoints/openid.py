"""OpenID Connect: ``/userinfo``, for an access token with its key (RFC 9449 §7), and ``/.well-known/``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from passwordless_async.testing.checks.clients import METHODS
from passwordless_async.testing.endpoints.body import json_response
from passwordless_async.testing.endpoints.nonce_challenges import check_proof, dpop_refusal
from passwordless_async.testing.grants import GRANTS
from passwordless_async.testing.refusals import Refusal, RequestRefused

if TYPE_CHECKING:
    from aiohttp import web

    from passwordless_async.testing.state.tenant_state import TenantRequest
    from passwordless_async.testing.state.tokens import Grant


def _refusal(status: int, error: str, description: str, authenticate: str) -> Refusal:
    return Refusal(status, error, description, headers={"WWW-Authenticate": authenticate})


_NO_TOKEN = _refusal(401, "unauthorized", "No access token", 'Bearer, DPoP algs="ES256"')
_TWO_TOKENS = Refusal(400, "invalid_request", "More than one Authorization header")
_BAD_BEARER = _refusal(401, "invalid_token", "The access token is not valid", 'Bearer error="invalid_token"')
_NEEDS_OPENID = 'error="insufficient_scope", scope="openid"'
_CLAIMS = ["aud", "auth_time", "email", "email_verified", "exp", "iat", "iss", "nonce", "phone_number", "sid", "sub"]
_MTLS_ENDPOINTS = {"token_endpoint": "oauth/token", "revocation_endpoint": "oauth/revoke"}
# RFC 9449 §7.2: in the challenge of the scheme that was used.
_CHALLENGES = {"bearer": f"Bearer {_NEEDS_OPENID}", "dpop": f'DPoP {_NEEDS_OPENID}, algs="ES256"'}
_NO_OPENID = {
    scheme: _refusal(403, "insufficient_scope", "The access token has no openid scope", challenge)
    for scheme, challenge in _CHALLENGES.items()
}


def userinfo(request: TenantRequest) -> web.Response:
    """Return the claims of the access token's user."""
    values = request.headers.getall("Authorization", [])
    if not values:
        raise RequestRefused(_NO_TOKEN)
    if len(values) > 1:
        raise RequestRefused(_TWO_TOKENS)
    scheme, _, access_token = values[0].partition(" ")
    schemes = {"dpop": _with_key, "bearer": _without_key}
    access_token = access_token.strip()
    if scheme.lower() not in schemes or not access_token or not access_token.isascii():
        raise RequestRefused(_NO_TOKEN)
    grant = schemes[scheme.lower()](request, access_token)
    if "openid" not in grant.scope:
        raise RequestRefused(_NO_OPENID[scheme.lower()])
    request.state.limits.take_userinfo(grant.subject)
    return json_response({"sub": grant.subject, **grant.user.claims})


def _without_key(request: TenantRequest, access_token: str) -> Grant:
    # RFC 9449 §7.1: a bound token presented as Bearer "MUST" be refused; so is a proof beside Bearer.
    grant = request.state.tokens.grant_of(access_token)
    if grant is None or grant.thumbprint is not None or "DPoP" in request.headers:
        raise RequestRefused(_BAD_BEARER)
    return grant


def _with_key(request: TenantRequest, access_token: str) -> Grant:
    required = request.state.settings.userinfo_nonce_required
    proof = check_proof(request, nonce_required=required, access_token=access_token)
    if proof is None:
        raise RequestRefused(dpop_refusal("invalid_dpop_proof", "DPoP proof is missing"))
    grant = request.state.tokens.grant_of(access_token)
    if grant is None or grant.thumbprint != proof.thumbprint:
        raise RequestRefused(dpop_refusal("invalid_token", "The access token is not valid with this key"))
    return grant


def openid_configuration(request: TenantRequest) -> web.Response:
    """Describe the tenant (OpenID Connect Discovery §4.2)."""
    issuer, settings = request.name.issuer, request.state.settings
    document = {
        "issuer": issuer,
        "token_endpoint": f"{issuer}oauth/token",
        "revocation_endpoint": f"{issuer}oauth/revoke",
        "userinfo_endpoint": f"{issuer}userinfo",
        "mfa_challenge_endpoint": f"{issuer}mfa/challenge",
        "jwks_uri": f"{issuer}.well-known/jwks.json",
        "grant_types_supported": list(GRANTS),
        "response_types_supported": ["code"],
        "scopes_supported": ["openid", "profile", "email", "phone", "offline_access"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256", "PS256", "ES256", "HS256"],
        "response_modes_supported": ["query"],
        "code_challenge_methods_supported": ["S256"],
        "claims_supported": _CLAIMS,
        "request_uri_parameter_supported": False,
        "request_parameter_supported": False,
        "tls_client_certificate_bound_access_tokens": False,
        "token_endpoint_auth_methods_supported": list(METHODS),
        "token_endpoint_auth_signing_alg_values_supported": list(settings.private_key_jwt_algs),
        "revocation_endpoint_auth_methods_supported": list(METHODS),
        "dpop_signing_alg_values_supported": ["ES256"],
        "mtls_endpoint_aliases": _mtls_endpoint_aliases(request),
        **settings.discovery,
    }
    return json_response({name: value for name, value in document.items() if value is not None})


def _mtls_endpoint_aliases(request: TenantRequest) -> dict[str, str] | None:
    """Return the endpoints for clients with certificates (RFC 8705 §5); None: they have none of their own."""
    url = request.state.names.mtls_url(request.name)
    return None if url is None else {name: f"{url}/{path}" for name, path in _MTLS_ENDPOINTS.items()}


def key_set(request: TenantRequest) -> web.Response:
    """Return the public keys."""
    return json_response(request.state.keys.jwks())
