"""``/.well-known/``: what the tenant can do, and the keys that its tokens are signed with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from passwordless_async.testing.answers import json_response
from passwordless_async.testing.clients import METHODS
from passwordless_async.testing.token_endpoint import GRANTS

if TYPE_CHECKING:
    from aiohttp import web

    from passwordless_async.testing.state import Exchange


def openid_configuration(exchange: Exchange) -> web.Response:
    """Describe the tenant (OpenID Connect Discovery §4.2)."""
    issuer = exchange.state.issuer
    return json_response(
        {
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
            "id_token_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": list(METHODS),
            "token_endpoint_auth_signing_alg_values_supported": list(exchange.state.settings.private_key_jwt_algs),
            "dpop_signing_alg_values_supported": ["ES256"],
        }
    )


def key_set(exchange: Exchange) -> web.Response:
    """Return the public keys."""
    return json_response(exchange.state.keys.jwks())
