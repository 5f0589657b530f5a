"""Sealing a value for a journey: JWE ``dir`` with A256GCM (RFC 7516, RFC 7518 §4.5, §5.3).

What is sealed can be neither read nor changed without the key, and the header beside it, which can be read, cannot be
changed either. There is one spelling of each sealed text: base64url whose unused bits are not zero is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import attrs
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from passwordless_async._common import clock as _clock
from passwordless_async._common.base64url import decode, encode, encode_text
from passwordless_async._common.secret import SecretBytes, conceal_bytes
from passwordless_async.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEY = 32  # bytes
_KEY_ID = 16  # characters
_ALGORITHMS = {"alg": "dir", "enc": "A256GCM"}
_MAX_TEXT = 65_536  # characters
_MAX_HEADER = 2048  # bytes
_to_json = json.JSONEncoder(separators=(",", ":")).encode
_DOTS = 4  # RFC 7516 §3.1
_VECTOR, _TAG = 12, 16  # bytes, RFC 7518 §5.3


def sealing_key(key: object) -> SecretBytes:
    """Return a key to seal with.

    Raises:
        UsageError: It is not 32 bytes.
    """
    if not isinstance(key, bytes) or len(key) != _KEY:
        raise UsageError("key", f"must be {_KEY} random bytes")
    return SecretBytes(key)


def concealed_keys(keys: object) -> Any:  # noqa: ANN401 - what it was given
    """Return a key, or several, so that no traceback shows them; anything else as it is."""
    if isinstance(keys, Sequence) and not isinstance(keys, str | bytes | bytearray | memoryview):
        return tuple(conceal_bytes(key) for key in keys)
    return conceal_bytes(keys)


def sealing_keys(keys: object) -> dict[str, SecretBytes]:
    """Return a key, or several, by their names.

    Raises:
        UsageError: One is not 32 bytes, or there is none.
    """
    each = [sealing_key(key) for key in (keys if isinstance(keys, tuple) and keys else (keys,))]
    return {key_id(key): key for key in each}


def key_id(key: SecretBytes) -> str:
    """Return the name of a key, which says nothing about it: it tells a wrong key from a changed text."""
    digest = hashlib.sha256(b"passwordless-async sealing key" + key).digest()
    return encode_text(digest)[:_KEY_ID]


@attrs.frozen
class Sealed:
    """A sealed text, read and not opened: what its header says proves nothing before that.

    Attributes:
        header: What everybody may read.
        protected: The header as it is authenticated.
        vector: The initialization vector.
        content: What nobody may read, with its tag.
    """

    header: dict[str, str]
    protected: bytes
    vector: bytes
    content: bytes = attrs.field(repr=False)


def seal(content: SecretBytes, key: SecretBytes, header: Mapping[str, str], *, kid: str | None = None) -> str:
    """Seal some content.

    Args:
        content: What nobody may read.
        key: The key, as :func:`sealing_key` returned it.
        header: What everybody may read and nobody may change.
        kid: The name of the key, where that is known.
    """
    members = {**_ALGORITHMS, "kid": kid or key_id(key), **header}
    protected = encode(_to_json(members).encode())
    # RFC 7518 §5.3: 96 bits, another one each time.
    vector = _clock.random_bytes(_VECTOR)
    # By cryptography itself: the JOSE library takes ten times as long, and is the oracle of the tests.
    sealed = AESGCM(key).encrypt(vector, content, protected)
    parts = protected, b"", encode(vector), encode(sealed[:-_TAG]), encode(sealed[-_TAG:])
    return b".".join(parts).decode()


def read(text: object) -> Sealed | None:
    """Return a sealed text as it is read; None where it is none."""
    if not isinstance(text, str) or len(text) > _MAX_TEXT or text.count(".") != _DOTS:
        return None
    protected, wrapped_key, vector, content, tag = text.split(".")
    sealed = decode(vector), decode(content), decode(tag)
    if wrapped_key or (content and not sealed[1]) or (len(sealed[0]), len(sealed[2])) != (_VECTOR, _TAG):
        return None
    header = _members(decode(protected))
    if header is None:
        return None
    return Sealed(header, protected.encode(), sealed[0], sealed[1] + sealed[2])


def _members(protected: bytes) -> dict[str, str] | None:
    try:
        header = json.loads(protected[: _MAX_HEADER + 1])
    except (ValueError, RecursionError):
        return None
    if not isinstance(header, dict) or not all(isinstance(value, str) for value in header.values()):
        return None
    # Nothing else that RFC 7516 knows: no "zip", no "crit", no other algorithm.
    return header if _ALGORITHMS.items() <= header.items() else None


def unseal(sealed: Sealed, key: SecretBytes) -> SecretBytes | None:
    """Return the content of a sealed text; None where it was changed, or is by another key."""
    try:
        return SecretBytes(AESGCM(key).decrypt(sealed.vector, sealed.content, sealed.protected))
    except InvalidTag:
        return None
