"""What the service returns: tokens with their key, and receipts of starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from passwordless_async._common.secret import Secret, redacted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from passwordless_async.auth0.identity import User
    from passwordless_async.dpop import DPoPKey


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
