"""A token set with its key as bytes, to be sealed, and back.

JWTs are kept as what their base64url stands for, which is a quarter less: a JSON object, the key and the tokens,
a NUL between them.
"""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

from passwordless_async._common import base64url as _base64url
from passwordless_async._common.secret import Secret, SecretBytes, SecretDict
from passwordless_async.auth0.tokens import TokenSet
from passwordless_async.dpop import DPoPKey
from passwordless_async.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_Segments: TypeAlias = "list[bytes] | str | None"
_SECRETS = ("access_token", "refresh_token", "id_token")
_PLAIN = ("token_type", "expires_at", "scope", "jkt", "issuer", "client_id", "audience")
_SCALAR = 32  # bytes of a key's private part, before its public one
_to_json = json.JSONEncoder(separators=(",", ":")).encode
_LENGTH = 2  # bytes that tell how long a segment is
_TOO_LONG = 1 << 8 * _LENGTH
_AS_IT_IS, _SEGMENTS = b"\0", b"\1"  # how a token is kept


def encode(tokens: TokenSet, known: Mapping[str, str], **more: object) -> SecretBytes:
    """Return tokens and some more members as bytes.

    The claims are those of the ID token, which was validated when it came, and are read from it again; where they are
    not, because a refresh brought none, they are kept beside it.

    Args:
        tokens: The tokens.
        known: What is known where they are decoded, by its names in a token set: that is not kept again.
        **more: The other members.
    """
    members = {name: getattr(tokens, name) for name in _PLAIN}
    members = {name: value for name, value in members.items() if known.get(name) != value}
    segments = [_segments(getattr(tokens, name)) for name in _SECRETS]
    if tokens.claims is not None and tokens.claims != _claims(segments[-1]):
        members["claims"] = dict(tokens.claims)
    parts = [tokens.key.to_bytes() + tokens.key.point, *map(_packed, segments)]
    members |= more
    kept = {name: value for name, value in members.items() if value is not None}
    kept["parts"] = [len(part) for part in parts]
    return SecretBytes(b"\0".join((_to_json(kept).encode(), *parts)))


def decode(content: SecretBytes, known: Mapping[str, str]) -> tuple[TokenSet, dict[str, Any]] | None:
    """Return the tokens and the other members; None where the bytes are not what :func:`encode` made."""
    try:
        end = content.index(0)
        members = SecretDict(json.loads(content[:end]))
        # Slices of a view hold no copy, and show nothing.
        parts = list(_parts(memoryview(content)[end + 1 :], members.pop("parts")))
        key = parts[0]
        segments = [_unpacked(part) for part in parts[1:]]
        claims = members.pop("claims", None) or _claims(segments[-1])
        tokens = TokenSet(
            **{name: members.pop(name, None) or known.get(name) for name in _PLAIN},  # type: ignore[arg-type] # ours
            **dict(zip(_SECRETS, map(_token, segments), strict=True)),  # type: ignore[arg-type] # checked below
            key=DPoPKey.from_bytes(SecretBytes(key[:_SCALAR]), point=bytes(key[_SCALAR:])),
            claims=None if claims is None else MappingProxyType(claims),
        )
    except (KeyError, IndexError, TypeError, ValueError, UsageError):
        return None
    return None if tokens.access_token is None else (tokens, dict(members))


def _parts(kept: memoryview, lengths: list[int]) -> Iterator[memoryview]:
    for length in lengths:
        yield kept[:length]
        kept = kept[length + 1 :]


def _segments(token: str | None) -> _Segments:
    """Return what the segments of a token stand for; a token that is none of base64url is one text."""
    if token is None:
        return None
    segments = [_base64url.decode(segment) for segment in token.split(".")]
    return segments if all(0 < len(segment) < _TOO_LONG for segment in segments) else token


def _packed(segments: _Segments) -> bytes:
    if segments is None:
        return b""
    if isinstance(segments, str):
        return _AS_IT_IS + segments.encode()
    return _SEGMENTS + b"".join([part for segment in segments for part in (len(segment).to_bytes(_LENGTH), segment)])


def _unpacked(packed: memoryview) -> _Segments:
    if not packed:
        return None
    if packed[:1] == _AS_IT_IS:
        return Secret(str(packed[1:], "utf-8"))
    segments: list[Any] = []
    at = 1
    while at < len(packed):
        start = at + _LENGTH
        at = start + int.from_bytes(packed[at:start])
        segments.append(packed[start:at])
    return segments


def _token(segments: _Segments) -> Secret | None:
    if segments is None or isinstance(segments, str):
        return segments  # type: ignore[return-value] # as it is kept, it is secret
    return Secret(".".join(map(_base64url.encode_text, segments)))


def _claims(segments: _Segments) -> dict[str, Any] | None:
    if segments is None:
        return None
    claims: dict[str, Any] = json.loads(bytes(segments[1]))  # type: ignore[arg-type] # an ID token is a JWT
    return claims
