"""The HTTP response to a refused request: header fields and body.

A refusal never repeats what the client sent: every text is fixed, so it can stand in a header field as it is.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from passwordless_async.errors import OAuthError, UseDPoPNonce

if TYPE_CHECKING:
    from passwordless_async.dpop.server.checked import CheckedProof

EXPOSED = "DPoP-Nonce, WWW-Authenticate"


def refusal_headers(error: OAuthError) -> dict[str, str]:
    """Return the header fields of the response to a refused request.

    Args:
        error: The error that the verifier raised.

    Returns:
        ``Cache-Control`` and ``Access-Control-Expose-Headers`` always, ``WWW-Authenticate`` with a 401, ``DPoP-Nonce``
        with a nonce challenge (RFC 9449 §7.1, §8, §9).
    """
    headers = {"Cache-Control": "no-store", "Access-Control-Expose-Headers": EXPOSED}
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = _challenge(error)
    if isinstance(error, UseDPoPNonce) and error.nonce is not None:
        headers["DPoP-Nonce"] = error.nonce
    return headers


def refusal_body(error: OAuthError) -> dict[str, str]:
    """Return the members of the JSON body of the response to a refused request (RFC 6749 §5.2)."""
    return {"error": error.error, "error_description": error.error_description}


def nonce_headers(proof: CheckedProof | None) -> dict[str, str]:
    """Return the header fields that offer the client a newer nonce; empty if the client's nonce is the newest.

    A response with a nonce must not be stored: it would hand out a stale nonce later (RFC 9449 §8.2).
    """
    if proof is None or proof.next_nonce is None:
        return {}
    return {"DPoP-Nonce": proof.next_nonce, "Cache-Control": "no-store", "Access-Control-Expose-Headers": EXPOSED}


def _challenge(error: OAuthError) -> str:
    # RFC 6750 §3.1: a request without any credentials gets a challenge without an error code.
    if error.error == "invalid_request":
        return 'DPoP algs="ES256"'
    # RFC 9449 §7.1: algs tells the client which algorithms the server accepts.
    return f'DPoP error="{error.error}", error_description="{error.error_description}", algs="ES256"'
