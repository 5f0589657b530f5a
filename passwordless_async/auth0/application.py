"""The application and its tenant: where requests go and who sends them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from passwordless_async import _check
from passwordless_async._origin import parse_origin
from passwordless_async._secret import always_printable
from passwordless_async.auth0.client_auth import ClientAuth, TlsClientAuth
from passwordless_async.errors import UsageError

if TYPE_CHECKING:
    from yarl import URL


def _base_url(domain: str) -> URL:
    return parse_origin("domain", domain)


def _client_id(value: str) -> str:
    return _check.text("client_id", value, at_most=_check.MAX_CLIENT_ID)


@always_printable
@attrs.frozen
class Application:
    """An application registered at a tenant.

    Args:
        domain: The tenant's domain, or its URL; plain http on loopback only.
        client_id: The application's identifier.
        client_auth: How the application authenticates itself.

    Raises:
        UsageError: An argument is not of its form.
    """

    base: URL = attrs.field(converter=_base_url)
    client_id: str = attrs.field(converter=_client_id)
    client_auth: ClientAuth = attrs.field()
    origin: str = attrs.field(init=False)
    start_url: URL = attrs.field(init=False)
    token_url: URL = attrs.field(init=False)
    otp_challenge_url: URL = attrs.field(init=False)
    revoke_url: URL = attrs.field(init=False)
    userinfo_url: URL = attrs.field(init=False)
    jwks_url: URL = attrs.field(init=False)

    @client_auth.validator
    def _check_client_auth(self, _attribute: object, value: object) -> None:
        # A class has what its instances have: NoClientAuth without its brackets would pass for one.
        if not isinstance(value, ClientAuth) or isinstance(value, type):
            raise UsageError("client_auth", "must be NoClientAuth(), ClientSecretPost(secret) or another way")
        if isinstance(value, TlsClientAuth) and self.base.scheme != "https":
            raise UsageError("client_auth", "TlsClientAuth needs https")

    @origin.default
    def _origin(self) -> str:
        return str(self.base.origin())

    @start_url.default
    def _start_url(self) -> URL:
        return self.base / "passwordless/start"

    @token_url.default
    def _token_url(self) -> URL:
        return self.base / "oauth/token"

    @otp_challenge_url.default
    def _otp_challenge_url(self) -> URL:
        return self.base / "otp/challenge"

    @revoke_url.default
    def _revoke_url(self) -> URL:
        return self.base / "oauth/revoke"

    @userinfo_url.default
    def _userinfo_url(self) -> URL:
        return self.base / "userinfo"

    @jwks_url.default
    def _jwks_url(self) -> URL:
        return self.base / ".well-known/jwks.json"

    @property
    def issuer(self) -> str:
        """The issuer of the tenant's ID tokens: its URL with a trailing slash."""
        return f"{self.origin}/"
