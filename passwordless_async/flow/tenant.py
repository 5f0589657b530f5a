"""What all flows of a tenant share: its nonces and signing keys, and the steps that every grant takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from passwordless_async import _clock
from passwordless_async.auth0.id_token import key_id, validate
from passwordless_async.auth0.jwks import SigningKeys, jwks_request
from passwordless_async.dpop import NonceCache, negotiate
from passwordless_async.errors import InvalidIdToken, NotSent, OutcomeUnknown, ProtocolError, TransportError
from passwordless_async.flow.attempts import Attempts

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from typing import TypeAlias

    from passwordless_async._secret import Secret
    from passwordless_async.auth0 import Application
    from passwordless_async.dpop import ProofGenerator
    from passwordless_async.wire import HttpRequest, HttpResponse

T = TypeVar("T")
Flow: TypeAlias = "Generator[HttpRequest, HttpResponse, T]"


@attrs.frozen
class Tenant:
    """An application's tenant and what all its flows share.

    Attributes:
        application: The application.
        nonces: The server's nonces.
        keys: The keys that ID tokens are signed with.
        attempts: The failures of codes.
    """

    application: Application
    nonces: NonceCache = attrs.field(factory=NonceCache)
    keys: SigningKeys = attrs.field(factory=SigningKeys)
    attempts: Attempts = attrs.field(factory=Attempts)


def prove(
    tenant: Tenant, proofs: ProofGenerator, build: Callable[[], HttpRequest], *, access_token: Secret | None = None
) -> Flow[tuple[HttpRequest, HttpResponse]]:
    """Send with a proof, and answer one nonce challenge (RFC 9449 §8).

    The request is built anew for the second transmission: whatever in it is for one use only must not go twice.
    """

    def make(nonce: str | None) -> HttpRequest:
        request = build()
        proof = proofs.proof(request.method, request.url, nonce=nonce, access_token=access_token)
        return request.with_header("DPoP", proof)

    return (yield from negotiate(tenant.nonces, tenant.application.origin, proofs.key, make))


def fetch_keys_before(tenant: Tenant) -> Flow[None]:
    """Fetch the signing keys; a failure says that nothing of the login was sent."""
    try:
        response = yield jwks_request(tenant.application)
        tenant.keys.learn(response)
    except (TransportError, ProtocolError) as error:
        problem = str(error)
    else:
        return
    raise NotSent(f"the tenant's signing keys could not be had, so the code was not sent: {problem}")


def _fetch_keys_after(tenant: Tenant) -> Flow[None]:
    """Fetch the signing keys when the code is spent: a request for keys that was not sent must not say otherwise."""
    try:
        response = yield jwks_request(tenant.application)
    except TransportError as error:
        problem = str(error)
    else:
        tenant.keys.learn(response)
        return
    raise OutcomeUnknown(f"the code is spent and the keys to check the ID token with could not be had: {problem}")


def claims_of(tenant: Tenant, id_token: Secret) -> Flow[Mapping[str, Any]]:
    """Validate an ID token; for a key that is new the key set is fetched again."""
    kid = key_id(id_token)
    if tenant.keys.get(kid) is None and tenant.keys.may_fetch:
        yield from _fetch_keys_after(tenant)
    key = tenant.keys.get(kid)
    if key is None:
        raise InvalidIdToken("kid", "is not among the tenant's signing keys")
    return validate(id_token, key, tenant.application, _clock.now())
