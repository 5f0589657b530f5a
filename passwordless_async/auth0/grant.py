"""A grant from its request to its tokens: proven, bound, validated (RFC 6749 §5.1, RFC 9449 §5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from passwordless_async._common import clock as _clock
from passwordless_async.auth0.id_token import Expected
from passwordless_async.auth0.mfa.required import MfaRequired
from passwordless_async.auth0.mfa.state import LIFETIME, MfaState, usable_token
from passwordless_async.auth0.mfa.values import MfaRequirements
from passwordless_async.auth0.revocation import revoke_request
from passwordless_async.auth0.tenant import UncheckedIdToken, claims_of, fetch_keys_before, prove
from passwordless_async.auth0.token_answer import read_token, refresh_token_of, require_bound
from passwordless_async.auth0.tokens import TokenSet
from passwordless_async.errors import OutcomeUnknown, PasswordlessError, ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from passwordless_async._common.http import HttpRequest, HttpResponse
    from passwordless_async._common.secret import Secret
    from passwordless_async.auth0.identity import AuthSession, Email, Phone
    from passwordless_async.auth0.tenant import Flow, Tenant
    from passwordless_async.auth0.token_answer import TokenAnswer
    from passwordless_async.dpop import DPoPKey, ProofGenerator


@attrs.frozen(kw_only=True)
class Asked:
    """What a grant asks for, and what its ID token must show.

    Attributes:
        scope: The scope that is asked for.
        audience: The API that is asked for.
        who: The user, where that is known.
        expected: What else the ID token must show.
        may_go_unchecked: Whether an ID token whose key cannot be had is left out, rather than all tokens thrown away.
    """

    scope: str | None
    audience: str | None
    who: Email | Phone | AuthSession | None = None
    expected: Expected = attrs.field(factory=Expected)
    may_go_unchecked: bool = False


def grant(tenant: Tenant, proofs: ProofGenerator, build: Callable[[], HttpRequest], asked: Asked) -> Flow[TokenSet]:
    """Run a grant.

    Args:
        tenant: The tenant.
        proofs: Proofs by the key to bind the tokens to.
        build: Builds the request, for each transmission anew.
        asked: What is asked for.

    Raises:
        MfaRequired: A second factor is asked for; its ``state`` goes on with the same key.
        OAuthError: The service refused.
        NotSenderConstrained: The tokens are not bound to the key; to revoke the refresh token among them was tried.
        InvalidIdToken: The ID token failed a check; likewise.
        MalformedAnswer: The answer is not what the protocol allows; likewise.
        NotSent: What the ID token is to be checked with could not be had.
        OutcomeUnknown: The service failed after the request had left, or the ID token could not be checked.
    """
    yield from fetch_keys_before(tenant, asked.scope)
    sent_at = int(_clock.now())
    exchanged = yield from prove(tenant, proofs, build)
    return (yield from accept(tenant, proofs, exchanged, asked, sent_at=sent_at))


def accept(
    tenant: Tenant,
    proofs: ProofGenerator,
    exchanged: tuple[HttpRequest, HttpResponse],
    asked: Asked,
    *,
    sent_at: int,
) -> Flow[TokenSet]:
    """Make tokens of a grant's answer: the second half of :func:`grant`, which see."""
    try:
        answer = read_token(*exchanged, asked.scope)
        require_bound(answer, proofs.key.thumbprint)
        claims, id_token = yield from _checked(tenant, answer, asked)
    except MfaRequired as error:
        error.state = _state(tenant, proofs.key, error, sent_at, asked)
        raise
    except ProtocolError as error:
        refused = error.with_traceback(None)
    else:
        return TokenSet(
            access_token=answer.access_token,
            token_type=answer.token_type,
            expires_at=None if answer.expires_in is None else sent_at + answer.expires_in,
            scope=answer.scope,
            refresh_token=answer.refresh_token,
            id_token=id_token,
            claims=claims,
            key=proofs.key,
            jkt=proofs.key.thumbprint,
            issuer=tenant.application.issuer,
            client_id=tenant.application.client_id,
            audience=asked.audience,
        )
    yield from _give_up(tenant, exchanged)
    raise refused


def _checked(tenant: Tenant, answer: TokenAnswer, asked: Asked) -> Flow[tuple[Mapping[str, Any] | None, Secret | None]]:
    """Check the ID token; give its claims and itself."""
    try:
        claims = yield from claims_of(
            tenant, answer.id_token, access_token=answer.access_token, expected=asked.expected
        )
    except UncheckedIdToken as error:
        problem = str(error)
    else:
        return claims, answer.id_token
    if asked.may_go_unchecked:
        return None, None
    raise OutcomeUnknown(problem)


def _state(tenant: Tenant, key: DPoPKey, error: MfaRequired, sent_at: int, asked: Asked) -> MfaState | None:
    mfa_token = usable_token(error.mfa_token)
    if mfa_token is None:
        return None
    return MfaState(
        mfa_token=mfa_token,
        requirements=MfaRequirements.read(error.mfa_requirements),
        key=key,
        jkt=key.thumbprint,
        issuer=tenant.application.issuer,
        client_id=tenant.application.client_id,
        expires_at=sent_at + LIFETIME,
        scope=asked.scope,
        audience=asked.audience,
        who=asked.who,
        expected=asked.expected,
    )


def _give_up(tenant: Tenant, exchanged: tuple[HttpRequest, HttpResponse]) -> Flow[None]:
    """Revoke the refresh token of an answer that is thrown away: it would live on at the service.

    Unless it is the one that the request was made with, as a refresh without rotation has it: that is still the
    caller's.
    """
    request, response = exchanged
    refresh_token = refresh_token_of(response)
    if refresh_token is None or refresh_token in request.secrets:
        return
    try:
        yield revoke_request(tenant.application, refresh_token)
    except PasswordlessError:
        # Best effort: the answer that is refused is what the caller has to hear of.
        return
