"""Checking the signature of a compact JWS (RFC 7515 §5.2), by the algorithms that ID tokens have.

joserfc imports the keys, and does the same in the tests, where it is the oracle; here, where each login passes, its
general machinery costs three times the signature itself.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from passwordless_async._common.base64url import decode
from passwordless_async._common.secret import Secret, SecretBytes

if TYPE_CHECKING:
    from collections.abc import Callable

_SHA256 = hashes.SHA256()
_PKCS1 = padding.PKCS1v15()
_PSS = padding.PSS(padding.MGF1(_SHA256), padding.PSS.DIGEST_LENGTH)  # RFC 7518 §3.5
_ECDSA = ec.ECDSA(_SHA256)
_MAX_TOKEN = 131_072  # characters; twice what an answer's tokens may have
_INTEGER = 32  # bytes of r and of s (RFC 7518 §3.4)


def signed_payload(token: Secret, alg: str, key: object) -> SecretBytes | None:
    """Return the payload of a token whose signature is good; None where it is not.

    Args:
        token: The token, whose header has been read.
        alg: The algorithm that the header names, and that the key is for.
        key: The public key, as cryptography has it; bytes for HS256.
    """
    if len(token) > _MAX_TOKEN:
        return None
    message, _, signature = token.rpartition(".")
    _, separator, payload = message.partition(".")
    raw = decode(signature)
    if not separator or "." in payload or not raw:
        return None
    try:
        _CHECKS[alg](key, raw, message.encode())
    except (InvalidSignature, ValueError, TypeError):
        return None
    return SecretBytes(decode(payload))


def _rs256(key: Any, signature: bytes, message: bytes) -> None:  # noqa: ANN401 - as the key set had it
    key.verify(signature, message, _PKCS1, _SHA256)


def _ps256(key: Any, signature: bytes, message: bytes) -> None:  # noqa: ANN401
    key.verify(signature, message, _PSS, _SHA256)


def _es256(key: Any, signature: bytes, message: bytes) -> None:  # noqa: ANN401
    if len(signature) != 2 * _INTEGER:
        raise InvalidSignature
    r, s = (int.from_bytes(part) for part in (signature[:_INTEGER], signature[_INTEGER:]))
    key.verify(encode_dss_signature(r, s), message, _ECDSA)


def _hs256(key: Any, signature: bytes, message: bytes) -> None:  # noqa: ANN401
    if not hmac.compare_digest(hmac.digest(key, message, hashlib.sha256), signature):
        raise InvalidSignature


_CHECKS: dict[str, Callable[[Any, bytes, bytes], None]] = {
    "RS256": _rs256,
    "PS256": _ps256,
    "ES256": _es256,
    "HS256": _hs256,
}
