"""RFC 9449 without I/O: keys, proofs, nonces and challenges, and the server's side of them.

The server's side is imported when it is first asked for (PEP 562): a client does not load it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from passwordless_async._common.lazy import lazy
from passwordless_async.dpop.challenge import Challenge, demands_nonce, parse_www_authenticate, rejects_token
from passwordless_async.dpop.key import DPoPKey
from passwordless_async.dpop.negotiation import negotiate
from passwordless_async.dpop.nonce import NonceCache, nonce_of
from passwordless_async.dpop.proof import ProofGenerator, htu, token_hash

if TYPE_CHECKING:
    from passwordless_async.dpop.server.checked import CheckedProof
    from passwordless_async.dpop.server.nonce_issuer import NonceIssuer
    from passwordless_async.dpop.server.refusal import nonce_headers, refusal_body, refusal_headers
    from passwordless_async.dpop.server.replay import MemoryReplayStore, ReplayStore
    from passwordless_async.dpop.server.verifier import DPoPVerifier

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

_MODULE_OF = {
    "CheckedProof": "passwordless_async.dpop.server.checked",
    "DPoPVerifier": "passwordless_async.dpop.server.verifier",
    "MemoryReplayStore": "passwordless_async.dpop.server.replay",
    "NonceIssuer": "passwordless_async.dpop.server.nonce_issuer",
    "ReplayStore": "passwordless_async.dpop.server.replay",
    "nonce_headers": "passwordless_async.dpop.server.refusal",
    "refusal_body": "passwordless_async.dpop.server.refusal",
    "refusal_headers": "passwordless_async.dpop.server.refusal",
}

# A type checker that saw __getattr__ would take any name for one of ours.
if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy(__name__, _MODULE_OF)
