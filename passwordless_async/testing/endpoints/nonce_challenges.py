"""Nonce challenges, in the two forms of RFC 9449: §8 at the token endpoint, §9 at a resource."""

from __future__ import annotations

from typing import TYPE_CHECKING

from passwordless_async.testing.checks.proofs import NonceNeeded, ProofRefused
from passwordless_async.testing.checks.second_opinion import ProofTarget
from passwordless_async.testing.refusals import NONCE_NEEDED, Refusal, RequestRefused

if TYPE_CHECKING:
    from passwordless_async.testing.checks.proofs import CheckedProof
    from passwordless_async.testing.state.tenant_state import TenantRequest, TenantState

TOKEN_PATH = "/oauth/token"  # noqa: S105 - a path
USERINFO_PATH = "/userinfo"


def check_proof(
    request: TenantRequest, *, nonce_required: bool, access_token: str | None = None
) -> CheckedProof | None:
    """Return the proof of a request, or None without one; refuse a bad one in the form of the request's endpoint."""
    state = request.state
    target = ProofTarget(request.method, request.name.url, request.path, nonce_required, access_token)
    try:
        proof = state.proofs.check(request.headers, target)
    except NonceNeeded as needed:
        error = state.settings.stale_nonce_error if needed.stale else "use_dpop_nonce"
        raise RequestRefused(nonce_challenge(state, request.path, state.nonces.current(), error=error)) from None
    except ProofRefused as reason:
        refusal = Refusal(400, "invalid_dpop_proof", f"Invalid DPoP proof: {reason}")
        if request.path == USERINFO_PATH:
            refusal = dpop_refusal(refusal.error, refusal.description)
        raise RequestRefused(refusal) from None
    request.proof_nonce = None if proof is None else proof.nonce
    return proof


def nonce_challenge(state: TenantState, path: str, nonce: str | None, *, error: str = "use_dpop_nonce") -> Refusal:
    """Return a challenge in the form of an endpoint, and count it.

    Without a nonce, the response has no ``DPoP-Nonce``, which no correct server does. ``error`` is the code for a
    resource; the token endpoint has only one.
    """
    state.stats.nonce_challenges += 1
    headers = {} if nonce is None else {"DPoP-Nonce": nonce}
    if path != USERINFO_PATH:
        return Refusal(400, "use_dpop_nonce", NONCE_NEEDED, headers=headers)
    return dpop_refusal(error, "Resource server requires nonce in DPoP proof", headers)


def dpop_refusal(error: str, description: str, headers: dict[str, str] | None = None) -> Refusal:
    """Return a resource's refusal with its DPoP challenge (RFC 9449 §7.1)."""
    authenticate = f'DPoP error="{error}", error_description="{description}", algs="ES256"'
    return Refusal(401, error, description, headers={"WWW-Authenticate": authenticate, **(headers or {})})
