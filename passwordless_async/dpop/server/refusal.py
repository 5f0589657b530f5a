"""The HTTP response to a refused request: header fields and body.

Invariants:

- Every ``WWW-Authenticate`` field is written here.
- A challenge is offered for each scheme that is accepted, and for no other (RFC 9110 §11.6.1).
- A refusal never repeats input of the client: the text of a field is fixed, or the application's, and quoted.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Literal, TypeAlias

import attrs

from passwordless_async.errors import (
    InsufficientScope,
    InsufficientUserAuthentication,
    OAuthError,
    TemporarilyUnavailable,
    UseDPoPNonce,
)

if TYPE_CHECKING:
    from collections.abc import Collection

    from passwordless_async.dpop.server.checked import CheckedProof

Scheme: TypeAlias = Literal["dpop", "bearer"]

EXPOSED = "DPoP-Nonce, WWW-Authenticate"
ALGORITHMS = ("ES256",)  # of proofs
_UNQUOTED = re.compile(r"[^\x20-\x21\x23-\x5B\x5D-\x7E]")  # RFC 6750 §3: what no parameter may hold
_RETRY_SECONDS = 5.0  # after a 503 for which the server knows no better, such as a replay store that does not answer
_CHALLENGED = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})


@attrs.frozen
class Offer:
    """The contents of a resource server's challenges.

    Attributes:
        schemes: The accepted schemes, the preferred one first.
        realm: The realm of the Bearer challenge, which must have a parameter (RFC 6750 §3).
        resource_metadata: The URL of the metadata (RFC 9728 §5.1); None if none is served.
    """

    schemes: tuple[Scheme, ...]
    realm: str = ""
    resource_metadata: str | None = None

    def headers(self, error: OAuthError, failed: Collection[Scheme]) -> dict[str, str]:
        """Return the header fields of the response to a refused request.

        ``failed`` is the schemes that the error belongs to. Only their challenges name the error.
        """
        headers = _common_headers(error)
        if error.status in _CHALLENGED:
            headers["WWW-Authenticate"] = ", ".join(
                self._challenge(scheme, _parameters(error) if scheme in failed else {}) for scheme in self.schemes
            )
        return headers

    def _challenge(self, scheme: Scheme, told: dict[str, str]) -> str:
        parameters = dict(told)
        if self.resource_metadata is not None:
            parameters["resource_metadata"] = self.resource_metadata
        if scheme == "dpop":
            # RFC 9449 §7.1: algs tells the client which algorithms the server accepts.
            return f"DPoP {_joined({**parameters, 'algs': ' '.join(ALGORITHMS)})}"
        return f"Bearer {_joined({'realm': self.realm, **parameters})}"


_DPOP: tuple[Scheme, ...] = ("dpop",)
_DPOP_ONLY = Offer(_DPOP)


def refusal_headers(error: OAuthError) -> dict[str, str]:
    """Return the header fields of the response to a refused request.

    Args:
        error: The error that the verifier or a resource server raised.

    Returns:
        ``Cache-Control`` and ``Access-Control-Expose-Headers`` always, ``WWW-Authenticate`` with a 401, ``DPoP-Nonce``
        with a nonce challenge (RFC 9449 §7.1, §8, §9), ``Retry-After`` with a 503. For an error of a resource server,
        its ``headers``.
    """
    if error.headers:
        return dict(error.headers)
    # By its status: at a token endpoint, which has no challenges, it is 400.
    return _DPOP_ONLY.headers(error, _DPOP) if error.status == HTTPStatus.UNAUTHORIZED else _common_headers(error)


def refusal_body(error: OAuthError) -> dict[str, str]:
    """Return the members of the JSON body of the response to a refused request (RFC 6749 §5.2).

    For an error of a resource server, its ``body``.
    """
    return dict(error.body) if error.headers else told_in_body(error)


def told_in_body(error: OAuthError) -> dict[str, str]:
    """Return the members of a body that describe an error."""
    return {"error": error.error, "error_description": error.error_description}


def nonce_headers(proof: CheckedProof | None) -> dict[str, str]:
    """Return the header fields that offer the client a newer nonce; empty if the client's nonce is the newest.

    A response with a nonce must not be stored: it would hand out a stale nonce later (RFC 9449 §8.2).
    """
    if proof is None or proof.next_nonce is None:
        return {}
    return {"DPoP-Nonce": proof.next_nonce, "Cache-Control": "no-store", "Access-Control-Expose-Headers": EXPOSED}


def _common_headers(error: OAuthError) -> dict[str, str]:
    headers = {"Cache-Control": "no-store", "Access-Control-Expose-Headers": EXPOSED}
    if isinstance(error, UseDPoPNonce) and error.nonce is not None:
        headers["DPoP-Nonce"] = error.nonce
    if error.status == HTTPStatus.SERVICE_UNAVAILABLE:
        known = error.retry_after if isinstance(error, TemporarilyUnavailable) else None
        seconds = _RETRY_SECONDS if known is None else known
        headers["Retry-After"] = str(max(1, round(seconds)))  # RFC 9110 §10.2.3: whole seconds
    return headers


def _parameters(error: OAuthError) -> dict[str, str]:
    parameters = {"error": error.error, "error_description": error.error_description}
    if isinstance(error, InsufficientScope) and error.scope:
        parameters["scope"] = error.scope
    if isinstance(error, InsufficientUserAuthentication):  # RFC 9470 §3
        if error.acr_values:
            parameters["acr_values"] = error.acr_values
        if error.max_age is not None:
            parameters["max_age"] = str(error.max_age)
    return parameters


def _joined(parameters: dict[str, str]) -> str:
    return ", ".join(f'{name}="{_UNQUOTED.sub("?", value)}"' for name, value in parameters.items())
