"""What the tenant knows about its applications."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

import attrs

from passwordless_async._common.secret import Secret, redacted

PublicKeys = tuple[Mapping[str, Any], ...]


def _keys(given: object) -> PublicKeys | None:
    return None if given is None else tuple(dict(key) for key in given)  # type: ignore[attr-defined] # or TypeError


@attrs.frozen(kw_only=True, slots=False)
class ClientSettings:
    """One application for each way to authenticate; see ``tenant.client_for``.

    Args:
        public_client_id: The ``client_id`` of the application without a secret.
        confidential_client_id: The ``client_id`` of the application with a secret, sent in the body or by HTTP Basic.
        confidential_client_secret: Its secret; a random one unless given.
        private_key_jwt_client_id: The ``client_id`` of the application that signs assertions.
        private_key_jwt_keys: Its public keys as JWKs; None: the ready ones, whose private halves
            ``tenant.client_for("private_key_jwt")`` gives away.
        private_key_jwt_algs: The algorithms that an assertion may be signed with (Auth0: RS256, RS384, PS256).
        assertion_lifetime: Seconds that an assertion's ``exp`` may be ahead (Auth0: 5 minutes).
        tls_client_id: The ``client_id`` of the application whose certificate a CA issued (RFC 8705 §2.1).
        tls_client_subject: The subject of its certificate, as RFC 4514 writes it.
        self_signed_client_id: The ``client_id`` of the application with certificates of its own (RFC 8705 §2.2).
        self_signed_certificates: The SHA-256 thumbprints of its certificates (``x5t#S256``), for example
            ``ThrowAwayCa.self_signed("…").thumbprint``.
        basic_auth_at_start: Whether ``/passwordless/start`` and ``/otp/challenge`` take HTTP Basic (undocumented).
    """

    public_client_id: str = "public-client"
    confidential_client_id: str = "confidential-client"
    confidential_client_secret: str = attrs.field(
        factory=lambda: secrets.token_urlsafe(32), converter=Secret, repr=redacted
    )
    private_key_jwt_client_id: str = "private-key-jwt-client"
    private_key_jwt_keys: PublicKeys | None = attrs.field(default=None, converter=_keys)
    private_key_jwt_algs: tuple[str, ...] = attrs.field(default=("RS256", "RS384", "PS256", "ES256"), converter=tuple)
    assertion_lifetime: float = 300.0
    tls_client_id: str = "tls-client"
    tls_client_subject: str = "CN=tls-client"
    self_signed_client_id: str = "self-signed-tls-client"
    self_signed_certificates: tuple[str, ...] = attrs.field(default=(), converter=tuple)
    basic_auth_at_start: bool = False
