"""``POST /oauth/token``.

The order is the promise: the application, the parameters and the API first, then the proof with its nonce, and
only then the grant. A request that is refused on the way leaves a code and its attempts, or a refresh token, untouched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from passwordless_async.testing.checks.clients import authenticate
from passwordless_async.testing.checks.proofs import NonceNeeded, Occasion, Proof, ProofRefused
from passwordless_async.testing.endpoints import answers
from passwordless_async.testing.endpoints.answers import Refusal, Refused, invalid_request, json_response
from passwordless_async.testing.endpoints.body import token_parameters
from passwordless_async.testing.endpoints.nonce_challenges import challenge
from passwordless_async.testing.grants import code as code_grant
from passwordless_async.testing.grants import mfa as mfa_grants
from passwordless_async.testing.grants import otp as otp_grant
from passwordless_async.testing.grants import refresh as refresh_grant
from passwordless_async.testing.grants.base import TokenRequest
from passwordless_async.testing.settings.tokens import ApiPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiohttp import web

    from passwordless_async.testing.checks.clients import Application
    from passwordless_async.testing.grants.base import Prepared
    from passwordless_async.testing.state.state import Exchange, TenantState
    from passwordless_async.testing.state.tokens import Grant

GRANTS: Mapping[str, Callable[[TokenRequest], Prepared]] = {
    otp_grant.OTP_GRANT: otp_grant.prepare,
    code_grant.CODE_GRANT: code_grant.prepare,
    refresh_grant.REFRESH_GRANT: refresh_grant.prepare,
    mfa_grants.MFA_OTP_GRANT: mfa_grants.prepare_otp,
    mfa_grants.MFA_OOB_GRANT: mfa_grants.prepare_oob,
    mfa_grants.MFA_RECOVERY_GRANT: mfa_grants.prepare_recovery,
}


def token(exchange: Exchange) -> web.Response:
    """Exchange a grant for tokens."""
    grant = redeemed(exchange)
    if exchange.twist is not None:
        grant = exchange.twist(grant)
    stats = exchange.state.stats
    stats.tokens_issued += 1
    stats.tokens_bound += grant.thumbprint is not None
    return json_response(exchange.state.mint.answer(grant))


def redeemed(exchange: Exchange, *, nonce_waived: bool = False) -> Grant:
    """Check a request and spend its grant.

    Args:
        exchange: The request.
        nonce_waived: Whether a proof without a nonce passes, of whichever application.

    Raises:
        Refused: Something is wrong with it.
    """
    parameters = token_parameters(exchange.content_type, exchange.body)
    prepare = _grant_type(parameters)
    application = authenticate(exchange, parameters, basic_allowed=True)
    prepared = prepare(TokenRequest(exchange.state, application, parameters))
    policy = _policy(exchange.state, prepared.audience)
    proof = _proof(exchange, nonce_required=not nonce_waived and _needs_nonce(exchange.state, application))
    if proof is None and policy is ApiPolicy.REQUIRED:
        raise Refused(answers.DPOP_REQUIRED)
    grant = prepared.redeem(None if proof is None else proof.thumbprint)
    return attrs.evolve(grant, thumbprint=None if policy is ApiPolicy.NONE else grant.key)


def _grant_type(parameters: Mapping[str, str]) -> Callable[[TokenRequest], Prepared]:
    grant_type = parameters.get("grant_type")
    if not grant_type:
        raise invalid_request("Missing required parameter: grant_type")
    if grant_type not in GRANTS:
        raise Refused(answers.UNSUPPORTED_GRANT)
    return GRANTS[grant_type]


def _policy(state: TenantState, audience: str | None) -> ApiPolicy:
    if audience is None:
        return ApiPolicy.ALLOWED
    if audience not in state.settings.apis:
        raise Refused(Refusal(403, "access_denied", f"Service not found: {audience}"))
    return state.settings.apis[audience]


def _needs_nonce(state: TenantState, application: Application) -> bool:
    settings = state.settings
    return settings.confidential_nonce_required if application.confidential else settings.public_nonce_required


def _proof(exchange: Exchange, *, nonce_required: bool) -> Proof | None:
    state = exchange.state
    try:
        proof = state.proofs.check(exchange.headers, Occasion(exchange.method, exchange.url, nonce_required))
    except NonceNeeded:
        raise Refused(challenge(state, exchange.path, state.nonces.current())) from None
    except ProofRefused as reason:
        raise Refused(Refusal(400, "invalid_dpop_proof", f"Invalid DPoP proof: {reason}")) from None
    exchange.proof_nonce = proof.nonce if proof is not None else None
    return proof
