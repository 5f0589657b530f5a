"""What both adapters do with a request, but for reading it and answering."""

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
"""Validates an access token: its claims (``cnf`` among them), or None where it is not valid. Sync or async."""


@attrs.frozen
class Authorized:
    """A request that may pass.

    Attributes:
        token: What ``token_info`` returned.
        proof: The checked proof; None for a bearer token, where those are allowed.
    """

    token: Mapping[str, Any] = attrs.field(repr=False)
    proof: CheckedProof | None


@attrs.frozen
class Gate:
    """Lets requests pass that have a valid token and the proof that goes with it."""

    verifier: DPoPVerifier
    token_info: TokenInfo
    allow_bearer: bool

    async def admit(self, method: str, target: str, headers: Headers) -> Authorized:
        """Check a request.

        Raises:
            InvalidDPoPProof: It is refused.
            UseDPoPNonce: It is refused for the want of a nonce.
            UsageError: ``token_info`` returned something else than a mapping or None.
        """
        credentials = read_authorization(headers)
        if credentials.scheme == "bearer" and not self.allow_bearer:
            raise InvalidDPoPProof(
                status=401, error="invalid_token", error_description="the access token must come with a proof"
            )
        token = await self._inspect(credentials.access_token)
        confirmation = confirmation_of(token, credentials)
        if token is None or confirmation is None:
            return Authorized(token or {}, None)
        proof = await self.verifier.verify(
            method, target, headers, confirmation=confirmation, access_token=credentials.access_token
        )
        return Authorized(token, proof)

    async def _inspect(self, access_token: Secret) -> Mapping[str, Any] | None:
        token = self.token_info(access_token)
        if inspect.isawaitable(token):
            token = await token
        if token is not None and not isinstance(token, Mapping):
            raise UsageError("token_info", "must return a mapping, or None for a token that is not valid")
        return token
