"""RFC 9449 without I/O: keys, proofs, nonces and challenges."""

from passwordless_async.dpop.challenge import Challenge, demands_nonce, parse_www_authenticate, rejects_token
from passwordless_async.dpop.key import DPoPKey
from passwordless_async.dpop.negotiation import negotiate
from passwordless_async.dpop.nonce import NonceCache, nonce_of
from passwordless_async.dpop.proof import ProofGenerator, htu, token_hash

__all__ = [
    "Challenge",
    "DPoPKey",
    "NonceCache",
    "ProofGenerator",
    "demands_nonce",
    "htu",
    "negotiate",
    "nonce_of",
    "parse_www_authenticate",
    "rejects_token",
    "token_hash",
]
