"""How an application authenticates itself at the token endpoint (RFC 6749 §2.3, OpenID Connect Core §9)."""

from __future__ import annotations

from typing import ClassVar, Protocol, runtime_checkable

import attrs

from passwordless_async import _check
from passwordless_async._secret import Secret, always_printable, conceal, redacted


@runtime_checkable
class ClientAuth(Protocol):
    """A way to authenticate the application."""

    @property
    def confidential(self) -> bool:
        """Whether the application proves who it is; a public one cannot keep a secret."""

    def parameters(self) -> dict[str, Secret]:
        """Return the body parameters of one transmission."""


@attrs.frozen
class NoClientAuth:
    """``none``: a public client, which sends its ``client_id`` alone."""

    confidential: ClassVar[bool] = False

    def parameters(self) -> dict[str, Secret]:
        """Return no parameters."""
        return {}


@always_printable
@attrs.frozen(init=False)
class ClientSecretPost:
    """``client_secret_post``: the secret in the body.

    Args:
        secret: The client secret; visible ASCII.

    Raises:
        UsageError: The secret is empty or has characters that no client secret has.
    """

    confidential: ClassVar[bool] = True

    secret: Secret = attrs.field(repr=redacted)

    def __init__(self, secret: str) -> None:
        secret = conceal(secret)
        self.__attrs_init__(secret=Secret(_check.text("client_secret", secret, at_most=_check.MAX_SECRET)))

    def parameters(self) -> dict[str, Secret]:
        """Return ``client_secret``."""
        return {"client_secret": self.secret}
