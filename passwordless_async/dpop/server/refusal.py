"""How a request is refused: the error's facts as the header fields and the body of an answer.

A refusal never repeats what the client sent: every text here is fixed, so it can stand in a header as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from passwordless_async.errors import UseDPoPNonce

if TYPE_CHECKING:
    from passwordless_async.dpop.server.checked import CheckedProof
    from passwordless_async.errors import OAuthError

EXPOSED = "DPoP-Nonce, WWW-Authenticate"
_UNAUTHORIZED = 401


class Refused(Exception):
    """A check failed. It never leaves the package: the verifier adds the status and makes it an error of the tree.

    Args:
        description: Why, as it may stand in ``error_description`` (RFC 6750 §3).
        error: The error code (RFC 9449 §7.1, RFC 6750 §3.1).
    """

    def __init__(self, description: str, error: str = "invalid_dpop_proof") -> None:
        super().__init__(description)
        self.description = description
        self.error = error


def refusal_headers(error: OAuthError) -> dict[str, str]:
    """Return the header fields of the answer to a refused request.

    Args:
        error: What the verifier raised.

    Returns:
        ``Cache-Control`` and ``Access-Control-Expose-Headers`` always, ``WWW-Authenticate`` with a 401, ``DPoP-Nonce``
        with a nonce challenge (RFC 9449 §7.1, §8, §9).
    """
    headers = {"Cache-Control": "no-store", "Access-Control-Expose-Headers": EXPOSED}
    if error.status == _UNAUTHORIZED:
        headers["WWW-Authenticate"] = _challenge(error)
    if isinstance(error, UseDPoPNonce) and error.nonce is not None:
        headers["DPoP-Nonce"] = error.nonce
    return headers


def refusal_body(error: OAuthError) -> dict[str, str]:
    """Return the members of the JSON body of the answer to a refused request (RFC 6749 §5.2)."""
    return {"error": error.error, "error_description": error.error_description}


def nonce_headers(proof: CheckedProof | None) -> dict[str, str]:
    """Return the header fields that offer the client a newer nonce; none where its own is the newest.

    Such an answer must not be stored, or it would hand out a stale nonce later (RFC 9449 §8.2).
    """
    if proof is None or proof.next_nonce is None:
        return {}
    return {
        "DPoP-Nonce": proof.next_nonce,
        "Cache-Control": "no-store",
        "Access-Control-Expose-Headers": EXPOSED,
    }


def _challenge(error: OAuthError) -> str:
    # RFC 6750 §3.1: a request without any credentials gets a challenge without an error code.
    if error.error == "invalid_request":
        return 'DPoP algs="ES256"'
    # RFC 9449 §7.1: algs tells the client what to sign with.
    return f'DPoP error="{error.error}", error_description="{error.error_description}", algs="ES256"'
