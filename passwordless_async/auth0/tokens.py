"""What the service returns: tokens with their key, and receipts of starts."""

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


@attrs.frozen
class TokenSet:
    """The tokens of one user and the key that they are bound to; one is of no use without the other.

    The tokens are ``str`` with a redacted repr.

    Attributes:
        access_token: The access token (RFC 6749 §1.4).
        token_type: ``DPoP`` (RFC 9449 §5), as the server wrote it.
        expires_at: When the access token expires: whole seconds since the UNIX epoch, counted from before the request
            was sent; None if the server did not say.
        scope: The granted scope, words separated by one space; empty if none was requested or named.
        refresh_token: The refresh token; None unless ``offline_access`` was granted.
        id_token: The ID token as received; None unless ``openid`` was granted.
        claims: The validated claims of the ID token (OpenID Connect Core §2); None without one.
        key: The key that the tokens are bound to; None if it was stripped, and then they are of no use.
        jkt: The thumbprint of the key when the tokens were issued (RFC 9449 §6); None if unknown.
        issuer: The tenant that issued them; None if unknown.
        client_id: The application that they were issued to; None if unknown.
        audience: The requested API; None if none was requested.
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
    key: DPoPKey
    jkt: str | None = attrs.field(default=None, kw_only=True)
    issuer: str | None = attrs.field(default=None, kw_only=True)
    client_id: str | None = attrs.field(default=None, kw_only=True)
    audience: str | None = attrs.field(default=None, kw_only=True)

    def seal(self, keys: bytes | Sequence[bytes] | sealing.Ring) -> str:
        """Seal the tokens with their private key, to keep them at a place of the application's (RFC 7516).

        The sealed text and the sealing key together are the login: keep them apart.

        Args:
            keys: 32 random bytes, or several such keys while they rotate, the first of which seals; or a ``KeyRing``.

        Returns:
            Base64url and dots, which show nothing of the tokens.

        Raises:
            UsageError: A key is not 32 bytes.
            KeyMissing: The tokens have no key: they are of no use.
        """
        if not isinstance(self.key, DPoPKey):
            raise KeyMissing("the tokens have no key: they are of no use")
        members = SecretDict({field.name: getattr(self, field.name) for field in attrs.fields(type(self))})
        members["key"] = self.key.to_jwk(private=True)
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
            members["key"] = DPoPKey.from_jwk(SecretDict(members["key"]))
            claims = members["claims"]
            members["claims"] = None if claims is None else MappingProxyType(claims)
            for name in _SECRETS & members.keys():
                members[name] = conceal(members[name])
            return cls(**{field.name: members[field.name] for field in attrs.fields(cls)})
        except (KeyError, TypeError, ValueError, UsageError):
            broken = BrokenSeal("form")
        raise broken

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        claims = None if self.claims is None else MappingProxyType(copy.deepcopy(dict(self.claims), memo))
        return attrs.evolve(self, claims=claims)


@attrs.frozen
class StartReceipt:
    """The service accepted the request and sends a code.

    The service also says whether the address has an account. That is left out: it must not reach a browser.

    Attributes:
        who: The user, for ``exchange``.
        sent_at: When the code was requested: seconds since the UNIX epoch.
    """

    who: User
    sent_at: float
