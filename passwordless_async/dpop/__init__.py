"""RFC 9449 without I/O: keys, proofs, nonces and challenges, and the server's side of them."""

from passwordless_async.dpop.challenge import Challenge, demands_nonce, parse_www_authenticate, rejects_token
from passwordless_async.dpop.checked import CheckedProof
from passwordless_async.dpop.issuer import NonceIssuer
from passwordless_async.dpop.key import DPoPKey
from passwordless_async.dpop.negotiation import negotiate
from passwordless_async.dpop.nonce import NonceCache, nonce_of
from passwordless_async.dpop.proof import ProofGenerator, htu, token_hash
from passwordless_async.dpop.refusal import nonce_headers, refusal_body, refusal_headers
from passwordless_async.dpop.replay import MemoryReplayStore, ReplayStore
from passwordless_async.dpop.verifier import DPoPVerifier

__all__ = [
    "Challenge",
    "CheckedProof",
    "DPoPKey",
    "DPoPVerifier",
    "MemoryReplayStore",
    "NonceCache",
    "NonceIssuer",
    "ProofGenerator",
    "ReplayStore",
    "demands_nonce",
    "htu",
    "negotiate",
    "nonce_headers",
    "nonce_of",
    "parse_www_authenticate",
    "refusal_body",
    "refusal_headers",
    "rejects_token",
    "token_hash",
]
