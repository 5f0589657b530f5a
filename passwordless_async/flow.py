"""The protocol, as generators that yield requests and are sent responses. They do no I/O: a shell drives them.

The promises kept here: a new proof for every transmission; a nonce challenge answered once; a code sent again only in
answer to a challenge, which a server makes before it looks at the code; tokens returned only when they are bound to
the key that was proven and the ID token is valid.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from passwordless_async import _clock
from passwordless_async._secret import conceal
from passwordless_async.auth0.id_token import key_id, validate
from passwordless_async.auth0.jwks import SigningKeys, jwks_request
from passwordless_async.auth0.request import forwarded_for_header
from passwordless_async.auth0.start import read_start, start_request
from passwordless_async.auth0.token import otp_request, read_token, require_bound
from passwordless_async.dpop import DPoPKey, NonceCache, ProofGenerator, negotiate
from passwordless_async.errors import (
    InvalidIdToken,
    NotSent,
    OutcomeUnknown,
    ProtocolError,
    TransportError,
)
from passwordless_async.tokens import TokenSet

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from typing import TypeAlias

    from passwordless_async._secret import Secret
    from passwordless_async.auth0 import Application, IpAddress
    from passwordless_async.identity import Email, Login, Phone
    from passwordless_async.tokens import StartReceipt
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
    """

    application: Application
    nonces: NonceCache = attrs.field(factory=NonceCache)
    keys: SigningKeys = attrs.field(factory=SigningKeys)


def start(
    tenant: Tenant,
    who: Email | Phone,
    *,
    captcha: str | None = None,
    **parameters: Any,  # noqa: ANN401 - as start_request
) -> Flow[StartReceipt]:
    """Ask for a code; the parameters are those of :func:`~passwordless_async.auth0.start.start_request`."""
    captcha = conceal(captcha)
    request = start_request(tenant.application, who, captcha=captcha, **parameters)
    sent_at = _clock.now()
    response = yield request
    return read_start(request, response, who, sent_at)


def exchange(tenant: Tenant, login: Login, *, forwarded_for: IpAddress | None = None) -> Flow[TokenSet]:
    """Exchange a code for tokens."""
    proofs = ProofGenerator(DPoPKey.generate() if login.key is None else login.key)
    headers = forwarded_for_header(tenant.application, forwarded_for)
    if tenant.keys.empty and "openid" in (login.scope or "").split():
        # A code is spent once sent: what the answer will be checked with is fetched before.
        yield from _fetch_keys_before(tenant)
    sent_at = _clock.now()
    request, response = yield from _prove(tenant, proofs, lambda: otp_request(tenant.application, login, headers))
    answer = read_token(request, response, login.scope)
    require_bound(answer, proofs.key.thumbprint)
    claims = None if answer.id_token is None else (yield from _claims(tenant, answer.id_token))
    return TokenSet(
        access_token=answer.access_token,
        token_type=answer.token_type,
        expires_at=None if answer.expires_in is None else int(sent_at) + answer.expires_in,
        scope=answer.scope,
        refresh_token=answer.refresh_token,
        id_token=answer.id_token,
        claims=claims,
        key=proofs.key,
    )


def _prove(
    tenant: Tenant, proofs: ProofGenerator, build: Callable[[], HttpRequest]
) -> Flow[tuple[HttpRequest, HttpResponse]]:
    """Send with a proof, and answer one nonce challenge (RFC 9449 §8).

    The request is built anew for the second transmission: whatever in it is for one use only must not go twice.
    """

    def make(nonce: str | None) -> HttpRequest:
        request = build()
        return request.with_header("DPoP", proofs.proof(request.method, request.url, nonce=nonce))

    return (yield from negotiate(tenant.nonces, tenant.application.origin, proofs.key, make))


def _fetch_keys_before(tenant: Tenant) -> Flow[None]:
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


def _claims(tenant: Tenant, id_token: Secret) -> Flow[Mapping[str, Any]]:
    """Validate an ID token; for a key that is new the key set is fetched again."""
    kid = key_id(id_token)
    if tenant.keys.get(kid) is None and tenant.keys.may_fetch:
        yield from _fetch_keys_after(tenant)
    key = tenant.keys.get(kid)
    if key is None:
        raise InvalidIdToken("kid", "is not among the tenant's signing keys")
    return validate(id_token, key, tenant.application, _clock.now())
