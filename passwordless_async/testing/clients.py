"""Which application is calling (RFC 6749 §2.3)."""

from __future__ import annotations

import base64
import hmac
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

import attrs

from passwordless_async.testing.answers import INVALID_CLIENT, UNAUTHORIZED_CLIENT, Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from passwordless_async.testing.settings import TenantSettings


@attrs.frozen
class Application:
    """A registered application.

    Args:
        client_id: Its identifier.
        confidential: Whether it has a secret, and has just shown it.
    """

    client_id: str
    confidential: bool


def authenticate(
    settings: TenantSettings, parameters: Mapping[str, Any], authorization: str | None, *, basic_allowed: bool
) -> Application:
    """Return the application that calls.

    Raises:
        Refused: It is unknown, its secret is missing or wrong, or it may not use the grant.
    """
    client_id, secret = parameters.get("client_id"), parameters.get("client_secret")
    if authorization is not None and basic_allowed:
        basic_id, basic_secret = _basic(authorization)
        # RFC 6749 §2.3: "The client MUST NOT use more than one authentication method in each request."
        if secret is not None or client_id not in (None, basic_id):
            raise Refused(INVALID_CLIENT)
        client_id, secret = basic_id, basic_secret
    if client_id == settings.confidential_client_id:
        _check_secret(secret, settings.confidential_client_secret)
    elif client_id != settings.public_client_id:
        raise Refused(INVALID_CLIENT)
    if not settings.grant_enabled:
        raise Refused(UNAUTHORIZED_CLIENT)
    return Application(client_id, confidential=client_id == settings.confidential_client_id)


def _check_secret(given: object, right: str) -> None:
    if not isinstance(given, str) or not hmac.compare_digest(given.encode(), right.encode()):
        raise Refused(INVALID_CLIENT)


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
