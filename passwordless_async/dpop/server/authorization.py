"""The ``Authorization`` header of a resource request, and which token may come under which scheme.

RFC 9449 §7.1, §7.2. Refused are: more than one header, a ``DPoP`` header beside ``Bearer``, a bound token under
``Bearer`` (a thief would have stripped the proof), and a token that is not bound under ``DPoP``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import attrs

from passwordless_async._common.secret import Secret, redacted
from passwordless_async.dpop.server.fields import values_of
from passwordless_async.errors import InvalidDPoPProof

if TYPE_CHECKING:
    from passwordless_async.dpop.server.fields import Headers

# RFC 9449 §7.1, RFC 6750 §2.1: the scheme, spaces, token68. The scheme's case does not count (RFC 9110 §11.1).
_CREDENTIALS = re.compile(r"(dpop|bearer) +([A-Za-z0-9\-._~+/]+=*)", re.IGNORECASE)


@attrs.frozen
class Credentials:
    """What a request authorises itself with.

    Attributes:
        scheme: The scheme, in lower case.
        access_token: The access token, not validated yet.
    """

    scheme: Literal["dpop", "bearer"]
    access_token: Secret = attrs.field(repr=redacted)


def read_authorization(headers: Headers) -> Credentials:
    """Read the access token of a resource request.

    Args:
        headers: The request's header fields, names in any case: a multi-value mapping or pairs.

    Raises:
        InvalidDPoPProof: There is no token, or more than one way to read it.
        UsageError: ``headers`` is no mapping and no iterable of pairs.
    """
    values = values_of(headers, "Authorization")
    if not values:
        raise _refusal("the request has no access token", "invalid_request")
    match = _CREDENTIALS.fullmatch(values[0]) if len(values) == 1 else None
    if match is None:
        raise _refusal("the request must have one Authorization header, of scheme DPoP")
    bearer = match[1].lower() == "bearer"
    # RFC 9449 §7.2: a client that sends a proof does not have a bearer token.
    if bearer and values_of(headers, "DPoP"):
        raise _refusal("a DPoP header came with a Bearer token")
    return Credentials("bearer" if bearer else "dpop", Secret(match[2]))


def confirmation_of(token_info: Mapping[str, Any] | None, credentials: Credentials) -> Mapping[str, Any] | None:
    """Return the confirmation to check the proof against, from the claims of a token that the application validated.

    Args:
        token_info: The token's claims, or its introspection answer (RFC 7662); None where the token is not valid.
        credentials: What the token came in.

    Returns:
        The ``cnf`` claim, with its ``jkt``; None for a bearer token, which is bound to nothing.

    Raises:
        InvalidDPoPProof: The token is not valid, or came under a scheme that is not its own.
    """
    if token_info is None:
        raise _refusal("the access token is not valid")
    confirmation = token_info.get("cnf")
    if credentials.scheme == "bearer":
        if confirmation is not None:
            raise _refusal("a bound access token came as a Bearer token")
        return None
    if not isinstance(confirmation, Mapping) or not isinstance(confirmation.get("jkt"), str):
        raise _refusal("the access token is not bound to a key")
    return confirmation


def _refusal(description: str, error: str = "invalid_token") -> InvalidDPoPProof:
    return InvalidDPoPProof(status=401, error=error, error_description=description)
