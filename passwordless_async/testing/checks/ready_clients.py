"""The applications that a tenant knows, each with its credentials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from passwordless_async._common.secret import Secret, SecretBytes, SecretDict, redacted
from passwordless_async.testing.checks import clients
from passwordless_async.testing.checks.assertions import ready_key

if TYPE_CHECKING:
    from passwordless_async.testing.settings import TenantSettings


@attrs.frozen(kw_only=True)
class ReadyClient:
    """An application, ready for use.

    Attributes:
        method: Its method, as in ``token_endpoint_auth_methods_supported``.
        client_id: Its identifier.
        secret: Its secret; None without one.
        private_jwk: The private key that signs its assertions, as a JWK with a ``kid``; None without one.
        private_pem: The same key as PKCS #8 PEM, not encrypted.
        alg: The algorithm to sign with.
    """

    method: str
    client_id: str
    secret: Secret | None = attrs.field(default=None, converter=attrs.converters.optional(Secret), repr=redacted)
    private_jwk: dict[str, Any] | None = attrs.field(default=None, repr=redacted)
    private_pem: bytes | None = attrs.field(default=None, repr=redacted)
    alg: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object, the key included."""
        pem = None if self.private_pem is None else bytes(self.private_pem).decode()
        return {**attrs.asdict(self), "private_pem": pem}

    @classmethod
    def from_json(cls, members: dict[str, Any]) -> ReadyClient:
        """Return what :meth:`to_json` wrote."""
        pem = members["private_pem"]
        return cls(**{**members, "private_pem": None if pem is None else SecretBytes(pem.encode())})


def ready_client(settings: TenantSettings, method: str, alg: str = "RS256") -> ReadyClient:
    """Return the application of an authentication method.

    Args:
        settings: The tenant's settings.
        method: ``none``, ``client_secret_post``, ``client_secret_basic``, ``private_key_jwt``, ``tls_client_auth`` or
            ``self_signed_tls_client_auth``.
        alg: The algorithm of its assertions, for ``private_key_jwt`` alone.

    Raises:
        ValueError: There is no such method.
    """
    by_method = {name: client for client, names in clients.methods_by_client(settings).items() for name in names}
    if method not in by_method:
        raise ValueError(f"there is no client authentication {method!r}; there are {', '.join(clients.METHODS)}")
    client_id = by_method[method]
    if method in (clients.POST, clients.BASIC):
        return ReadyClient(method=method, client_id=client_id, secret=settings.confidential_client_secret)
    if method != clients.ASSERTION:
        return ReadyClient(method=method, client_id=client_id)
    if settings.private_key_jwt_keys is not None:  # the test registered its own keys, and has the private ones
        return ReadyClient(method=method, client_id=client_id, alg=alg)
    key = ready_key(alg)
    return ReadyClient(
        method=method,
        client_id=client_id,
        private_jwk=SecretDict(key.as_dict(private=True)),
        private_pem=SecretBytes(key.as_pem(private=True)),
        alg=alg,
    )
