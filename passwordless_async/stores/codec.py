"""A token set with its key as bytes, to be sealed, and back."""

from __future__ import annotations

import base64
import json
from types import MappingProxyType
from typing import Any

from passwordless_async._secret import Secret, SecretBytes, SecretDict
from passwordless_async.dpop import DPoPKey
from passwordless_async.errors import UsageError
from passwordless_async.tokens import TokenSet

_SECRETS = ("access_token", "refresh_token", "id_token")
_PLAIN = ("token_type", "expires_at", "scope", "jkt", "issuer", "client_id", "audience")


def encode(tokens: TokenSet, **more: object) -> SecretBytes:
    """Return tokens and some more members as bytes.

    The claims are those of the ID token, which was validated when it came, and are read from it again; where they are
    not, because a refresh brought none, they are kept beside it.
    """
    members = SecretDict({name: getattr(tokens, name) for name in (*_SECRETS, *_PLAIN)})
    members["key"] = base64.b64encode(tokens.key.to_bytes()).decode()
    if tokens.claims is not None and dict(tokens.claims) != _claims(tokens.id_token):
        members["claims"] = dict(tokens.claims)
    kept = {name: value for name, value in {**members, **more}.items() if value is not None}
    return SecretBytes(json.dumps(kept, separators=(",", ":")).encode())


def decode(content: SecretBytes) -> tuple[TokenSet, dict[str, Any]] | None:
    """Return the tokens and the other members; None where the bytes are not what :func:`encode` made."""
    try:
        members = SecretDict(json.loads(content))
        claims = members.pop("claims", None) or _claims(members.get("id_token"))
        given = {name: members.pop(name, None) for name in _PLAIN}
        secrets = {name: Secret(members.pop(name)) if name in members else None for name in _SECRETS}
        key = DPoPKey.from_bytes(base64.b64decode(members.pop("key")))
        tokens = TokenSet(
            **given,
            **secrets,  # type: ignore[arg-type] # an access token is always there, or it is not ours
            key=key,
            claims=None if claims is None else MappingProxyType(claims),
        )
    except (KeyError, TypeError, ValueError, UsageError):
        return None
    return None if tokens.access_token is None else (tokens, dict(members))


def _claims(id_token: str | None) -> dict[str, Any] | None:
    if id_token is None:
        return None
    payload = id_token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=="))
    return claims
