"""Reading JSON and compact JWTs without trust, by code of the tenant's own.

Invariants:

- No input raises anything but ``ValueError``.
- JSON is refused if two readers could disagree about it (RFC 8259): a byte order mark, a lone surrogate, NaN, a number
  that no float holds, a name given twice (RFC 7515 §4), deep nesting.
- Base64url is canonical: no padding, no other alphabet, unused bits zero. A second spelling would be a second JWT.
- A JWT's header and claims are objects. What they mean is the caller's to check; joserfc verifies the signature.
"""

from __future__ import annotations

import base64
import json
import math
import re
from typing import TYPE_CHECKING, Any

import attrs
from joserfc.jws import JWSRegistry

if TYPE_CHECKING:
    from joserfc.jwk import ECKey, RSAKey

_SEGMENT = re.compile(r"[A-Za-z0-9_-]+")
_MAX_BRACKETS = 256  # in one JSON text, which bounds its nesting far below Python's limit of recursion


@attrs.frozen
class CompactJwt:
    """A JWT, read and not verified."""

    header: dict[str, Any]
    claims: dict[str, Any]
    signing_input: bytes
    signature: bytes

    def is_signed_by(self, key: ECKey | RSAKey, alg: str) -> bool:
        """Return whether the signature is the key's by an algorithm; the header's ``alg`` does not count."""
        return bool(JWSRegistry.algorithms[alg].verify(self.signing_input, self.signature, key))


def read_json(raw: bytes) -> object:
    """Return a JSON value, or raise ``ValueError``."""
    if raw.count(b"{") + raw.count(b"[") > _MAX_BRACKETS:
        raise ValueError("nested too deeply")
    value: object = json.loads(raw.decode(), object_pairs_hook=_unique, parse_float=_finite, parse_constant=_finite)
    json.dumps(value, ensure_ascii=False).encode()  # an escape may write a lone surrogate, which has no encoding
    return value


def read_compact(text: str) -> CompactJwt:
    """Return a compact JWT (RFC 7515 §3.1), or raise ``ValueError``."""
    header, payload, signature = text.split(".")
    signing_input = f"{header}.{payload}".encode("ascii")
    return CompactJwt(_object(header), _object(payload), signing_input, _decode(signature))


def _object(segment: str) -> dict[str, Any]:
    value = read_json(_decode(segment))
    if isinstance(value, dict):
        return value
    raise ValueError("a header or claims that are no object")


def _decode(segment: str) -> bytes:
    if not _SEGMENT.fullmatch(segment):
        raise ValueError("not base64url")
    raw = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != segment:
        raise ValueError("not canonical")
    return raw


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a name occurs twice")
    return members


def _finite(number: str) -> float:
    value = float(number)
    if math.isfinite(value):
        return value
    raise ValueError("a number that is none, or too large")
