"""``GET /userinfo``: a resource that a token opens, with its key (RFC 9449 §7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from passwordless_async.testing.checks.proofs import NonceNeeded, Occasion, ProofRefused
from passwordless_async.testing.endpoints.answers import Refusal, Refused, json_response
from passwordless_async.testing.endpoints.nonce_challenges import challenge, dpop_refusal

if TYPE_CHECKING:
    from aiohttp import web

    from passwordless_async.testing.state.state import Exchange
    from passwordless_async.testing.state.tokens import Grant

_NO_TOKEN = Refusal(401, "unauthorized", "No access token", headers={"WWW-Authenticate": 'Bearer, DPoP algs="ES256"'})
_TWO_TOKENS = Refusal(400, "invalid_request", "More than one Authorization header")
_BAD_BEARER = Refusal(
    401, "invalid_token", "The access token is not valid", headers={"WWW-Authenticate": 'Bearer error="invalid_token"'}
)
_NO_OPENID = Refusal(
    403,
    "insufficient_scope",
    "The access token has no openid scope",
    headers={"WWW-Authenticate": 'DPoP error="insufficient_scope", scope="openid", algs="ES256"'},
)


def userinfo(exchange: Exchange) -> web.Response:
    """Say who the user is."""
    values = exchange.headers.getall("Authorization", [])
    if not values:
        raise Refused(_NO_TOKEN)
    if len(values) > 1:
        raise Refused(_TWO_TOKENS)
    scheme, _, access_token = values[0].partition(" ")
    schemes = {"dpop": _with_key, "bearer": _without_key}
    if scheme.lower() not in schemes or not access_token.isascii():
        raise Refused(_NO_TOKEN)
    grant = schemes[scheme.lower()](exchange, access_token.strip())
    if "openid" not in grant.scope:
        raise Refused(_NO_OPENID)
    exchange.state.limits.take_userinfo(grant.subject)
    return json_response({"sub": grant.subject, **grant.user.claims})


def _without_key(exchange: Exchange, access_token: str) -> Grant:
    # RFC 9449 §7.1: a bound token presented as Bearer "MUST" be refused; so is a proof beside Bearer.
    grant = exchange.state.mint.grant_of(access_token)
    if grant is None or grant.thumbprint is not None or "DPoP" in exchange.headers:
        raise Refused(_BAD_BEARER)
    return grant


def _with_key(exchange: Exchange, access_token: str) -> Grant:
    state = exchange.state
    required = state.settings.userinfo_nonce_required
    occasion = Occasion(exchange.method, exchange.url, required, access_token)
    try:
        proof = state.proofs.check(exchange.headers, occasion)
    except NonceNeeded as needed:
        error = state.settings.stale_nonce_error if needed.stale else "use_dpop_nonce"
        raise Refused(challenge(state, exchange.path, state.nonces.current(), error=error)) from None
    except ProofRefused as reason:
        raise Refused(dpop_refusal("invalid_dpop_proof", f"Invalid DPoP proof: {reason}")) from None
    if proof is None:
        raise Refused(dpop_refusal("invalid_dpop_proof", "DPoP proof is missing"))
    exchange.proof_nonce = proof.nonce
    grant = state.mint.grant_of(access_token)
    if grant is None or grant.thumbprint != proof.thumbprint:
        raise Refused(dpop_refusal("invalid_token", "The access token is not valid with this key"))
    return grant
