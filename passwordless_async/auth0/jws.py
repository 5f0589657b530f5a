"""The signature of a compact JWS (RFC 7515 §5.2): joserfc's algorithms, without its reading of the header.

The caller has read the header, which is the same for thousands of tokens. ``jws.deserialize_compact`` reads it again
for each token, which makes the check a third slower. It also refuses a header over 512 bytes or with an unknown
parameter, when the code is already spent.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from passwordless_async._common.base64url import decode
from passwordless_async._common.secret import Secret, SecretBytes
from passwordless_async.auth0 import jose

if TYPE_CHECKING:
    from passwordless_async.auth0.jose import ECKey, JWSRegistry, OctKey, RSAKey

_MAX_TOKEN = 131_072  # characters; twice what a token of the token endpoint may have
_DOTS = 2
_PKCS1, _SHA256 = padding.PKCS1v15(), hashes.SHA256()  # RFC 7518 §3.3
# Each caller has its own allow-list, and a key has its algorithms.
_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "HS256")


def signed_payload(token: Secret, alg: str, key: RSAKey | ECKey | OctKey) -> SecretBytes | None:
    """Return the payload of a token with a valid signature; None otherwise (see :func:`is_signed`)."""
    return SecretBytes(decode(token.split(".")[1])) if is_signed(token, alg, key) else None


def is_signed(token: Secret, alg: str, key: RSAKey | ECKey | OctKey) -> bool:
    """Return whether a token is a compact JWS with a valid signature.

    The token's header has been checked: it names ``alg``, which the key is for. The key of HS256 is the secret.
    """
    if len(token) > _MAX_TOKEN or token.count(".") != _DOTS:
        return False
    message, _, signature = token.rpartition(".")
    raw = decode(signature)
    try:
        if alg == "RS256" and isinstance(key, jose.RSAKey):
            return _is_rs256(message.encode(), raw, key)
        return bool(raw) and _registry().get_alg(alg).verify(message.encode(), raw, key)
    except (jose.JoseError, ValueError, TypeError, AttributeError):
        # The key's type does not fit the algorithm.
        return False


@cache
def _registry() -> JWSRegistry:
    return jose.JWSRegistry(algorithms=_ALGORITHMS)


def _is_rs256(message: bytes, signature: bytes, key: RSAKey) -> bool:
    """Return whether RS256 made a signature. Nearly all tenants use RS256; for other algorithms, joserfc is used."""
    try:
        key.public_key.verify(signature, message, _PKCS1, _SHA256)
    except InvalidSignature:
        return False
    return True
