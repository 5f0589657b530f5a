"""Reading a proof strictly: a compact JWT of one algorithm and one key type (RFC 7515, RFC 7517, RFC 7519).

Invariants:

- The input is hostile; no input raises anything but :class:`FailedCheck`.
- Only one spelling is accepted: canonical base64url, no JSON name twice, coordinates of full length. An attacker could
  exploit two readers that disagree about a proof.
- Ambiguous JSON is refused (:mod:`passwordless_async._common.strict_json`), and so is deep nesting.
- The tests compare the results with joserfc.
"""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from passwordless_async._common.base64url import decode, encode_text
from passwordless_async._common.secret import REDACTED
from passwordless_async._common.strict_json import read_strictly
from passwordless_async.dpop.server.checked import FailedCheck
from passwordless_async.dpop.signature import der_from_raw

MAX_PROOF = 4096  # characters; a proof with a nonce of 1,000 characters has about 2,000
_MAX_JTI = 256  # characters; a UUID has 36
_MAX_BRACKETS = 256  # in one JSON text; a proof with all registered members has 2

_CURVE = ec.SECP256R1()
_ES256 = ec.ECDSA(Prehashed(hashes.SHA256()))  # hashlib hashes: it takes less time than cryptography's hashes
_SIGNATURE = 86  # characters: r and s, 32 bytes each (RFC 7518 §3.4)
_COORDINATE = 43  # characters: 32 bytes (RFC 7518 §6.2.1.2)
# Registered header parameters that are ignored here but must have their registered type.
_TEXTS = frozenset({"cty", "jku", "kid", "x5t", "x5t#S256", "x5u"})
_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})  # RFC 7518 §6.2.2, §6.3.2, §6.4


class Compact(NamedTuple):
    """The segments of a compact JWT; only the signature is decoded."""

    header: str
    payload: str
    signing_input: bytes
    signature: bytes

    def __repr__(self) -> str:
        return REDACTED  # a proof that was not spent yet is a secret


class PublicKey(NamedTuple):
    """The key of a proof and its thumbprint (RFC 7638)."""

    point: ec.EllipticCurvePublicKey
    thumbprint: str


def read_compact(proof: str) -> Compact:
    """Split a proof into its segments: a compact JWT, not too long, with a signature of 64 bytes."""
    if len(proof) > MAX_PROOF:
        raise FailedCheck("the proof is too long", advice=f"The client must send at most {MAX_PROOF} characters.")
    signing_input, _, signature = proof.rpartition(".")
    header, dot, payload = signing_input.partition(".")
    # RFC 7515 §3.1: three segments. A third dot would be in the payload, where base64url refuses it.
    if not dot or len(signature) != _SIGNATURE or not proof.isascii():
        raise FailedCheck("the proof is not a compact JWT signed by ES256")
    return Compact(header, payload, signing_input.encode(), _decode(signature))


def read_key(header_segment: str) -> PublicKey:
    """Check the JOSE header and return its key."""
    header = _object(header_segment)
    if header.get("typ") != "dpop+jwt":  # RFC 9449 §4.3 (4)
        raise FailedCheck("typ is not dpop+jwt")
    if header.get("alg") != "ES256":  # RFC 9449 §4.3 (5): neither none nor symmetric; only ES256 is offered
        raise FailedCheck("alg is not ES256")
    if "crit" in header or "b64" in header:  # RFC 7515 §4.1.11: extensions must be understood; RFC 7797 §6
        raise FailedCheck("crit and b64 are not supported")
    _check_ignored(header)
    return _public_key(header.get("jwk"))


def _check_ignored(header: dict[str, Any]) -> None:
    """Check the types of the registered parameters that have no meaning here (RFC 7515 §4.1)."""
    if not all(isinstance(header[name], str) for name in _TEXTS & header.keys()):
        raise FailedCheck("a registered header parameter is not a string")
    if "x5c" in header and not _is_texts(header["x5c"]):  # RFC 7515 §4.1.6
        raise FailedCheck("x5c is not an array of strings")


def _public_key(jwk: object) -> PublicKey:
    if not isinstance(jwk, dict) or jwk.get("kty") != "EC" or jwk.get("crv") != "P-256":
        raise FailedCheck("jwk is not a public key of P-256")
    if not _PRIVATE_MEMBERS.isdisjoint(jwk):  # RFC 9449 §4.3 (7)
        raise FailedCheck("jwk has a private member")
    x, y = _coordinate(jwk, "x"), _coordinate(jwk, "y")
    encoded = b"\x04" + _decode(x) + _decode(y)  # SEC 1 §2.3.4, uncompressed
    try:
        point = ec.EllipticCurvePublicKey.from_encoded_point(_CURVE, encoded)
    except ValueError:
        point = None
    if point is None:
        raise FailedCheck("jwk is not a point on the curve")
    # RFC 7638 §3.2: only the required members, in lexicographic order. Base64url needs no escapes.
    canonical = f'{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}'
    return PublicKey(point, encode_text(hashlib.sha256(canonical.encode()).digest()))


def _coordinate(jwk: dict[str, Any], name: str) -> str:
    value = jwk.get(name)
    # RFC 7518 §6.2.1.2: the full 32 bytes; decoding checks their encoding. A padded or shortened text would be the same
    # point under another thumbprint.
    if not isinstance(value, str) or len(value) != _COORDINATE:
        raise FailedCheck("x and y of jwk must be 43 characters of base64url")
    return value


def check_signature(key: PublicKey, compact: Compact) -> None:
    """Check the signature with the proof's own key (RFC 9449 §4.3 (6))."""
    valid = True
    try:
        key.point.verify(der_from_raw(compact.signature), hashlib.sha256(compact.signing_input).digest(), _ES256)
    except InvalidSignature:
        valid = False
    if not valid:
        raise FailedCheck("the signature is wrong")


def read_claims(payload_segment: str) -> dict[str, Any]:
    """Return the claims; those of RFC 9449 §4.2 and RFC 7519 §4.1 have their types (RFC 9449 §4.3 (3))."""
    claims = dict(_object(payload_segment))  # no secrets, and the application may print them
    if not claims.keys() >= _REQUIRED:
        raise FailedCheck("jti, htm, htu or iat is missing")
    for name, value in claims.items():
        types = _CLAIMS.get(name)
        if types is not None and type(value) not in types:
            raise FailedCheck(f"{name} is of another type or length")
    if not 0 < len(claims["jti"]) <= _MAX_JTI:
        raise FailedCheck("jti is of another type or length")
    return claims


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


_REQUIRED = frozenset({"jti", "htm", "htu", "iat"})  # RFC 9449 §4.2
# As the JSON decoder makes them. RFC 7519 §2, NumericDate: a bool is an int in Python but not in JSON.
_CLAIMS: dict[str, frozenset[type]] = {
    **dict.fromkeys(("jti", "htm", "htu", "nonce", "ath"), frozenset({str})),
    **dict.fromkeys(("iat", "exp", "nbf"), frozenset({int, float})),
}


def _object(segment: str) -> dict[str, Any]:
    value = read_strictly(_decode(segment), most_brackets=_MAX_BRACKETS)
    if value is None:
        raise FailedCheck("the proof's header and claims must be JSON objects without a name given twice")
    return value


def _decode(segment: str) -> bytes:
    decoded = decode(segment)
    if not decoded:
        raise FailedCheck("the proof has base64url that is malformed or not canonical")
    return decoded
