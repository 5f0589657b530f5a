"""Sealing a value for a journey: JWE ``dir`` with A256GCM (RFC 7516, RFC 7518 §4.5, §5.3).

What is sealed can be neither read nor changed without the key, and the header beside it, which can be read, cannot be
changed either. There is one spelling of each sealed text: base64url whose unused bits are not zero is refused.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from passwordless_async._secret import Secret, SecretBytes, conceal_bytes
from passwordless_async.errors import UsageError

if TYPE_CHECKING:
    from joserfc.jwe import JWERegistry

_KEY = 32  # bytes
_KEY_ID = 16  # characters
_ALGORITHMS = {"alg": "dir", "enc": "A256GCM"}
_MAX_TEXT = 65_536  # characters
_MAX_HEADER = 2048  # bytes
_SEGMENTS = 5  # RFC 7516 §3.1
_BASE64URL = re.compile(r"[A-Za-z0-9_-]*")


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
    return base64.urlsafe_b64encode(digest).decode()[:_KEY_ID]


def seal(content: SecretBytes, key: SecretBytes, header: dict[str, str]) -> str:
    """Seal some content.

    Args:
        content: What nobody may read.
        key: The key, as :func:`sealing_key` returned it.
        header: What everybody may read and nobody may change.
    """
    # Here and not at the top: only who seals pays for loading it.
    from joserfc import jwe  # noqa: PLC0415
    from joserfc.jwk import OctKey  # noqa: PLC0415

    protected = {**_ALGORITHMS, "kid": key_id(key), **header}
    return jwe.encrypt_compact(protected, content, OctKey.import_key(bytes(key)), registry=_registry())


def read_header(text: object) -> dict[str, str] | None:
    """Return the header of a sealed text, which proves nothing before it is opened; None where it is no sealed text."""
    if not isinstance(text, str) or len(text) > _MAX_TEXT:
        return None
    segments = [_decoded(segment) for segment in text.split(".")]
    if len(segments) != _SEGMENTS or None in segments or segments[1]:
        return None
    try:
        header = json.loads(segments[0] or b"")
    except (ValueError, RecursionError):
        return None
    if not isinstance(header, dict) or not all(isinstance(value, str) for value in header.values()):
        return None
    # Nothing else that RFC 7516 knows: no "zip", no "crit", no other algorithm.
    return header if {name: header.get(name) for name in _ALGORITHMS} == _ALGORITHMS else None


def unseal(text: Secret, key: SecretBytes) -> SecretBytes | None:
    """Return the content of a sealed text whose header was read; None where it was changed, or is by another key."""
    # Here and not at the top: only who unseals pays for loading it.
    from joserfc import jwe  # noqa: PLC0415
    from joserfc.errors import JoseError  # noqa: PLC0415
    from joserfc.jwk import OctKey  # noqa: PLC0415

    try:
        opened = jwe.decrypt_compact(text, OctKey.import_key(bytes(key)), registry=_registry())
    except (JoseError, ValueError, TypeError):
        return None
    return SecretBytes(opened.plaintext or b"")


def _registry() -> JWERegistry:
    from joserfc.jwe import JWERegistry  # noqa: PLC0415 - loaded by who called this

    registry = JWERegistry(algorithms=list(_ALGORITHMS.values()), strict_check_header=False)
    registry.max_protected_header_length = _MAX_HEADER
    return registry


def _decoded(segment: str) -> bytes | None:
    # len % 4 == 1 is the length of no base64.
    if not _BASE64URL.fullmatch(segment) or len(segment) % 4 == 1:
        return None
    decoded = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    return decoded if base64.urlsafe_b64encode(decoded).rstrip(b"=").decode() == segment else None
