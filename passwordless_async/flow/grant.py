"""A grant from its request to its tokens: proven, bound, validated (RFC 6749 §5.1, RFC 9449 §5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from passwordless_async import _clock
from passwordless_async.auth0.id_token import Expected
from passwordless_async.auth0.mfa_values import MfaRequirements
from passwordless_async.auth0.session import revoke_request
from passwordless_async.auth0.token import read_token, require_bound
from passwordless_async.errors import MfaRequired, NotSenderConstrained, PasswordlessError
from passwordless_async.flow.tenant import claims_of, fetch_keys_before, prove
from passwordless_async.mfa import LIFETIME, MfaState, usable_token
from passwordless_async.tokens import TokenSet

if TYPE_CHECKING:
    from collections.abc import Callable

    from passwordless_async._secret import Secret
    from passwordless_async.auth0.token import TokenAnswer
    from passwordless_async.dpop import DPoPKey, ProofGenerator
    from passwordless_async.flow.tenant import Flow, Tenant
    from passwordless_async.identity import AuthSession, Email, Phone
    from passwordless_async.wire import HttpRequest, HttpResponse


def grant(
    tenant: Tenant,
    proofs: ProofGenerator,
    build: Callable[[], HttpRequest],
    *,
    scope: str | None,
    audience: str | None,
    who: Email | Phone | AuthSession | None = None,
    expected: Expected = Expected(),  # noqa: B008 - a frozen value
) -> Flow[TokenSet]:
    """Run a grant.

    Args:
        tenant: The tenant.
        proofs: Proofs by the key to bind the tokens to.
        build: Builds the request, for each transmission anew.
        scope: The scope that is asked for.
        audience: The API that is asked for.
        who: The user, where that is known.
        expected: What else the ID token must show.

    Raises:
        MfaRequired: A second factor is asked for; its ``state`` goes on with the same key.
        OAuthError: The service refused.
        NotSenderConstrained: The tokens are not bound to the key; the refresh token among them was revoked.
        InvalidIdToken: The ID token failed a check; the refresh token beside it was revoked.
        MalformedAnswer: The answer is not what the protocol allows.
        NotSent: What the ID token is to be checked with could not be had.
        OutcomeUnknown: The service failed after the request had left.
    """
    yield from fetch_keys_before(tenant, scope)
    sent_at = int(_clock.now())
    exchanged = yield from prove(tenant, proofs, build)
    return (
        yield from accept(
            tenant, proofs, exchanged, sent_at=sent_at, scope=scope, audience=audience, who=who, expected=expected
        )
    )


def accept(
    tenant: Tenant,
    proofs: ProofGenerator,
    exchanged: tuple[HttpRequest, HttpResponse],
    *,
    sent_at: int,
    scope: str | None,
    audience: str | None,
    who: Email | Phone | AuthSession | None,
    expected: Expected,
) -> Flow[TokenSet]:
    """Make tokens of a grant's answer: the second half of :func:`grant`, which see."""
    try:
        answer = read_token(*exchanged, scope)
    except MfaRequired as error:
        facts = {"scope": scope, "audience": audience, "who": who, "expected": expected}
        error.state = _state(tenant, proofs.key, error, sent_at, facts)
        raise
    unusable: PasswordlessError | None = _unbound(answer, proofs.key.thumbprint)
    if unusable is None:
        try:
            claims = yield from claims_of(tenant, answer.id_token, access_token=answer.access_token, expected=expected)
        except PasswordlessError as error:
            unusable = error.with_traceback(None)
    if unusable is not None:
        yield from give_up(tenant, answer.refresh_token, exchanged[0])
        raise unusable
    return TokenSet(
        access_token=answer.access_token,
        token_type=answer.token_type,
        expires_at=None if answer.expires_in is None else sent_at + answer.expires_in,
        scope=answer.scope,
        refresh_token=answer.refresh_token,
        id_token=answer.id_token,
        claims=claims,
        key=proofs.key,
        jkt=proofs.key.thumbprint,
        issuer=tenant.application.issuer,
        client_id=tenant.application.client_id,
        audience=audience,
    )


def _state(
    tenant: Tenant,
    key: DPoPKey,
    error: MfaRequired,
    sent_at: int,
    facts: dict[str, Any],
) -> MfaState | None:
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
        **facts,
    )


def _unbound(answer: TokenAnswer, thumbprint: str) -> NotSenderConstrained | None:
    try:
        require_bound(answer, thumbprint)
    except NotSenderConstrained as error:
        return error.with_traceback(None)
    return None


def give_up(tenant: Tenant, refresh_token: Secret | None, request: HttpRequest) -> Flow[None]:
    """Revoke the refresh token of an answer that is thrown away: it would live on at the service.

    Unless it is the one that the request was made with, as a refresh without rotation has it: that is still the
    caller's.
    """
    if refresh_token is None or refresh_token in request.secrets:
        return
    try:
        yield revoke_request(tenant.application, refresh_token)
    except PasswordlessError:
        # Best effort: the answer that is refused is what the caller has to hear of.
        return
