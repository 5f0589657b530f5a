"""The key that tokens are bound to: P-256, for ES256 only.

Invariants:

- The private scalar leaves this module only through exports that say so: not in a repr, not by pickling, and not in the
  header of a proof, which has only the four public members (RFC 9449 §4.2).
- Input that may hold a private key is wrapped as a secret first, so no traceback shows it.
- A compact key stays compact until it signs or is exported to PEM.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeGuard

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from passwordless_async._common import arguments as _check
from passwordless_async._common.base64url import encode, encode_text
from passwordless_async._common.secret import Secret, SecretBytes, always_printable, conceal, conceal_bytes
from passwordless_async.dpop.signature import raw_from_der
from passwordless_async.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

_CURVE = ec.SECP256R1()
_ES256 = ec.ECDSA(Prehashed(hashes.SHA256()))  # hashlib hashes: it takes less time than cryptography's hashes
_COORDINATE = re.compile(r"[A-Za-z0-9_-]{43}")  # 32 bytes, base64url without padding
_SCALAR_BYTES = 32
_POINT_BYTES = 65
_UNCOMPRESSED = 4  # the first byte of a point (SEC 1 §2.3.3)
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256, SEC 2 §2.4.2
_PUBLIC_MEMBERS = ("crv", "kty", "x", "y")
_MAX_JWK = 4096  # characters; a longer text is cut, which makes it invalid JSON
_MAX_PEM = 16384  # bytes
_MAX_PASSWORD = 1023  # bytes, OpenSSL's limit


@always_printable
class DPoPKey:
    """A P-256 key pair (RFC 9449 §4.2; RFC 7518 §3.4).

    Make one with :meth:`generate`, :meth:`from_jwk`, :meth:`from_pem` or :meth:`from_bytes`. Two keys are equal when
    their thumbprints are. Tasks can share a key. It cannot be pickled: export it explicitly, and protect the result.
    :meth:`compact` reduces the size of a key that is not in use.
    """

    __slots__ = ("_header", "_live", "_point", "_prefix", "_scalar", "_thumbprint")

    def __init__(self, private_key: ec.EllipticCurvePrivateKey | bytes) -> None:
        private_key = conceal_bytes(private_key, ec.EllipticCurvePrivateKey)
        if not _is_scalar(private_key) and not _is_p256(private_key):
            raise UsageError("private_key", "must be a P-256 private key")
        if isinstance(private_key, bytes):
            self._take(None, SecretBytes(private_key))
        else:
            self._take(private_key, None)

    def _take(self, live: ec.EllipticCurvePrivateKey | None, scalar: SecretBytes | None) -> None:
        self._live = live
        self._scalar = scalar
        self._point: bytes | None = None
        self._header: str | None = None
        self._prefix: bytes | None = None
        self._thumbprint: str | None = None

    @classmethod
    def generate(cls) -> Self:
        """Make a new key (about 15 µs)."""
        key = cls.__new__(cls)  # a generated key needs no check
        cls._take(key, ec.generate_private_key(_CURVE), None)
        return key

    @classmethod
    def from_bytes(cls, scalar: bytes, *, point: bytes | None = None) -> Self:
        """Import the result of :meth:`to_bytes`; the key stays compact until its first use, which takes 45 µs.

        Args:
            scalar: The private scalar.
            point: The key's :attr:`point`, if you kept it: the thumbprint costs less then. It is not checked, so both
                must come from protected storage. Every server refuses the proofs of a key with a wrong point.

        Raises:
            UsageError: ``scalar`` is not the 32 bytes of a P-256 private scalar, or ``point`` not the 65 of a point.
        """
        scalar = conceal_bytes(scalar)
        if not _is_scalar(scalar):
            raise UsageError("scalar", "must be the 32 bytes of a P-256 private key")
        if point is not None and not (
            isinstance(point, bytes) and len(point) == _POINT_BYTES and point[0] == _UNCOMPRESSED
        ):
            raise UsageError("point", f"must be {_POINT_BYTES} bytes, the first of them {_UNCOMPRESSED}")
        key = cls(scalar)
        key._point = point
        return key

    def to_bytes(self) -> bytes:
        """Export the private scalar: 32 bytes, big-endian (RFC 7518 §6.2.2.1)."""
        if self._scalar is None:
            return SecretBytes(self._private.private_numbers().private_value.to_bytes(_SCALAR_BYTES))
        return self._scalar

    def compact(self) -> None:
        """Keep only the scalar, about 180 bytes instead of 3 KB; the next use computes the rest again."""
        self._scalar = SecretBytes(self.to_bytes())
        self._live = self._point = self._header = self._prefix = self._thumbprint = None

    @property
    def _private(self) -> ec.EllipticCurvePrivateKey:
        if self._live is None:
            self._live = self._loaded()
        return self._live

    def _loaded(self) -> ec.EllipticCurvePrivateKey:
        return self._live or ec.derive_private_key(int.from_bytes(self.to_bytes()), _CURVE)

    @property
    def point(self) -> bytes:
        """The public point: 04, x and y (SEC 1 §2.3.3), 65 bytes."""
        if self._point is None:
            # Not kept live: comparing or printing a compact key must not expand it.
            self._point = (
                self._loaded()
                .public_key()
                .public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
            )
        return self._point

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, Any] | str) -> Self:
        """Import a private key (RFC 7517, RFC 7518 §6.2).

        Args:
            jwk: The key as a mapping, or as JSON text.

        Raises:
            UsageError: It is not a P-256 private key; a member is missing, padded or of a wrong length; the point is
                not on the curve; or ``d`` belongs to another point.
        """
        jwk = _concealed_members(jwk)
        if jwk.get("kty") != "EC" or jwk.get("crv") != "P-256":
            raise UsageError("jwk", "must be a mapping or the JSON text of an object, with kty EC and crv P-256")
        _, _, d = (_coordinate(jwk, name) for name in ("x", "y", "d"))
        if not _is_scalar(d):
            raise UsageError("jwk", "d is not a private key of P-256")
        key = cls(d)
        if key.to_jwk() != {name: value for name, value in jwk.items() if name in _PUBLIC_MEMBERS}:
            raise UsageError("jwk", "x and y are not the public point of d")
        return key

    @classmethod
    def from_pem(cls, pem: bytes, password: bytes | None = None) -> Self:
        """Import a private key from PEM (PKCS #8 or SEC 1).

        Args:
            pem: The text of the file.
            password: The password of an encrypted key.

        Raises:
            UsageError: It is not PEM or not a P-256 key, or the password is missing, wrong or not needed.
        """
        pem, password = conceal_bytes(pem), conceal_bytes(password)
        if not isinstance(pem, bytes) or not isinstance(password, bytes | None):
            raise UsageError("pem", "pem and password must be bytes")
        if len(pem) > _MAX_PEM:
            raise UsageError("pem", f"must be at most {_MAX_PEM} bytes long")
        try:
            private = serialization.load_pem_private_key(pem, password)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            private = None
        if private is None:
            raise UsageError("pem", "is not a private key in PEM form, or the password does not open it")
        if not _is_p256(private):
            raise UsageError("pem", "must hold a P-256 key")
        return cls(private)

    def to_jwk(self, *, private: bool = False) -> dict[str, str]:
        """Export as a JWK: the four public members, and ``d`` if ``private`` is True.

        Raises:
            UsageError: ``private`` is no bool.
        """
        jwk = {"crv": "P-256", "kty": "EC", "x": encode_text(self.point[1:33]), "y": encode_text(self.point[33:])}
        if _check.boolean("private", private):
            jwk["d"] = Secret(encode_text(self.to_bytes()))
        return jwk

    def to_pem(self, password: bytes | None) -> bytes:
        """Export as PKCS #8 PEM, encrypted with the password; None means no encryption.

        Raises:
            UsageError: The password is not bytes, is empty, or is longer than 1023.
        """
        password = conceal_bytes(password)
        if password is not None and not (isinstance(password, bytes) and 1 <= len(password) <= _MAX_PASSWORD):
            raise UsageError("password", f"must be 1 to {_MAX_PASSWORD} bytes, or None for no encryption")
        encryption = (
            serialization.NoEncryption() if password is None else serialization.BestAvailableEncryption(password)
        )
        return SecretBytes(
            self._private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
        )

    @property
    def thumbprint(self) -> str:
        """The SHA-256 thumbprint, base64url (RFC 7638): the ``jkt`` that tokens are bound to."""
        if self._thumbprint is None:
            self._thumbprint = encode_text(hashlib.sha256(self._canonical().encode()).digest())
        return self._thumbprint

    @property
    def header_segment(self) -> str:
        """The JOSE header of a proof (RFC 9449 §4.2), encoded once per key."""
        if self._header is None:
            canonical = self._canonical()
            self._header = encode_text(f'{{"typ":"dpop+jwt","alg":"ES256","jwk":{canonical}}}'.encode())
            if self._thumbprint is None:
                # A client compares the thumbprint with the token response: build the members once for both.
                self._thumbprint = encode_text(hashlib.sha256(canonical.encode()).digest())
        return self._header

    def _canonical(self) -> str:
        """Return the public members in lexicographic order, without white space (RFC 7638 §3); none needs escapes."""
        point = self.point
        return f'{{"crv":"P-256","kty":"EC","x":"{encode_text(point[1:33])}","y":"{encode_text(point[33:])}"}}'

    def sign_jwt(self, claims: bytes) -> str:
        """Return the compact JWT of these claims with a proof's header (RFC 7515 §7.1)."""
        if self._prefix is None:
            self._prefix = f"{self.header_segment}.".encode()
        message = self._prefix + encode(claims)
        return (message + b"." + encode(self.sign(message))).decode()

    def sign(self, message: bytes) -> bytes:
        """Sign with ES256: r and s, 32 bytes each, leading zeros kept (RFC 7518 §3.4)."""
        private_key = self._live or self._private
        return raw_from_der(private_key.sign(hashlib.sha256(message).digest(), _ES256))

    def __eq__(self, other: object) -> bool:
        return self.point == other.point if isinstance(other, DPoPKey) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.point)

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a DPoPKey is not pickled by accident: use to_pem(password), to_jwk(private=True) or to_bytes()"
        )

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _memo: object) -> Self:
        return self

    def __repr__(self) -> str:
        return f"<DPoPKey {self.thumbprint}>"


def _is_scalar(value: object) -> TypeGuard[bytes]:
    return isinstance(value, bytes) and len(value) == _SCALAR_BYTES and 0 < int.from_bytes(value) < _ORDER


def _is_p256(value: object) -> TypeGuard[ec.EllipticCurvePrivateKey]:
    return isinstance(value, ec.EllipticCurvePrivateKey) and isinstance(value.curve, ec.SECP256R1)


def _concealed_members(jwk: Mapping[str, Any] | str) -> dict[str, Any]:
    """Return the members with their texts concealed, or an empty dict. It never raises: see conceal()."""
    try:
        members = json.loads(jwk[:_MAX_JWK]) if isinstance(jwk, str) else dict(jwk)
        return {name: conceal(value) for name, value in members.items()}
    except (AttributeError, TypeError, ValueError, RecursionError):
        return {}


def _coordinate(jwk: dict[str, Any], name: str) -> SecretBytes:
    value = jwk.get(name)
    if not isinstance(value, str) or not _COORDINATE.fullmatch(value):
        raise UsageError("jwk", f"{name} must be 43 characters of base64url, without padding")
    decoded = SecretBytes(base64.urlsafe_b64decode(value + "="))
    if encode_text(decoded) != value:
        raise UsageError("jwk", f"{name} must be the base64url of 32 bytes, its unused bits zero")
    return decoded
