"""Sealing a value for a store or another process: JWE ``dir`` with A256GCM (RFC 7516, RFC 7518 §4.5, §5.3).

Invariants:

- Without the key, the content can be neither read nor changed. The header can be read, but not changed.
- Each sealed text has only one spelling: padding, and base64url with non-zero unused bits, are refused.
- There is one algorithm: no ``zip``, no ``crit``, no wrapped key, and no member that is not a text.
- A value that is too large to be unsealed is not sealed.
- An initialization vector is used once: 96 random bits for each seal (RFC 7518 §5.3).

It uses cryptography directly; the tests compare it with joserfc. With joserfc, opening a session in memory takes 1.37
times the CPU and reading one 1.56 times; on Redis with 64 callers at once, 1.22 and 1.41 times.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

import attrs
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from passwordless_async._common import clock as _clock
from passwordless_async._common.base64url import decode, encode, encode_text
from passwordless_async._common.secret import SecretBytes, SecretDict, conceal_bytes
from passwordless_async.errors import BrokenSeal, UsageError

T = TypeVar("T")

_KEY_BYTES = 32
_KEY_ID_CHARACTERS = 16
_ALGORITHMS = {"alg": "dir", "enc": "A256GCM"}
_REFUSED = ("zip", "crit")  # members of RFC 7516 that change the meaning of others
_MAX_CHARACTERS = 524_288  # of a sealed text: twice the largest response, because tokens can be that large
_MAX_HEADER_BYTES = 2048
_PARTS = 5  # RFC 7516 §3.1
_VECTOR_BYTES, _TAG_BYTES = 12, 16  # RFC 7518 §5.3
_to_json = json.JSONEncoder(separators=(",", ":")).encode


@attrs.frozen
class Sealed:
    """A sealed text, parsed. Its header proves nothing before the content is unsealed."""

    header: dict[str, str]  # readable without the key
    protected: bytes  # the header as it is authenticated
    vector: bytes
    content: bytes = attrs.field(repr=False)  # encrypted, with its tag


class Ring(Protocol):
    """A ring of keys that seals and unseals: a ``KeyRing`` of the stores."""

    def seal(self, content: SecretBytes, bound_to: Mapping[str, str], /) -> str:
        """Seal content with the newest key."""

    def unseal(self, sealed: str, bound_to: Mapping[str, str], /) -> Any:  # noqa: ANN401 - it has content and header
        """Unseal it with any of the keys; raises ``BrokenSeal``."""


def concealed_keys(keys: T) -> T:
    """Return a key, or a sequence of keys, wrapped as secrets; anything else as :func:`conceal_bytes` does."""
    concealed: Any
    if isinstance(keys, Sequence) and not isinstance(keys, str | bytes | bytearray | memoryview):
        concealed = tuple(conceal_bytes(key) for key in keys)
    else:
        concealed = conceal_bytes(keys)
    return concealed  # type: ignore[no-any-return] # what it was given


def sealing_key(key: object) -> SecretBytes:
    """Return a key to seal with; one that is not 32 bytes raises :class:`UsageError`."""
    if not isinstance(key, bytes) or len(key) != _KEY_BYTES:
        raise UsageError("key", f"must be {_KEY_BYTES} random bytes")
    return SecretBytes(key)


def sealing_keys(keys: object) -> dict[str, SecretBytes]:
    """Return a key, or several, by their identifiers; one that is not 32 bytes, or none, raises :class:`UsageError`."""
    each = [sealing_key(key) for key in (keys if isinstance(keys, tuple) and keys else (keys,))]
    return {key_id(key): key for key in each}


def key_id(key: SecretBytes) -> str:
    """Return the identifier of a key, which does not reveal it: it distinguishes a wrong key from a changed text."""
    digest = hashlib.sha256(b"passwordless-async sealing key" + key).digest()
    return encode_text(digest)[:_KEY_ID_CHARACTERS]


def seal(content: SecretBytes, key: SecretBytes, header: Mapping[str, str], *, kid: str | None = None) -> str:
    """Seal content, which only holders of the key can read.

    Anyone can read the header, but only holders of the key can set it. ``kid`` is the key's identifier, if it is known.

    Raises:
        UsageError: The sealed text would be too large to be unsealed.
    """
    members = {**_ALGORITHMS, "kid": kid or key_id(key), **header}
    plain = _to_json(members).encode()
    protected = encode(plain)
    vector = _clock.random_bytes(_VECTOR_BYTES)
    sealed = AESGCM(key).encrypt(vector, content, protected)
    parts = protected, b"", encode(vector), encode(sealed[:-_TAG_BYTES]), encode(sealed[-_TAG_BYTES:])
    text = b".".join(parts).decode()
    if len(text) > _MAX_CHARACTERS or len(plain) > _MAX_HEADER_BYTES:
        raise UsageError("content", f"is too large: sealed it has {len(text)} characters, {_MAX_CHARACTERS} at most")
    return text


def parse(text: object) -> Sealed | None:
    """Parse a sealed text; None if it is not one."""
    parts = text.split(".") if isinstance(text, str) and len(text) <= _MAX_CHARACTERS else []
    if len(parts) != _PARTS or parts[1]:
        return None
    header = _header(decode(parts[0]))
    vector, content, tag = map(decode, parts[2:])
    sizes = len(vector), len(tag), bool(content)
    if header is None or sizes != (_VECTOR_BYTES, _TAG_BYTES, bool(parts[3])):
        return None
    return Sealed(header, parts[0].encode(), vector, content + tag)


def _header(protected: bytes) -> dict[str, str] | None:
    try:
        header = json.loads(protected[: _MAX_HEADER_BYTES + 1])
    except (ValueError, RecursionError):
        return None
    if not isinstance(header, dict) or not all(isinstance(value, str) for value in header.values()):
        return None
    accepted = _ALGORITHMS.items() <= header.items() and header.keys().isdisjoint(_REFUSED)
    return header if accepted else None


def unseal(sealed: Sealed, key: SecretBytes) -> SecretBytes | None:
    """Return the content of a sealed text; None if it was changed, or sealed with another key."""
    try:
        return SecretBytes(AESGCM(key).decrypt(sealed.vector, sealed.content, sealed.protected))
    except InvalidTag:
        return None


def seal_members(members: SecretDict, keys: bytes | Sequence[bytes] | Ring, kind: str, **shown: str) -> str:
    """Seal a JSON object with a key, the first of several, or a ring; ``kind`` is its ``typ``.

    ``shown`` are further members of the header: anyone can read them, but only holders of the key can set them.
    """
    keys = concealed_keys(keys)
    content, header = SecretBytes(_to_json(members).encode()), {"typ": kind, **shown}
    if callable(getattr(keys, "seal", None)):
        ring: Ring = keys  # type: ignore[assignment] # by its methods
        return ring.seal(content, header)
    return seal(content, next(iter(sealing_keys(keys).values())), header)


def unseal_members(text: str, keys: bytes | Sequence[bytes] | Ring, kind: str) -> SecretDict:
    """Return what :func:`seal_members` sealed.

    Raises:
        UsageError: A key is not 32 bytes.
        BrokenSeal: It is no sealed value of this kind, was changed, or was sealed with another key.
    """
    keys = concealed_keys(keys)
    content: SecretBytes | None
    if callable(getattr(keys, "unseal", None)):
        ring: Ring = keys  # type: ignore[assignment] # by its methods
        content = ring.unseal(text, {"typ": kind}).content
    else:
        content = _unsealed(text, sealing_keys(keys), kind)
    try:
        members = json.loads(content or b"")
    except (ValueError, RecursionError):
        members = None
    if not isinstance(members, dict):
        raise BrokenSeal("form")
    return SecretDict(members)


def _unsealed(text: str, keys: dict[str, SecretBytes], kind: str) -> SecretBytes:
    parsed = parse(text)
    if parsed is None:
        raise BrokenSeal("form")
    if parsed.header.get("kid") not in keys:
        raise BrokenSeal("key")
    if parsed.header.get("typ") != kind:
        raise BrokenSeal("place")
    content = unseal(parsed, keys[parsed.header["kid"]])
    if content is None:
        raise BrokenSeal("seal")
    return content
