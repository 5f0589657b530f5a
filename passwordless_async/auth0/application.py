"""The application and its tenant: the endpoints of requests, and the credentials they carry."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import attrs

from passwordless_async._common import arguments as _check
from passwordless_async._common.origin import parse_origin
from passwordless_async._common.secret import Secret, always_printable
from passwordless_async.auth0.client_auth import ClientAuth, ClientSecretBasic, ClientSecretPost, TlsClientAuth
from passwordless_async.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yarl import URL


ID_TOKEN_ALGORITHMS = ("RS256", "PS256", "ES256")
HS256 = "HS256"
_MIN_SECRET = 32  # characters; RFC 7518 §3.2: a key for HS256 has 256 bits or more


def _base_url(domain: str) -> URL:
    return parse_origin("domain", domain, may_be_host=True)


def _client_id(value: str) -> str:
    return _check.text("client_id", value, at_most=_check.MAX_CLIENT_ID)


def _algorithms(value: Iterable[str]) -> tuple[str, ...]:
    known = (*ID_TOKEN_ALGORITHMS, HS256)
    # Of "RS256" without brackets and comma, which is iterable too, no character is an algorithm.
    algorithms = tuple(value) if isinstance(value, Iterable) else ()
    if not algorithms or any(alg not in known for alg in algorithms):
        raise UsageError("id_token_algorithms", f"must be some of {', '.join(known)}, in a list")
    return algorithms


# The endpoints of a tenant, by the names of the attributes below: their paths at its domain.
PATHS = {
    "start_url": "passwordless/start",
    "token_url": "oauth/token",
    "otp_challenge_url": "otp/challenge",
    "revoke_url": "oauth/revoke",
    "userinfo_url": "userinfo",
    "jwks_url": ".well-known/jwks.json",
    "mfa_authenticators_url": "mfa/authenticators",
    "mfa_challenge_url": "mfa/challenge",
    "mfa_associate_url": "mfa/associate",
}


def _at(name: str) -> URL:
    def url(application: Application) -> URL:
        return application.named.get(name) or application.base / PATHS[name]

    return attrs.Factory(url, takes_self=True)  # typed as what it makes


@always_printable
@attrs.frozen
class Application:
    """An application registered at a tenant.

    Args:
        domain: The tenant's domain, or its URL; plain http on loopback only.
        client_id: The application's identifier.
        client_auth: How the application authenticates itself.
        id_token_algorithms: The accepted algorithms of ID tokens. HS256 needs a client secret, which is its key.

    Raises:
        UsageError: An argument is invalid.
    """

    base: URL = attrs.field(converter=_base_url)
    client_id: str = attrs.field(converter=_client_id)
    client_auth: ClientAuth = attrs.field()
    id_token_algorithms: tuple[str, ...] = attrs.field(default=ID_TOKEN_ALGORITHMS, converter=_algorithms)
    # The endpoints that the tenant's metadata names, by the names of these attributes; the others are at the domain.
    named: Mapping[str, URL] = attrs.field(factory=dict, kw_only=True)
    origin: str = attrs.field(init=False)
    issuer: str = attrs.field(init=False)  # of the tenant's ID tokens: its URL with a trailing slash
    start_url: URL = attrs.field(init=False, default=_at("start_url"))
    token_url: URL = attrs.field(init=False, default=_at("token_url"))
    token_origin: str = attrs.field(init=False)  # that nonces of the token endpoint are kept by
    otp_challenge_url: URL = attrs.field(init=False, default=_at("otp_challenge_url"))
    revoke_url: URL = attrs.field(init=False, default=_at("revoke_url"))
    userinfo_url: URL = attrs.field(init=False, default=_at("userinfo_url"))
    jwks_url: URL = attrs.field(init=False, default=_at("jwks_url"))
    mfa_authenticators_url: URL = attrs.field(init=False, default=_at("mfa_authenticators_url"))
    mfa_challenge_url: URL = attrs.field(init=False, default=_at("mfa_challenge_url"))
    mfa_associate_url: URL = attrs.field(init=False, default=_at("mfa_associate_url"))

    @client_auth.validator
    def _check_client_auth(self, _attribute: object, value: object) -> None:
        # A class has the members of its instances: NoClientAuth without brackets would pass.
        if not isinstance(value, ClientAuth) or isinstance(value, type):
            raise UsageError("client_auth", "must be NoClientAuth(), ClientSecretPost(secret) or another way")
        if isinstance(value, TlsClientAuth) and self.base.scheme != "https":
            raise UsageError("client_auth", "TlsClientAuth needs https")

    @id_token_algorithms.validator
    def _check_algorithms(self, _attribute: object, value: tuple[str, ...]) -> None:
        if HS256 not in value:
            return
        if not isinstance(self.client_auth, ClientSecretPost | ClientSecretBasic):
            raise UsageError("id_token_algorithms", "HS256 needs client_auth with a client secret, which is its key")
        if len(self.client_auth.secret) < _MIN_SECRET:
            raise UsageError("id_token_algorithms", f"HS256 needs a client secret of {_MIN_SECRET} characters or more")

    def at(self, named: Mapping[str, URL]) -> Application:
        """Return the same application with other endpoints; its issuer stays."""
        return Application(self.origin, self.client_id, self.client_auth, self.id_token_algorithms, named=named)

    @token_origin.default
    def _token_origin(self) -> str:
        return str(self.token_url.origin())

    @origin.default
    def _origin(self) -> str:
        return str(self.base.origin())

    @issuer.default
    def _issuer(self) -> str:
        return f"{self.origin}/"

    @property
    def id_token_secret(self) -> Secret:
        """The key of HS256; without a client secret it raises :class:`UsageError`."""
        if not isinstance(self.client_auth, ClientSecretPost | ClientSecretBasic):
            raise UsageError("client_auth", "has no client secret")
        return self.client_auth.secret

    @property
    def needs_key_set(self) -> bool:
        """Whether a key of the tenant's key set may sign ID tokens."""
        return any(alg != HS256 for alg in self.id_token_algorithms)
