"""Which application is calling, and whether it is the one that it says (RFC 6749 §2.3, RFC 7523, RFC 8705)."""

from __future__ import annotations

import base64
import hmac
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

import attrs

from passwordless_async.testing.certificates import subject_of, thumbprint_of
from passwordless_async.testing.endpoints.answers import INVALID_CLIENT, Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from passwordless_async.testing.settings.settings import TenantSettings
    from passwordless_async.testing.state.state import Exchange

NONE = "none"
POST = "client_secret_post"
BASIC = "client_secret_basic"
ASSERTION = "private_key_jwt"
TLS = "tls_client_auth"
SELF_SIGNED = "self_signed_tls_client_auth"
METHODS = (BASIC, POST, ASSERTION, TLS, SELF_SIGNED, NONE)
_BY_CERTIFICATE = (TLS, SELF_SIGNED)


@attrs.frozen
class Application:
    """An application that has shown who it is.

    Args:
        client_id: Its identifier.
        method: How it authenticated itself; ``none`` for a public one.
    """

    client_id: str
    method: str

    @property
    def confidential(self) -> bool:
        """Whether it can keep a secret, and has just shown that it does."""
        return self.method != NONE

    @property
    def by_secret(self) -> bool:
        """Whether it has shown its secret."""
        return self.method in (POST, BASIC)


def registered(settings: TenantSettings) -> Mapping[str, tuple[str, ...]]:
    """Return the applications: the ways in which each may authenticate itself, by ``client_id``."""
    return {
        settings.public_client_id: (NONE,),
        settings.confidential_client_id: (POST, BASIC),
        settings.private_key_jwt_client_id: (ASSERTION,),
        settings.tls_client_id: (TLS,),
        settings.self_signed_client_id: (SELF_SIGNED,),
    }


def authenticate(exchange: Exchange, parameters: Mapping[str, Any], *, basic_allowed: bool) -> Application:
    """Return the application that calls.

    Raises:
        Refused: It is unknown, shows nothing that it must show, or shows it in two ways.
    """
    shown = _shown(exchange, parameters, basic_allowed=basic_allowed)
    if len(shown) > 1:
        # RFC 6749 §2.3: "The client MUST NOT use more than one authentication method in each request."
        raise _invalid("more than one authentication method")
    method, named = next(iter(shown.items()), (NONE, parameters.get("client_id")))
    client_id = parameters.get("client_id", named)
    if client_id != named:
        raise _invalid("client_id is another one")
    allowed = registered(exchange.state.settings).get(client_id, ()) if isinstance(client_id, str) else ()
    if method == NONE and allowed and allowed[0] in _BY_CERTIFICATE:
        method = allowed[0]
        _check_certificate(exchange, method)
    if not isinstance(client_id, str) or method not in allowed:
        raise Refused(INVALID_CLIENT)
    return Application(client_id, method)


def _shown(exchange: Exchange, parameters: Mapping[str, Any], *, basic_allowed: bool) -> dict[str, object]:
    """Check what the request shows, and return each method in it with the ``client_id`` that it speaks of."""
    shown: dict[str, object] = {}
    settings = exchange.state.settings
    if "client_secret" in parameters:
        shown[POST] = parameters.get("client_id")
        if shown[POST] == settings.confidential_client_id:
            _check_secret(parameters["client_secret"], settings.confidential_client_secret)
    authorization = exchange.headers.get("Authorization")
    if authorization is not None and basic_allowed:
        client_id, secret = _basic(authorization)
        shown[BASIC] = client_id
        _check_secret(secret, settings.confidential_client_secret)
    if "client_assertion" in parameters or "client_assertion_type" in parameters:
        if shown:
            raise _invalid("more than one authentication method")
        shown[ASSERTION] = exchange.state.assertions.verify(
            parameters.get("client_assertion"), parameters.get("client_assertion_type")
        )
    return shown


def _check_secret(given: object, right: str) -> None:
    if not isinstance(given, str) or not hmac.compare_digest(given.encode(), right.encode()):
        raise Refused(INVALID_CLIENT)


def _check_certificate(exchange: Exchange, method: str) -> None:
    settings, certificate = exchange.state.settings, exchange.certificate
    if certificate is None:
        raise _invalid("no client certificate")
    # RFC 8705 §2.1.2 and §2.2.2: the subject where a CA vouches for it, otherwise the very certificate.
    if method == TLS and subject_of(certificate) != settings.tls_client_subject:
        raise _invalid("the certificate's subject is another one")
    if method == SELF_SIGNED and thumbprint_of(certificate) not in settings.self_signed_certificates:
        raise _invalid("the certificate is not registered")


def _invalid(reason: str) -> Refused:
    return Refused(attrs.evolve(INVALID_CLIENT, description=f"{INVALID_CLIENT.description}: {reason}"))


def _basic(authorization: str) -> tuple[str, str]:
    scheme, _, credentials = authorization.partition(" ")
    try:
        client_id, colon, secret = base64.b64decode(credentials, validate=True).decode().partition(":")
    except ValueError:
        raise Refused(_ASK_FOR_BASIC) from None
    if scheme.lower() != "basic" or not colon:
        raise Refused(_ASK_FOR_BASIC)
    # RFC 6749 §2.3.1: both are form-encoded before they are joined.
    return unquote_plus(client_id), unquote_plus(secret)


# RFC 6749 §5.2: 401 "MUST include the WWW-Authenticate response header field matching the authentication scheme".
_ASK_FOR_BASIC = attrs.evolve(INVALID_CLIENT, headers={"WWW-Authenticate": 'Basic realm="tenant"'})
