"""The results of the service: tokens with their key, and receipts of starts."""

from __future__ import annotations

import copy
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

import attrs

from passwordless_async._common import sealing
from passwordless_async._common.secret import Secret, SecretDict, conceal, redacted
from passwordless_async.dpop import DPoPKey
from passwordless_async.errors import BrokenSeal, KeyMissing, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from passwordless_async.auth0.identity import User

_TYPE = "tokens+jwe"
_SECRETS = frozenset({"access_token", "refresh_token", "id_token", "recovery_code"})
_KEYS = ("key", "refresh_key")


@attrs.frozen
class TokenSet:
    """The tokens of one user and the key that they are bound to; neither works without the other.

    The tokens are ``str`` with a redacted repr. With ``dpop="preferred"`` or ``"off"``, they may be unbound: then
    :attr:`bound` is False, ``key`` and ``jkt`` are None, and they are sent as ``Bearer`` (RFC 6750).

    Attributes:
        access_token: The access token (RFC 6749 §1.4).
        token_type: ``DPoP`` (RFC 9449 §5) or ``Bearer`` (RFC 6750), as the server wrote it.
        expires_at: When the access token expires: whole seconds since the UNIX epoch, counted from before the request
            was sent; None if the server did not say.
        scope: The granted scope, words separated by one space; empty if none was requested or named.
        refresh_token: The refresh token; None unless ``offline_access`` was granted.
        id_token: The ID token as received; None unless ``openid`` was granted.
        claims: The validated claims of the ID token (OpenID Connect Core §2); None without one.
        key: The key that the tokens are bound to; None if they are unbound. Bound tokens are useless without it.
        jkt: The thumbprint of the key when the tokens were issued (RFC 9449 §6); None if unknown, or without a key.
        issuer: The tenant that issued them; None if unknown.
        client_id: The application that they were issued to; None if unknown.
        audience: The requested API; None if none was requested.
        refresh_key: For unbound tokens, the key that signed the proof of their request; None for bound ones, or if no
            proof was sent. A refresh proves it again, because the service may have bound the refresh token to it (RFC
            9449 §5), whatever the API's policy for access tokens is.
    """

    access_token: Secret = attrs.field(repr=redacted)
    token_type: str
    expires_at: int | None
    scope: str
    refresh_token: Secret | None = attrs.field(repr=redacted)
    id_token: Secret | None = attrs.field(repr=redacted)
    claims: Mapping[str, Any] | None = attrs.field(
        repr=lambda claims: "None" if claims is None else "<claims>", eq=False
    )
    key: DPoPKey | None
    jkt: str | None = attrs.field(default=None, kw_only=True)
    issuer: str | None = attrs.field(default=None, kw_only=True)
    client_id: str | None = attrs.field(default=None, kw_only=True)
    audience: str | None = attrs.field(default=None, kw_only=True)
    refresh_key: DPoPKey | None = attrs.field(default=None, kw_only=True, repr=False)

    @property
    def bound(self) -> bool:
        """Whether the tokens are bound to a key: they have one, its thumbprint, or the type ``DPoP``.

        The client sends bound tokens only as ``DPoP`` with a proof, in every mode.
        """
        return self.key is not None or self.jkt is not None or self.token_type.lower() == "dpop"

    def seal(self, keys: bytes | Sequence[bytes] | sealing.Ring) -> str:
        """Encrypt the tokens together with their private key, so that you can store them yourself (RFC 7516).

        The sealed text and the sealing key together give access to the login: store them separately.

        Args:
            keys: 32 random bytes, or several such keys while they rotate, the first of which seals; or a ``KeyRing``.

        Returns:
            Text of base64url and dots, which reveals nothing about the tokens.

        Raises:
            UsageError: A key is not 32 bytes.
            KeyMissing: The tokens are bound and have no key, so they are useless.
        """
        keys = sealing.concealed_keys(keys)
        require_key(self)
        members = SecretDict({field.name: getattr(self, field.name) for field in attrs.fields(type(self))})
        for name in _KEYS:
            members[name] = None if members[name] is None else members[name].to_jwk(private=True)
        members["claims"] = None if self.claims is None else dict(self.claims)
        return sealing.seal_members(members, keys, _TYPE)

    @classmethod
    def unseal(cls, text: str, keys: bytes | Sequence[bytes] | sealing.Ring) -> Self:
        """Return the tokens that :meth:`seal` sealed.

        Args:
            text: The sealed text.
            keys: The sealing key, several while keys rotate, or a ``KeyRing``.

        Raises:
            UsageError: A key is not 32 bytes.
            BrokenSeal: It is no sealed token set, was changed, or was sealed with another key.
        """
        text, keys = conceal(text), sealing.concealed_keys(keys)
        members = sealing.unseal_members(text, keys, _TYPE)
        try:
            for name in _KEYS:
                jwk = members.setdefault(name, None)  # older texts have no refresh_key
                members[name] = None if jwk is None else DPoPKey.from_jwk(SecretDict(jwk))
            claims = members["claims"]
            members["claims"] = None if claims is None else MappingProxyType(claims)
            for name in _SECRETS & members.keys():
                members[name] = conceal(members[name])
            unsealed = cls(**{field.name: members[field.name] for field in attrs.fields(cls)})
            require_key(unsealed)
        except (KeyError, AttributeError, TypeError, ValueError, UsageError, KeyMissing):
            broken = BrokenSeal("form")
        else:
            return unsealed
        raise broken

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        claims = None if self.claims is None else MappingProxyType(copy.deepcopy(dict(self.claims), memo))
        return attrs.evolve(self, claims=claims)


def require_key(tokens: TokenSet, *, consequence: str = "they are of no use") -> DPoPKey | None:
    """Return the key of tokens; None if they are not bound.

    Raises:
        KeyMissing: They are bound and have no key; ``consequence`` ends its message.
    """
    if isinstance(tokens.key, DPoPKey):
        return tokens.key
    if tokens.bound:
        raise KeyMissing(f"the tokens have no key: {consequence}")
    return None


def owner_of(tokens: TokenSet) -> str:
    """Return what names the user of tokens: their subject, or their session if they have no ID token."""
    subject = (tokens.claims or {}).get("sub")
    return subject if isinstance(subject, str) else tokens.refresh_token or tokens.access_token


def require_bearer(tokens: TokenSet) -> None:
    """Raise :class:`UsageError` for tokens without a key whose type is not ``Bearer`` (RFC 6749 §7.1)."""
    if tokens.token_type.lower() != "bearer":
        raise UsageError("tokens", "are of an unknown type: token_type is neither DPoP nor Bearer")


def authorization(tokens: TokenSet) -> Secret:
    """Return the ``Authorization`` header field of tokens: bound ones are never sent as Bearer (RFC 9449 §7.1)."""
    return Secret(f"{'DPoP' if tokens.bound else 'Bearer'} {tokens.access_token}")


@attrs.frozen
class StartReceipt:
    """The service accepted the request and sends a code.

    The service also says whether the address has an account. The receipt omits that, because it must not reach a
    browser.

    Attributes:
        who: The user, for ``exchange``.
        sent_at: When the code was requested: seconds since the UNIX epoch.
    """

    who: User
    sent_at: float
