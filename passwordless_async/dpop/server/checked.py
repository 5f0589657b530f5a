"""The result of a check, a checked proof or a failed check, and the proof's binding to the access token."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

import attrs

from passwordless_async._common.base64url import encode_text
from passwordless_async._common.secret import Secret
from passwordless_async.errors import InvalidDPoPProof

_SIGN_RIGHT = (
    "Check the code that signs the client's proofs (RFC 9449 §4.2); client.request and client.session sign right."
)
_SIGN_FOR_IT = "The client must sign each proof for the access token that it sends beside it."
BIND = "Set the API's policy at the tenant to DPoP, and log in with the client's dpop 'preferred' or 'required'."
_OTHER_KEY = "The client must sign with the key of the login that got the token: store tokens and key together."


class FailedCheck(Exception):
    """A check of a proof failed. The verifier adds the status and raises an error of the public tree instead.

    Args:
        description: The reason, for ``error_description`` (RFC 6750 §3); it quotes nothing that the client sent.
        error: The error code (RFC 9449 §7.1, RFC 6750 §3.1).
        advice: What to do, for the API's own log; it is not sent to the client.
    """

    def __init__(self, description: str, error: str = "invalid_dpop_proof", *, advice: str = _SIGN_RIGHT) -> None:
        super().__init__(description)
        self.description = description
        self.error = error
        self.advice = advice

    def refusal(self, status: int) -> InvalidDPoPProof:
        """Return the error of the public tree."""
        told = InvalidDPoPProof(status=status, error=self.error, error_description=self.description)
        return told.with_facts(advice=self.advice)


@attrs.frozen
class CheckedProof:
    """A proof that passed every check; it cannot be used again.

    Attributes:
        thumbprint: The SHA-256 thumbprint of the proof's key, base64url (RFC 7638): the ``jkt`` to bind a token to.
        jti: The proof's unique identifier.
        htm: The method.
        htu: The URL, as the client wrote it.
        iat: When the client made the proof, by its clock: seconds since the UNIX epoch.
        nonce: The server's nonce; None if the proof has none.
        ath: The hash of the access token; None if the proof has none, as at a token endpoint.
        claims: All claims, names as in the proof; read-only.
        next_nonce: The value for the response's ``DPoP-Nonce``; None if the client's nonce is the newest.
    """

    thumbprint: str
    jti: str
    htm: str
    htu: str
    iat: float
    nonce: str | None
    ath: str | None
    claims: Mapping[str, Any] = attrs.field(repr=False, eq=False)
    next_nonce: str | None = None


class PresentedToken(Secret):
    """The access token of a request, hashed once: the cache of tokens and the proof's ``ath`` both use the hash."""

    digest: bytes | None = None


def digest_of(access_token: str) -> bytes:
    """Return the SHA-256 of an access token; the ``ath`` of its proofs is this in base64url."""
    digest = access_token.digest if isinstance(access_token, PresentedToken) else None
    if digest is None:
        digest = hashlib.sha256(access_token.encode("utf-8", "surrogatepass")).digest()
        if isinstance(access_token, PresentedToken):
            access_token.digest = digest
    return digest


def check_binding(proof: CheckedProof, confirmation: object, access_token: str) -> None:
    """Check that the proof is for the token and its key is the token's (RFC 9449 §4.3 (12), §7.1)."""
    if not access_token or not access_token.isascii():
        raise FailedCheck(
            "the access token is not ASCII",
            "invalid_token",
            advice="The client must send the access token as it got it.",
        )
    if not _same(proof.ath, encode_text(digest_of(access_token))):
        raise FailedCheck("ath is not the hash of the access token", advice=_SIGN_FOR_IT)
    # dict first: an abstract class takes longer to ask.
    jkt = confirmation.get("jkt") if isinstance(confirmation, (dict, Mapping)) else None
    if not isinstance(jkt, str):
        raise FailedCheck("the access token is not bound to a key", "invalid_token", advice=BIND)
    if not _same(jkt, proof.thumbprint):
        raise FailedCheck("the access token is bound to another key", "invalid_token", advice=_OTHER_KEY)


def _same(given: str | None, expected: str) -> bool:
    # compare_digest takes ASCII text only; the expected value is always ASCII.
    return given is not None and given.isascii() and hmac.compare_digest(given, expected)
