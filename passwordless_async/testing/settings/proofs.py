"""How strictly proofs are checked, and when their nonces change."""

from __future__ import annotations

from typing import Literal

import attrs


@attrs.frozen(kw_only=True, slots=False)
class ProofSettings:
    """Nonces and proofs.

    Args:
        public_nonce_required: Whether a public client's proof needs a nonce (Auth0: yes).
        confidential_nonce_required: Whether a confidential client's proof needs one (Auth0: no).
        userinfo_nonce_required: Whether a proof at ``/userinfo`` needs one.
        nonce_rotation: Token requests after which the nonce changes; None: it changes with the time.
        nonce_lifetime: Seconds after which the nonce changes when ``nonce_rotation`` is None.
        accepted_previous_nonces: How many nonces before the present one still pass.
        single_use_nonces: Every answer brings another nonce, and each passes once.
        nonce_in_answers: Whether an answer to a request with a proof brings the nonce: ``always``, only when it
            ``changed`` from the one in the proof (RFC 9449 §8.2), or ``never`` but in a challenge.
        stale_nonce_error: What ``/userinfo`` calls a nonce that is not valid (both occur).

        proof_max_age: Seconds that a proof may be old.
        proof_skew: Seconds that a proof may be ahead of the tenant's clock.
        nonce_replaces_iat: With a valid nonce the ``iat`` of the proof is not looked at (RFC 9449 §11.1).
    """

    public_nonce_required: bool = True
    confidential_nonce_required: bool = False
    userinfo_nonce_required: bool = False
    nonce_rotation: int | None = None
    nonce_lifetime: float = 300.0
    accepted_previous_nonces: int = 1
    single_use_nonces: bool = False
    nonce_in_answers: Literal["always", "changed", "never"] = "always"
    stale_nonce_error: Literal["use_dpop_nonce", "invalid_dpop_nonce"] = "use_dpop_nonce"

    proof_max_age: float = 60.0
    proof_skew: float = 10.0
    nonce_replaces_iat: bool = False
