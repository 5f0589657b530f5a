"""``/.well-known/``: what the tenant can do, and the keys that its tokens are signed with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from passwordless_async.testing.checks.clients import METHODS
from passwordless_async.testing.endpoints.body import json_response
from passwordless_async.testing.grants import GRANTS

if TYPE_CHECKING:
    from aiohttp import web

    from passwordless_async.testing.state.tenant_state import TenantRequest


_CLAIMS = ["aud", "auth_time", "email", "email_verified", "exp", "iat", "iss", "nonce", "phone_number", "sid", "sub"]


def openid_configuration(request: TenantRequest) -> web.Response:
    """Describe the tenant (OpenID Connect Discovery §4.2)."""
    issuer, settings = request.state.issuer, request.state.settings
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
        **settings.discovery,
    }
    return json_response({name: value for name, value in document.items() if value is not None})


def key_set(request: TenantRequest) -> web.Response:
    """Return the public keys."""
    return json_response(request.state.keys.jwks())
