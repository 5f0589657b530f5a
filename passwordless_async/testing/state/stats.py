"""The tenant's counters."""

from __future__ import annotations

from typing import Any

import attrs


@attrs.define(kw_only=True)
class TenantStats:
    """Counters since the tenant started.

    Attributes:
        wire_requests: Requests of every kind, refused and dropped ones included.
        start_requests: Of these, to ``/passwordless/start``.
        token_requests: Of these, to ``/oauth/token``.
        userinfo_requests: Of these, to ``/userinfo``.
        revoke_requests: Of these, to ``/oauth/revoke``.
        codes_sent: Codes that went to the outbox.
        codes_presented: Codes that were checked: spent, or counted as an attempt.
        codes_refused: Of these, the wrong, expired and exhausted ones.
        presented_again: Codes, and other secrets that a grant spends, that came again although the response before was
            neither a nonce challenge nor a 429, or was lost. A second use of a refresh token that does not rotate
            counts as well.
        nonce_challenges: Nonce challenges sent, those of faults included.
        proofs_accepted: Proofs that passed every check; each has another ``jti``.
        proofs_refused: Proofs that failed one, challenges not counted.
        replays_refused: Of these, the ones that were seen before.
        distinct_keys: Keys that signed an accepted proof.
        tokens_issued: Access tokens issued.
        tokens_bound: Of these, the ones bound to a key.
        refresh_rotations: Refresh tokens that were replaced.
        refresh_reuse_detected: Replaced refresh tokens that were used again outside the leeway.
        families_revoked: Families of refresh tokens that ended by reuse or by a revocation.
        mfa_required: Logins that were refused with ``mfa_required``.
        mfa_challenges: Factor challenges requested at ``/mfa/challenge``.
        mfa_polls: Token requests that polled for the user's approval.
        faults_played: Requests that met a fault.
        assertions_accepted: Client assertions that passed every check; each has another ``jti``.
        assertions_replayed: Client assertions that were refused because their ``jti`` was used before.
    """

    wire_requests: int = 0
    start_requests: int = 0
    token_requests: int = 0
    userinfo_requests: int = 0
    revoke_requests: int = 0
    codes_sent: int = 0
    codes_presented: int = 0
    codes_refused: int = 0
    presented_again: int = 0
    nonce_challenges: int = 0
    proofs_accepted: int = 0
    proofs_refused: int = 0
    replays_refused: int = 0
    distinct_keys: int = 0
    tokens_issued: int = 0
    tokens_bound: int = 0
    refresh_rotations: int = 0
    refresh_reuse_detected: int = 0
    families_revoked: int = 0
    mfa_required: int = 0
    mfa_challenges: int = 0
    mfa_polls: int = 0
    faults_played: int = 0
    assertions_accepted: int = 0
    assertions_replayed: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the counters as a JSON object."""
        return attrs.asdict(self)
