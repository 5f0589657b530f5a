"""The applications that a tenant knows, and which of them sent a request (RFC 6749 §2.3, RFC 7523, RFC 8705)."""

from __future__ import annotations

import base64
import hmac
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

import attrs

from passwordless_async._common.secret import Secret, SecretBytes, SecretDict, conceal, redacted
from passwordless_async.testing.certificates import subject_of, thumbprint_of
from passwordless_async.testing.checks.assertions import ready_key
from passwordless_async.testing.refusals import INVALID_CLIENT, RequestRefused
from passwordless_async.testing.settings import (
    METHOD_ASSERTION,
    METHOD_BASIC,
    METHOD_NONE,
    METHOD_POST,
    METHOD_SELF_SIGNED,
    METHOD_TLS,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from passwordless_async.testing.settings import RegisteredClient, TenantSettings
    from passwordless_async.testing.state.tenant_state import TenantRequest

METHODS = (METHOD_BASIC, METHOD_POST, METHOD_ASSERTION, METHOD_TLS, METHOD_SELF_SIGNED, METHOD_NONE)
_BY_CERTIFICATE = (METHOD_TLS, METHOD_SELF_SIGNED)


@attrs.frozen
class AuthenticatedClient:
    """An application that has authenticated itself, by ``none`` if it is public."""

    client_id: str
    method: str

    @property
    def confidential(self) -> bool:
        """Whether it has authenticated itself by a secret, key or certificate."""
        return self.method != METHOD_NONE

    @property
    def by_secret(self) -> bool:
        """Whether it has sent its secret."""
        return self.method in (METHOD_POST, METHOD_BASIC)


@attrs.frozen
class ClientCredentials:
    """The identifier and the secret of an application; it unpacks into the two.

    Attributes:
        client_id: Its identifier.
        secret: Its secret.
    """

    client_id: str
    secret: Secret = attrs.field(converter=conceal, repr=redacted)

    def __iter__(self) -> Iterator[str]:
        return iter((self.client_id, self.secret))


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
    secret: Secret | None = attrs.field(default=None, converter=conceal, repr=redacted)
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
    """Return the application of a method, or raise ``ValueError``; ``alg`` is that of its assertions."""
    by_method = {
        METHOD_NONE: settings.public_client_id,
        METHOD_POST: settings.confidential_client_id,
        METHOD_BASIC: settings.confidential_client_id,
        METHOD_ASSERTION: settings.private_key_jwt_client_id,
        METHOD_TLS: settings.tls_client_id,
        METHOD_SELF_SIGNED: settings.self_signed_client_id,
    }
    if method not in by_method:
        raise ValueError(f"there is no client authentication {method!r}; there are {', '.join(METHODS)}")
    client = ReadyClient(method=method, client_id=by_method[method])
    if method in (METHOD_POST, METHOD_BASIC):
        return attrs.evolve(client, secret=settings.confidential_client_secret)
    if method != METHOD_ASSERTION:
        return client
    if settings.private_key_jwt_keys is not None:  # the test registered its own keys, and has the private ones
        return attrs.evolve(client, alg=alg)
    key = ready_key(alg)
    jwk, pem = SecretDict(key.as_dict(private=True)), SecretBytes(key.as_pem(private=True))
    return attrs.evolve(client, private_jwk=jwk, private_pem=pem, alg=alg)


def authenticate(request: TenantRequest, parameters: Mapping[str, Any], *, basic_allowed: bool) -> AuthenticatedClient:
    """Return the application that sent a request; refuse an unknown one, wrong credentials, and two kinds of them."""
    client_id, method = _claimed(request, parameters, basic_allowed=basic_allowed)
    application = request.state.settings.client(client_id)
    if application is None:
        raise RequestRefused(INVALID_CLIENT)
    if method == METHOD_NONE and application.methods[0] in _BY_CERTIFICATE:
        (method,) = application.methods
        _check_certificate(request, application)
    if method not in application.methods:
        raise RequestRefused(INVALID_CLIENT)
    return AuthenticatedClient(client_id, method)


def _claimed(request: TenantRequest, parameters: Mapping[str, Any], *, basic_allowed: bool) -> tuple[str, str]:
    """Return the one ``client_id`` of a request, and the method of its checked credentials (``none`` without)."""
    shown = _shown(request, parameters, basic_allowed=basic_allowed)
    if len(shown) > 1:
        # RFC 6749 §2.3: "The client MUST NOT use more than one authentication method in each request."
        raise _invalid("more than one authentication method")
    method, shown_id = next(iter(shown.items()), (METHOD_NONE, parameters.get("client_id")))
    client_id = parameters.get("client_id", shown_id)
    if client_id != shown_id:
        raise _invalid("the client_ids differ")
    if not isinstance(client_id, str):
        raise RequestRefused(INVALID_CLIENT)
    return client_id, method


def _shown(request: TenantRequest, parameters: Mapping[str, Any], *, basic_allowed: bool) -> dict[str, object]:
    """Check every credential of a request, and return each method with the ``client_id`` that it names."""
    shown: dict[str, object] = {}
    settings = request.state.settings
    if "client_secret" in parameters:
        shown[METHOD_POST] = parameters.get("client_id")
        _check_secret(settings.client(shown[METHOD_POST]), parameters["client_secret"])
    authorization = request.headers.get("Authorization")
    if authorization is not None and basic_allowed:
        client_id, secret = _basic(authorization)
        shown[METHOD_BASIC] = client_id
        _check_secret(settings.client(client_id), secret)
    if "client_assertion" in parameters or "client_assertion_type" in parameters:
        if shown:
            raise _invalid("more than one authentication method")
        shown[METHOD_ASSERTION] = request.state.assertions.verify(
            parameters.get("client_assertion"), parameters.get("client_assertion_type"), request.name.issuer
        )
    return shown


def _check_secret(application: RegisteredClient | None, given: object) -> None:
    expected = None if application is None else application.secret
    if expected is None or not isinstance(given, str) or not hmac.compare_digest(given.encode(), expected.encode()):
        raise RequestRefused(INVALID_CLIENT)


def _check_certificate(request: TenantRequest, application: RegisteredClient) -> None:
    certificate, subject = request.certificate, application.certificate_subject
    if certificate is None:
        raise _invalid("no client certificate")
    # RFC 8705 §2.1.2 and §2.2.2: the subject of a CA's certificate, the thumbprint of a self-signed one.
    if subject is not None and subject_of(certificate) != subject:
        raise _invalid("the certificate has another subject")
    if subject is None and thumbprint_of(certificate) not in (application.certificate_thumbprints or ()):
        raise _invalid("the certificate is not registered")


def _invalid(reason: str) -> RequestRefused:
    return RequestRefused(INVALID_CLIENT.because(reason))


def _basic(authorization: str) -> tuple[str, str]:
    scheme, _, credentials = authorization.partition(" ")
    try:
        client_id, colon, secret = base64.b64decode(credentials, validate=True).decode().partition(":")
    except ValueError:
        raise RequestRefused(_ASK_FOR_BASIC) from None
    if scheme.lower() != "basic" or not colon:
        raise RequestRefused(_ASK_FOR_BASIC)
    # RFC 6749 §2.3.1: both are form-encoded before they are joined.
    return unquote_plus(client_id), unquote_plus(secret)


# RFC 6749 §5.2: 401 "MUST include the WWW-Authenticate response header field matching the authentication scheme".
_ASK_FOR_BASIC = attrs.evolve(INVALID_CLIENT, headers={"WWW-Authenticate": 'Basic realm="tenant"'})
