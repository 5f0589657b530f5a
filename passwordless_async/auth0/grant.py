"""Runs a grant: sends the request with a proof, and checks the binding and the ID token (RFC 6749 §5.1, RFC 9449 §5).

Invariants:

- Each transmission is built separately and has its own proof: no single-use value is sent twice.
- A request is sent again only in answer to a DPoP nonce challenge, which a server makes before it looks at the code.
- Signing keys are fetched before the request is sent, because the request spends a code or a refresh token, and its
  response must be checked.
- Tokens are returned only if they are bound to the proven key, or may be unbound, and their ID token is valid. If a
  response is refused, or cannot be checked, its refresh token is revoked.
- Tokens that replace bound ones are bound, in every mode of the client.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import attrs

from passwordless_async._common import clock as _clock
from passwordless_async.auth0.clocks import Clocks
from passwordless_async.auth0.id_token import ExpectedIdToken, UncheckedIdToken, claims_of, fetch_keys_before
from passwordless_async.auth0.mfa.state import LIFETIME, MfaRequired, MfaState, usable_token
from passwordless_async.auth0.mfa.values import MfaRequirements
from passwordless_async.auth0.revocation import revoke_request
from passwordless_async.auth0.token_answer import checked_binding, keeps_refresh_token, read_token, refresh_token_of
from passwordless_async.auth0.tokens import TokenSet
from passwordless_async.dpop import DPoPKey, ProofGenerator, negotiate
from passwordless_async.errors import OAuthError, OutcomeUnknown, PasswordlessError, ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from passwordless_async._common.http import HttpRequest, HttpResponse
    from passwordless_async._common.secret import Secret
    from passwordless_async.auth0.identity import Recipient
    from passwordless_async.auth0.tenant import Flow, Tenant
    from passwordless_async.auth0.token_answer import TokenAnswer


ANY_ID_TOKEN = ExpectedIdToken()


@attrs.frozen(kw_only=True)
class GrantRequest:
    """The parameters of a grant, and the values that its ID token must have."""

    scope: str | None
    audience: str | None
    who: Recipient | None = None  # None if the grant does not name a user
    expected: ExpectedIdToken = ANY_ID_TOKEN
    invalid_grant: type[OAuthError] | None = None  # the error for that code, whatever its description is
    id_token_optional: bool = False  # an ID token is dropped if its key cannot be fetched, instead of all tokens
    replaces_bound: bool = False  # the tokens replace bound ones, so they must be bound too


def prove(
    tenant: Tenant, key: DPoPKey | None, build: Callable[[], HttpRequest], *, access_token: Secret | None = None
) -> Flow[tuple[HttpRequest, HttpResponse]]:
    """Send a request with a DPoP proof, answer a nonce challenge (RFC 9449 §8), and return the last exchange.

    ``build`` is called for each transmission. With an access token, the proof has its hash, ``ath``. Without a key, the
    request is sent once, without a proof.
    """
    if key is None:
        return _unproven(build)
    application = tenant.application
    # The origin of the URL that is called. The proof of a token request has no ath; that of userinfo has one.
    origin = application.token_origin if access_token is None else str(application.userinfo_url.origin())
    proven = partial(_proven, build, ProofGenerator(key), access_token)
    return negotiate(tenant.nonces, origin, key, proven)


def _unproven(build: Callable[[], HttpRequest]) -> Flow[tuple[HttpRequest, HttpResponse]]:
    request = build()
    response = yield request
    return request, response


def _proven(
    build: Callable[[], HttpRequest], proofs: ProofGenerator, access_token: Secret | None, nonce: str | None
) -> HttpRequest:
    request = build()
    proof = proofs.proof(request.method, request.url, nonce=nonce, access_token=access_token)
    return request.with_header("DPoP", proof)


def grant(
    tenant: Tenant, key: DPoPKey | None, build: Callable[[], HttpRequest], requested: GrantRequest
) -> Flow[TokenSet]:
    """Run a grant; its tokens are bound to the key, unless the client accepts others. None: no proof is sent.

    Raises:
        MfaRequired: A second factor is required; its ``state`` continues with the same key.
        OAuthError: The service refused.
        NotSenderConstrained: The tokens are not bound to the key.
        SenderConstrained: They are bound, and no proof was sent.
        InvalidIdToken: The ID token failed a check.
        MalformedAnswer: The answer is not what the protocol allows.
        NotSent: The signing keys could not be fetched; nothing else was sent.
        OutcomeUnknown: The service failed after the request was sent, or the ID token could not be checked.
    """
    yield from fetch_keys_before(tenant, requested.scope)
    sent_at = int(_clock.now())
    exchanged = yield from prove(tenant, key, build)
    return (yield from accept(tenant, key, exchanged, requested, sent_at=sent_at))


def accept(
    tenant: Tenant,
    key: DPoPKey | None,
    exchanged: tuple[HttpRequest, HttpResponse],
    requested: GrantRequest,
    *,
    sent_at: int,
) -> Flow[TokenSet]:
    """Continue :func:`grant` from the last exchange: check the response and return the tokens.

    ``sent_at`` is when the request was sent: seconds since the UNIX epoch.
    """
    failure: PasswordlessError
    clocks = Clocks.at(exchanged[1], _clock.now(), tenant.clock_skew)
    try:
        answer = read_token(*exchanged, requested.scope, invalid_grant=requested.invalid_grant)
        binding = _binding(tenant, answer, key, requested)
        claims, id_token = yield from _checked(tenant, answer, requested, clocks)
    except MfaRequired as error:
        failure = error.with_facts(state=_mfa_state(tenant, key, error, sent_at, requested))
    except (ProtocolError, OutcomeUnknown) as error:
        failure = error.with_traceback(None)
    else:
        return TokenSet(
            access_token=answer.access_token,
            token_type=answer.token_type,
            expires_at=None if answer.expires_in is None else sent_at + answer.expires_in,
            scope=answer.scope,
            refresh_token=answer.refresh_token,
            id_token=id_token,
            claims=claims,
            issuer=tenant.application.issuer,
            client_id=tenant.application.client_id,
            audience=requested.audience,
            **binding,
        )
    if not isinstance(failure, MfaRequired):
        if isinstance(failure, ProtocolError) and keeps_refresh_token(*exchanged):
            raise failure.with_facts(keeps_refresh_token=True)
        yield from _revoke(tenant, exchanged)
    raise failure


def _binding(tenant: Tenant, answer: TokenAnswer, key: DPoPKey | None, requested: GrantRequest) -> dict[str, Any]:
    """Check the binding of tokens; return their keys, by their names in a token set."""
    thumbprint = _thumbprint(key)
    required = tenant.dpop == "required" or requested.replaces_bound
    if checked_binding(answer, thumbprint, required=required):
        return {"key": key, "jkt": thumbprint}
    return {"key": None, "refresh_key": key}


def _thumbprint(key: DPoPKey | None) -> str | None:
    return None if key is None else key.thumbprint


def _checked(
    tenant: Tenant, answer: TokenAnswer, requested: GrantRequest, clocks: Clocks
) -> Flow[tuple[Mapping[str, Any] | None, Secret | None]]:
    """Check the ID token; return its claims and the token."""
    token, expected = answer.id_token, requested.expected
    try:
        claims = yield from claims_of(tenant, token, access_token=answer.access_token, expected=expected, clocks=clocks)
    except UncheckedIdToken as error:
        problem = str(error)
    else:
        return claims, token
    if requested.id_token_optional:
        return None, None
    raise OutcomeUnknown(problem)


def _mfa_state(
    tenant: Tenant, key: DPoPKey | None, error: MfaRequired, sent_at: int, requested: GrantRequest
) -> MfaState | None:
    mfa_token = usable_token(error.mfa_token)
    if mfa_token is None:
        return None
    return MfaState(
        mfa_token=mfa_token,
        requirements=MfaRequirements.read(error.mfa_requirements),
        key=key,
        jkt=_thumbprint(key),
        issuer=tenant.application.issuer,
        client_id=tenant.application.client_id,
        expires_at=sent_at + LIFETIME,
        scope=requested.scope,
        audience=requested.audience,
        who=requested.who,
        expected=requested.expected,
        replaces_bound=requested.replaces_bound,
    )


def _revoke(tenant: Tenant, exchanged: tuple[HttpRequest, HttpResponse]) -> Flow[None]:
    """Revoke the refresh token of a refused response: it would stay valid at the service."""
    refresh_token = refresh_token_of(exchanged[1])
    if refresh_token is None:
        return
    try:
        yield revoke_request(tenant.application, refresh_token)
    except PasswordlessError:
        # Best effort: the caller must get the error of the refused response.
        return
