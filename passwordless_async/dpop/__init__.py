"""RFC 9449 without I/O: keys, proofs, nonces and challenges, and the server's side of them.

Each name is imported when it is first used (PEP 562): a client does not load the server's side.
"""
# ruff: isort: skip_file

from __future__ import annotations

from typing import TYPE_CHECKING

from passwordless_async._common.lazy import lazy, module_of

if TYPE_CHECKING:
    # What type checkers see; "X as X" exports it. A test compares it with the table.
    from passwordless_async._common.http import HttpResponse as HttpResponse
    from passwordless_async.dpop.challenge import (
        Challenge as Challenge,
        demands_nonce as demands_nonce,
        parse_www_authenticate as parse_www_authenticate,
        rejects_token as rejects_token,
    )
    from passwordless_async.dpop.key import DPoPKey as DPoPKey
    from passwordless_async.dpop.negotiation import negotiate as negotiate
    from passwordless_async.dpop.nonce import NonceCache as NonceCache, nonce_of as nonce_of
    from passwordless_async.dpop.proof import ProofGenerator as ProofGenerator, htu as htu, token_hash as token_hash
    from passwordless_async.dpop.server.checked import CheckedProof as CheckedProof
    from passwordless_async.dpop.server.nonce_issuer import AcceptedNonce as AcceptedNonce, NonceIssuer as NonceIssuer
    from passwordless_async.dpop.server.refusal import (
        nonce_headers as nonce_headers,
        refusal_body as refusal_body,
        refusal_headers as refusal_headers,
    )
    from passwordless_async.dpop.server.replay import MemoryReplayStore as MemoryReplayStore, ReplayStore as ReplayStore
    from passwordless_async.dpop.server.verifier import DPoPVerifier as DPoPVerifier

# The public names, by the module that each is imported from.
_NAMES = {
    "challenge": "Challenge demands_nonce parse_www_authenticate rejects_token",
    "key": "DPoPKey",
    "negotiation": "negotiate",
    "nonce": "NonceCache nonce_of",
    "proof": "ProofGenerator htu token_hash",
    "server.checked": "CheckedProof",
    "server.nonce_issuer": "AcceptedNonce NonceIssuer",
    "server.refusal": "nonce_headers refusal_body refusal_headers",
    "server.replay": "MemoryReplayStore ReplayStore",
    "server.verifier": "DPoPVerifier",
}
_MODULE_OF = module_of(__name__, _NAMES)
_MODULE_OF["HttpResponse"] = "passwordless_async._common.http"

# A type checker reads no computed __all__, and if it saw __getattr__, it would accept any name.
if not TYPE_CHECKING:
    __all__ = list(_MODULE_OF)
    __getattr__, __dir__ = lazy(__name__, _MODULE_OF)
