"""Authorising a request: the part that all web adapters share."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from passwordless_async.dpop.server.authorization import confirmation_of, read_authorization
from passwordless_async.errors import InvalidDPoPProof, UsageError

if TYPE_CHECKING:
    from passwordless_async._common.secret import Secret
    from passwordless_async.dpop.server.checked import CheckedProof
    from passwordless_async.dpop.server.fields import Headers
    from passwordless_async.dpop.server.verifier import DPoPVerifier

TokenInfo = Callable[[str], Mapping[str, Any] | Awaitable[Mapping[str, Any] | None] | None]
"""Validates an access token: returns its claims, ``cnf`` included, or None if it is not valid. Sync or async."""


@attrs.frozen
class Authorized:
    """A request with a valid token and the proof that belongs to it."""

    token: Mapping[str, Any] = attrs.field(repr=False)  # the claims that token_info returned
    proof: CheckedProof | None  # None for an allowed bearer token


@attrs.frozen
class Authorizer:
    """Checks the access token of a request and its proof (RFC 9449 §7)."""

    verifier: DPoPVerifier
    token_info: TokenInfo
    allow_bearer: bool = attrs.field(kw_only=True)

    async def authorize(self, method: str, target: str, headers: Headers) -> Authorized:
        """Check a request: its method in the original case, its path and query as they came, not decoded.

        Raises:
            InvalidDPoPProof: The request is refused.
            UseDPoPNonce: The proof needs a nonce, which the error carries.
            UsageError: ``token_info`` returned neither a mapping nor None.
        """
        presented = read_authorization(headers)
        if presented.scheme == "bearer" and not self.allow_bearer:
            raise InvalidDPoPProof(
                status=401, error="invalid_token", error_description="the access token must come with a proof"
            )
        token = await self._inspect(presented.access_token)
        confirmation = confirmation_of(token, presented)
        if token is None or confirmation is None:
            return Authorized(token or {}, None)
        proof = await self.verifier.verify(
            method, target, headers, confirmation=confirmation, access_token=presented.access_token
        )
        return Authorized(token, proof)

    async def _inspect(self, access_token: Secret) -> Mapping[str, Any] | None:
        token = self.token_info(access_token)
        if inspect.isawaitable(token):
            token = await token
        if token is not None and not isinstance(token, Mapping):
            raise UsageError("token_info", "must return a mapping, or None for a token that is not valid")
        return token
