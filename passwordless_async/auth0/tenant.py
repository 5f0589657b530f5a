"""What all flows of a tenant share: its nonces and signing keys, and the steps that every grant takes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from passwordless_async._common import clock as _clock
from passwordless_async.auth0.application import HS256
from passwordless_async.auth0.attempts import Attempts
from passwordless_async.auth0.id_token import Expected, check_key, client_secret_key, read_header, validate
from passwordless_async.auth0.jwks import SigningKeys, jwks_request
from passwordless_async.auth0.tokens import TokenSet
from passwordless_async.dpop import DPoPKey, NonceCache, negotiate
from passwordless_async.errors import (
    InvalidIdToken,
    KeyMismatch,
    KeyMissing,
    NotSent,
    OutcomeUnknown,
    ProtocolError,
    TransportError,
    UsageError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from typing import TypeAlias

    from passwordless_async._common.http import HttpRequest, HttpResponse
    from passwordless_async._common.secret import Secret
    from passwordless_async.auth0.application import Application
    from passwordless_async.auth0.jwks import SigningKey
    from passwordless_async.dpop import ProofGenerator

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
    make = partial(_proven, proofs, build, access_token)
    return (yield from negotiate(tenant.nonces, tenant.application.origin, proofs.key, make))


def _proven(
    proofs: ProofGenerator, build: Callable[[], HttpRequest], access_token: Secret | None, nonce: str | None
) -> HttpRequest:
    request = build()
    proof = proofs.proof(request.method, request.url, nonce=nonce, access_token=access_token)
    return request.with_header("DPoP", proof)


def fetch_keys_before(tenant: Tenant, scope: str | None = "openid") -> Flow[None]:
    """Fetch the signing keys where they are wanted and too old, or not there.

    A code, like a refresh token, is spent once sent: what the answer will be checked with has to be there before.

    Raises:
        NotSent: They could not be had, and there are none from before that may still serve.
    """
    keys = tenant.keys
    if not keys.due or "openid" not in (scope or "").split() or not tenant.application.needs_key_set:
        return
    keys.renewal_begins()
    try:
        response = yield jwks_request(tenant.application)
        keys.learn(response)
    except (TransportError, ProtocolError) as error:
        problem = str(error)
    else:
        return
    if keys.empty:
        raise NotSent(f"the tenant's signing keys could not be had, so nothing else was sent: {problem}")


def claims_of(
    tenant: Tenant,
    id_token: Secret | None,
    *,
    access_token: Secret | None = None,
    expected: Expected = Expected(),  # noqa: B008 - a frozen value
) -> Flow[Mapping[str, Any] | None]:
    """Validate an ID token; for a key that is new the key set is fetched again.

    Args:
        tenant: The tenant.
        id_token: The token; None: there is none.
        access_token: What came with it.
        expected: What else it must show.

    Raises:
        InvalidIdToken: It failed a check.
        UncheckedIdToken: Its key could not be had.
    """
    if id_token is None:
        expected.require_no_token()
        return None
    application = tenant.application
    header = read_header(id_token, application)
    if header.alg == HS256:
        key = client_secret_key(application)
    else:
        key = tenant.keys.get(header.kid) or (yield from _search(tenant, header.kid))
    check_key(header, key)
    claims = validate(
        id_token,
        key,
        application,
        _clock.now(),
        access_token=access_token,
        nonce=expected.nonce,
        max_age=expected.max_age,
    )
    expected.require_subject(claims)
    return claims


class UncheckedIdToken(OutcomeUnknown):
    """An ID token could not be checked, for want of the key: that says nothing against it."""


def _search(tenant: Tenant, kid: str) -> Flow[SigningKey]:
    """Fetch the key set for the sake of a kid that is not in it, unless somebody just did.

    What was sent is spent by now: a request for keys that was not sent must not say otherwise.
    """
    keys = tenant.keys
    problem = "a moment ago" if keys.search_failed else ""
    if keys.may_search:
        problem = ""
        keys.search_begins()
        try:
            response = yield jwks_request(tenant.application)
            keys.search_ended()
            keys.learn(response)
        except (TransportError, ProtocolError) as error:
            problem = str(error)
            keys.search_ended()
            keys.search_has_failed()
    if problem:
        raise UncheckedIdToken(f"tokens came, and the keys to check their ID token with could not be had: {problem}")
    key = keys.get(kid)
    if key is None:
        raise InvalidIdToken("kid", "is not among the tenant's signing keys")
    return key


def own_tokens(tenant: Tenant, tokens: TokenSet) -> None:
    """Check that tokens are this tenant's and this application's.

    Raises:
        UsageError: They are not.
    """
    if not isinstance(tokens, TokenSet):
        raise UsageError("tokens", f"must be a TokenSet, not {type(tokens).__name__}")
    application = tenant.application
    if tokens.issuer not in {None, application.issuer}:
        raise UsageError("tokens", "are those of another tenant")
    if tokens.client_id not in {None, application.client_id}:
        raise UsageError("tokens", "are those of another application")


def own_key(tenant: Tenant, tokens: TokenSet) -> DPoPKey:
    """Return the key of tokens that are ours.

    Raises:
        UsageError: The tokens are not this tenant's or this application's.
        KeyMissing: Their key was stripped.
        KeyMismatch: Their key is not the one that they were bound to.
    """
    own_tokens(tenant, tokens)
    if not isinstance(tokens.key, DPoPKey):
        raise KeyMissing("the tokens have no key: nothing was sent")
    if tokens.jkt not in {None, tokens.key.thumbprint}:
        raise KeyMismatch("the key is not the one that the tokens are bound to: nothing was sent")
    return tokens.key


def own_refresh_token(tokens: TokenSet) -> Secret:
    """Return the refresh token.

    Raises:
        UsageError: There is none.
    """
    if tokens.refresh_token is None:
        raise UsageError("tokens", "have no refresh token: ask for the scope offline_access")
    return tokens.refresh_token
