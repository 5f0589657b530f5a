"""Client authentication at the tenant: which application sent a request (RFC 6749 §2.3, RFC 7523, RFC 8705)."""

from __future__ import annotations

import base64
import hmac
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

import attrs

from passwordless_async.testing.certificates import subject_of, thumbprint_of
from passwordless_async.testing.refusals import INVALID_CLIENT, RequestRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from passwordless_async.testing.settings import TenantSettings
    from passwordless_async.testing.state.tenant_state import TenantRequest

NONE = "none"
POST = "client_secret_post"
BASIC = "client_secret_basic"
ASSERTION = "private_key_jwt"
TLS = "tls_client_auth"
SELF_SIGNED = "self_signed_tls_client_auth"
METHODS = (BASIC, POST, ASSERTION, TLS, SELF_SIGNED, NONE)
_BY_CERTIFICATE = (TLS, SELF_SIGNED)


@attrs.frozen
class AuthenticatedClient:
    """An application that has authenticated itself.

    Args:
        client_id: Its identifier.
        method: Its method; ``none`` for a public one.
    """

    client_id: str
    method: str

    @property
    def confidential(self) -> bool:
        """Whether it has authenticated itself by a secret, key or certificate."""
        return self.method != NONE

    @property
    def by_secret(self) -> bool:
        """Whether it has sent its secret."""
        return self.method in (POST, BASIC)


def methods_by_client(settings: TenantSettings) -> Mapping[str, tuple[str, ...]]:
    """Return each application's methods by ``client_id``."""
    return {
        settings.public_client_id: (NONE,),
        settings.confidential_client_id: (POST, BASIC),
        settings.private_key_jwt_client_id: (ASSERTION,),
        settings.tls_client_id: (TLS,),
        settings.self_signed_client_id: (SELF_SIGNED,),
    }


def authenticate(request: TenantRequest, parameters: Mapping[str, Any], *, basic_allowed: bool) -> AuthenticatedClient:
    """Return the application that sent a request.

    Raises:
        RequestRefused: It is unknown, does not authenticate itself as it must, or does so in two ways.
    """
    client_id, method = _claimed(request, parameters, basic_allowed=basic_allowed)
    allowed = methods_by_client(request.state.settings).get(client_id, ())
    if method == NONE and set(allowed) & set(_BY_CERTIFICATE):
        (method,) = allowed
        _check_certificate(request, method)
    if method not in allowed:
        raise RequestRefused(INVALID_CLIENT)
    return AuthenticatedClient(client_id, method)


def _claimed(request: TenantRequest, parameters: Mapping[str, Any], *, basic_allowed: bool) -> tuple[str, str]:
    """Return the one ``client_id`` of a request, and the method of its checked credentials (``none`` without)."""
    shown = _shown(request, parameters, basic_allowed=basic_allowed)
    if len(shown) > 1:
        # RFC 6749 §2.3: "The client MUST NOT use more than one authentication method in each request."
        raise _invalid("more than one authentication method")
    method, shown_id = next(iter(shown.items()), (NONE, parameters.get("client_id")))
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
        shown[POST] = parameters.get("client_id")
        if shown[POST] == settings.confidential_client_id:
            _check_secret(parameters["client_secret"], settings.confidential_client_secret)
    authorization = request.headers.get("Authorization")
    if authorization is not None and basic_allowed:
        client_id, secret = _basic(authorization)
        shown[BASIC] = client_id
        _check_secret(secret, settings.confidential_client_secret)
    if "client_assertion" in parameters or "client_assertion_type" in parameters:
        if shown:
            raise _invalid("more than one authentication method")
        shown[ASSERTION] = request.state.assertions.verify(
            parameters.get("client_assertion"), parameters.get("client_assertion_type")
        )
    return shown


def _check_secret(given: object, expected: str) -> None:
    if not isinstance(given, str) or not hmac.compare_digest(given.encode(), expected.encode()):
        raise RequestRefused(INVALID_CLIENT)


def _check_certificate(request: TenantRequest, method: str) -> None:
    settings, certificate = request.state.settings, request.certificate
    if certificate is None:
        raise _invalid("no client certificate")
    # RFC 8705 §2.1.2 and §2.2.2: the subject of a CA's certificate, the thumbprint of a self-signed one.
    if method == TLS and subject_of(certificate) != settings.tls_client_subject:
        raise _invalid("the certificate has another subject")
    if method == SELF_SIGNED and thumbprint_of(certificate) not in settings.self_signed_certificates:
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
