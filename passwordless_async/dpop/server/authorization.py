"""The ``Authorization`` header of a resource request, and which token may come under which scheme.

RFC 9449 §7.1, §7.2. Invariants:

- A request has one ``Authorization`` header.
- A ``DPoP`` header beside ``Bearer`` is refused.
- A bound token under ``Bearer`` is refused: a thief would have stripped the proof.
- A token that is not bound is refused under ``DPoP``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

import attrs

from passwordless_async._common.secret import Secret, redacted
from passwordless_async.dpop.server.fields import Headers, values_of
from passwordless_async.errors import InvalidDPoPProof

# RFC 9449 §7.1, RFC 6750 §2.1: the scheme, spaces, token68. The scheme's case does not count (RFC 9110 §11.1).
_CREDENTIALS = re.compile(r"(dpop|bearer) +([A-Za-z0-9\-._~+/]+=*)", re.IGNORECASE)


@attrs.frozen
class PresentedToken:
    """The access token of a request, not validated, and the scheme that it came under, in lower case."""

    scheme: Literal["dpop", "bearer"]
    access_token: Secret = attrs.field(repr=redacted)


def read_authorization(headers: Headers) -> PresentedToken:
    """Read the access token of a resource request.

    Raises:
        InvalidDPoPProof: There is no token, or it can be read in more than one way.
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
    return PresentedToken("bearer" if bearer else "dpop", Secret(match[2]))


def confirmation_of(token_info: Mapping[str, Any] | None, presented: PresentedToken) -> Mapping[str, Any] | None:
    """Return the ``cnf`` claim, with its ``jkt``, to check the proof against; None for a bearer token, which has none.

    ``token_info`` is the claims of the validated token, or its introspection response (RFC 7662); None if the token is
    not valid. That, or a token under the wrong scheme, raises :class:`InvalidDPoPProof`.
    """
    if token_info is None:
        raise _refusal("the access token is not valid")
    confirmation = token_info.get("cnf")
    if presented.scheme == "bearer":
        if confirmation is not None:
            raise _refusal("a bound access token came as a Bearer token")
        return None
    if not isinstance(confirmation, Mapping) or not isinstance(confirmation.get("jkt"), str):
        raise _refusal("the access token is not bound to a key")
    return confirmation


def _refusal(description: str, error: str = "invalid_token") -> InvalidDPoPProof:
    return InvalidDPoPProof(status=401, error=error, error_description=description)
